//! The operations of futex(2) that inherit priority, over the tables.

use alloc::sync::Arc;

use super::pi::{Applicant, Attempt, TID_MASK};
use super::table::Entry;
use super::waiter::Waiter;
use super::{ANY, FutexTable, Key, Target, UserWord};
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::thread::Thread;
use crate::time::Instant;
use crate::wait::Interruption;
use crate::{Errno, Result};

/// A place among those who wait to own a futex. Dropping it gives it up; what it has got to own by then stays its thread's.
pub struct PiPlace {
    thread: Arc<Thread>,
    key: Key,
    waiter: Arc<Waiter>,
}

impl Drop for PiPlace {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl PiPlace {
    /// Whether it still waited.
    fn withdraw(&self) -> bool {
        let kernel = self.thread.kernel();
        let mut states = kernel.futexes.pi.lock();
        let remains = states.withdraw(&kernel.scheduler.world, &self.key, &self.waiter);
        drop(states);
        remains.is_some()
    }

    /// Waits to own the futex.
    pub async fn wait(self, deadline: Option<Instant>) -> Result<(), Interruption> {
        match self.waiter.wait(&self.thread, deadline).await {
            Err(why) if self.withdraw() => Err(why),
            _ => Ok(()),
        }
    }
}

/// A place among those who wait to be moved to a futex that inherits priority.
pub struct RequeuePlace {
    place: PiPlace,
}

/// How a wait for a move ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeued {
    /// It had not been moved.
    Before(Interruption),
    /// It had, and waited to own the second futex.
    After(Interruption),
}

impl Drop for RequeuePlace {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl RequeuePlace {
    /// Whether it had not been moved yet.
    fn withdraw(&self) -> bool {
        let table = &self.place.thread.kernel().futexes.plain;
        table.withdraw(&self.place.waiter).is_some()
    }

    /// Waits to be moved and then to own the second futex.
    pub async fn wait(self, deadline: Option<Instant>) -> Result<(), Requeued> {
        match self.place.waiter.wait(&self.place.thread, deadline).await {
            Err(why) if self.withdraw() => Err(Requeued::Before(why)),
            Err(why) if self.place.withdraw() => Err(Requeued::After(why)),
            _ => Ok(()),
        }
    }
}

/// The number of the owner in a futex's word, and the thread of that number, if there is one.
fn owner_of(thread: &Thread, value: u32) -> (u32, Option<Arc<Thread>>) {
    match value & TID_MASK {
        0 => (0, None),
        tid => (tid, thread.kernel().processes.thread(tid)),
    }
}

/// FUTEX_LOCK_PI and FUTEX_TRYLOCK_PI: owns the futex at `at`, or gives a place among those who wait for it. EAGAIN: taken,
/// and `try_only`; the owner is about to end. EDEADLK, ESRCH, EINVAL, EFAULT, ENOMEM.
pub fn lock_pi(
    thread: &Arc<Thread>,
    space: &Arc<AddressSpace>,
    (key, at): (Key, UserAddr),
    try_only: bool,
) -> Result<Option<PiPlace>> {
    let kernel = thread.kernel();
    loop {
        // The table of threads comes before this one's lock; whether the word still names this owner is seen under it.
        let (tid, owner) = owner_of(thread, space.load_u32(at)?);
        let waiter = Arc::new(Waiter::new(0));
        let applicant = Applicant {
            thread: Arc::clone(thread),
            waiter: Arc::clone(&waiter),
            word: UserWord::new(space, at),
        };
        let mut states = kernel.futexes.pi.lock();
        let world = &kernel.scheduler.world;
        let attempt = states.apply(
            world,
            &key,
            applicant,
            (tid, owner.as_ref()),
            (try_only, false),
        );
        drop(states);
        match attempt? {
            Attempt::Owned => return Ok(None),
            Attempt::Changed => {}
            Attempt::Waits => {
                return Ok(Some(PiPlace {
                    thread: Arc::clone(thread),
                    key,
                    waiter,
                }));
            }
        }
    }
}

/// FUTEX_UNLOCK_PI: gives up the futex at `at`, to who waits for it if anybody does. EPERM: not the owner. EINVAL, EFAULT.
pub fn unlock_pi(
    thread: &Arc<Thread>,
    space: &Arc<AddressSpace>,
    (key, at): (Key, UserAddr),
) -> Result<()> {
    let kernel = thread.kernel();
    let word = UserWord::new(space, at);
    let mut states = kernel.futexes.pi.lock();
    let handed = states.release(&kernel.scheduler.world, &key, thread, &word);
    drop(states);
    if let Some(handed) = handed? {
        handed.finish();
    }
    Ok(())
}

/// FUTEX_WAIT_REQUEUE_PI: a place among those who wait on `from` to be moved to `to`. EINVAL: they are the same word. EAGAIN:
/// the word is not what the program expects.
pub fn wait_requeue_pi(
    thread: &Arc<Thread>,
    space: &Arc<AddressSpace>,
    (from, bitset): (Key, u32),
    (to, at): (Key, UserAddr),
    unchanged: impl FnOnce() -> Result<bool>,
) -> Result<RequeuePlace> {
    if from == to {
        return Err(Errno::EINVAL);
    }
    let target = Target {
        key: to.clone(),
        thread: Arc::clone(thread),
        word: UserWord::new(space, at),
    };
    let table = &thread.kernel().futexes.plain;
    let waiter = table.enter_bare(from, bitset, Some(target), unchanged)?;
    Ok(RequeuePlace {
        place: PiPlace {
            thread: Arc::clone(thread),
            key: to,
            waiter,
        },
    })
}

/// FUTEX_CMP_REQUEUE_PI: makes the first waiter of `from` the owner of `to` if that is free, and up to `count` in all owners or
/// waiters of it. Returns how many. EAGAIN: the word of `from` changed. EINVAL: a waiter of `from` waits for something
/// else. As [`lock_pi`] for the first; what fails for a later one ends the call with those that went before.
pub fn cmp_requeue_pi(
    thread: &Arc<Thread>,
    space: &Arc<AddressSpace>,
    from: &Key,
    (to, at): (&Key, UserAddr),
    count: usize,
    unchanged: impl Fn() -> Result<bool>,
) -> Result<usize> {
    if from == to {
        return Err(Errno::EINVAL);
    }
    let mut moved = 0;
    while moved < count {
        match move_one(thread, space, from, (to, at), &unchanged) {
            Ok(Moved::Nobody) => break,
            Ok(Moved::Again) => {}
            Ok(Moved::One) => moved += 1,
            Err(errno) if moved == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(moved)
}

enum Moved {
    Nobody,
    One,
    Again,
}

fn move_one(
    thread: &Arc<Thread>,
    space: &Arc<AddressSpace>,
    from: &Key,
    (to, at): (&Key, UserAddr),
    unchanged: &impl Fn() -> Result<bool>,
) -> Result<Moved> {
    let kernel = thread.kernel();
    let (tid, owner) = owner_of(thread, space.load_u32(at)?);
    let mut bucket = kernel.futexes.plain.bucket(from);
    if !unchanged()? {
        return Err(Errno::EAGAIN);
    }
    let Some(index) = bucket.iter().position(|it| it.key == *from) else {
        return Ok(Moved::Nobody);
    };
    let (more, applicant) = {
        let others = bucket.iter().filter(|it| it.key == *from).count() > 1;
        let entry = bucket.get(index).ok_or(Errno::EINVAL)?;
        (others, applicant(entry, to)?)
    };
    let mut states = kernel.futexes.pi.lock();
    let world = &kernel.scheduler.world;
    let attempt = states.apply(world, to, applicant, (tid, owner.as_ref()), (false, more));
    drop(states);
    let entry: Option<Entry<Target>> = match attempt {
        Ok(Attempt::Changed) => return Ok(Moved::Again),
        Ok(_) => bucket.remove(index),
        Err(errno) => return Err(errno),
    };
    drop(bucket);
    let owns = attempt == Ok(Attempt::Owned);
    let waker = entry
        .as_ref()
        .filter(|_| owns)
        .and_then(|entry| entry.waiter.wake());
    drop(entry);
    if let Some(waker) = waker {
        waker.wake();
    }
    Ok(Moved::One)
}

/// `entry` as one who wants to own `to`. EINVAL: it does not.
fn applicant(entry: &Entry<Target>, to: &Key) -> Result<Applicant<Arc<Thread>, UserWord>> {
    let target = entry
        .target
        .as_ref()
        .filter(|target| target.key == *to)
        .ok_or(Errno::EINVAL)?;
    Ok(Applicant {
        thread: Arc::clone(&target.thread),
        waiter: Arc::clone(&entry.waiter),
        word: UserWord::new(&target.word.space, target.word.at),
    })
}

impl FutexTable {
    /// Wakes one who waits on the word at `at`, said to be private or not.
    pub(super) fn wake_word(&self, space: &Arc<AddressSpace>, at: UserAddr) {
        // Which of both they said is not known here.
        for private in [true, false] {
            if let Ok(key) = Key::of(space, at, private)
                && self.wake(&key, 1, ANY).is_ok_and(|woken| woken > 0)
            {
                return;
            }
        }
    }
}
