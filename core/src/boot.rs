//! From a machine that is up to the first program.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::kernel::Kernel;
use crate::machine::{Frame, Machine, Shutdown};
use crate::mm::Memory;

/// What the machine hands over.
pub struct BootInfo {
    /// The machine.
    pub machine: &'static dyn Machine,
    /// Its page frames.
    pub memory: &'static Memory,
    /// The archive with the first files (cpio, newc).
    pub initramfs: Option<&'static [u8]>,
    /// The frames that hold the archive, to be given to the pool when it is unpacked.
    pub initramfs_frames: Range<Frame>,
    /// The command line: `init=PATH`, `quiet`, and after ` -- ` init's arguments.
    pub command_line: &'static str,
    /// Randomness for address layout and the random devices.
    pub seed: [u8; 32],
    /// Wall clock at boot, ns since 1970; 0 if unknown.
    pub real_time: u64,
}

/// What the command line says to the core.
#[derive(Debug, PartialEq, Eq)]
struct Options<'a> {
    init: &'a str,
    quiet: bool,
    arguments: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// Words before `--` are options, those after it init's arguments. A word may be quoted with `"` as a whole.
    fn parse(line: &'a str) -> Options<'a> {
        let mut options = Options { init: "/init", quiet: false, arguments: Vec::new() };
        let mut words = Words(line);
        for word in words.by_ref() {
            match word {
                "--" => break,
                "quiet" => options.quiet = true,
                _ => {
                    if let Some(path) = word.strip_prefix("init=").or_else(|| word.strip_prefix("rdinit=")) {
                        options.init = path;
                    }
                }
            }
        }
        options.arguments.extend(words);
        options
    }
}

/// The words of a command line, quotes taken off.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches(' ');
        if rest.is_empty() {
            return None;
        }
        let (word, left) = match rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some(parts) => parts,
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        self.0 = left;
        Some(word)
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_without_options_runs_slash_init() {
        assert_eq!(Options::parse(""), Options { init: "/init", quiet: false, arguments: Vec::new() });
    }

    #[test]
    fn command_line_after_dashes_goes_to_init_with_quotes_off() {
        let options = Options::parse("quiet init=/bin/sh x=1 -- -c \"ls / | wc\" last");
        assert_eq!((options.init, options.quiet), ("/bin/sh", true));
        assert_eq!(options.arguments, ["-c", "ls / | wc", "last"]);
    }

    #[test]
    fn command_line_with_open_quote_is_taken_as_it_stands() {
        assert_eq!(Options::parse("-- \"ls x").arguments, ["\"ls", "x"]);
    }
}
