//! Both ways under the model checker: each thread of the model is a CPU that runs one call.

use core::future::poll_fn;

use loom::future::block_on;
use loom::thread;

use super::futures::Futures;
use super::state_machine::StateMachine;
use super::*;
use crate::ipc::pipe::Pipe;

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(body);
}

/// Makes a call and waits for its end, as a CPU that has nothing else to do.
fn make<M: Model>(call: Call, thread: &Arc<Thread>) -> Result<usize> {
    let mut model = M::default();
    match model.start(call, thread) {
        Some(done) => done,
        None => block_on(poll_fn(|context| model.poll(thread, context))),
    }
}

fn pipe_and_kill<M: Model>() {
    model(|| {
        let Ok((reader, writer)) = Pipe::pair() else {
            panic!("no pipe")
        };
        let (reader, writer) = (Arc::new(reader), Arc::new(writer));
        let end = reader.clone();
        let killed = thread::spawn(move || {
            let (thread, mut model) = (Thread::new(), M::default());
            if model
                .start(
                    Call::Read {
                        end,
                        room: Room::faulting(1),
                    },
                    &thread,
                )
                .is_none()
            {
                let polled =
                    model.poll(&thread, &mut Context::from_waker(core::task::Waker::noop()));
                assert!(matches!(
                    polled,
                    Poll::Pending | Poll::Ready(Err(Errno::EFAULT))
                ));
                model.clear();
            }
        });
        let put = thread::spawn(move || {
            assert_eq!(
                make::<M>(
                    Call::Write {
                        end: writer.clone(),
                        bytes: Bytes::new(1)
                    },
                    &Thread::new()
                ),
                Ok(1)
            );
            writer
        });
        assert_eq!(
            make::<M>(
                Call::Read {
                    end: reader.clone(),
                    room: Room::new(1)
                },
                &Thread::new()
            ),
            Ok(1)
        );
        assert!(killed.join().is_ok());
        assert!(put.join().is_ok());
        assert_eq!(reader.queue().waiting(), 0);
    });
}

fn channel<M: Model>() {
    model(|| {
        let channel = Arc::new(Channel::default());
        let served = channel.clone();
        let server = thread::spawn(move || {
            let mut reply = None;
            for _ in 0..2 {
                let received = make::<M>(
                    Call::Answer {
                        channel: served.clone(),
                        reply,
                    },
                    &Thread::new(),
                );
                reply = received.ok().map(|message| message + 1);
            }
            served.reply(reply.unwrap_or(0));
        });
        let other = channel.clone();
        let asker = thread::spawn(move || {
            make::<M>(
                Call::Ask {
                    channel: other,
                    message: 10,
                },
                &Thread::new(),
            )
        });
        assert_eq!(
            make::<M>(
                Call::Ask {
                    channel: channel.clone(),
                    message: 20
                },
                &Thread::new()
            ),
            Ok(21)
        );
        assert_eq!(asker.join().ok(), Some(Ok(11)));
        assert!(server.join().is_ok());
        assert_eq!(
            channel.callers.waiting() + channel.caller.waiting() + channel.servers.waiting(),
            0
        );
    });
}

#[test]
fn loom_trial_futures_pipe_fault_and_kill() {
    pipe_and_kill::<Futures>();
}

#[test]
fn loom_trial_state_machine_pipe_fault_and_kill() {
    pipe_and_kill::<StateMachine>();
}

#[test]
fn loom_trial_futures_channel() {
    channel::<Futures>();
}

#[test]
fn loom_trial_state_machine_channel() {
    channel::<StateMachine>();
}
