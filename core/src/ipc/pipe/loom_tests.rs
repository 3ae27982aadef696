//! The pipe under the model checker: reads, writes and closes in every order. A lost wake-up shows as a deadlock.

use alloc::vec;

use loom::future::block_on;
use loom::thread;

use super::testing::{read_some, try_read, write_all};
use super::*;
use crate::fs::file::File;
use crate::wait::testing::TestSleeper;

fn pair() -> (PipeReader, PipeWriter) {
    match Pipe::pair() {
        Ok(ends) => ends,
        Err(errno) => panic!("no pipe: {errno:?}"),
    }
}

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

#[test]
fn loom_pipe_read_meets_a_write_and_then_the_end() {
    model(3, || {
        let (reader, writer) = pair();
        let thread = thread::spawn(move || {
            assert_eq!(
                block_on(write_all(&writer, b"ab", &TestSleeper::new())),
                Ok(2)
            );
        });
        let sleeper = TestSleeper::new();
        assert_eq!(
            block_on(read_some(&reader, 9, &sleeper)),
            Ok(b"ab".to_vec())
        );
        assert_eq!(block_on(read_some(&reader, 9, &sleeper)), Ok(vec![]));
        assert!(thread.join().is_ok());
        assert_eq!(reader.poll(), Readiness::HUP);
    });
}

#[test]
fn loom_pipe_full_write_meets_a_read() {
    model(3, || {
        let (reader, writer) = pair();
        let Some(pipe) = (&writer as &dyn File).pipe() else {
            panic!("not a pipe")
        };
        assert_eq!(pipe.set_capacity(PAGE_SIZE, false), Ok(PAGE_SIZE));
        assert_eq!(
            block_on(write_all(&writer, &[1; PAGE_SIZE], &TestSleeper::new())),
            Ok(PAGE_SIZE)
        );
        let thread = thread::spawn(move || {
            assert_eq!(
                block_on(write_all(&writer, b"c", &TestSleeper::new())),
                Ok(1)
            );
        });
        let sleeper = TestSleeper::new();
        let first = block_on(read_some(&reader, PAGE_SIZE, &sleeper));
        assert_eq!(first.map(|bytes| bytes.len()), Ok(PAGE_SIZE));
        assert_eq!(block_on(read_some(&reader, 9, &sleeper)), Ok(b"c".to_vec()));
        assert!(thread.join().is_ok());
    });
}

#[test]
fn loom_pipe_close_of_the_reader_ends_a_blocked_write() {
    model(3, || {
        let (reader, writer) = pair();
        let Some(pipe) = (&writer as &dyn File).pipe() else {
            panic!("not a pipe")
        };
        assert_eq!(pipe.set_capacity(PAGE_SIZE, false), Ok(PAGE_SIZE));
        let thread = thread::spawn(move || drop(reader));
        let written = block_on(write_all(&writer, &[1; PAGE_SIZE + 1], &TestSleeper::new()));
        assert!(matches!(written, Ok(PAGE_SIZE) | Err(Errno::EPIPE)));
        assert!(thread.join().is_ok());
        assert!(writer.poll().contains(Readiness::ERR));
    });
}

#[test]
fn loom_pipe_two_readers_share_one_write() {
    model(2, || {
        let (reader, writer) = pair();
        let second = PipeReader::open(reader.shared().clone());
        let thread = thread::spawn(move || {
            block_on(read_some(&second, 1, &TestSleeper::new())).map(|bytes| bytes.len())
        });
        let putter = thread::spawn(move || {
            assert_eq!(
                block_on(write_all(&writer, b"ab", &TestSleeper::new())),
                Ok(2)
            );
            writer
        });
        let mine = block_on(read_some(&reader, 1, &TestSleeper::new())).map(|bytes| bytes.len());
        assert_eq!((mine, thread.join().ok()), (Ok(1), Some(Ok(1))));
        assert!(putter.join().is_ok());
        assert_eq!(try_read(&reader, 9), Ok(vec![]));
    });
}
