//! The wait queue under the model checker: every interleaving of waiters and wakers, up to a bound of preemptions. A
//! lost wake-up shows as a deadlock, which loom reports.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use halyard_cell::SpinLock;
use loom::future::block_on;
use loom::thread;

use super::testing::TestSleeper;
use super::*;

/// Tokens behind a lock: the smallest object that one can wait for.
struct Tokens {
    count: SpinLock<usize>,
    queue: WaitQueue,
}

impl Tokens {
    fn new() -> Arc<Tokens> {
        Arc::new(Tokens {
            count: SpinLock::new(0),
            queue: WaitQueue::new(),
        })
    }

    fn put(&self) {
        *self.count.lock() += 1;
        self.queue.wake_one();
    }

    fn try_take(&self) -> Option<()> {
        let mut count = self.count.lock();
        *count = count.checked_sub(1)?;
        Some(())
    }

    async fn take(
        &self,
        sleeper: &TestSleeper,
        deadline: Option<Instant>,
    ) -> Result<(), Interruption> {
        wait_until(sleeper, &self.queue, deadline, || self.try_take()).await
    }
}

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

#[test]
fn loom_wake_racing_with_registration_is_not_lost() {
    model(5, || {
        let tokens = Tokens::new();
        let putter = tokens.clone();
        let thread = thread::spawn(move || putter.put());
        assert_eq!(block_on(tokens.take(&TestSleeper::new(), None)), Ok(()));
        assert!(thread.join().is_ok());
        assert_eq!(tokens.queue.waiting(), 0);
        assert!(tokens.queue.is_idle());
    });
}

#[test]
fn loom_two_tokens_reach_two_waiters() {
    model(3, || {
        let tokens = Tokens::new();
        let other = tokens.clone();
        let taker = thread::spawn(move || block_on(other.take(&TestSleeper::new(), None)));
        let other = tokens.clone();
        let putter = thread::spawn(move || {
            other.put();
            other.put();
        });
        assert_eq!(block_on(tokens.take(&TestSleeper::new(), None)), Ok(()));
        assert_eq!(taker.join().ok(), Some(Ok(())));
        assert!(putter.join().is_ok());
        assert_eq!(tokens.queue.waiting(), 0);
    });
}

#[test]
fn loom_wake_all_reaches_every_waiter() {
    model(3, || {
        let tokens = Tokens::new();
        let other = tokens.clone();
        let taker = thread::spawn(move || block_on(other.take(&TestSleeper::new(), None)));
        let other = tokens.clone();
        let putter = thread::spawn(move || {
            *other.count.lock() = 2;
            other.queue.wake_all();
        });
        assert_eq!(block_on(tokens.take(&TestSleeper::new(), None)), Ok(()));
        assert_eq!(taker.join().ok(), Some(Ok(())));
        assert!(putter.join().is_ok());
    });
}

#[test]
fn loom_wake_that_reaches_a_killed_waiter_is_passed_on() {
    model(3, || {
        let tokens = Tokens::new();
        let other = tokens.clone();
        // Polled once and dropped, as a thread is that is killed while it waits.
        let killed = thread::spawn(move || {
            let sleeper = TestSleeper::new();
            let mut wait = pin!(wait_until(&sleeper, &other.queue, None, || None::<()>));
            let polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        });
        let other = tokens.clone();
        let putter = thread::spawn(move || other.put());
        assert_eq!(block_on(tokens.take(&TestSleeper::new(), None)), Ok(()));
        assert!(killed.join().is_ok());
        assert!(putter.join().is_ok());
        assert_eq!(tokens.queue.waiting(), 0);
        assert!(tokens.queue.is_idle());
    });
}

/// Waits as a thread does that `interrupt` may want to disturb: its waker is known from the beginning.
async fn take_disturbed(
    tokens: &Tokens,
    sleeper: &TestSleeper,
    deadline: Option<Instant>,
    waker: &SpinLock<Option<Waker>>,
) -> Result<(), Interruption> {
    poll_fn(|context| {
        *waker.lock() = Some(context.waker().clone());
        Poll::Ready(())
    })
    .await;
    let result = tokens.take(sleeper, deadline).await;
    *waker.lock() = None;
    result
}

fn disturb(disturbance: fn(&TestSleeper), deadline: Option<Instant>, why: Interruption) {
    model(3, move || {
        let tokens = Tokens::new();
        let sleeper = Arc::new(TestSleeper::new());
        let waker = Arc::new(SpinLock::new(None::<Waker>));

        let (victims, threads_sleeper, threads_waker) =
            (tokens.clone(), sleeper.clone(), waker.clone());
        let victim = thread::spawn(move || {
            let result = block_on(take_disturbed(
                &victims,
                &threads_sleeper,
                deadline,
                &threads_waker,
            ));
            match result {
                // It won the token: gives it to the other.
                Ok(()) => victims.put(),
                Err(interruption) => assert_eq!(interruption, why),
            }
            assert_eq!(threads_sleeper.alarm(), None);
        });
        let disturber = thread::spawn(move || {
            disturbance(&sleeper);
            let waker = waker.lock().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        tokens.put();
        assert_eq!(block_on(tokens.take(&TestSleeper::new(), None)), Ok(()));
        assert!(victim.join().is_ok());
        assert!(disturber.join().is_ok());
        assert_eq!(tokens.queue.waiting(), 0);
        assert!(tokens.queue.is_idle());
    });
}

#[test]
fn loom_signal_racing_with_a_wake_loses_neither() {
    disturb(TestSleeper::signal, None, Interruption::Signal);
}

#[test]
fn loom_deadline_racing_with_a_wake_loses_neither() {
    disturb(
        |sleeper| sleeper.set_now(Instant(10)),
        Some(Instant(10)),
        Interruption::TimedOut,
    );
}

#[test]
fn loom_poll_of_two_queues_misses_neither() {
    model(3, || {
        let one = Tokens::new();
        let two = Tokens::new();
        let (first, second) = (one.clone(), two.clone());
        let putter_one = thread::spawn(move || first.put());
        let putter_two = thread::spawn(move || second.put());
        let sleeper = TestSleeper::new();
        for _ in 0..2 {
            let wait = wait_any(&sleeper, [&one.queue, &two.queue].into_iter(), None, || {
                one.try_take().or_else(|| two.try_take())
            });
            assert!(matches!(wait.map(block_on), Ok(Ok(()))));
        }
        assert!(putter_one.join().is_ok());
        assert!(putter_two.join().is_ok());
        assert_eq!(one.queue.waiting() + two.queue.waiting(), 0);
    });
}
