//! Epoll under the model checker: a change that comes while somebody looks. A lost one shows as a deadlock.

use alloc::sync::Arc;

use loom::future::block_on;
use loom::thread;

use super::testing::{add, collect, counter, drain, signal};
use super::*;
use crate::wait::testing::TestSleeper;
use crate::wait::wait_until;

const IN: u32 = raw::EPOLLIN;

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// epoll_wait(2) for one report.
fn wait(epoll: &Epoll) -> u64 {
    let look = || collect(epoll, 1).first().copied();
    let outcome = block_on(wait_until(&TestSleeper::new(), epoll.queue(), None, look));
    match outcome {
        Ok(data) => data,
        Err(why) => panic!("{why:?}"),
    }
}

#[test]
fn loom_epoll_edge_that_comes_during_a_look_is_not_lost() {
    model(3, || {
        let (epoll, file) = (Epoll::new(), counter());
        assert_eq!(add(&epoll, 1, &file, IN | EDGE), Ok(()));
        let writer = Arc::clone(&file);
        let thread = thread::spawn(move || {
            signal(&writer);
            signal(&writer);
        });
        // Each event means: take until nothing is left. What came later is another event.
        let mut taken = 0;
        while taken < 2 {
            assert_eq!(wait(&epoll), 1);
            let mut bytes = [0_u8; 8];
            let mut sink: &mut [u8] = &mut bytes;
            if file.try_read(&mut sink).is_ok() {
                taken += u64::from_le_bytes(bytes);
            }
        }
        assert!(thread.join().is_ok());
    });
}

#[test]
fn loom_epoll_level_wakes_the_one_who_waits() {
    model(3, || {
        let (epoll, file) = (Epoll::new(), counter());
        assert_eq!(add(&epoll, 1, &file, IN), Ok(()));
        let writer = Arc::clone(&file);
        let thread = thread::spawn(move || signal(&writer));
        assert_eq!(wait(&epoll), 1);
        assert!(drain(&file));
        assert!(thread.join().is_ok());
        assert!(collect(&epoll, 1).is_empty());
    });
}

#[test]
fn loom_epoll_one_level_event_wakes_two_waiters() {
    model(2, || {
        let (epoll, file) = (Epoll::new(), counter());
        assert_eq!(add(&epoll, 1, &file, IN), Ok(()));
        let other = Arc::clone(&epoll);
        let waiter = thread::spawn(move || wait(&other));
        signal(&file);
        assert_eq!(wait(&epoll), 1);
        assert_eq!(waiter.join().ok(), Some(1));
    });
}

#[test]
fn loom_epoll_one_shot_is_reported_to_one_of_two() {
    model(3, || {
        let (epoll, file) = (Epoll::new(), counter());
        assert_eq!(add(&epoll, 1, &file, IN | ONE_SHOT), Ok(()));
        let (other, writer) = (Arc::clone(&epoll), Arc::clone(&file));
        let looker = thread::spawn(move || collect(&other, 1).len());
        let thread = thread::spawn(move || {
            signal(&writer);
            signal(&writer);
        });
        let mine = collect(&epoll, 1).len();
        assert!(thread.join().is_ok());
        let theirs = looker.join().unwrap_or(9);
        let late = collect(&epoll, 1).len();
        assert_eq!(mine + theirs + late, 1);
    });
}

#[test]
fn loom_epoll_close_of_a_file_during_a_look_and_a_change() {
    model(3, || {
        let (epoll, file) = (Epoll::new(), counter());
        assert_eq!(add(&epoll, 1, &file, IN), Ok(()));
        signal(&file);
        let other = Arc::clone(&epoll);
        let looker = thread::spawn(move || collect(&other, 1).len());
        drop(file);
        assert!(looker.join().is_ok());
        assert!(collect(&epoll, 1).is_empty());
        assert!(epoll.set.lock().items.is_empty());
    });
}

#[test]
fn loom_epoll_asked_anew_while_its_report_is_on_the_way() {
    model(3, || {
        let (epoll, file) = (Epoll::new(), counter());
        assert_eq!(add(&epoll, 1, &file, IN | ONE_SHOT), Ok(()));
        signal(&file);
        let (other, same) = (Arc::clone(&epoll), Arc::clone(&file));
        let owner = thread::spawn(move || {
            let wish = Wish {
                events: IN | ONE_SHOT,
                data: 2,
            };
            other.modify(1, &same, wish)
        });
        let first = collect(&epoll, 1);
        assert_eq!(owner.join().ok(), Some(Ok(())));
        let second = collect(&epoll, 1);
        // Asked before the first look or after it: whatever the order, the new wish is answered once.
        assert_eq!([first, second].concat().last(), Some(&2));
        assert!(collect(&epoll, 1).is_empty());
    });
}
