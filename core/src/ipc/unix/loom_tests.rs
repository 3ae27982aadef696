//! A stream under the model checker: sends, receives, closes and shutdowns in every order. A lost wake-up shows as a deadlock.

use alloc::sync::Arc;
use alloc::vec;

use loom::future::block_on;
use loom::thread;

use super::testing::{ME, receive, receive_waiting, send_waiting};
use super::*;

fn pair() -> (Arc<Socket>, Arc<Socket>) {
    let [one, other] = Socket::pair(Kind::Stream, ME);
    (one, other)
}

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// One write fills it.
fn narrow(socket: &Socket) {
    socket.outbox().half.lock().limit = 1;
}

#[test]
fn loom_unix_stream_receive_meets_a_send_and_then_the_close() {
    model(2, || {
        let (reader, writer) = pair();
        let thread = thread::spawn(move || {
            assert_eq!(block_on(send_waiting(&writer, b"ab")), Ok(2));
        });
        assert_eq!(block_on(receive_waiting(&reader, 9)), Ok(b"ab".to_vec()));
        assert_eq!(block_on(receive_waiting(&reader, 9)), Ok(vec![]));
        assert!(thread.join().is_ok());
    });
}

#[test]
fn loom_unix_stream_full_send_meets_a_receive() {
    model(2, || {
        let (reader, writer) = pair();
        narrow(&writer);
        assert_eq!(block_on(send_waiting(&writer, b"a")), Ok(1));
        let thread = thread::spawn(move || {
            assert_eq!(block_on(send_waiting(&writer, b"b")), Ok(1));
            writer
        });
        assert_eq!(block_on(receive_waiting(&reader, 1)), Ok(b"a".to_vec()));
        assert_eq!(block_on(receive_waiting(&reader, 1)), Ok(b"b".to_vec()));
        assert!(thread.join().is_ok());
    });
}

#[test]
fn loom_unix_stream_close_ends_a_waiting_send() {
    model(2, || {
        let (reader, writer) = pair();
        narrow(&writer);
        assert_eq!(block_on(send_waiting(&writer, b"a")), Ok(1));
        let thread = thread::spawn(move || drop(reader));
        assert_eq!(block_on(send_waiting(&writer, b"b")), Err(Errno::EPIPE));
        assert!(thread.join().is_ok());
        assert_eq!(receive(&writer, 9), Err(Errno::ECONNRESET));
        assert_eq!(receive(&writer, 9), Ok(vec![]));
    });
}

#[test]
fn loom_unix_stream_shutdown_ends_a_waiting_receive() {
    model(2, || {
        let (reader, writer) = pair();
        let thread = thread::spawn(move || {
            writer.shut_down(false, true);
            writer
        });
        assert_eq!(block_on(receive_waiting(&reader, 9)), Ok(vec![]));
        assert!(thread.join().is_ok());
    });
}

#[test]
fn loom_unix_stream_both_ends_close_at_once() {
    model(2, || {
        let (one, other) = pair();
        assert_eq!(block_on(send_waiting(&one, b"x")), Ok(1));
        let thread = thread::spawn(move || drop(one));
        drop(other);
        assert!(thread.join().is_ok());
    });
}
