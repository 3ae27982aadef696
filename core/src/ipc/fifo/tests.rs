//! Opening FIFOs: who waits for whom, and what is left when an opener gives up.

use alloc::boxed::Box;
use core::future::Future;
use core::task::{Context, Poll};

use super::*;
use crate::Errno;
use crate::fs::file::Readiness;
use crate::wait::testing::{Bell, TestSleeper};

fn done(opening: Result<Opening>) -> Arc<dyn File> {
    match opening {
        Ok(Opening::Done(end)) => end,
        Ok(_) => panic!("the open waits"),
        Err(errno) => panic!("the open failed: {errno:?}"),
    }
}

fn write(file: &Arc<dyn File>, bytes: &[u8]) -> Result<usize> {
    let mut source = bytes;
    file.try_write(&mut source, 0)
}

fn read(file: &Arc<dyn File>) -> Result<usize> {
    let mut buffer = [0; 64];
    let mut sink: &mut [u8] = &mut buffer;
    file.try_read(&mut sink, 0)
}

#[test]
fn fifo_opened_for_writing_without_waiting_needs_a_reader() {
    let fifo = Fifo::new();
    assert_eq!(fifo.open(Access::Write, true).err(), Some(Errno::ENXIO));
    let _reader = done(fifo.open(Access::Read, true));
    done(fifo.open(Access::Write, true));
}

#[test]
fn fifo_opened_for_both_never_waits() {
    let fifo = Fifo::new();
    let both = done(fifo.open(Access::Both, false));
    assert_eq!(write(&both, b"abc"), Ok(3));
    assert_eq!(read(&both), Ok(3));
    assert_eq!(
        read(&both),
        Err(Errno::EAGAIN),
        "it is its own writer: no end of file"
    );
}

#[test]
fn fifo_that_never_had_a_writer_reads_zero_without_hang_up() {
    let fifo = Fifo::new();
    let reader = done(fifo.open(Access::Read, true));
    assert_eq!(read(&reader), Ok(0));
    assert_eq!(reader.poll(), Readiness::empty());
    let writer = done(fifo.open(Access::Write, true));
    assert_eq!(read(&reader), Err(Errno::EAGAIN));
    drop(writer);
    assert_eq!(reader.poll(), Readiness::HUP);
    let _writer = done(fifo.open(Access::Write, true));
    assert_eq!(
        reader.poll(),
        Readiness::empty(),
        "a new writer clears the hang-up"
    );
}

#[test]
fn fifo_closed_by_all_drops_what_is_in_it() {
    let fifo = Fifo::new();
    let both = done(fifo.open(Access::Both, false));
    assert_eq!(write(&both, b"abc"), Ok(3));
    drop(both);
    let both = done(fifo.open(Access::Both, false));
    assert_eq!(read(&both), Err(Errno::EAGAIN));
}

#[test]
fn fifo_blocking_opens_meet() {
    let (fifo, sleeper) = (Fifo::new(), TestSleeper::new());
    let (bell, waker) = Bell::new();
    let mut context = Context::from_waker(&waker);
    let Ok(opening) = fifo.open(Access::Read, false) else {
        panic!("the open failed")
    };
    let mut reader = Box::pin(opening.complete(&sleeper));
    assert!(reader.as_mut().poll(&mut context).is_pending());
    let writer = done(fifo.open(Access::Write, false));
    assert_eq!(bell.rings(), 1);
    drop(writer);
    // The writer has gone again, but it was there.
    let Poll::Ready(Ok(reader)) = reader.as_mut().poll(&mut context) else {
        panic!("still waits")
    };
    assert_eq!(read(&reader), Ok(0));
}

#[test]
fn fifo_blocking_open_interrupted_leaves_no_end() {
    let (fifo, sleeper) = (Fifo::new(), TestSleeper::new());
    let (_bell, waker) = Bell::new();
    let mut context = Context::from_waker(&waker);
    let Ok(opening) = fifo.open(Access::Write, false) else {
        panic!("the open failed")
    };
    let mut writer = Box::pin(opening.complete(&sleeper));
    assert!(writer.as_mut().poll(&mut context).is_pending());
    sleeper.signal();
    assert!(matches!(
        writer.as_mut().poll(&mut context),
        Poll::Ready(Err(Interruption::Signal))
    ));
    drop(writer);
    let reader = done(fifo.open(Access::Read, true));
    assert_eq!(reader.poll(), Readiness::empty());
    assert_eq!(read(&reader), Ok(0));
}
