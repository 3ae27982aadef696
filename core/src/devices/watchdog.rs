//! /dev/watchdog: the machine is reset unless somebody says again and again that all is well
//! (Documentation/watchdog/watchdog-api.rst of Linux).
//!
//! Opening it starts it; each write or WDIOC_KEEPALIVE begins its time anew. It is stopped when it is closed after a write in which
//! there was a `V`; closed without, it runs on, and resets the machine unless it is opened again in time.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use halyard_cell::SpinLock;
use halyard_device::Watchdog;
use zerocopy::{Immutable, IntoBytes};

use crate::fs::file::{File, Readiness, Special};
use crate::fs::inode::Inode;
use crate::io::Source;
use crate::machine::Machine;
use crate::syscall::{Answer, Call, DONE};
use crate::time::Instant;
use crate::{Errno, Result};

/// The time that one has that nobody set.
const DEFAULT: Duration = Duration::from_secs(15);

const WDIOC_GETSUPPORT: u32 = 0x8028_5700;
const WDIOC_GETSTATUS: u32 = 0x8004_5701;
const WDIOC_GETBOOTSTATUS: u32 = 0x8004_5702;
const WDIOC_SETOPTIONS: u32 = 0x8004_5704;
const WDIOC_KEEPALIVE: u32 = 0x8004_5705;
const WDIOC_SETTIMEOUT: u32 = 0xc004_5706;
const WDIOC_GETTIMEOUT: u32 = 0x8004_5707;
const WDIOC_GETTIMELEFT: u32 = 0x8004_570a;
const WDIOS_DISABLECARD: u32 = 1;
const WDIOS_ENABLECARD: u32 = 2;
const WDIOF_SETTIMEOUT: u32 = 0x80;
const WDIOF_MAGICCLOSE: u32 = 0x100;
const WDIOF_KEEPALIVEPING: u32 = 0x8000;

/// What WDIOC_GETSUPPORT tells (struct watchdog_info).
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct Support {
    options: u32,
    firmware: u32,
    identity: [u8; 32],
}

/// The watchdog.
pub struct Timer {
    machine: &'static dyn Machine,
    open: AtomicBool,
    state: SpinLock<State>,
}

struct State {
    driver: Box<dyn Watchdog>,
    /// What is set.
    time: Duration,
    /// When it resets the machine, if it runs.
    until: Option<Instant>,
    /// The last write had a `V`.
    may_stop: bool,
}

impl Timer {
    pub(super) fn new(machine: &'static dyn Machine, driver: Box<dyn Watchdog>) -> Self {
        let time = DEFAULT.min(driver.longest());
        Timer {
            machine,
            open: AtomicBool::new(false),
            state: SpinLock::new(State {
                driver,
                time,
                until: None,
                may_stop: false,
            }),
        }
    }

    fn start(&self, state: &mut State) {
        state.driver.start(state.time);
        let nanos = u64::try_from(state.time.as_nanos()).unwrap_or(u64::MAX);
        state.until = Some(self.machine.now().after(nanos));
    }

    /// Begins the time anew, if it runs.
    fn keep_alive(&self, state: &mut State) {
        if state.until.is_some() {
            self.start(state);
        }
    }

    /// EINVAL: it cannot be set to so many seconds.
    fn set_time(&self, seconds: i32) -> Result<()> {
        let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
        let time = Duration::from_secs(seconds);
        let mut state = self.state.lock();
        if seconds == 0 || time > state.driver.longest() {
            return Err(Errno::EINVAL);
        }
        state.time = time;
        self.keep_alive(&mut state);
        Ok(())
    }

    fn seconds(&self) -> i32 {
        i32::try_from(self.state.lock().time.as_secs()).unwrap_or(i32::MAX)
    }

    fn seconds_left(&self) -> i32 {
        let until = self.state.lock().until;
        let left = until.map_or(0, |until| until.0.saturating_sub(self.machine.now().0));
        i32::try_from(left / 1_000_000_000).unwrap_or(i32::MAX)
    }

    /// EINVAL: neither on nor off.
    fn set_options(&self, options: u32) -> Result<()> {
        let mut state = self.state.lock();
        if options & WDIOS_DISABLECARD != 0 {
            stop(&mut state);
        }
        if options & WDIOS_ENABLECARD != 0 {
            self.start(&mut state);
        }
        if options & (WDIOS_DISABLECARD | WDIOS_ENABLECARD) == 0 {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

fn stop(state: &mut State) {
    state.driver.stop();
    state.until = None;
}

/// The watchdog, opened: once at a time.
pub(super) struct WatchdogFile {
    timer: Arc<Timer>,
    inode: Arc<Inode>,
}

impl WatchdogFile {
    /// Starts it. EBUSY: somebody has it open.
    pub(super) fn open(timer: &Arc<Timer>, inode: Arc<Inode>) -> Result<Self> {
        if timer.open.swap(true, Ordering::Acquire) {
            return Err(Errno::EBUSY);
        }
        let mut state = timer.state.lock();
        state.may_stop = false;
        timer.start(&mut state);
        Ok(WatchdogFile {
            timer: Arc::clone(timer),
            inode,
        })
    }
}

impl Drop for WatchdogFile {
    fn drop(&mut self) {
        let mut state = self.timer.state.lock();
        if state.may_stop {
            stop(&mut state);
        }
        self.timer.open.store(false, Ordering::Release);
    }
}

impl File for WatchdogFile {
    fn try_write(&self, source: &mut dyn Source, _: u64) -> Result<usize> {
        let count = source.remaining();
        if count == 0 {
            return Ok(0);
        }
        let (mut left, mut magic) = (count, false);
        while left > 0 {
            let mut bytes = [0; 64];
            let piece = bytes.get_mut(..left.min(64)).unwrap_or_default();
            source.take(piece)?;
            magic |= piece.contains(&b'V');
            left -= piece.len();
        }
        let mut state = self.timer.state.lock();
        state.may_stop = magic;
        self.timer.keep_alive(&mut state);
        Ok(count)
    }

    fn piece(&self) -> usize {
        crate::wait::pause::PIECE_BYTES
    }

    fn poll(&self) -> Readiness {
        Readiness::OUT | Readiness::WRNORM
    }

    fn special(&self) -> Special<'_> {
        Special::Watchdog(&self.timer)
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }
}

/// What programs ask of a watchdog. ENOTTY: it means nothing to one.
pub(crate) fn ioctl(call: &mut Call<'_>, timer: &Timer, request: u32) -> Answer {
    let at = call.addr::<2>();
    match request {
        WDIOC_GETSUPPORT => {
            let mut identity = [0; 32];
            let name = b"Halyard watchdog";
            identity
                .iter_mut()
                .zip(name)
                .for_each(|(to, from)| *to = *from);
            let support = Support {
                options: WDIOF_SETTIMEOUT | WDIOF_MAGICCLOSE | WDIOF_KEEPALIVEPING,
                firmware: 0,
                identity,
            };
            call.space().write_user(at, &support)?;
        }
        // Nothing is known of the time before the boot.
        WDIOC_GETSTATUS | WDIOC_GETBOOTSTATUS => call.space().write_user(at, &0i32)?,
        WDIOC_SETOPTIONS => timer.set_options(call.space().read_user(at)?)?,
        WDIOC_KEEPALIVE => timer.keep_alive(&mut timer.state.lock()),
        WDIOC_SETTIMEOUT => {
            timer.set_time(call.space().read_user(at)?)?;
            call.space().write_user(at, &timer.seconds())?;
        }
        WDIOC_GETTIMEOUT => call.space().write_user(at, &timer.seconds())?,
        WDIOC_GETTIMELEFT => call.space().write_user(at, &timer.seconds_left())?,
        _ => return Err(Errno::ENOTTY),
    }
    DONE
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::devices::testing::inode;
    use crate::host::{Config, HostMachine};

    /// What it was told: a time, or to stop.
    #[derive(Clone, Default)]
    struct Fake(Arc<SpinLock<Vec<Option<u64>>>>);

    impl Fake {
        fn told(&self) -> Vec<Option<u64>> {
            core::mem::take(&mut *self.0.lock())
        }
    }

    impl Watchdog for Fake {
        fn longest(&self) -> Duration {
            Duration::from_secs(12)
        }
        fn start(&mut self, time: Duration) {
            self.0.lock().push(Some(time.as_secs()));
        }
        fn stop(&mut self) {
            self.0.lock().push(None);
        }
        fn reset(&mut self) {}
    }

    fn timer() -> (&'static HostMachine, Arc<Timer>, Fake) {
        let (machine, _) = HostMachine::new(Config::default());
        let fake = Fake::default();
        let timer = Timer::new(machine, Box::new(fake.clone()));
        (machine, Arc::new(timer), fake)
    }

    fn open(timer: &Arc<Timer>) -> Result<WatchdogFile> {
        WatchdogFile::open(timer, inode())
    }

    fn write(file: &WatchdogFile, bytes: &[u8]) -> Result<usize> {
        file.try_write(&mut &*bytes, 0)
    }

    #[test]
    fn open_starts_it_with_the_longest_time_up_to_fifteen_seconds_and_is_once() {
        let (_, timer, fake) = timer();
        let file = open(&timer);
        assert_eq!(fake.told(), [Some(12)]);
        assert!(matches!(open(&timer), Err(Errno::EBUSY)));
        assert_eq!(fake.told(), []);
        drop(file);
        assert!(open(&timer).is_ok());
    }

    #[test]
    fn close_stops_it_only_after_a_write_with_the_magic_character() {
        let (_, timer, fake) = timer();
        for (bytes, last) in [(&b""[..], false), (b"x", false), (b"xV", true)] {
            let file = open(&timer).unwrap();
            assert_eq!(write(&file, bytes), Ok(bytes.len()));
            fake.told();
            drop(file);
            let expected = if last { vec![None] } else { vec![] };
            assert_eq!(fake.told(), expected, "{bytes:?}");
        }
        let file = open(&timer).unwrap();
        write(&file, b"V").unwrap();
        write(&file, b"x").unwrap();
        fake.told();
        drop(file);
        assert_eq!(fake.told(), [], "the last write counts");
    }

    #[test]
    fn write_and_keep_alive_begin_the_time_anew_while_it_runs() {
        let (machine, timer, fake) = timer();
        let file = open(&timer).unwrap();
        machine.advance(5_000_000_000);
        assert_eq!(timer.seconds_left(), 7);
        write(&file, b"x").unwrap();
        assert_eq!(timer.seconds_left(), 12);
        assert_eq!(fake.told(), [Some(12), Some(12)]);
        timer.set_options(WDIOS_DISABLECARD).unwrap();
        write(&file, b"x").unwrap();
        timer.keep_alive(&mut timer.state.lock());
        assert_eq!((fake.told(), timer.seconds_left()), (vec![None], 0));
        timer.set_options(WDIOS_ENABLECARD).unwrap();
        assert_eq!(fake.told(), [Some(12)]);
        assert_eq!(timer.set_options(0), Err(Errno::EINVAL));
    }

    #[test]
    fn time_that_cannot_be_is_einval() {
        let (_, timer, fake) = timer();
        let _file = open(&timer).unwrap();
        fake.told();
        for seconds in [i32::MIN, -1, 0, 13, i32::MAX] {
            assert_eq!(timer.set_time(seconds), Err(Errno::EINVAL), "{seconds}");
        }
        assert_eq!(fake.told(), []);
        timer.set_time(3).unwrap();
        assert_eq!((fake.told(), timer.seconds()), (vec![Some(3)], 3));
    }
}
