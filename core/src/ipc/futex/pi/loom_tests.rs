//! Futexes that inherit priority under the model checker: the kernel's half and, in plain atomic operations, the program's. Two
//! never own one at a time, whoever waits comes to own it, and in the end nobody is raised and the kernel knows of no futex.

use core::sync::atomic::{AtomicBool, AtomicU32 as Plain, Ordering};

use halyard_cell::sync::atomic::AtomicU32;
use loom::future::block_on;
use loom::thread;

use super::*;
use crate::ipc::futex::loom_tests::model;
use crate::sched::inherit::Standing;
use crate::sched::run_queue::Policy;
use crate::time::Instant;
use crate::wait::testing::TestSleeper;

const KEY: Key = Key::Private(0x1000, 0x40);
const SEQ: Ordering = Ordering::SeqCst;

/// A thread, as far as this table goes.
struct Inner {
    tid: u32,
    standing: Standing<Fake>,
    left: AtomicBool,
    claims: Plain,
}

#[derive(Clone)]
struct Fake(Arc<Inner>);

impl Member for Fake {
    fn standing(&self) -> &Standing<Fake> {
        &self.0.standing
    }

    fn is(&self, other: &Fake) -> bool {
        self.0.tid == other.0.tid
    }

    fn changed(&self, _: Policy) {}

    fn server(&self) -> Option<Fake> {
        None
    }
}

impl Owner for Fake {
    fn tid(&self) -> u32 {
        self.0.tid
    }

    fn has_left(&self) -> bool {
        self.0.left.load(SEQ)
    }

    fn count(&self, more: bool) {
        if more {
            self.0.claims.fetch_add(1, SEQ);
        } else {
            assert_ne!(self.0.claims.fetch_sub(1, SEQ), 0, "claims");
        }
    }
}

struct Mapped(Arc<AtomicU32>);

impl Word for Mapped {
    fn load(&self) -> Result<u32> {
        Ok(self.0.load(SEQ))
    }

    fn compare_exchange(&self, expected: u32, new: u32) -> Result<u32> {
        Ok(match self.0.compare_exchange(expected, new, SEQ, SEQ) {
            Ok(before) | Err(before) => before,
        })
    }
}

/// A mutex of this kind, and threads 1, 2 and 3 of ranks 10, 20 and 30.
struct Scene {
    table: PiTable<Fake, Mapped>,
    world: SpinLock<World<Fake>>,
    word: Arc<AtomicU32>,
    threads: [Fake; 3],
    /// How many are in what the mutex guards.
    inside: Plain,
}

impl Scene {
    fn new() -> Arc<Scene> {
        let thread = |tid: u32| {
            Fake(Arc::new(Inner {
                tid,
                standing: Standing::new(Policy::Fifo(tid as u8 * 10)),
                left: AtomicBool::new(false),
                claims: Plain::new(0),
            }))
        };
        Arc::new(Scene {
            table: PiTable::new(),
            world: SpinLock::new(World::new()),
            word: Arc::new(AtomicU32::new(0)),
            threads: [1, 2, 3].map(thread),
            inside: Plain::new(0),
        })
    }

    fn thread(&self, tid: u32) -> Option<&Fake> {
        self.threads.iter().find(|it| it.0.tid == tid)
    }

    /// pthread_mutex_lock or, with a deadline, pthread_mutex_timedlock: whether the mutex is owned.
    fn lock(&self, me: &Fake, sleeper: &TestSleeper, deadline: Option<Instant>) -> bool {
        loop {
            if self.word.compare_exchange(0, me.tid(), SEQ, SEQ).is_ok() {
                return true;
            }
            match self.lock_in_kernel(me, sleeper, deadline) {
                Ok(owned) => return owned,
                // The owner is about to end: again, when it has.
                Err(Errno::EAGAIN) => thread::yield_now(),
                Err(errno) => panic!("lock: {errno:?}"),
            }
        }
    }

    fn lock_in_kernel(
        &self,
        me: &Fake,
        sleeper: &TestSleeper,
        deadline: Option<Instant>,
    ) -> Result<bool> {
        loop {
            let tid = self.word.load(SEQ) & TID_MASK;
            let waiter = Arc::new(Waiter::new(0));
            let applicant = Applicant {
                thread: me.clone(),
                waiter: Arc::clone(&waiter),
                word: Mapped(Arc::clone(&self.word)),
            };
            let owner = (tid, self.thread(tid));
            let mut states = self.table.lock();
            let attempt = states.apply(&self.world, &KEY, applicant, owner, (false, false));
            drop(states);
            match attempt? {
                Attempt::Owned => return Ok(true),
                Attempt::Changed => {}
                Attempt::Waits => return Ok(self.wait(&waiter, sleeper, deadline)),
            }
        }
    }

    fn wait(&self, waiter: &Arc<Waiter>, sleeper: &TestSleeper, deadline: Option<Instant>) -> bool {
        if block_on(waiter.wait(sleeper, deadline)).is_ok() {
            return true;
        }
        let mut states = self.table.lock();
        let remains = states.withdraw(&self.world, &KEY, waiter);
        drop(states);
        remains.is_none()
    }

    fn unlock(&self, me: &Fake) {
        if self.word.compare_exchange(me.tid(), 0, SEQ, SEQ).is_ok() {
            return;
        }
        let word = Mapped(Arc::clone(&self.word));
        let mut states = self.table.lock();
        let handed = states.release(&self.world, &KEY, me, &word);
        drop(states);
        match handed {
            Ok(Some(handed)) => handed.finish(),
            Ok(None) => {}
            Err(errno) => panic!("unlock: {errno:?}"),
        }
    }

    /// The thread ends with the mutex in its list of robust ones.
    fn end(&self, me: &Fake) {
        let states = self.table.lock();
        me.0.left.store(true, SEQ);
        drop(states);
        while me.0.claims.load(SEQ) != 0 {
            let mut states = self.table.lock();
            let handed = states.abandon_one(&self.world, me);
            drop(states);
            match handed {
                Some(handed) => handed.finish(),
                None => break,
            }
        }
        let mut value = self.word.load(SEQ);
        while value & TID_MASK == me.tid() {
            let left = value & WAITERS | OWNER_DIED;
            match self.word.compare_exchange(value, left, SEQ, SEQ) {
                Ok(_) => break,
                Err(found) => value = found,
            }
        }
    }

    /// What the mutex guards.
    fn use_it(&self) {
        assert_eq!(self.inside.fetch_add(1, SEQ), 0, "two own it");
        thread::yield_now();
        self.inside.fetch_sub(1, SEQ);
    }

    fn lock_use_unlock(&self, at: usize) {
        let me = &self.threads[at];
        assert!(self.lock(me, &TestSleeper::new(), None));
        self.use_it();
        self.unlock(me);
    }

    /// Nobody waits, owns or is raised.
    fn assert_quiet(&self, word: u32) {
        assert_eq!(self.word.load(SEQ), word);
        assert!(self.table.lock().buckets.iter().all(Vec::is_empty));
        for thread in &self.threads {
            assert!(!thread.0.standing.is_raised(), "{}", thread.0.tid);
            assert!(!thread.0.standing.donates(), "{}", thread.0.tid);
            assert_eq!(thread.0.claims.load(SEQ), 0, "{}", thread.0.tid);
        }
    }
}

#[test]
fn loom_pi_futex_lock_and_unlock_exclude_and_go_on() {
    model(3, || {
        let scene = Scene::new();
        let theirs = Arc::clone(&scene);
        let other = thread::spawn(move || theirs.lock_use_unlock(1));
        scene.lock_use_unlock(0);
        assert!(other.join().is_ok());
        scene.assert_quiet(0);
    });
}

#[test]
fn loom_pi_futex_goes_to_each_of_two_that_wait() {
    model(2, || {
        let scene = Scene::new();
        let me = &scene.threads[0];
        assert!(scene.lock(me, &TestSleeper::new(), None));
        let others = [1, 2].map(|at| {
            let theirs = Arc::clone(&scene);
            thread::spawn(move || theirs.lock_use_unlock(at))
        });
        scene.use_it();
        scene.unlock(me);
        assert!(others.into_iter().all(|it| it.join().is_ok()));
        scene.assert_quiet(0);
    });
}

/// The owner's rank is that of who waits, from the time it waits to the time it is let go.
#[test]
fn loom_pi_futex_priority_is_lent_and_taken_back() {
    model(3, || {
        let scene = Scene::new();
        let (low, high) = (&scene.threads[0], &scene.threads[2]);
        assert!(scene.lock(low, &TestSleeper::new(), None));
        let theirs = Arc::clone(&scene);
        let waiter = thread::spawn(move || theirs.lock_use_unlock(2));
        let states = scene.table.lock();
        let awaited = states.buckets.iter().flatten().count() == 1;
        let rank = low.standing().effective().rank();
        drop(states);
        let expected = if awaited { high } else { low };
        assert_eq!(rank, expected.standing().base().rank());
        scene.unlock(low);
        assert!(!low.standing().is_raised());
        assert!(waiter.join().is_ok());
        scene.assert_quiet(0);
    });
}

#[test]
fn loom_pi_futex_time_out_racing_with_a_hand_over_owns_it_or_leaves() {
    model(3, || {
        let scene = Scene::new();
        let me = &scene.threads[0];
        assert!(scene.lock(me, &TestSleeper::new(), None));
        let theirs = Arc::clone(&scene);
        let timed = thread::spawn(move || {
            let (me, sleeper) = (&theirs.threads[2], TestSleeper::new());
            // The deadline has come by the time it would wait.
            if theirs.lock(me, &sleeper, Some(Instant(0))) {
                theirs.use_it();
                theirs.unlock(me);
            }
            assert!(!me.standing().donates());
        });
        scene.use_it();
        scene.unlock(me);
        assert!(timed.join().is_ok());
        scene.assert_quiet(0);
    });
}

#[test]
fn loom_pi_futex_of_an_owner_that_ends_is_handed_on_marked() {
    model(3, || {
        let scene = Scene::new();
        assert!(scene.lock(&scene.threads[0], &TestSleeper::new(), None));
        let theirs = Arc::clone(&scene);
        let heir = thread::spawn(move || {
            let me = &theirs.threads[1];
            assert!(theirs.lock(me, &TestSleeper::new(), None));
            theirs.use_it();
            assert_ne!(theirs.word.load(SEQ) & OWNER_DIED, 0, "not marked");
            // What it guards has been repaired.
            theirs.unlock(me);
        });
        scene.end(&scene.threads[0]);
        assert!(heir.join().is_ok());
        scene.assert_quiet(0);
    });
}

#[test]
fn loom_pi_futex_waiter_that_ends_with_its_owner_leaves_it_free() {
    model(3, || {
        let scene = Scene::new();
        assert!(scene.lock(&scene.threads[0], &TestSleeper::new(), None));
        let theirs = Arc::clone(&scene);
        let timed = thread::spawn(move || {
            let me = &theirs.threads[2];
            theirs.lock(me, &TestSleeper::new(), Some(Instant(0)));
            // Whether it owns it or not.
            theirs.end(me);
        });
        scene.end(&scene.threads[0]);
        assert!(timed.join().is_ok());
        // It may still say that others wait, which costs the next unlock a call.
        assert_eq!(scene.word.load(SEQ) & !WAITERS, OWNER_DIED);
        scene.lock_use_unlock(1);
        scene.assert_quiet(0);
    });
}
