//! `print!` and its kin. Each gathers its text and writes it in as few calls as it can, unbuffered between calls, so
//! nothing is printed twice after a fork or lost at an exit.

use core::fmt::{self, Write};

use crate::fd::{STDERR, STDOUT};
use crate::io;

/// Standard output as a `fmt::Write`: each piece is written at once.
#[derive(Debug)]
pub struct Stdout;

/// Standard error as a `fmt::Write`: each piece is written at once.
#[derive(Debug)]
pub struct Stderr;

impl Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        io::write_all(STDOUT, text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        io::write_all(STDERR, text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Gathers one message on the stack.
struct Message {
    fd: i32,
    length: usize,
    text: [u8; 256],
}

impl Message {
    fn flush(&mut self) {
        let _ = io::write_all(self.fd, &self.text[..self.length]);
        self.length = 0;
    }
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.as_bytes().chunks(self.text.len()) {
            if self.length + part.len() > self.text.len() {
                self.flush();
            }
            self.text[self.length..][..part.len()].copy_from_slice(part);
            self.length += part.len();
        }
        Ok(())
    }
}

/// What the macros call.
#[doc(hidden)]
pub fn message(fd: i32, arguments: fmt::Arguments<'_>) {
    let mut message = Message {
        fd,
        length: 0,
        text: [0; 256],
    };
    let _ = message.write_fmt(arguments);
    message.flush();
}

/// Prints to standard output. A failure is lost: use [`io::write_all`] where it matters.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => {
        $crate::print::message($crate::fd::STDOUT, ::core::format_args!($($arguments)*))
    };
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arguments:tt)*) => { $crate::print!("{}\n", ::core::format_args!($($arguments)*)) };
}

/// Prints to standard error.
#[macro_export]
macro_rules! eprint {
    ($($arguments:tt)*) => {
        $crate::print::message($crate::fd::STDERR, ::core::format_args!($($arguments)*))
    };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::eprint!("\n") };
    ($($arguments:tt)*) => { $crate::eprint!("{}\n", ::core::format_args!($($arguments)*)) };
}
