//! Runs tests one by one, each in a process of its own, and tells in TAP how they went.

use core::time::Duration;

use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::process::{Pid, Status};
use halyard_rt::raw::general::WNOHANG;
use halyard_rt::{prelude::*, signal};
use halyard_wire::result::Sealer;

use crate::support::{Failure, Outcome};

/// A test: its name and what it does.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Outcome,
}

/// The tests of a module, from the names of its functions.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::runner::Test] = &[
            $($crate::runner::Test { name: stringify!($name), run: $name }),*
        ];
    };
}
pub(crate) use suite;

/// How long a test may take.
const DEADLINE: Duration = Duration::from_secs(15);
/// How long a killed process may take to go.
const BURIAL: Duration = Duration::from_secs(5);
/// Exit codes of a test's process.
const PASSED: i32 = 0;
const FAILED: i32 = 1;
const SKIPPED: i32 = 77;

/// How results are told.
pub(crate) enum Told {
    /// As lines of TAP.
    Plain,
    /// The same, each sealed ([`halyard_wire::result`]), for a reader at the other end of a serial line.
    Sealed(Sealer),
}

impl Told {
    fn line(&mut self, text: &str) {
        match self {
            Told::Plain => println!("{text}"),
            Told::Sealed(sealer) => {
                let mut line = String::new();
                // A string takes what it is given.
                let _ = sealer.seal(text, &mut line);
                print!("{line}");
            }
        }
    }
}

/// Runs the tests that a filter names, all without filter; 0 if none failed.
pub(crate) fn run(suites: &[&[Test]], filters: &[&str], mut told: Told) -> i32 {
    let chosen = |test: &&Test| {
        filters.is_empty() || filters.iter().any(|filter| test.name.contains(filter))
    };
    let tests: Vec<&Test> = suites.iter().copied().flatten().filter(chosen).collect();
    told.line("TAP version 14");
    told.line(&format!("1..{}", tests.len()));
    let mut failed = 0;
    for (index, test) in tests.iter().enumerate() {
        let number = index + 1;
        let name = test.name;
        match run_one(test) {
            Verdict::Passed => told.line(&format!("ok {number} - {name}")),
            Verdict::Skipped(why) => told.line(&format!("ok {number} - {name} # SKIP {why}")),
            Verdict::Failed(why) => {
                failed += 1;
                told.line(&format!("# {name}: {why}"));
                told.line(&format!("not ok {number} - {name} # {why}"));
            }
            Verdict::Immortal => {
                told.line(&format!("Bail out! {name}: SIGKILL does not end it"));
                return 1;
            }
        }
    }
    told.line(&format!(
        "# {} passed, {failed} failed",
        tests.len() - failed
    ));
    i32::from(failed > 0)
}

enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
    Immortal,
}

fn run_one(test: &Test) -> Verdict {
    let note = Note::new();
    let child = match process::spawn(|| run_here(test, &note)) {
        Ok(child) => child,
        Err(errno) => return Verdict::Failed(format!("fork: {errno}")),
    };
    let _ = process::set_group(child, child);
    let status = wait_within(child, DEADLINE);
    // Whatever it left behind goes with it.
    let _ = process::kill(-child, signal::SIGKILL);
    match status {
        Ok(Some(Status::Exited(PASSED))) => Verdict::Passed,
        Ok(Some(Status::Exited(SKIPPED))) => Verdict::Skipped(note.read()),
        Ok(Some(Status::Exited(FAILED))) => Verdict::Failed(note.read()),
        Ok(Some(Status::Exited(code))) => Verdict::Failed(format!("left with exit code {code}")),
        Ok(Some(Status::Signaled(number))) => {
            let name = signal::name(number).unwrap_or("a signal");
            Verdict::Failed(format!("ended by {name}"))
        }
        Ok(Some(status)) => Verdict::Failed(format!("{status:?}")),
        Err(errno) => Verdict::Failed(format!("wait4: {errno}")),
        Ok(None) => {
            let _ = process::kill(child, signal::SIGKILL);
            match wait_within(child, BURIAL) {
                Ok(None) => Verdict::Immortal,
                _ => Verdict::Failed(format!("took more than {} s", DEADLINE.as_secs())),
            }
        }
    }
}

/// In the test's process.
fn run_here(test: &Test, note: &Note) -> i32 {
    let _ = process::set_group(0, 0);
    match (test.run)() {
        Ok(()) => PASSED,
        Err(Failure::Wrong(why)) => {
            note.write(&why);
            FAILED
        }
        Err(Failure::Skip(why)) => {
            note.write(&why);
            SKIPPED
        }
    }
}

/// Waits for a child without relying on signals, pipes or poll, which are under test.
pub(crate) fn wait_within(child: Pid, limit: Duration) -> Result<Option<Status>> {
    let end = time::uptime() + limit;
    let mut pause = Duration::from_micros(100);
    loop {
        match process::wait_for(child, WNOHANG) {
            Ok(Some((_, status))) => return Ok(Some(status)),
            Ok(None) if time::uptime() >= end => return Ok(None),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let _ = time::sleep_once(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// A page by which a test's process says what went wrong, though it may die at once.
struct Note(Option<Mapping>);

impl Note {
    fn new() -> Self {
        Self(Mapping::anonymous(PAGE, PROT_READ | PROT_WRITE, Sharing::Shared).ok())
    }

    fn write(&self, text: &str) {
        match &self.0 {
            Some(page) => {
                for (index, byte) in text.bytes().take(PAGE - 1).enumerate() {
                    page.store(index, if byte == b'\n' { b' ' } else { byte });
                }
            }
            None => println!("# {text}"),
        }
    }

    fn read(&self) -> String {
        let Some(page) = &self.0 else {
            return "see above".to_owned();
        };
        let bytes = (0..PAGE)
            .map(|index| page.load(index))
            .take_while(|&byte| byte != 0);
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    }
}
