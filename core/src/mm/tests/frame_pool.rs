//! The frame pool against a set of numbers.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use crate::machine::{Frame, OutOfMemory};
use crate::mm::{FramePool, MAX_RUN_ORDER};

/// A pool with dirty books.
fn pool(first: usize, end: usize) -> FramePool {
    let size = FramePool::metadata_size(Frame(first), Frame(end));
    let words: Vec<u64> = (0..size.words as u64)
        .map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .collect();
    let shares: Vec<AtomicU32> = (0..size.shares).map(|n| AtomicU32::new(n as u32)).collect();
    let pool = FramePool::new(
        Frame(first),
        Frame(end),
        Box::leak(words.into()),
        Box::leak(shares.into()),
    );
    pool.expect("the books are large enough")
}

fn full_pool(first: usize, end: usize) -> FramePool {
    let pool = pool(first, end);
    pool.give(Frame(first)..Frame(end));
    pool
}

#[test]
fn pool_new_has_nothing_to_give() {
    let pool = pool(0x40000, 0x40100);
    assert_eq!(pool.allocate(), Err(OutOfMemory));
    assert_eq!((pool.free(), pool.total()), (0, 0));
}

#[test]
fn pool_books_too_small_is_none() {
    let size = FramePool::metadata_size(Frame(0), Frame(100));
    let words = Box::leak(alloc::vec![0_u64; size.words].into_boxed_slice());
    let shares = Box::leak(Box::new([const { AtomicU32::new(0) }; 99]));
    assert!(FramePool::new(Frame(0), Frame(100), words, shares).is_none());
}

#[test]
fn give_outside_and_twice_counts_each_frame_once() {
    let pool = pool(1024, 1124);
    pool.give(Frame(0)..Frame(1030));
    pool.give(Frame(1028)..Frame(5000));
    pool.give(Frame(5000)..Frame(10));
    assert_eq!((pool.free(), pool.total()), (100, 100));
}

#[test]
fn allocate_all_gives_each_frame_once() {
    let pool = full_pool(4096, 4096 + 300);
    let mut seen = BTreeSet::new();
    while let Ok(frame) = pool.allocate() {
        assert!((4096..4396).contains(&frame.0));
        assert!(seen.insert(frame), "{frame:?} twice");
        assert_eq!(pool.share_count(frame), 1);
    }
    assert_eq!((seen.len(), pool.free()), (300, 0));
}

#[test]
fn allocate_down_to_the_reserve_leaves_it_to_runs() {
    let pool = full_pool(0, 128);
    pool.set_reserve(64);
    let taken: Vec<_> = core::iter::from_fn(|| pool.allocate().ok()).collect();
    assert_eq!(taken.len(), 64);
    assert!(pool.allocate_run(5).is_ok());
    assert!(pool.allocate_reserved().is_ok());
}

#[test]
fn share_beyond_the_count_fails_and_does_not_wrap() {
    let shares: &'static [AtomicU32] = Box::leak(Box::new([const { AtomicU32::new(0) }; 1024]));
    let words = Box::leak(alloc::vec![0_u64; 64].into_boxed_slice());
    let pool = FramePool::new(Frame(0), Frame(4), words, shares).unwrap();
    pool.give(Frame(0)..Frame(4));
    let frame = pool.allocate().unwrap();
    let count = &shares[frame.0];
    count.store(u32::MAX - 1, Ordering::Relaxed);
    assert_eq!(pool.share(frame), Ok(()));
    assert_eq!(pool.share(frame), Err(OutOfMemory));
    assert_eq!(pool.share_count(frame), u32::MAX as usize);
    assert!(!pool.release(frame));
    count.store(1, Ordering::Relaxed);
    assert!(pool.release(frame));
    assert_eq!(pool.free(), 4);
}

#[test]
fn share_outside_fails() {
    let pool = full_pool(1024, 1030);
    assert_eq!(pool.share(Frame(1023)), Err(OutOfMemory));
    assert_eq!(pool.share(Frame(usize::MAX)), Err(OutOfMemory));
    assert!(!pool.release(Frame(3)));
}

#[test]
fn run_beyond_the_greatest_order_fails() {
    let pool = full_pool(0, 4096);
    assert_eq!(pool.allocate_run(MAX_RUN_ORDER + 1), Err(OutOfMemory));
    assert_eq!(pool.allocate_run(64), Err(OutOfMemory));
    assert_eq!(
        pool.allocate_run(MAX_RUN_ORDER).map(|frame| frame.0 % 1024),
        Ok(0)
    );
}

/// Few rounds: on a loaded host a ticket lock waits for the scheduler at every contention.
#[test]
fn pool_shared_by_threads_loses_and_doubles_nothing() {
    let pool: &'static FramePool = Box::leak(Box::new(full_pool(0, 512)));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..60 {
                    let frames: Vec<_> = (0..round % 8)
                        .filter_map(|_| pool.allocate().ok())
                        .collect();
                    frames.iter().for_each(|frame| pool.share(*frame).unwrap());
                    frames
                        .iter()
                        .for_each(|frame| assert!(!pool.release(*frame)));
                    frames
                        .iter()
                        .for_each(|frame| assert!(pool.release(*frame)));
                }
            });
        }
    });
    assert_eq!(pool.free(), 512);
}

#[derive(Clone, Debug)]
enum Step {
    Allocate,
    Run(u32),
    Share(usize),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Allocate),
        1 => (0..9_u32).prop_map(Step::Run),
        1 => any::<usize>().prop_map(Step::Share),
        4 => any::<usize>().prop_map(Step::Release),
    ]
}

/// Whether a run of 2^`order` is free in the model.
fn run_exists(held: &BTreeMap<usize, usize>, frames: usize, order: u32) -> bool {
    let length = 1 << order;
    (0..frames / length).any(|n| held.range(n * length..(n + 1) * length).next().is_none())
}

fn nth(held: &BTreeMap<usize, usize>, n: usize) -> Option<usize> {
    held.keys().nth(n % held.len().max(1)).copied()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn pool_any_steps_agree_with_a_set(frames in 1..700_usize, steps in prop::collection::vec(step(), 1..300)) {
        let pool = full_pool(0, frames);
        let mut held: BTreeMap<usize, usize> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Allocate => match pool.allocate() {
                    Ok(frame) => prop_assert!(frame.0 < frames && held.insert(frame.0, 1).is_none()),
                    Err(_) => prop_assert_eq!(held.len(), frames),
                },
                Step::Run(order) => match pool.allocate_run(order) {
                    Ok(first) => {
                        prop_assert_eq!(first.0 % (1 << order), 0);
                        for number in first.0..first.0 + (1 << order) {
                            prop_assert!(number < frames && held.insert(number, 1).is_none());
                        }
                    }
                    Err(_) => prop_assert!(!run_exists(&held, frames, order)),
                },
                Step::Share(n) => if let Some(frame) = nth(&held, n) {
                    pool.share(Frame(frame)).unwrap();
                    *held.get_mut(&frame).unwrap() += 1;
                },
                Step::Release(n) => if let Some(frame) = nth(&held, n) {
                    let count = held[&frame];
                    prop_assert_eq!(pool.share_count(Frame(frame)), count);
                    prop_assert_eq!(pool.release(Frame(frame)), count == 1);
                    if count == 1 { held.remove(&frame); } else { held.insert(frame, count - 1); }
                },
            }
            prop_assert_eq!(pool.free(), frames - held.len());
        }
        for (frame, count) in held {
            (0..count).for_each(|_| { pool.release(Frame(frame)); });
        }
        prop_assert_eq!(pool.free(), frames);
    }
}
