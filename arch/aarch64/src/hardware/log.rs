//! The log: defmt's global logger, which sends each record as a frame between two pieces of console text (docs/logging.md).
//!
//! Owns: one record for each CPU, of which only that CPU has a use; the count of records lost. A record is put together in its
//! CPU's place and then sent in one go, so no CPU waits while another makes its own, and a record too long or one whose turn does
//! not come is lost whole, counted, and the loss told with the next that gets through. Nothing here panics or waits for ever.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use halyard_cell::SpinLock;
use halyard_core::log::{self, Level};
use halyard_core::machine::MAX_CPUS;
use halyard_wire::frame::{self, Kind, PAYLOAD_MAX};

use super::{backtrace, console, cpu, machine};

/// A log point: as the macro of defmt that is named like the level. Off, it costs one load and one branch.
macro_rules! log_at {
    (error, $($arg:tt)*) => { $crate::hardware::log::log_at!(Error: defmt::error!($($arg)*)) };
    (warn, $($arg:tt)*) => { $crate::hardware::log::log_at!(Warn: defmt::warn!($($arg)*)) };
    (info, $($arg:tt)*) => { $crate::hardware::log::log_at!(Info: defmt::info!($($arg)*)) };
    (debug, $($arg:tt)*) => { $crate::hardware::log::log_at!(Debug: defmt::debug!($($arg)*)) };
    ($level:ident: $record:expr) => {
        if halyard_core::log::enabled(halyard_core::log::Level::$level) {
            $record;
        }
    };
}
pub(crate) use log_at;

/// What a record carries before defmt's bytes: two of the build id, the CPU.
const HEAD: usize = 3;

/// defmt's bytes of one record.
struct Making {
    bytes: [u8; PAYLOAD_MAX - HEAD],
    used: usize,
    /// More was written than there is room for.
    too_long: bool,
}

impl Making {
    const fn new() -> Self {
        Self {
            bytes: [0; PAYLOAD_MAX - HEAD],
            used: 0,
            too_long: false,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.used.saturating_add(bytes.len());
        match self.bytes.get_mut(self.used..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.used = end;
            }
            None => self.too_long = true,
        }
    }
}

/// Each CPU's; the locks are for the compiler: nobody else takes them, and they are tried only.
static MAKING: [SpinLock<Making>; MAX_CPUS] = [const { SpinLock::new(Making::new()) }; MAX_CPUS];

/// Records lost since the loss was last told.
static LOST: AtomicU32 = AtomicU32::new(0);

/// The build is told again after so many records, for who joined later.
const TELL_BUILD_EVERY: u8 = 64;

/// Records until the build is told; 0: with the next.
static UNTIL_BUILD: AtomicU8 = AtomicU8::new(0);

/// Runs `f` with this CPU's record, if nothing is amiss.
#[inline]
fn with_making(f: impl FnOnce(&mut Making)) {
    let mine = MAKING.get(usize::from(cpu::this().id().0));
    if let Some(mut making) = mine.and_then(SpinLock::try_lock) {
        f(&mut making);
    }
}

/// Sends what was put together, after what must be said before it.
fn send(making: &Making) {
    let id = backtrace::build_id();
    let build = id.first_chunk::<2>().copied().unwrap_or_default();
    let lost = LOST.swap(0, Ordering::Relaxed);
    let tell_build = UNTIL_BUILD
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.checked_sub(1).unwrap_or(TELL_BUILD_EVERY))
        })
        .is_ok_and(|left| left == 0);
    let defmt = making.bytes.get(..making.used).unwrap_or_default();
    let [first, second] = build;
    let head = [first, second, cpu::this().id().0];
    let went = !making.too_long
        && console::send_frame(|write| {
            if tell_build {
                frame::encode(Kind::Build, &[id], write);
            }
            if lost > 0 {
                frame::encode(Kind::Lost, &[&lost.to_le_bytes()], write);
            }
            frame::encode(Kind::Record, &[&head, defmt], write);
        });
    if !went {
        LOST.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
        if tell_build {
            UNTIL_BUILD.store(0, Ordering::Relaxed);
        }
    }
}

#[defmt::global_logger]
struct Logger;

// SAFETY: defmt wants its calls for one record to come from one place at a time: each CPU has a record of its own, and the kernel
// is never re-entered on a CPU but by a fault, which panics and does not log.
unsafe impl defmt::Logger for Logger {
    #[inline(never)]
    fn acquire() {
        with_making(|making| {
            making.used = 0;
            making.too_long = false;
        });
    }

    unsafe fn flush() {}

    #[inline(never)]
    unsafe fn release() {
        with_making(|making| send(making));
    }

    #[inline(never)]
    unsafe fn write(bytes: &[u8]) {
        with_making(|making| making.put(bytes));
    }
}

// Time since boot.
defmt::timestamp!("{=u64:us}", {
    machine::get().map_or(0, |machine| machine.clock.now().0 / 1_000)
});

/// Takes the level from the command line.
pub(crate) fn init(command_line: &str) {
    log::set_from(command_line);
    if log::level() != Level::Off {
        log_at!(info, "logging from level {=str} on", log::level().name());
    }
}
