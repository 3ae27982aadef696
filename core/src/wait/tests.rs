//! Waiting, step by step: who is woken, who keeps the place, what an ended wait leaves.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::pin::Pin;
use core::sync::atomic::Ordering;

use super::testing::{Bell, TestSleeper};
use super::*;

type BoxedWait<'a> = Pin<Box<dyn Future<Output = Result<u32, Interruption>> + 'a>>;

fn poll(wait: &mut BoxedWait<'_>, waker: &Waker) -> Poll<Result<u32, Interruption>> {
    wait.as_mut().poll(&mut Context::from_waker(waker))
}

fn take(tokens: &Cell<u32>) -> Option<u32> {
    let left = tokens.get().checked_sub(1)?;
    tokens.set(left);
    Some(left)
}

#[test]
fn wait_when_op_is_ready_takes_no_place() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    sleeper.signal();
    let mut wait: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || Some(7)));
    assert_eq!(poll(&mut wait, Waker::noop()), Poll::Ready(Ok(7)));
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn wait_order_is_value_then_signal_then_deadline() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    sleeper.set_now(Instant(5));
    let mut late: BoxedWait = Box::pin(wait_until(&sleeper, &queue, Some(Instant(5)), || None));
    assert_eq!(
        poll(&mut late, Waker::noop()),
        Poll::Ready(Err(Interruption::TimedOut))
    );
    sleeper.signal();
    let mut both: BoxedWait = Box::pin(wait_until(&sleeper, &queue, Some(Instant(5)), || None));
    assert_eq!(
        poll(&mut both, Waker::noop()),
        Poll::Ready(Err(Interruption::Signal))
    );
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn wait_with_deadline_sets_the_alarm_and_clears_it() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    let mut wait: BoxedWait = Box::pin(wait_until(&sleeper, &queue, Some(Instant(9)), || None));
    assert!(poll(&mut wait, Waker::noop()).is_pending());
    assert_eq!(sleeper.alarm(), Some(Instant(9)));
    drop(wait);
    assert_eq!(sleeper.alarm(), None);
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn wake_one_wakes_in_the_order_of_arrival() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    let tokens = Cell::new(0);
    let mut waits: Vec<_> = (0..4)
        .map(|_| {
            let wait: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || take(&tokens)));
            (wait, Bell::new())
        })
        .collect();
    for (wait, (_, waker)) in &mut waits {
        assert!(poll(wait, waker).is_pending());
    }
    for expected in 0..4 {
        queue.wake_one();
        let rung: Vec<_> = waits.iter().map(|(_, (bell, _))| bell.rings()).collect();
        let wanted: Vec<_> = (0..4).map(|n| usize::from(n == expected)).collect();
        assert_eq!(rung, wanted);
    }
    assert!(queue.is_idle());
}

#[test]
fn wake_beaten_by_another_keeps_its_place() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    let tokens = Cell::new(0);
    let (first_bell, first_waker) = Bell::new();
    let (second_bell, second_waker) = Bell::new();
    let mut first: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || take(&tokens)));
    let mut second: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || take(&tokens)));
    assert!(poll(&mut first, &first_waker).is_pending());
    assert!(poll(&mut second, &second_waker).is_pending());
    queue.wake_one();
    assert!(
        poll(&mut first, &first_waker).is_pending(),
        "nothing there: somebody was quicker"
    );
    assert_eq!(first_bell.rings(), 1);
    tokens.set(1);
    queue.wake_one();
    assert_eq!((first_bell.rings(), second_bell.rings()), (1, 0));
    assert_eq!(poll(&mut first, &first_waker), Poll::Ready(Ok(0)));
}

#[test]
fn wake_of_a_waiter_that_is_dropped_is_passed_on() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    let (bell, waker) = Bell::new();
    let mut first: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || None));
    let mut second: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || None));
    assert!(poll(&mut first, Waker::noop()).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    queue.wake_one();
    assert_eq!(bell.rings(), 0);
    drop(first);
    assert_eq!(bell.rings(), 1);
}

#[test]
fn wake_one_wakes_every_shared_waiter_and_one_exclusive() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    let other = WaitQueue::new();
    let bells: Vec<_> = (0..4).map(|_| Bell::new()).collect();
    let mut waits: Vec<BoxedWait> = Vec::new();
    for n in 0..4 {
        waits.push(if n % 2 == 0 {
            Box::pin(wait_until(&sleeper, &queue, None, || None))
        } else {
            match wait_any(&sleeper, [&queue, &other].into_iter(), None, || None) {
                Ok(wait) => Box::pin(wait),
                Err(why) => panic!("{why:?}"),
            }
        });
    }
    for (wait, (_, waker)) in waits.iter_mut().zip(&bells) {
        assert!(poll(wait, waker).is_pending());
    }
    queue.wake_one();
    let rung: Vec<_> = bells.iter().map(|(bell, _)| bell.rings()).collect();
    assert_eq!(rung, [1, 1, 0, 1]);
    other.wake_all();
    let rung: Vec<_> = bells.iter().map(|(bell, _)| bell.rings()).collect();
    assert_eq!(rung, [0, 1, 0, 1]);
    drop(waits);
    assert_eq!(queue.waiting() + other.waiting(), 0);
    assert!(queue.is_idle() && other.is_idle());
}

#[test]
fn wake_all_reaches_each_waiter_once() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    let bells: Vec<_> = (0..100).map(|_| Bell::new()).collect();
    let mut waits: Vec<BoxedWait> = Vec::new();
    for (_, waker) in &bells {
        let mut wait: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || None));
        assert!(poll(&mut wait, waker).is_pending());
        waits.push(wait);
    }
    queue.wake_all();
    queue.wake_all();
    assert!(bells.iter().all(|(bell, _)| bell.rings() == 1));
}

#[test]
fn wait_dropped_at_any_point_leaves_the_queue_empty() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    for polls in 0..4 {
        let mut wait: BoxedWait = Box::pin(wait_until(&sleeper, &queue, Some(Instant(1)), || None));
        for _ in 0..polls {
            assert!(poll(&mut wait, Waker::noop()).is_pending());
            queue.wake_all();
        }
        drop(wait);
        assert_eq!((queue.waiting(), sleeper.alarm()), (0, None));
        assert!(queue.is_idle());
    }
}

/// Counts what it is told of, and says that it acts on it or not.
struct Onlooker {
    told: core::sync::atomic::AtomicUsize,
    acts: bool,
}

impl Onlooker {
    fn new(acts: bool) -> Arc<Onlooker> {
        Arc::new(Onlooker {
            told: Default::default(),
            acts,
        })
    }

    fn told(&self) -> usize {
        self.told.swap(0, Ordering::SeqCst)
    }
}

impl Watcher for Onlooker {
    fn changed(self: Arc<Self>) -> bool {
        self.told.fetch_add(1, Ordering::SeqCst);
        self.acts
    }
}

#[test]
fn watcher_is_told_of_every_wake_until_it_leaves() {
    let queue = WaitQueue::new();
    let onlooker = Onlooker::new(true);
    let place = queue.watch(onlooker.clone(), false).unwrap();
    assert!(!queue.is_idle());
    queue.wake_one();
    queue.wake_all();
    assert_eq!(onlooker.told(), 2);
    queue.pass_on();
    assert_eq!(onlooker.told(), 0);
    queue.unwatch(place);
    assert!(queue.is_idle());
    queue.wake_all();
    assert_eq!((onlooker.told(), queue.waiting()), (0, 0));
}

#[test]
fn watcher_does_not_take_an_exclusive_waiters_wake() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    let (bell, waker) = Bell::new();
    let onlooker = Onlooker::new(true);
    let place = queue.watch(onlooker.clone(), false).unwrap();
    let mut wait: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || None));
    assert!(poll(&mut wait, &waker).is_pending());
    queue.wake_one();
    assert_eq!((bell.rings(), onlooker.told()), (1, 1));
    queue.unwatch(place);
}

#[test]
fn watcher_exclusive_takes_the_wake_only_if_it_acts() {
    for acts in [true, false] {
        let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
        let (bell, waker) = Bell::new();
        let onlooker = Onlooker::new(acts);
        let place = queue.watch(onlooker.clone(), true).unwrap();
        let mut wait: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || None));
        assert!(poll(&mut wait, &waker).is_pending());
        queue.wake_one();
        assert_eq!((bell.rings(), onlooker.told()), (usize::from(!acts), 1));
        queue.unwatch(place);
    }
}

#[test]
fn pass_on_wakes_one_exclusive_waiter_and_no_shared_one() {
    let (queue, sleeper) = (WaitQueue::new(), TestSleeper::new());
    let (shared_bell, shared_waker) = Bell::new();
    let (bell, waker) = Bell::new();
    let shared = wait_any(&sleeper, [&queue].into_iter(), None, || None)
        .ok()
        .unwrap();
    let mut shared: BoxedWait = Box::pin(shared);
    assert!(poll(&mut shared, &shared_waker).is_pending());
    let mut first: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || None));
    let mut second: BoxedWait = Box::pin(wait_until(&sleeper, &queue, None, || None));
    assert!(poll(&mut first, &waker).is_pending());
    assert!(poll(&mut second, Waker::noop()).is_pending());
    queue.pass_on();
    assert_eq!((bell.rings(), shared_bell.rings()), (1, 0));
}
