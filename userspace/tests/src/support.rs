//! What tests are written with: checks that give a reason, children, a page shared with them, bad addresses.

use core::fmt::{Debug, Display};
use core::panic::Location;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use halyard_rt::mm::{Mapping, PAGE, PROT_NONE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::process::{Pid, Status};
use halyard_rt::{prelude::*, wild};

/// How a test went.
pub(crate) type Outcome = core::result::Result<(), Failure>;

/// Why a test did not pass.
pub(crate) enum Failure {
    /// Something was not as it should be.
    Wrong(String),
    /// It could not be tried here.
    Skip(String),
}

impl From<Errno> for Failure {
    /// A call that had to work did not.
    #[track_caller]
    fn from(errno: Errno) -> Self {
        wrong(format!("{errno}"))
    }
}

/// A failure with the place it was noticed at.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn wrong(what: impl Display) -> Failure {
    let place = Location::caller();
    let file = place.file().rsplit('/').next().unwrap_or("");
    Failure::Wrong(format!("{file}:{}: {what}", place.line()))
}

/// The failure of [`check_eq`].
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn differ(what: &str, left: &dyn Debug, right: &dyn Debug) -> Failure {
    wrong(format_args!("{what} is {left:?}, not {right:?}"))
}

/// Fails the test unless the condition holds.
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            return Err($crate::support::wrong(concat!(
                "not so: ",
                stringify!($condition)
            )));
        }
    };
}
pub(crate) use check;

/// Fails the test unless both are equal.
macro_rules! check_eq {
    ($left:expr, $right:expr) => {
        match (&$left, &$right) {
            (left, right) if left != right => {
                return Err($crate::support::differ(stringify!($left), left, right));
            }
            _ => {}
        }
    };
}
pub(crate) use check_eq;

/// Ends the test on Linux: there it is otherwise, by design. Says why.
pub(crate) fn differs_on_linux(why: &str) -> Outcome {
    if fs::access("/proc/halyard/objects", 0).is_ok() {
        return Ok(());
    }
    Err(Failure::Skip(format!("differs on Linux: {why}")))
}

/// Long enough for another process to get where it blocks.
const SETTLE: Duration = Duration::from_millis(25);

/// Lets other processes get on.
pub(crate) fn settle() {
    time::sleep(SETTLE);
}

/// Sleeps.
pub(crate) fn sleep_ms(length: u64) {
    time::sleep(Duration::from_millis(length));
}

/// Runs `body` in a child and gives what became of it.
pub(crate) fn in_child(body: impl FnOnce() -> i32) -> Result<Status> {
    process::wait_pid(process::spawn(body)?)
}

/// Words that processes share over a fork.
pub(crate) struct Shared(&'static Mapping);

impl Shared {
    /// All zero.
    pub(crate) fn new() -> Result<Self> {
        let page = Mapping::anonymous(PAGE, PROT_READ | PROT_WRITE, Sharing::Shared)?;
        Ok(Self(page.leak()))
    }

    /// One of its words.
    pub(crate) fn word(&self, index: usize) -> &'static AtomicU32 {
        self.0.atomic(index * 4)
    }

    /// Sets a word.
    pub(crate) fn set(&self, index: usize, value: u32) {
        self.word(index).store(value, Ordering::SeqCst);
    }

    /// A word's value.
    pub(crate) fn get(&self, index: usize) -> u32 {
        self.word(index).load(Ordering::SeqCst)
    }

    /// Adds one and gives what was there.
    pub(crate) fn add(&self, index: usize, value: u32) -> u32 {
        self.word(index).fetch_add(value, Ordering::SeqCst)
    }

    /// Waits until a word has that value, however long; the test's deadline ends it.
    pub(crate) fn await_value(&self, index: usize, value: u32) {
        while self.get(index) != value {
            let _ = time::sleep_once(Duration::from_micros(200));
        }
    }
}

/// A child that raises a flag just before it does what may block.
pub(crate) struct Blocker {
    pid: Pid,
}

impl Blocker {
    /// Starts it, and returns when it must have got to where it blocks.
    pub(crate) fn start(body: impl FnOnce() -> i32) -> Result<Self> {
        let shared = Shared::new()?;
        let pid = process::spawn(|| {
            shared.set(0, 1);
            body()
        })?;
        shared.await_value(0, 1);
        settle();
        Ok(Self { pid })
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has not ended yet.
    pub(crate) fn blocked(&self) -> Result<bool> {
        let found = process::wait_for(self.pid, halyard_rt::raw::general::WNOHANG)?;
        Ok(found.is_none())
    }

    /// Waits for its end.
    pub(crate) fn join(self) -> Result<Status> {
        process::wait_pid(self.pid)
    }

    /// Ends it.
    pub(crate) fn kill(self) -> Result<Status> {
        process::kill(self.pid, halyard_rt::signal::SIGKILL)?;
        process::wait_pid(self.pid)
    }
}

/// Makes a thread one of SCHED_FIFO; 0 is the caller.
pub(crate) fn set_fifo(tid: Pid, priority: u32) -> Result<()> {
    const SCHED_FIFO: usize = 1;
    let priority = AtomicU32::new(priority);
    let args = [tid as usize, SCHED_FIFO, priority.as_ptr() as usize];
    call(halyard_rt::nr::SCHED_SETSCHEDULER, args).map(drop)
}

/// The priority by which a process is scheduled now, as /proc/PID/stat has it: 20 at nice 0, -1 minus a real-time one.
pub(crate) fn priority(pid: Pid) -> Result<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let behind_name = text.rsplit(')').next().unwrap_or("");
    let field = behind_name.split_whitespace().nth(15);
    field
        .and_then(|word| word.parse().ok())
        .ok_or(Errno::EINVAL)
}

/// Two pages of which the second cannot be touched.
pub(crate) struct Edge(Mapping);

impl Edge {
    /// The first page can be read and written.
    pub(crate) fn new() -> Result<Self> {
        let pages = Mapping::anonymous(2 * PAGE, PROT_READ | PROT_WRITE, Sharing::Private)?;
        pages.protect(PAGE, PAGE, PROT_NONE)?;
        Ok(Self(pages))
    }

    /// An address with that many good bytes behind it.
    pub(crate) fn before(&self, good: usize) -> usize {
        self.0.address() + PAGE - good
    }

    /// The page that cannot be touched.
    pub(crate) fn bad(&self) -> usize {
        self.0.address() + PAGE
    }
}

/// Addresses at which a program has nothing: unmapped low and high ones, the kernel's, one between the halves, one
/// whose end wraps around.
pub(crate) const WILD: [usize; 6] = [
    8,
    0x7fff_ffff_f000,
    0xffff_0000_0000_0000,
    0xffff_ffff_8000_0000,
    0x0100_0000_0000_0000,
    usize::MAX - 7,
];

/// A call with the arguments given and the rest zero.
pub(crate) fn call<const N: usize>(nr: usize, args: [usize; N]) -> Result<usize> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&args);
    wild::call(nr, all)
}

/// Numbers that look random, the same every time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number (xorshift64*).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }
}
