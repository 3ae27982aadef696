//! What the tools share: options, failures, files named on the command line.

use core::fmt;

use halyard_rt::prelude::*;

/// What a tool ends with: its exit code, or what to say and the code for that.
pub(crate) type Outcome = core::result::Result<i32, Failure>;

/// Why a tool gave up.
pub(crate) enum Failure {
    /// It was called wrongly.
    Usage(String),
    /// The system said no.
    System(Errno),
    /// The system said no to something of that name.
    On(String, Errno),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::System(errno) => write!(f, "{errno}"),
            Self::On(name, errno) => write!(f, "{name}: {errno}"),
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl From<fmt::Error> for Failure {
    fn from(_: fmt::Error) -> Self {
        Self::System(Errno::EIO)
    }
}

/// Names what an error was about.
pub(crate) trait On<T> {
    /// The same result; its error carries the name.
    fn on(self, name: &str) -> core::result::Result<T, Failure>;
}

impl<T> On<T> for Result<T> {
    fn on(self, name: &str) -> core::result::Result<T, Failure> {
        self.map_err(|errno| Failure::On(name.to_owned(), errno))
    }
}

/// A wrong call.
pub(crate) fn usage<T>(text: impl Into<String>) -> core::result::Result<T, Failure> {
    Err(Failure::Usage(text.into()))
}

/// A number on the command line.
pub(crate) fn number<T: core::str::FromStr>(text: &str) -> core::result::Result<T, Failure> {
    text.parse()
        .map_err(|_| Failure::Usage(format!("'{text}' is not a number")))
}

/// Options and operands, taken apart.
pub(crate) struct Parsed {
    options: Vec<(char, &'static str)>,
    /// What is not an option.
    pub(crate) operands: Vec<&'static str>,
}

impl Parsed {
    /// Whether an option was given.
    pub(crate) fn has(&self, option: char) -> bool {
        self.options.iter().any(|(given, _)| *given == option)
    }

    /// The value of an option, the last one given.
    pub(crate) fn value(&self, option: char) -> Option<&'static str> {
        let mut given = self.options.iter().rev();
        given
            .find(|(name, _)| *name == option)
            .map(|(_, value)| *value)
    }
}

/// Takes arguments apart. `allowed` lists the options' letters; a colon after one says that it has a value.
pub(crate) fn parse(args: &[&'static str], allowed: &str) -> core::result::Result<Parsed, Failure> {
    let mut parsed = Parsed {
        options: Vec::new(),
        operands: Vec::new(),
    };
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        if arg == "--" {
            parsed.operands.extend(args.by_ref());
        } else if let Some(letters) = arg.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            parse_letters(letters, allowed, &mut args, &mut parsed)?;
        } else {
            parsed.operands.push(arg);
        }
    }
    Ok(parsed)
}

fn parse_letters(
    letters: &'static str,
    allowed: &str,
    args: &mut impl Iterator<Item = &'static str>,
    parsed: &mut Parsed,
) -> core::result::Result<(), Failure> {
    for (at, letter) in letters.char_indices() {
        let Some(place) = allowed.find(letter).filter(|_| letter != ':') else {
            return usage(format!("there is no option -{letter}"));
        };
        let after = at + letter.len_utf8();
        if !allowed[place + letter.len_utf8()..].starts_with(':') {
            parsed.options.push((letter, ""));
            continue;
        }
        let value = match &letters[after..] {
            "" => args.next(),
            rest => Some(rest),
        };
        match value {
            Some(value) => parsed.options.push((letter, value)),
            None => return usage(format!("-{letter} needs a value")),
        }
        break;
    }
    Ok(())
}

/// Gives each file named to `body`, or standard input where none is (and for `-`). A file that fails is reported, the
/// others go on; the code is then 1.
pub(crate) fn each_input(
    tool: &str,
    names: &[&'static str],
    mut body: impl FnMut(&'static str, i32) -> core::result::Result<(), Failure>,
) -> Outcome {
    if names.is_empty() {
        body("-", STDIN)?;
        return Ok(0);
    }
    let mut code = 0;
    for &name in names {
        let result = match name {
            "-" => body(name, STDIN),
            _ => fs::open(name)
                .map_err(Failure::System)
                .and_then(|file| body(name, file.fd())),
        };
        if let Err(failure) = result {
            eprintln!("{tool}: {name}: {failure}");
            code = 1;
        }
    }
    Ok(code)
}

/// Does something with each name; what fails is reported, the others go on, and the code is then 1.
pub(crate) fn each_name(
    tool: &str,
    names: &[&'static str],
    mut body: impl FnMut(&'static str) -> Result<()>,
) -> Outcome {
    if names.is_empty() {
        return usage("a name is missing");
    }
    let mut code = 0;
    for &name in names {
        if let Err(errno) = body(name) {
            eprintln!("{tool}: {name}: {errno}");
            code = 1;
        }
    }
    Ok(code)
}

/// The last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// `directory/name`.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Where `from` goes when it is moved or copied to `to`: into it, if that is a directory.
pub(crate) fn destination(from: &str, to: &str) -> Vec<u8> {
    match fs::metadata(to) {
        Ok(found) if found.is_dir() => join(to.as_bytes(), base_name(from).as_bytes()),
        _ => to.as_bytes().to_vec(),
    }
}
