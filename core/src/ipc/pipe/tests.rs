//! The rules of pipe(7), one by one.

use alloc::boxed::Box;
use alloc::vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::testing::{TestSink, TestSource, read_some, try_read, try_write, write_all};
use super::*;
use crate::fs::file::{File, Side};
use crate::wait::testing::{Bell, TestSleeper};

type Waiting<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

fn pair() -> (PipeReader, PipeWriter) {
    match Pipe::pair() {
        Ok(ends) => ends,
        Err(errno) => panic!("no pipe: {errno:?}"),
    }
}

fn pipe(end: &dyn File) -> &Pipe {
    match end.pipe() {
        Some(pipe) => pipe,
        None => panic!("not a pipe"),
    }
}

#[test]
fn pipe_new_holds_65536() {
    let (reader, writer) = pair();
    assert_eq!(pipe(&reader).capacity(), 65536);
    assert_eq!(try_write(&writer, &vec![1; 100_000]), Ok(65536));
    assert_eq!(try_write(&writer, &[1]), Err(Errno::EAGAIN));
    assert_eq!(pipe(&reader).unread(), 65536);
}

#[test]
fn pipe_capacity_rounds_up_and_keeps_what_is_in_it() {
    let (reader, writer) = pair();
    let pipe = pipe(&reader);
    assert_eq!(pipe.set_capacity(5000, false), Ok(8192));
    assert_eq!(pipe.set_capacity(1, false), Ok(4096));
    assert_eq!(pipe.set_capacity(0, false), Ok(4096));
    assert_eq!(try_write(&writer, &[7; 4096]), Ok(4096));
    assert_eq!(try_read(&reader, 100), Ok(vec![7; 100]));
    assert_eq!(pipe.set_capacity(16384, false), Ok(16384));
    assert_eq!(try_write(&writer, &[8; 100]), Ok(100));
    assert_eq!(try_write(&writer, &[9; 4096]), Ok(4096));
    assert_eq!(pipe.set_capacity(4096, false), Err(Errno::EBUSY));
    assert_eq!(
        pipe.set_capacity(8192, false),
        Err(Errno::EBUSY),
        "it lies in three pages"
    );
    let mut all = vec![7; 3996];
    all.extend([8; 100]);
    all.extend([9; 4096]);
    assert_eq!(try_read(&reader, 100_000), Ok(all));
    assert_eq!(pipe.set_capacity(4096, false), Ok(4096));
}

#[test]
fn pipe_page_read_in_part_is_no_room_until_it_is_empty() {
    let (reader, writer) = pair();
    assert_eq!(try_write(&writer, &vec![1; 65536]), Ok(65536));
    assert_eq!(try_read(&reader, 5000).map(|bytes| bytes.len()), Ok(5000));
    assert_eq!(try_write(&writer, &[2; 5000]), Ok(4096));
    assert_eq!(try_write(&writer, &[3]), Err(Errno::EAGAIN));
    assert_eq!(try_read(&reader, 3191).map(|bytes| bytes.len()), Ok(3191));
    assert_eq!(writer.poll(), Readiness::empty());
    assert_eq!(try_read(&reader, 1), Ok(vec![1]));
    assert_eq!(writer.poll(), Readiness::OUT | Readiness::WRNORM);
    assert_eq!(try_write(&writer, &[3; 5000]), Ok(4096));
    assert_eq!(pipe(&reader).unread(), 65536);
}

#[test]
fn pipe_capacity_beyond_the_maximum_needs_privilege() {
    let (reader, _writer) = pair();
    let pipe = pipe(&reader);
    assert_eq!(pipe.set_capacity(MAX_CAPACITY, false), Ok(MAX_CAPACITY));
    assert_eq!(
        pipe.set_capacity(MAX_CAPACITY + 1, false),
        Err(Errno::EPERM)
    );
    assert_eq!(
        pipe.set_capacity(MAX_CAPACITY + 1, true),
        Ok(2 * MAX_CAPACITY)
    );
    assert_eq!(
        pipe.set_capacity(2 * MAX_CAPACITY - 1, false),
        Ok(2 * MAX_CAPACITY)
    );
    assert_eq!(pipe.set_capacity((1 << 31) + 1, true), Err(Errno::ENOMEM));
}

#[test]
fn pipe_small_write_without_full_room_writes_nothing() {
    let (reader, writer) = pair();
    assert_eq!(try_write(&writer, &vec![1; 65536 - 100]), Ok(65436));
    assert_eq!(try_write(&writer, &[2; 101]), Err(Errno::EAGAIN));
    assert_eq!(try_write(&writer, &[2; 4096]), Err(Errno::EAGAIN));
    assert_eq!(pipe(&reader).unread(), 65436);
    assert_eq!(try_write(&writer, &[2; 4097]), Ok(100));
}

#[test]
fn pipe_write_without_readers_is_epipe_but_of_nothing_is_zero() {
    let (reader, writer) = pair();
    drop(reader);
    assert_eq!(try_write(&writer, &[]), Ok(0));
    assert_eq!(try_write(&writer, &[1]), Err(Errno::EPIPE));
}

#[test]
fn pipe_read_drains_before_the_end_of_file() {
    let (reader, writer) = pair();
    assert_eq!(try_read(&reader, 9), Err(Errno::EAGAIN));
    assert_eq!(try_read(&reader, 0), Ok(vec![]));
    assert_eq!(try_write(&writer, b"last"), Ok(4));
    drop(writer);
    assert_eq!(try_read(&reader, 3), Ok(b"las".to_vec()));
    assert_eq!(try_read(&reader, 9), Ok(b"t".to_vec()));
    assert_eq!(try_read(&reader, 9), Ok(vec![]));
}

#[test]
fn pipe_wrong_end_is_ebadf() {
    let (reader, writer) = pair();
    assert_eq!(try_write(&reader, b"x"), Err(Errno::EBADF));
    assert_eq!(try_read(&writer, 1), Err(Errno::EBADF));
    assert!(!reader.seekable() && !writer.seekable());
}

#[test]
fn pipe_poll_of_the_reading_end() {
    let (reader, writer) = pair();
    assert_eq!(reader.poll(), Readiness::empty());
    assert_eq!(try_write(&writer, b"x"), Ok(1));
    let readable = Readiness::IN | Readiness::RDNORM;
    assert_eq!(reader.poll(), readable);
    drop(writer);
    assert_eq!(reader.poll(), readable | Readiness::HUP);
    assert_eq!(try_read(&reader, 1), Ok(b"x".to_vec()));
    assert_eq!(reader.poll(), Readiness::HUP);
}

#[test]
fn pipe_poll_of_the_writing_end() {
    let (reader, writer) = pair();
    let writable = Readiness::OUT | Readiness::WRNORM;
    assert_eq!(writer.poll(), writable);
    assert_eq!(try_write(&writer, &vec![1; 65536 - 100]), Ok(65436));
    assert_eq!(writer.poll(), Readiness::empty());
    assert_eq!(try_read(&reader, 4095).map(|bytes| bytes.len()), Ok(4095));
    assert_eq!(writer.poll(), Readiness::empty());
    assert_eq!(try_read(&reader, 1).map(|bytes| bytes.len()), Ok(1));
    assert_eq!(writer.poll(), writable);
    drop(reader);
    assert_eq!(writer.poll(), writable | Readiness::ERR);
}

#[test]
fn pipe_write_that_faults_shows_nothing() {
    let (reader, writer) = pair();
    let mut source = TestSource::faulting(&[1; 200], 96);
    assert_eq!(writer.try_write(&mut source, 0), Err(Errno::EFAULT));
    assert_eq!(pipe(&reader).unread(), 0);
    assert_eq!(try_write(&writer, b"next"), Ok(4));
    assert_eq!(try_read(&reader, 9), Ok(b"next".to_vec()));
}

#[test]
fn pipe_long_write_that_faults_keeps_what_was_written_before() {
    let (reader, writer) = pair();
    let bytes = vec![1; 20_000];
    let mut source = TestSource::faulting(&bytes, 9000);
    assert_eq!(writer.try_write(&mut source, 0), Ok(8192));
    assert_eq!(pipe(&reader).unread(), 8192);
}

#[test]
fn pipe_read_that_faults_loses_nothing() {
    let (reader, writer) = pair();
    assert_eq!(try_write(&writer, &[5; 200]), Ok(200));
    let mut sink = TestSink::faulting(200, 96);
    assert_eq!(reader.try_read(&mut sink, 0), Err(Errno::EFAULT));
    assert_eq!(try_read(&reader, 500), Ok(vec![5; 200]));
}

#[test]
fn pipe_blocking_write_goes_on_until_all_is_written() {
    let ((reader, writer), sleeper) = (pair(), TestSleeper::new());
    let (bell, waker) = Bell::new();
    let bytes = vec![3; 200_000];
    let mut write: Waiting<usize> = Box::pin(write_all(&writer, &bytes, &sleeper));
    let mut read = 0;
    let written = loop {
        if let Poll::Ready(written) = write.as_mut().poll(&mut Context::from_waker(&waker)) {
            break written;
        }
        read += try_read(&reader, 30_000).map_or(0, |bytes| bytes.len());
        assert_eq!(bell.rings(), 1);
    };
    assert_eq!(written, Ok(200_000));
    assert_eq!(read + pipe(&reader).unread(), 200_000);
}

#[test]
fn pipe_blocked_small_write_waits_for_full_room() {
    let ((reader, writer), sleeper) = (pair(), TestSleeper::new());
    let (bell, waker) = Bell::new();
    assert_eq!(try_write(&writer, &vec![1; 65536 - 100]), Ok(65436));
    let mut write: Waiting<usize> = Box::pin(write_all(&writer, &[2; 4096], &sleeper));
    assert!(
        write
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    assert_eq!(try_read(&reader, 3000).map(|bytes| bytes.len()), Ok(3000));
    assert_eq!(bell.rings(), 0, "woken only once any atomic write fits");
    assert_eq!(try_read(&reader, 1096).map(|bytes| bytes.len()), Ok(1096));
    assert_eq!(bell.rings(), 1);
    assert_eq!(
        write.as_mut().poll(&mut Context::from_waker(&waker)),
        Poll::Ready(Ok(4096))
    );
}

#[test]
fn pipe_interrupted_write_returns_the_count_or_eintr() {
    let ((reader, writer), sleeper) = (pair(), TestSleeper::new());
    let (_bell, waker) = Bell::new();
    let mut context = Context::from_waker(&waker);
    let bytes = vec![3; 70_000];
    let mut write: Waiting<usize> = Box::pin(write_all(&writer, &bytes, &sleeper));
    assert!(write.as_mut().poll(&mut context).is_pending());
    sleeper.signal();
    assert_eq!(write.as_mut().poll(&mut context), Poll::Ready(Ok(65536)));
    let mut write: Waiting<usize> = Box::pin(write_all(&writer, &bytes, &sleeper));
    assert_eq!(
        write.as_mut().poll(&mut context),
        Poll::Ready(Err(Errno::EINTR))
    );
    drop(reader);
}

#[test]
fn pipe_reader_that_vanishes_ends_a_blocked_write_with_its_count() {
    let ((reader, writer), sleeper) = (pair(), TestSleeper::new());
    let (bell, waker) = Bell::new();
    let bytes = vec![3; 70_000];
    let mut write: Waiting<usize> = Box::pin(write_all(&writer, &bytes, &sleeper));
    assert!(
        write
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(reader);
    assert_eq!(bell.rings(), 1);
    assert_eq!(
        write.as_mut().poll(&mut Context::from_waker(&waker)),
        Poll::Ready(Ok(65536))
    );
}

#[test]
fn pipe_last_writer_gone_ends_a_blocked_read() {
    let ((reader, writer), sleeper) = (pair(), TestSleeper::new());
    let second = PipeWriter::open(writer_pipe(&writer));
    let (bell, waker) = Bell::new();
    let mut read: Waiting<_> = Box::pin(read_some(&reader, 10, &sleeper));
    assert!(
        read.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(writer);
    assert!(
        read.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    bell.rings();
    drop(second);
    assert_eq!(bell.rings(), 1);
    assert_eq!(
        read.as_mut().poll(&mut Context::from_waker(&waker)),
        Poll::Ready(Ok(vec![]))
    );
}

fn writer_pipe(writer: &PipeWriter) -> Arc<Pipe> {
    writer.shared().clone()
}

#[test]
fn pipe_gone_leaves_no_live_object_of_its_own() {
    let (reader, writer) = pair();
    let weak = Arc::downgrade(writer.shared());
    let queue = reader.wait_queue(Side::Read);
    assert!(queue.is_some_and(WaitQueue::is_idle));
    drop((reader, writer));
    assert!(weak.upgrade().is_none());
}
