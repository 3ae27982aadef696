//! Writes a kernel command line.
//!
//! The line is `WORD... [-- WORD...]`: words before ` -- ` are the kernel's, words after it are the arguments of
//! `/init`, as Linux has it. A word with a blank, a quote or a backslash in it, or an empty one, stands in double
//! quotes, within which `\` takes the next byte as it is. docs/boot-arguments.md is the contract.

/// A kernel command line in the making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootArgs {
    kernel: Vec<String>,
    init: Vec<String>,
}

impl BootArgs {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a word for the kernel, such as `quiet`.
    #[must_use]
    pub fn kernel(mut self, word: &str) -> Self {
        self.kernel.push(word.into());
        self
    }

    /// Adds arguments for init.
    #[must_use]
    pub fn init<S: AsRef<str>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.init
            .extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// The line as the device tree's `bootargs` holds it.
    pub fn line(&self) -> String {
        let mut words: Vec<String> = self.kernel.iter().map(|word| quote(word)).collect();
        if !self.init.is_empty() {
            words.push("--".into());
            words.extend(self.init.iter().map(|word| quote(word)));
        }
        words.join(" ")
    }
}

/// One word, quoted where it must be.
fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && c != '"' && c != '\\';
    if !word.is_empty() && word != "--" && word.chars().all(plain) {
        return word.into();
    }
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('"');
    for c in word.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_without_init_words_has_no_separator() {
        assert_eq!(
            BootArgs::new().kernel("quiet").kernel("semihosting").line(),
            "quiet semihosting"
        );
    }

    #[test]
    fn line_with_command_quotes_only_what_must_be() {
        let line = BootArgs::new()
            .kernel("quiet")
            .init(["-c", "ls / | grep bin"])
            .line();
        assert_eq!(line, r#"quiet -- -c "ls / | grep bin""#);
    }

    #[test]
    fn quote_escapes_quotes_and_backslashes() {
        assert_eq!(quote(r#"echo "a\n""#), r#""echo \"a\\n\"""#);
    }

    #[test]
    fn quote_keeps_empty_words_and_separators_apart() {
        assert_eq!(BootArgs::new().init(["", "--"]).line(), r#"-- "" "--""#);
    }
}
