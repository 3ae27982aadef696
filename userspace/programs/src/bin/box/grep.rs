//! Prints the lines that match a pattern: plain text, and `^` `$` `.` `x*`, `\` before any of them to mean itself.

use crate::command::{Outcome, each_input, parse, usage};
use halyard_rt::prelude::*;

/// `grep [-cinqv] PATTERN [FILE...]`: 0 if a line matched, 1 if none did.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "cinqv")?;
    let Some((pattern, files)) = parsed.operands.split_first() else {
        return usage("a pattern is missing");
    };
    let pattern = Pattern::new(pattern, parsed.has('i'));
    let (count_only, numbered) = (parsed.has('c'), parsed.has('n'));
    let (quiet, inverted) = (parsed.has('q'), parsed.has('v'));
    let mut out = BufWriter::new(STDOUT);
    let mut any = false;
    let code = each_input("grep", files, |name, file| {
        let prefix = if files.len() > 1 {
            format!("{name}:")
        } else {
            String::new()
        };
        let mut lines = Lines::new(file);
        let (mut number, mut count) = (0u64, 0u64);
        while let Some(line) = lines.next_line()? {
            number += 1;
            if pattern.matches(&line) == inverted {
                continue;
            }
            count += 1;
            any = true;
            if quiet || count_only {
                continue;
            }
            out.write(prefix.as_bytes())?;
            if numbered {
                write!(out, "{number}:")?;
            }
            out.write(&line)?;
            out.write(b"\n")?;
        }
        if count_only && !quiet {
            writeln!(out, "{prefix}{count}")?;
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(match (code, any) {
        (0, true) => 0,
        (0, false) => 1,
        _ => 2,
    })
}

/// One piece of a pattern.
enum Atom {
    /// That byte.
    Byte(u8),
    /// Any byte.
    Any,
}

struct Pattern {
    at_start: bool,
    at_end: bool,
    fold: bool,
    /// Pieces, and whether each may come any number of times.
    atoms: Vec<(Atom, bool)>,
}

impl Pattern {
    fn new(text: &str, fold: bool) -> Self {
        let text = text.as_bytes();
        let (at_start, mut rest) = match text.strip_prefix(b"^") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut pattern = Self {
            at_start,
            at_end: false,
            fold,
            atoms: Vec::new(),
        };
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let atom = match byte {
                b'$' if rest.is_empty() => {
                    pattern.at_end = true;
                    break;
                }
                b'.' => Atom::Any,
                b'\\' => match rest.split_first() {
                    Some((&escaped, after)) => {
                        rest = after;
                        Atom::Byte(escaped)
                    }
                    None => Atom::Byte(b'\\'),
                },
                _ => Atom::Byte(byte),
            };
            let repeated = rest.first() == Some(&b'*');
            if repeated {
                rest = &rest[1..];
            }
            pattern.atoms.push((atom, repeated));
        }
        pattern
    }

    fn matches(&self, line: &[u8]) -> bool {
        if self.at_start {
            return self.matches_here(&self.atoms, line);
        }
        (0..=line.len()).any(|start| self.matches_here(&self.atoms, &line[start..]))
    }

    fn matches_here(&self, atoms: &[(Atom, bool)], mut line: &[u8]) -> bool {
        let Some(((atom, repeated), rest)) = atoms.split_first() else {
            return !self.at_end || line.is_empty();
        };
        loop {
            if *repeated && self.matches_here(rest, line) {
                return true;
            }
            match line.split_first() {
                Some((&byte, after)) if self.fits(atom, byte) => line = after,
                _ => return false,
            }
            if !repeated {
                return self.matches_here(rest, line);
            }
        }
    }

    fn fits(&self, atom: &Atom, byte: u8) -> bool {
        match *atom {
            Atom::Any => true,
            Atom::Byte(wanted) if self.fold => wanted.eq_ignore_ascii_case(&byte),
            Atom::Byte(wanted) => wanted == byte,
        }
    }
}
