//! The first process: gives the console to a shell, takes in orphans, and ends with the shell's exit code.
//!
//! `init` starts an interactive shell; `init -c CMD` runs `/bin/sh -c CMD`. When process 1 ends, the kernel turns the
//! machine off and hands the exit code on (docs/boot-arguments.md).

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use halyard_rt::process::Pid;
use halyard_rt::{fd, open, prelude::*, system, tty};

/// What every program finds in its environment.
const ENVIRONMENT: [&str; 3] = ["PATH=/bin", "HOME=/root", "TERM=vt100"];
const SHELL: &str = "/bin/sh";

entry!(main);

fn main() -> Result<i32> {
    if process::id() != 1 {
        eprintln!("init: only the kernel starts it, as process 1");
        return Ok(1);
    }
    mount_missing();
    open_console();
    let shell = process::spawn(run_shell)?;
    reap_until(shell)
}

/// Linux leaves `/proc` and `/dev` to init; Halyard has them already.
fn mount_missing() {
    for (probe, kind, at) in [
        ("/proc/self", "proc", "/proc"),
        ("/dev/null", "devtmpfs", "/dev"),
    ] {
        if fs::access(probe, 0).is_err() {
            let _ = fs::create_dir(at, 0o755);
            let _ = system::mount(kind, at);
        }
    }
}

/// Opens the console as standard input, output and error where the kernel has not.
fn open_console() {
    if fd::flags(STDERR).is_ok() {
        return;
    }
    if let Ok(console) = fs::open_with("/dev/console", open::O_RDWR | open::O_NOCTTY, 0) {
        let number = console.into_raw();
        for standard in [STDIN, STDOUT, STDERR] {
            let _ = fd::dup2(number, standard);
        }
        if number > STDERR {
            let _ = fd::close(number);
        }
    }
}

/// In the child: a session of its own, then the shell. A shell for a person has the console as its terminal; a single
/// command has none, as a job of cron has none: it may print in the background without being stopped for it.
fn run_shell() -> i32 {
    let _ = process::new_session();
    if args::args().len() < 2 {
        let _ = tty::make_controlling(STDIN);
    }
    let arguments = core::iter::once("sh").chain(args::args().skip(1));
    let errno = process::exec(SHELL, arguments, ENVIRONMENT);
    eprintln!("init: {SHELL}: {errno}");
    127
}

/// Takes in every process that ends, until the shell is among them; gives its code.
fn reap_until(shell: Pid) -> Result<i32> {
    loop {
        match process::wait() {
            Ok((pid, status)) if pid == shell => return Ok(status.code()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
