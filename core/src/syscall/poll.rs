//! ppoll(2) and pselect6(2): waiting for any of several files.

use alloc::sync::Arc;
use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Answer, Call, Outcome};
use crate::fs::file::{Readiness, Side};
use crate::fs::open_file::FileRef;
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::signal::{self, RESTART_NO_HANDLER, RESTART_TIMED, SignalSet};
use crate::process::thread::Thread;
use crate::time::{Instant, TimeSpec};
use crate::wait::{Interruption, WaitQueue, wait_any};
use crate::{Errno, Result};

/// `struct pollfd` (poll(2)).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

const POLLFD_BYTES: usize = size_of::<PollFd>();
/// Reported whether asked for or not.
const ALWAYS: Readiness = Readiness::ERR.union(Readiness::HUP).union(Readiness::NVAL);
/// What makes a descriptor readable to select(2).
const SELECT_READ: Readiness = Readiness::IN
    .union(Readiness::RDNORM)
    .union(Readiness::HUP)
    .union(Readiness::ERR);
/// What makes it writable.
const SELECT_WRITE: Readiness = Readiness::OUT
    .union(Readiness::WRNORM)
    .union(Readiness::ERR);

/// What the three sets of select(2) mean.
const MEANINGS: [Readiness; 3] = [SELECT_READ, SELECT_WRITE, Readiness::PRI];

/// A file that is watched, and for what.
struct Watched {
    /// None: not watched, or not open.
    file: Option<FileRef>,
    /// What is reported: what was asked for and, to poll(2), what always is.
    wanted: Readiness,
    found: Readiness,
}

impl Watched {
    fn new(file: Option<FileRef>, wanted: Readiness, found: Readiness) -> Watched {
        Watched {
            file,
            wanted,
            found,
        }
    }

    /// Looks at the file; true if there is something to report.
    fn look(&mut self) -> bool {
        if let Some(file) = &self.file {
            self.found = file.file().poll().intersection(self.wanted);
        }
        !self.found.is_empty()
    }

    /// Who tells of a change.
    fn queues(&self) -> impl Iterator<Item = &WaitQueue> {
        let (reads, writes) = self.wanted.sides();
        let sides = [(reads, Side::Read), (writes, Side::Write)];
        let file = self.file.as_ref();
        sides
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .filter_map(move |(_, side)| file?.file().wait_queue(side))
    }
}

/// How many have something to report.
fn look_at_all(watched: &mut [Watched]) -> usize {
    watched
        .iter_mut()
        .map(Watched::look)
        .filter(|ready| *ready)
        .count()
}

/// The end of the time that argument `N` points to; none if it is NULL. EINVAL, EFAULT.
pub(super) fn deadline<const N: usize>(call: &Call<'_>) -> Result<Option<Instant>> {
    if call.arg::<N>() == 0 {
        return Ok(None);
    }
    let time: TimeSpec = call.space().read_user(call.addr::<N>())?;
    let until = call.kernel.machine.now().after(time.to_nanos()?);
    Ok(Some(call.thread().signals.kept_deadline().unwrap_or(until)))
}

/// The signal mask at `at`, of `size` bytes; none if it is NULL. EINVAL: the size is wrong.
pub(super) fn mask(call: &Call<'_>, at: UserAddr, size: usize) -> Result<Option<SignalSet>> {
    if at.0 == 0 {
        return Ok(None);
    }
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    call.space()
        .read_user::<u64>(at)
        .map(|bits| Some(SignalSet(bits).minus(SignalSet::UNBLOCKABLE)))
}

/// Waits until one of `watched` has something to report, with `report` of it; or for the deadline.
async fn watch(
    thread: &Arc<Thread>,
    watched: &mut [Watched],
    deadline: Option<Instant>,
) -> Result<usize> {
    // The files are looked at while their queues are borrowed: so the places to look from are apart from those.
    let files: Vec<Watched> = copies(watched)?;
    let queues = files.iter().flat_map(Watched::queues);
    let looked = || Some(look_at_all(watched)).filter(|ready| *ready > 0);
    let outcome = wait_any(thread, queues, deadline, looked)
        .map_err(Interruption::errno)?
        .await;
    match outcome {
        Ok(ready) => Ok(ready),
        Err(Interruption::TimedOut) => Ok(0),
        Err(Interruption::Signal) => Err(match deadline {
            None => RESTART_NO_HANDLER,
            Some(until) => {
                thread.signals.keep_deadline(until);
                RESTART_TIMED
            }
        }),
        Err(other) => Err(other.errno()),
    }
}

fn copies(watched: &[Watched]) -> Result<Vec<Watched>> {
    let mut copies = Vec::new();
    copies
        .try_reserve_exact(watched.len())
        .map_err(|_| Errno::ENOMEM)?;
    copies.extend(
        watched
            .iter()
            .map(|it| Watched::new(it.file.clone(), it.wanted, it.found)),
    );
    Ok(copies)
}

/// Looks, and if need be waits, with `mask` blocked meanwhile; then hands what was found to `report`, whose value is the
/// call's.
fn look_or_wait(
    call: &mut Call<'_>,
    mut watched: Vec<Watched>,
    deadline: Option<Instant>,
    mask: Option<SignalSet>,
    report: impl FnOnce(&AddressSpace, &[Watched], usize) -> Result<usize> + Send + 'static,
) -> Answer {
    let ready = look_at_all(&mut watched);
    if ready > 0 || deadline.is_some_and(|until| until <= call.kernel.machine.now()) {
        return report(call.space(), &watched, ready).map(Outcome::Done);
    }
    let (thread, space) = (Arc::clone(call.thread()), Arc::clone(call.space()));
    if let Some(mask) = mask {
        signal::begin_masked_wait(&thread, mask);
    }
    call.wait(async move {
        let ready = watch(&thread, &mut watched, deadline).await;
        if mask.is_some() && !ready.is_err_and(signal::is_internal) {
            signal::end_masked_wait(&thread);
        }
        report(&space, &watched, ready?)
    })
}

/// ppoll(2): array, length, time-out, signal mask, its size.
pub(super) fn ppoll(call: &mut Call<'_>) -> Answer {
    let (array, count) = (call.addr::<0>(), call.size::<1>());
    if count > call.descriptor_limit() {
        return Err(Errno::EINVAL);
    }
    let deadline = deadline::<2>(call)?;
    let mask = mask(call, call.addr::<3>(), call.size::<4>())?;
    let mut watched = Vec::new();
    watched
        .try_reserve_exact(count)
        .map_err(|_| Errno::ENOMEM)?;
    for index in 0..count {
        let at = UserAddr(array.0.wrapping_add(index * POLLFD_BYTES));
        watched.push(watched_by(call, call.space().read_user(at)?));
    }
    look_or_wait(
        call,
        watched,
        deadline,
        mask,
        move |space, watched, ready| {
            for (index, it) in watched.iter().enumerate() {
                let at = UserAddr(array.0.wrapping_add(index * POLLFD_BYTES + 6));
                space.write_user(at, &it.found.bits())?;
            }
            Ok(ready)
        },
    )
}

fn watched_by(call: &Call<'_>, entry: PollFd) -> Watched {
    let events = Readiness::from_bits_truncate(entry.events);
    if entry.fd < 0 {
        return Watched::new(None, Readiness::empty(), Readiness::empty());
    }
    match call.files().get(entry.fd) {
        Ok(file) => Watched::new(Some(file), events | ALWAYS, Readiness::empty()),
        Err(_) => Watched::new(None, events, Readiness::NVAL),
    }
}

/// pselect6(2): number, sets to read, to write, exceptional; time-out; pair of mask and size. EBADF: a descriptor in a set
/// is not open. Exceptional conditions there are none.
pub(super) fn pselect6(call: &mut Call<'_>) -> Answer {
    let count = usize::try_from(call.int::<0>())
        .map_err(|_| Errno::EINVAL)?
        .min(call.descriptor_limit());
    let deadline = deadline::<4>(call)?;
    let mask = match call.addr::<5>() {
        UserAddr(0) => None,
        at => {
            let [set, size]: [u64; 2] = call.space().read_user(at)?;
            mask(call, UserAddr(set as usize), size as usize)?
        }
    };
    let sets = [call.addr::<1>(), call.addr::<2>(), call.addr::<3>()];
    let asked = [
        read_set(call, sets[0], count)?,
        read_set(call, sets[1], count)?,
        read_set(call, sets[2], count)?,
    ];
    let mut watched = Vec::new();
    watched
        .try_reserve_exact(count)
        .map_err(|_| Errno::ENOMEM)?;
    for fd in 0..count {
        // Of what is found only what one of its sets means counts: a hang-up is nothing to who asked to write.
        let mut wanted = Readiness::empty();
        for (set, meaning) in asked.iter().zip(MEANINGS) {
            if has(set, fd) {
                wanted |= meaning;
            }
        }
        let file = if wanted.is_empty() {
            None
        } else {
            Some(call.files().get(fd as i32)?)
        };
        watched.push(Watched::new(file, wanted, Readiness::empty()));
    }
    look_or_wait(call, watched, deadline, mask, move |space, watched, _| {
        report_sets(space, sets, &asked, watched)
    })
}

/// The words of the set at `at`; empty if it is NULL.
fn read_set(call: &Call<'_>, at: UserAddr, count: usize) -> Result<Vec<u64>> {
    let mut words = Vec::new();
    let length = if at.0 == 0 { 0 } else { count.div_ceil(64) };
    words.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    for index in 0..length {
        words.push(
            call.space()
                .read_user(UserAddr(at.0.wrapping_add(index * 8)))?,
        );
    }
    Ok(words)
}

fn has(set: &[u64], fd: usize) -> bool {
    set.get(fd / 64)
        .is_some_and(|word| word >> (fd % 64) & 1 != 0)
}

/// Stores what was found in the sets; returns how many bits that are.
fn report_sets(
    space: &AddressSpace,
    at: [UserAddr; 3],
    asked: &[Vec<u64>; 3],
    watched: &[Watched],
) -> Result<usize> {
    let mut total = 0;
    for ((at, asked), meaning) in at.into_iter().zip(asked).zip(MEANINGS) {
        for (index, word) in asked.iter().enumerate() {
            let mut found = 0u64;
            for (bit, it) in watched.iter().skip(index * 64).take(64).enumerate() {
                if word >> bit & 1 != 0 && it.found.intersects(meaning) {
                    found |= 1 << bit;
                    total += 1;
                }
            }
            space.write_user(UserAddr(at.0.wrapping_add(index * 8)), &found)?;
        }
    }
    Ok(total)
}
