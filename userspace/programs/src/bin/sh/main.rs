//! The shell: pipelines, redirections, jobs, variables, conditions and loops; the useful part of POSIX `sh`.
//!
//! `sh` reads standard input, `sh FILE [ARG...]` a script, `sh -c TEXT [NAME [ARG...]]` its argument. On a terminal it
//! prompts and controls jobs. A syntax error is told with its line; a script ends at it with 2.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod builtin;
mod exec;
mod expand;
mod glob;
mod job;
mod lexer;
mod parser;
mod shell;
mod syntax;

use halyard_rt::{prelude::*, signal, tty};

use parser::Error;
use shell::Shell;

entry!(main);

fn main() -> i32 {
    let args: Vec<&'static str> = args::args().collect();
    let mut shell = Shell::new(args.first().copied().unwrap_or("sh"));
    match args.get(1..).unwrap_or(&[]) {
        ["-c", text, rest @ ..] => {
            shell.set_arguments(rest);
            run_text(&mut shell, text)
        }
        ["-c"] => {
            eprintln!("sh: -c needs a command");
            2
        }
        [option, ..] if option.starts_with('-') && option.len() > 1 => {
            eprintln!("sh: there is no option {option}\nusage: sh [-c TEXT | FILE] [ARG...]");
            2
        }
        [file, ..] => run_script(&mut shell, file, &args[1..]),
        [] if tty::is_terminal(STDIN) && tty::is_terminal(STDERR) => interact(&mut shell),
        [] => match read_all_input() {
            Ok(text) => run_text(&mut shell, &text),
            Err(errno) => {
                eprintln!("sh: standard input: {errno}");
                2
            }
        },
    }
}

fn read_all_input() -> Result<String> {
    let mut text = Vec::new();
    io::read_to_end(STDIN, &mut text)?;
    String::from_utf8(text).map_err(|_| Errno::EILSEQ)
}

fn run_script(shell: &mut Shell, file: &str, args: &[&'static str]) -> i32 {
    match fs::read_to_string(file) {
        Ok(text) => {
            shell.set_arguments(args);
            run_text(shell, &text)
        }
        Err(errno) => {
            eprintln!("sh: {file}: {errno}");
            if errno == Errno::ENOENT { 127 } else { 126 }
        }
    }
}

/// Runs a whole text, not a line before all of it is understood.
fn run_text(shell: &mut Shell, text: &str) -> i32 {
    match parser::parse(text) {
        Ok(script) => {
            shell.run(&script);
            shell.leave_with.unwrap_or(shell.status)
        }
        Err(error) => {
            eprintln!("sh: {error}");
            2
        }
    }
}

/// What ^C does at the prompt: it only ends the read.
extern "C" fn interrupted(_: i32) {}

/// Reads lines from the terminal until its end or `exit`.
fn interact(shell: &mut Shell) -> i32 {
    shell.take_terminal();
    let _ = signal::set(
        signal::SIGINT,
        signal::Action::Call(interrupted),
        0,
        signal::SignalSet::EMPTY,
    );
    if let Ok(text) = fs::read_to_string("/etc/motd") {
        eprint!("{text}");
    }
    let mut input = Lines::new(STDIN);
    let mut pending = String::new();
    loop {
        shell.report_jobs();
        if pending.is_empty() {
            let directory = fs::current_dir().unwrap_or_else(|_| "?".to_owned());
            eprint!("halyard:{directory}$ ");
        } else {
            eprint!("> ");
        }
        match input.next_line() {
            Ok(Some(line)) => {
                pending.push_str(&String::from_utf8_lossy(&line));
                pending.push('\n');
            }
            Ok(None) => {
                eprintln!();
                return shell.status;
            }
            Err(Errno::EINTR) => {
                eprintln!();
                pending.clear();
                shell.status = 128 + signal::SIGINT;
                continue;
            }
            Err(errno) => {
                eprintln!("sh: standard input: {errno}");
                return 2;
            }
        }
        match parser::parse(&pending) {
            Ok(script) => shell.run(&script),
            Err(Error {
                incomplete: true, ..
            }) => continue,
            Err(error) => {
                eprintln!("sh: {error}");
                shell.status = 2;
            }
        }
        pending.clear();
        if let Some(code) = shell.leave_with {
            return code;
        }
    }
}
