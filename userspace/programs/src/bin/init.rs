//! The first process: gives the console to a shell, takes in orphans, and ends with the shell's exit code.
//!
//! `init` starts an interactive shell; `init -c CMD` runs `/bin/sh -c CMD`. When process 1 ends, the kernel turns the
//! machine off and hands the exit code on (docs/boot-arguments.md). On Linux it mounts what Linux leaves to it, and in the
//! end turns the machine off itself: there the tests are run that Linux is the judge of.

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
    let code = reap_until(shell)?;
    if fs::access(OWN, 0).is_err() {
        // Linux takes the end of process 1 for a disaster.
        let _ = system::power_off();
    }
    Ok(code)
}

/// What only Halyard has.
const OWN: &str = "/proc/halyard/objects";

/// Linux leaves its file systems to init; Halyard has them already.
fn mount_missing() {
    if fs::access("/proc/self", 0).is_err() {
        mount("proc", "/proc");
    }
    if fs::access("/dev/null", 0).is_err() {
        mount("devtmpfs", "/dev");
    }
    if fs::access(OWN, 0).is_err() {
        mount("tmpfs", "/tmp");
        mount("tmpfs", "/dev/shm");
        mount("mqueue", "/dev/mqueue");
    }
}

/// Mounts a file system, at a directory that is made if it is not there.
fn mount(kind: &str, at: &str) {
    let _ = fs::create_dir(at, 0o755);
    let _ = system::mount(kind, at);
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
