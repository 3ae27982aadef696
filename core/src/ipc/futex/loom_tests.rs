//! Futexes under the model checker: waits against changes of the word, wakes, moves and ends. A lost wake-up shows as a
//! deadlock.

use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use halyard_cell::SpinLock;
use halyard_cell::sync::atomic::{AtomicU32, Ordering};
use loom::future::block_on;
use loom::thread;

use super::table::Table;
use super::*;
use crate::Errno;
use crate::wait::Interruption;
use crate::wait::testing::TestSleeper;

const SPACE: usize = 0x1000;

pub(super) fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// A word of a program's memory and its key.
struct Word {
    value: AtomicU32,
    key: Key,
}

/// Two words whose waiters are in different buckets, and who waits on them.
struct Scene {
    table: Table<()>,
    one: Word,
    other: Word,
}

impl Scene {
    fn new() -> Arc<Scene> {
        let word = |bucket| Word {
            value: AtomicU32::new(0),
            key: (0..64)
                .map(|at| Key::Private(SPACE, at * 4))
                .find(|key| key.bucket(2) == bucket)
                .unwrap_or(Key::Private(SPACE, 0)),
        };
        Arc::new(Scene {
            table: Table::new(),
            one: word(0),
            other: word(1),
        })
    }

    /// FUTEX_WAIT on `word` for as long as it is 0. EAGAIN: it is something else.
    async fn wait(&self, word: &Word, sleeper: &TestSleeper) -> Result<(), Errno> {
        let unchanged = || Ok(word.value.load(Ordering::SeqCst) == 0);
        let place = self
            .table
            .enter(word.key.clone(), super::ANY, None, unchanged)?;
        place.wait(sleeper, None).await.map_err(Interruption::errno)
    }

    fn wake(&self, word: &Word, count: usize) -> usize {
        self.table.wake(&word.key, count, super::ANY).unwrap_or(99)
    }

    fn requeue(&self, from: &Word, to: &Word, wake: usize) -> (usize, usize) {
        self.table
            .requeue(&from.key, &to.key, wake, 1, || Ok(true))
            .unwrap_or((99, 99))
    }

    fn waiting(&self) -> usize {
        self.table.waiting(&self.one.key) + self.table.waiting(&self.other.key)
    }
}

/// Waits on `one` in a thread of its own until it has been woken or finds the word changed.
fn waiter(scene: &Arc<Scene>) -> thread::JoinHandle<Result<(), Errno>> {
    let scene = Arc::clone(scene);
    thread::spawn(move || block_on(scene.wait(&scene.one, &TestSleeper::new())))
}

/// As a program that joins another: waits until the word is not 0.
fn wait_for_change(scene: &Scene, word: &Word) {
    while word.value.load(Ordering::SeqCst) == 0 {
        let ended = block_on(scene.wait(word, &TestSleeper::new()));
        assert!(matches!(ended, Ok(()) | Err(Errno::EAGAIN)));
    }
}

#[test]
fn loom_futex_wake_after_a_change_is_not_lost() {
    model(3, || {
        let scene = Scene::new();
        let theirs = Arc::clone(&scene);
        let waker = thread::spawn(move || {
            theirs.one.value.store(1, Ordering::SeqCst);
            theirs.wake(&theirs.one, 1)
        });
        wait_for_change(&scene, &scene.one);
        assert!(waker.join().is_ok_and(|woken| woken <= 1));
        assert_eq!(scene.waiting(), 0);
    });
}

#[test]
fn loom_futex_wake_of_two_reaches_both() {
    model(2, || {
        let scene = Scene::new();
        let theirs = Arc::clone(&scene);
        let waker = thread::spawn(move || {
            theirs.one.value.store(1, Ordering::SeqCst);
            theirs.wake(&theirs.one, 2);
        });
        let theirs = Arc::clone(&scene);
        let second = thread::spawn(move || wait_for_change(&theirs, &theirs.one));
        wait_for_change(&scene, &scene.one);
        assert!(second.join().is_ok());
        assert!(waker.join().is_ok());
        assert_eq!(scene.waiting(), 0);
    });
}

/// A mutex of one word, as a program makes it: 0 free, 1 taken, 2 taken and awaited.
#[test]
fn loom_futex_mutex_excludes_and_its_waiters_go_on() {
    fn with_lock(scene: &Scene, count: &AtomicU32) {
        let word = &scene.one.value;
        if word
            .compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            while word.swap(2, Ordering::SeqCst) != 0 {
                let taken = || Ok(word.load(Ordering::SeqCst) == 2);
                let place = scene
                    .table
                    .enter(scene.one.key.clone(), super::ANY, None, taken);
                if let Ok(place) = place {
                    assert_eq!(block_on(place.wait(&TestSleeper::new(), None)), Ok(()));
                }
            }
        }
        let before = count.load(Ordering::Relaxed);
        count.store(before + 1, Ordering::Relaxed);
        if word.swap(0, Ordering::SeqCst) == 2 {
            scene.wake(&scene.one, 1);
        }
    }
    model(2, || {
        let (scene, count) = (Scene::new(), Arc::new(AtomicU32::new(0)));
        let (theirs, counted) = (Arc::clone(&scene), Arc::clone(&count));
        let other = thread::spawn(move || with_lock(&theirs, &counted));
        with_lock(&scene, &count);
        assert!(other.join().is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 2);
        assert_eq!(scene.waiting(), 0);
    });
}

/// Whoever is told that it was woken used up a wake, and nobody else did.
#[test]
fn loom_futex_signal_racing_with_a_wake_loses_neither() {
    model(2, || {
        let scene = Scene::new();
        let sleeper = Arc::new(TestSleeper::new());
        let bell = Arc::new(SpinLock::new(None::<Waker>));
        let (theirs, asleep, left) = (Arc::clone(&scene), Arc::clone(&sleeper), Arc::clone(&bell));
        let victim = thread::spawn(move || {
            block_on(async {
                poll_fn(|context| {
                    *left.lock() = Some(context.waker().clone());
                    Poll::Ready(())
                })
                .await;
                let ended = theirs.wait(&theirs.one, &asleep).await;
                *left.lock() = None;
                ended
            })
        });
        let disturber = thread::spawn(move || {
            sleeper.signal();
            let waker = bell.lock().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        let woken = scene.wake(&scene.one, 1);
        assert!(disturber.join().is_ok());
        match victim.join() {
            Ok(Ok(())) => assert_eq!(woken, 1),
            Ok(Err(errno)) => assert_eq!((errno, woken), (Errno::EINTR, 0)),
            Err(_) => panic!("the victim panicked"),
        }
        assert_eq!(scene.waiting(), 0);
    });
}

#[test]
fn loom_futex_moved_waiter_is_reached_by_one_of_two_wakes() {
    model(3, || {
        let scene = Scene::new();
        let theirs = Arc::clone(&scene);
        let mover = thread::spawn(move || {
            let (_, moved) = theirs.requeue(&theirs.one, &theirs.other, 0);
            (moved, theirs.wake(&theirs.other, 1))
        });
        // In its place before anybody wakes, armed whenever it comes to it.
        let place = scene
            .table
            .enter(scene.one.key.clone(), super::ANY, None, || Ok(true));
        let Ok(place) = place else { panic!("no place") };
        let theirs = Arc::clone(&scene);
        let waker = thread::spawn(move || {
            let early = theirs.wake(&theirs.one, 1);
            early + theirs.wake(&theirs.other, 1)
        });
        assert_eq!(block_on(place.wait(&TestSleeper::new(), None)), Ok(()));
        let (moved, late) = mover.join().unwrap_or((99, 99));
        let woken = waker.join().unwrap_or(99) + late;
        assert!(moved <= 1);
        assert_eq!(woken, 1);
        assert_eq!(scene.waiting(), 0);
    });
}

#[test]
fn loom_futex_moves_in_both_directions_neither_lock_up_nor_lose_a_waiter() {
    model(3, || {
        let scene = Scene::new();
        let places = [&scene.one, &scene.other].map(|word| {
            scene
                .table
                .enter(word.key.clone(), super::ANY, None, || Ok(true))
        });
        let theirs = Arc::clone(&scene);
        let mover = thread::spawn(move || theirs.requeue(&theirs.other, &theirs.one, 0));
        scene.requeue(&scene.one, &scene.other, 0);
        assert!(mover.join().is_ok());
        assert_eq!(scene.waiting(), 2);
        assert_eq!(scene.wake(&scene.one, 2) + scene.wake(&scene.other, 2), 2);
        for place in places {
            let Ok(place) = place else { panic!("no place") };
            assert_eq!(block_on(place.wait(&TestSleeper::new(), None)), Ok(()));
        }
    });
}

#[test]
fn loom_futex_waiter_killed_while_it_is_moved_leaves_no_place() {
    model(3, || {
        let scene = Scene::new();
        let theirs = Arc::clone(&scene);
        // Polled once and dropped, as a thread is that is killed while it waits.
        let killed = thread::spawn(move || {
            let sleeper = TestSleeper::new();
            let mut wait = pin!(theirs.wait(&theirs.one, &sleeper));
            let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        let theirs = Arc::clone(&scene);
        let back = thread::spawn(move || theirs.requeue(&theirs.other, &theirs.one, 0));
        scene.requeue(&scene.one, &scene.other, 0);
        assert!(back.join().is_ok());
        assert!(killed.join().is_ok());
        assert_eq!(scene.waiting(), 0);
    });
}

#[test]
fn loom_futex_wake_op_reaches_waiters_of_both_words() {
    model(2, || {
        let scene = Scene::new();
        let theirs = Arc::clone(&scene);
        let waker = thread::spawn(move || {
            theirs.one.value.store(1, Ordering::SeqCst);
            // Sets the second word, which must have been 0, and wakes a waiter of each.
            let change = || Ok(theirs.other.value.swap(1, Ordering::SeqCst) == 0);
            let woken = theirs
                .table
                .wake_op((&theirs.one.key, 1), (&theirs.other.key, 1), change);
            assert!(woken.is_ok_and(|woken| woken <= 2));
        });
        let theirs = Arc::clone(&scene);
        let second = thread::spawn(move || wait_for_change(&theirs, &theirs.other));
        wait_for_change(&scene, &scene.one);
        assert!(second.join().is_ok());
        assert!(waker.join().is_ok());
        assert_eq!(scene.waiting(), 0);
    });
}

#[test]
fn loom_futex_second_wake_reaches_who_the_first_passed_over() {
    model(2, || {
        let scene = Scene::new();
        let first = waiter(&scene);
        let second = waiter(&scene);
        scene.one.value.store(1, Ordering::SeqCst);
        let woken = scene.wake(&scene.one, 1) + scene.wake(&scene.one, 1);
        let ended = [first, second].map(|it| it.join().unwrap_or(Err(Errno::EIO)));
        let told = ended.iter().filter(|it| it.is_ok()).count();
        assert!(
            ended
                .iter()
                .all(|it| matches!(it, Ok(()) | Err(Errno::EAGAIN)))
        );
        assert_eq!(woken, told);
        assert_eq!(scene.waiting(), 0);
    });
}
