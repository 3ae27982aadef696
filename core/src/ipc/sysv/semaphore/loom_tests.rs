//! The set under the model checker: a sleeper against whoever frees it. A lost wake-up shows as a deadlock.

use loom::future::block_on;
use loom::thread;

use super::*;
use crate::ipc::sysv::testing_loom::{by, header, model};
use crate::wait::testing::TestSleeper;

fn set() -> Arc<SemaphoreSet> {
    match SemaphoreSet::new(header(), 2, None, 0) {
        Ok(set) => Arc::new(set),
        Err(errno) => panic!("no set: {errno:?}"),
    }
}

fn operate(set: &Arc<SemaphoreSet>, changes: &[(u16, i16)]) -> Result<()> {
    let operations = Operations::with(changes.len(), |into| {
        for (operation, (number, change)) in into.iter_mut().zip(changes) {
            (operation.number, operation.change) = (*number, *change);
        }
        Ok(())
    })?;
    match set.operate(&operations, 0, by(1))? {
        None => Ok(()),
        Some(mut place) => {
            block_on(place.wait(&TestSleeper::new(), None)).map_err(|why| why.errno())?
        }
    }
}

fn value(set: &SemaphoreSet, number: usize) -> u16 {
    set.semaphore(number).map_or(9, |semaphore| semaphore.value)
}

#[test]
fn loom_semaphore_sleeper_meets_its_value() {
    model(3, || {
        let set = set();
        let other = set.clone();
        let thread = thread::spawn(move || {
            assert_eq!(operate(&other, &[(0, 1)]), Ok(()));
            assert_eq!(operate(&other, &[(1, -1)]), Ok(()));
        });
        assert_eq!(operate(&set, &[(0, -1), (1, 1)]), Ok(()));
        assert!(thread.join().is_ok());
        assert_eq!((value(&set, 0), value(&set, 1)), (0, 0));
    });
}

#[test]
fn loom_semaphore_one_change_frees_two_sleepers() {
    model(2, || {
        let set = set();
        let others = [set.clone(), set.clone()];
        let threads = others
            .map(|other| thread::spawn(move || assert_eq!(operate(&other, &[(0, -1)]), Ok(()))));
        assert_eq!(operate(&set, &[(0, 2)]), Ok(()));
        for thread in threads {
            assert!(thread.join().is_ok());
        }
        assert_eq!(value(&set, 0), 0);
    });
}

#[test]
fn loom_semaphore_removal_ends_a_wait() {
    model(3, || {
        let set = set();
        let other = set.clone();
        let thread = thread::spawn(move || other.remove());
        assert_eq!(operate(&set, &[(0, -1)]), Err(Errno::EIDRM));
        assert!(thread.join().is_ok());
    });
}
