//! The tools of a prompt in one file: the name it is called by says which one it is.
//!
//! `/bin/ls` and the others are symbolic links to `/bin/box`; `box ls -l` works as well, and `box` alone lists them.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod basics;
mod boardinfo;
mod cat;
mod command;
mod cp;
mod env;
mod free;
mod grep;
mod head;
mod hexdump;
mod ipcrm;
mod ipcs;
mod kill;
mod ln;
mod ls;
mod mkdir;
mod mv;
mod power;
mod ps;
mod rm;
mod seq;
mod sleep;
mod tail;
mod test;
mod uname;
mod uptime;
mod wc;

use command::{Failure, Outcome};
use halyard_rt::prelude::*;

/// A tool: its name, how it is called, and what it does with its arguments.
struct Tool {
    name: &'static str,
    usage: &'static str,
    run: fn(&[&'static str]) -> Outcome,
}

const fn tool(
    name: &'static str,
    usage: &'static str,
    run: fn(&[&'static str]) -> Outcome,
) -> Tool {
    Tool { name, usage, run }
}

const TOOLS: &[Tool] = &[
    tool("[", "[ EXPRESSION ]", test::bracket),
    tool("boardinfo", "boardinfo", boardinfo::run),
    tool("cat", "cat [FILE...]", cat::run),
    tool("cp", "cp [-r] FROM... TO", cp::run),
    tool("echo", "echo [-n] [WORD...]", basics::echo),
    tool("env", "env [NAME=VALUE...] [COMMAND...]", env::run),
    tool("false", "false", basics::no),
    tool("free", "free", free::run),
    tool("grep", "grep [-cinqv] PATTERN [FILE...]", grep::run),
    tool("head", "head [-n LINES] [FILE...]", head::run),
    tool("hexdump", "hexdump [FILE...]", hexdump::run),
    tool(
        "ipcrm",
        "ipcrm [-q ID] [-m ID] [-s ID] [-Q KEY] [-M KEY] [-S KEY] [-a]...",
        ipcrm::run,
    ),
    tool("ipcs", "ipcs [-q] [-m] [-s] [-l | -u]", ipcs::run),
    tool("kill", "kill [-SIGNAL | -l] PROCESS...", kill::run),
    tool("ln", "ln [-s] [-f] TARGET NAME", ln::run),
    tool("ls", "ls [-a] [-l] [FILE...]", ls::run),
    tool("mkdir", "mkdir [-p] DIRECTORY...", mkdir::run),
    tool("mv", "mv FROM... TO", mv::run),
    tool("poweroff", "poweroff", power::off),
    tool("ps", "ps", ps::run),
    tool("pwd", "pwd", basics::pwd),
    tool("reboot", "reboot", power::reboot),
    tool("rm", "rm [-r] [-f] FILE...", rm::run),
    tool("seq", "seq [FIRST [STEP]] LAST", seq::run),
    tool("sleep", "sleep SECONDS", sleep::run),
    tool("tail", "tail [-n LINES] [FILE...]", tail::run),
    tool("test", "test EXPRESSION", test::run),
    tool("true", "true", basics::yes_indeed),
    tool("uname", "uname [-asnrvm]", uname::run),
    tool("uptime", "uptime", uptime::run),
    tool("wc", "wc [-c] [-l] [-w] [FILE...]", wc::run),
    tool("yes", "yes [WORD...]", basics::yes),
];

entry!(main);

fn main() -> i32 {
    let args: Vec<&'static str> = args::args().collect();
    let rest = args.get(1..).unwrap_or(&[]);
    if let Some(tool) = find(args::program()) {
        return finish(tool, rest);
    }
    match rest.split_first() {
        None => {
            TOOLS.iter().for_each(|tool| println!("{}", tool.usage));
            0
        }
        Some((name, rest)) => match find(name) {
            Some(tool) => finish(tool, rest),
            None => {
                eprintln!("box: no tool is called '{name}'");
                127
            }
        },
    }
}

fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// Runs a tool and says what went wrong.
fn finish(tool: &Tool, args: &[&'static str]) -> i32 {
    match (tool.run)(args) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{}: {failure}", tool.name);
            match failure {
                Failure::Usage(_) => {
                    eprintln!("usage: {}", tool.usage);
                    2
                }
                _ if matches!(tool.name, "test" | "[" | "grep") => 2,
                _ => 1,
            }
        }
    }
}
