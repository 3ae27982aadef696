//! Epoll alone, and against a plain reference model: what a program that looks by hand would know.

use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::testing::{add, collect, counter, drain, open, signal};
use super::*;
use crate::fs::file::Special;

const IN: u32 = raw::EPOLLIN;

#[test]
fn epoll_dropped_leaves_no_watcher_behind() {
    let (epoll, file) = (Epoll::new(), counter());
    assert_eq!(add(&epoll, 1, &file, IN), Ok(()));
    let queue = file.file().wait_queue(Side::Read).unwrap();
    assert!(!queue.is_idle());
    drop(epoll);
    assert!(queue.is_idle());
    assert_eq!(Arc::strong_count(&file), 1);
}

#[test]
fn epoll_report_that_cannot_be_stored_is_kept() {
    let (epoll, file) = (Epoll::new(), counter());
    assert_eq!(add(&epoll, 1, &file, IN | EDGE), Ok(()));
    signal(&file);
    let fault = |_: usize, _: Wish| Err(Errno::EFAULT);
    assert_eq!(epoll.collect(4, fault), Err(Errno::EFAULT));
    assert_eq!(collect(&epoll, 4), [1]);
    assert_eq!(collect(&epoll, 4), []);
}

fn instance() -> (Arc<Epoll>, Arc<OpenFile>) {
    let epoll = Epoll::new();
    let file = open(EpollFile(Arc::clone(&epoll)));
    (epoll, file)
}

#[test]
fn epoll_circle_is_found_at_any_depth_and_only_there() {
    let nesting = Nesting::new();
    let chain: Vec<_> = (0..5).map(|_| instance()).collect();
    let wish = Wish {
        events: IN,
        data: 0,
    };
    let nest = |outer: usize, inner: usize| chain[outer].0.add(&nesting, 9, &chain[inner].1, wish);
    // From the top down, so that only what is above is deep.
    for outer in 0..4 {
        assert_eq!(nest(outer, outer + 1), Ok(()));
    }
    for inner in 0..4 {
        assert_eq!(nest(4, inner), Err(Errno::ELOOP));
    }
    let (sixth, file) = instance();
    assert_eq!(chain[4].0.add(&nesting, 9, &file, wish), Err(Errno::ELOOP));
    assert_eq!(sixth.add(&nesting, 9, &chain[0].1, wish), Err(Errno::ELOOP));
    // A diamond is no circle.
    assert_eq!(chain[0].0.add(&nesting, 8, &chain[3].1, wish), Ok(()));
    assert_eq!(chain[2].0.delete(9, &chain[3].1), Ok(()));
    assert_eq!(chain[3].0.add(&nesting, 9, &file, wish), Ok(()));
}

#[derive(Clone, Debug)]
enum Step {
    Signal(usize),
    Drain(usize),
    Add { set: usize, file: usize, flags: u32 },
    Modify { set: usize, file: usize, flags: u32 },
    Delete { set: usize, file: usize },
    Close(usize),
    Collect { set: usize, most: usize },
}

const FILES: usize = 4;
const SETS: usize = 2;

fn flags() -> impl Strategy<Value = u32> {
    prop_oneof![
        3 => Just(IN),
        3 => Just(IN | EDGE),
        2 => Just(IN | ONE_SHOT),
        1 => Just(IN | EDGE | ONE_SHOT),
        1 => Just(0),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (file, set) = (0..FILES, 0..SETS);
    prop_oneof![
        6 => file.clone().prop_map(Step::Signal),
        3 => file.clone().prop_map(Step::Drain),
        3 => (set.clone(), file.clone(), flags())
            .prop_map(|(set, file, flags)| Step::Add { set, file, flags }),
        2 => (set.clone(), file.clone(), flags())
            .prop_map(|(set, file, flags)| Step::Modify { set, file, flags }),
        1 => (set.clone(), file.clone()).prop_map(|(set, file)| Step::Delete { set, file }),
        1 => file.prop_map(Step::Close),
        6 => (set, 1..5_usize).prop_map(|(set, most)| Step::Collect { set, most }),
    ]
}

/// What one set knows of one file.
#[derive(Clone, Copy)]
struct Interest {
    flags: u32,
    /// Something happened that has not been reported.
    edge: bool,
}

/// Runs `steps` on two instances that watch the same files, and on the model.
fn compare(steps: Vec<Step>) -> core::result::Result<(), TestCaseError> {
    let sets: Vec<_> = (0..SETS).map(|_| Epoll::new()).collect();
    let mut files: Vec<_> = (0..FILES).map(|_| counter()).collect();
    let mut full = vec![false; FILES];
    let mut known: Vec<BTreeMap<usize, Interest>> = vec![BTreeMap::new(); SETS];
    for step in steps {
        match step {
            Step::Signal(file) => {
                signal(&files[file]);
                full[file] = true;
                for set in &mut known {
                    if let Some(interest) = set.get_mut(&file) {
                        interest.edge = true;
                    }
                }
            }
            Step::Drain(file) => {
                prop_assert_eq!(drain(&files[file]), full[file]);
                full[file] = false;
            }
            Step::Add { set, file, flags } => {
                let expected = match known[set].entry(file) {
                    Entry::Occupied(_) => Err(Errno::EEXIST),
                    Entry::Vacant(place) => {
                        let edge = full[file];
                        place.insert(Interest { flags, edge });
                        Ok(())
                    }
                };
                prop_assert_eq!(add(&sets[set], file as i32, &files[file], flags), expected);
            }
            Step::Modify { set, file, flags } => {
                let wish = Wish {
                    events: flags,
                    data: file as u64,
                };
                let expected = match known[set].get_mut(&file) {
                    Some(interest) => {
                        interest.flags = flags;
                        interest.edge |= full[file];
                        Ok(())
                    }
                    None => Err(Errno::ENOENT),
                };
                prop_assert_eq!(sets[set].modify(file as i32, &files[file], wish), expected);
            }
            Step::Delete { set, file } => {
                let expected = known[set].remove(&file).map(|_| ()).ok_or(Errno::ENOENT);
                prop_assert_eq!(sets[set].delete(file as i32, &files[file]), expected);
            }
            Step::Close(file) => {
                files[file] = counter();
                full[file] = false;
                for set in &mut known {
                    set.remove(&file);
                }
            }
            Step::Collect { set, most } => check_reports(&sets[set], &mut known[set], &full, most)?,
        }
    }
    Ok(())
}

/// Each report must be due, none may come twice, and if there was room for more none may be missing.
fn check_reports(
    epoll: &Epoll,
    known: &mut BTreeMap<usize, Interest>,
    full: &[bool],
    most: usize,
) -> core::result::Result<(), TestCaseError> {
    let due: BTreeSet<usize> = known
        .iter()
        .filter(|(file, it)| {
            let level = it.flags & EDGE == 0;
            it.flags & IN != 0 && full[**file] && (level || it.edge)
        })
        .map(|(file, _)| *file)
        .collect();
    let reports = collect(epoll, most);
    let reported: BTreeSet<usize> = reports.iter().map(|data| *data as usize).collect();
    prop_assert_eq!(reported.len(), reports.len());
    prop_assert!(reported.is_subset(&due), "{:?} of {:?}", reported, due);
    prop_assert_eq!(reported.len(), due.len().min(most));
    for file in reported {
        if let Some(it) = known.get_mut(&file) {
            it.edge = false;
            if it.flags & ONE_SHOT != 0 {
                it.flags &= super::ready::PRIVATE;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn epoll_agrees_with_the_model(steps in prop::collection::vec(step(), 1..80)) {
        compare(steps)?;
    }
}

#[test]
fn epoll_file_says_what_it_is() {
    let (epoll, file) = instance();
    assert!(matches!(file.file().special(), Special::Epoll(it) if Arc::ptr_eq(it, &epoll)));
    assert_eq!(file.file().poll(), Readiness::empty());
}
