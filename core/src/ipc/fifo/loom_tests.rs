//! The opens of a FIFO under the model checker: who waits for a peer meets it, also one that goes at once; who gives up has
//! opened nothing. A lost wake-up shows as a deadlock.

use alloc::vec;
use core::result::Result as Outcome;

use loom::future::block_on;
use loom::thread;

use super::*;
use crate::Errno;
use crate::ipc::pipe::testing::{read_some, write_all};
use crate::wait::testing::TestSleeper;

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// open(2), which waits.
fn open(
    fifo: &Fifo,
    access: Access,
    sleeper: &TestSleeper,
) -> Outcome<Arc<dyn File>, Interruption> {
    match fifo.open(access, false) {
        Ok(opening) => block_on(opening.complete(sleeper)),
        Err(errno) => panic!("open: {errno:?}"),
    }
}

fn opened(fifo: &Fifo, access: Access) -> Arc<dyn File> {
    match open(fifo, access, &TestSleeper::new()) {
        Ok(end) => end,
        Err(why) => panic!("open: {why:?}"),
    }
}

/// Nobody has it open.
fn assert_closed(fifo: &Fifo) {
    assert_eq!(fifo.pipe.lock().strong_count(), 0);
}

#[test]
fn loom_fifo_reader_and_writer_meet() {
    model(3, || {
        let fifo = Arc::new(Fifo::new());
        let theirs = Arc::clone(&fifo);
        let writer = thread::spawn(move || {
            let end = opened(&theirs, Access::Write);
            assert_eq!(block_on(write_all(&*end, b"a", &TestSleeper::new())), Ok(1));
        });
        let (end, sleeper) = (opened(&fifo, Access::Read), TestSleeper::new());
        assert_eq!(block_on(read_some(&*end, 9, &sleeper)), Ok(b"a".to_vec()));
        assert_eq!(block_on(read_some(&*end, 9, &sleeper)), Ok(vec![]));
        assert!(writer.join().is_ok());
        drop(end);
        assert_closed(&fifo);
    });
}

/// A writer that does not wait finds a reader that does, or is refused; then one that waits comes.
#[test]
fn loom_fifo_reader_that_waits_is_met_by_a_writer_that_does_not() {
    model(3, || {
        let fifo = Arc::new(Fifo::new());
        let theirs = Arc::clone(&fifo);
        let reader = thread::spawn(move || drop(opened(&theirs, Access::Read)));
        match fifo.open(Access::Write, true) {
            Ok(opening) => assert!(opening.ready().is_some()),
            Err(errno) => {
                assert_eq!(errno, Errno::ENXIO);
                drop(opened(&fifo, Access::Write));
            }
        }
        assert!(reader.join().is_ok());
        assert_closed(&fifo);
    });
}

#[test]
fn loom_fifo_two_readers_are_met_by_one_writer() {
    model(2, || {
        let fifo = Arc::new(Fifo::new());
        let readers = [(); 2].map(|()| {
            let theirs = Arc::clone(&fifo);
            thread::spawn(move || opened(&theirs, Access::Read))
        });
        let writer = opened(&fifo, Access::Write);
        // It stays until both are there: one that comes later waits for another.
        for reader in readers {
            assert!(reader.join().is_ok());
        }
        drop(writer);
        assert_closed(&fifo);
    });
}

/// A peer that has come and gone has been there.
#[test]
fn loom_fifo_writer_that_goes_at_once_has_met_the_reader() {
    model(3, || {
        let fifo = Arc::new(Fifo::new());
        let theirs = Arc::clone(&fifo);
        let writer = thread::spawn(move || drop(opened(&theirs, Access::Write)));
        let end = opened(&fifo, Access::Read);
        let rest = block_on(read_some(&*end, 9, &TestSleeper::new()));
        assert_eq!(rest, Ok(vec![]));
        assert!(writer.join().is_ok());
    });
}

/// Who is interrupted has opened nothing, unless its peer was there first.
#[test]
fn loom_fifo_open_that_is_interrupted_has_opened_nothing() {
    model(3, || {
        let (fifo, sleeper) = (Arc::new(Fifo::new()), Arc::new(TestSleeper::new()));
        let (theirs, asleep) = (Arc::clone(&fifo), Arc::clone(&sleeper));
        let reader = thread::spawn(move || open(&theirs, Access::Read, &asleep).is_ok());
        sleeper.signal();
        let met = match fifo.open(Access::Write, true) {
            Ok(writer) => {
                drop(writer);
                true
            }
            Err(errno) => {
                assert_eq!(errno, Errno::ENXIO);
                false
            }
        };
        let Ok(opened) = reader.join() else {
            panic!("the reader")
        };
        assert!(met || !opened, "met nobody");
        assert_closed(&fifo);
    });
}
