//! Event counters alone, and against a plain number under random operations.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Waker};

use proptest::prelude::*;

use super::*;
use crate::ipc::pipe::testing::{TestSink, TestSource, read_some, try_read, try_write, write_all};
use crate::wait::testing::{Bell, TestSleeper};

fn take(event: &EventFd) -> Result<u64> {
    let bytes = try_read(event, UNIT)?;
    Ok(u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn add(event: &EventFd, more: u64) -> Result<usize> {
    try_write(event, &more.to_le_bytes())
}

#[test]
fn eventfd_read_that_faults_takes_nothing() {
    let event = EventFd::new(5, false);
    let mut sink = TestSink::faulting(UNIT, 3);
    assert_eq!(event.try_read(&mut sink, 0), Err(Errno::EFAULT));
    assert_eq!(take(&event), Ok(5));
}

#[test]
fn eventfd_write_without_room_can_be_made_again() {
    let event = EventFd::new(1, false);
    let bytes = MOST.to_le_bytes();
    let mut source = TestSource::new(&bytes);
    assert_eq!(event.try_write(&mut source, 0), Err(Errno::EAGAIN));
    assert_eq!(take(&event), Ok(1));
    assert_eq!(event.try_write(&mut source, 0), Ok(UNIT));
    assert_eq!(take(&event), Ok(MOST));
}

#[derive(Clone, Debug)]
enum Step {
    Take,
    Add(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let edge = prop_oneof![Just(u64::MAX), Just(MOST), Just(MOST - 1), Just(0)];
    prop_oneof![
        2 => Just(Step::Take),
        3 => (0..5_u64).prop_map(Step::Add),
        1 => edge.prop_map(Step::Add),
    ]
}

fn compare(steps: Vec<Step>, semaphore: bool) -> core::result::Result<(), TestCaseError> {
    let event = EventFd::new(2, semaphore);
    let mut count = 2_u64;
    for step in steps {
        match step {
            Step::Take => {
                let expected = match count {
                    0 => Err(Errno::EAGAIN),
                    _ if semaphore => Ok(1),
                    all => Ok(all),
                };
                count -= expected.unwrap_or(0);
                prop_assert_eq!(take(&event), expected);
            }
            Step::Add(u64::MAX) => prop_assert_eq!(add(&event, u64::MAX), Err(Errno::EINVAL)),
            Step::Add(more) if more > MOST - count => {
                prop_assert_eq!(add(&event, more), Err(Errno::EAGAIN));
            }
            Step::Add(more) => {
                count += more;
                prop_assert_eq!(add(&event, more), Ok(UNIT));
            }
        }
        let mut ready = Readiness::empty();
        ready.set(Readiness::IN | Readiness::RDNORM, count > 0);
        ready.set(Readiness::OUT | Readiness::WRNORM, count < MOST);
        prop_assert_eq!(event.poll(), ready);
    }
    Ok(())
}

type Actor = Pin<Box<dyn Future<Output = ()>>>;

/// Writers and readers that block, some killed. When nobody whom a wake reached is left, nobody may sleep who could go on.
fn run_actors(
    semaphore: bool,
    writers: &[u64],
    readers: usize,
    turns: &[(usize, bool)],
) -> core::result::Result<(), TestCaseError> {
    let event = Arc::new(EventFd::new(0, semaphore));
    let mut actors: Vec<(Actor, Arc<Bell>, Waker, bool)> = Vec::new();
    let mut start = |actor: Actor| {
        let (bell, waker) = Bell::new();
        actors.push((actor, bell, waker, true));
    };
    for more in writers.iter().copied() {
        let event = event.clone();
        start(Box::pin(async move {
            let _ = write_all(&*event, &more.to_le_bytes(), &TestSleeper::new()).await;
        }));
    }
    for _ in 0..readers {
        let event = event.clone();
        start(Box::pin(async move {
            let _ = read_some(&*event, UNIT, &TestSleeper::new()).await;
        }));
    }
    let run = |(actor, bell, waker, runnable): &mut (Actor, Arc<Bell>, Waker, bool)| {
        let woken = *runnable || bell.rings() > 0;
        *runnable = false;
        woken
            && actor
                .as_mut()
                .poll(&mut Context::from_waker(waker))
                .is_ready()
    };
    for &(turn, kill) in turns {
        if actors.is_empty() {
            break;
        }
        let who = turn % actors.len();
        if kill || run(&mut actors[who]) {
            drop(actors.remove(who));
        }
    }
    loop {
        actors.retain_mut(|actor| !run(actor));
        let woken = |(_, bell, _, runnable): &mut (Actor, Arc<Bell>, Waker, bool)| {
            *runnable |= bell.rings() > 0;
            *runnable
        };
        if !actors.iter_mut().any(woken) {
            break;
        }
    }
    let waiting = (event.readers.waiting(), event.writers.waiting());
    let ready = event.poll();
    prop_assert!(
        waiting.0 == 0 || !ready.contains(Readiness::IN),
        "a reader sleeps"
    );
    // Only who writes the most there can be waits, and only while something is there.
    let full = writers.contains(&MOST) && *event.count.lock() > 0;
    prop_assert!(waiting.1 == 0 || full, "a writer sleeps");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn eventfd_agrees_with_the_model(
        steps in prop::collection::vec(step(), 1..60),
        semaphore in any::<bool>(),
    ) {
        compare(steps, semaphore)?;
    }

    #[test]
    fn eventfd_actors_never_sleep_while_they_could_go_on(
        semaphore in any::<bool>(),
        writers in prop::collection::vec(prop_oneof![0..4_u64, Just(MOST)], 1..6),
        readers in 1..6_usize,
        turns in prop::collection::vec((0..100_usize, prop::bool::weighted(0.05)), 0..60),
    ) {
        run_actors(semaphore, &writers, readers, &turns)?;
    }
}
