//! The calls as futures: what the kernel does.

use halyard_cell::FutureSlot;

use super::*;
use crate::fs::file::File;
use crate::wait::{Interruption, wait_for_time, wait_until};

const CALL_BYTES: usize = 512;

#[derive(Default)]
pub(super) struct Futures(FutureSlot<CALL_BYTES, Result<usize>>);

impl Model for Futures {
    #[inline]
    fn start(&mut self, call: Call, thread: &Arc<Thread>) -> Option<Result<usize>> {
        match call {
            Call::Read { end, mut room } => match end.try_read(&mut room, 0) {
                Err(Errno::EAGAIN) => self.0.emplace(read(thread.clone(), end, room)),
                done => return Some(done),
            },
            Call::Write { end, mut bytes } => match end.try_write(&mut bytes, 0) {
                Ok(count) if bytes.remaining() > 0 => {
                    self.0.emplace(write(thread.clone(), end, bytes, count))
                }
                Err(Errno::EAGAIN) => self.0.emplace(write(thread.clone(), end, bytes, 0)),
                done => return Some(done),
            },
            Call::Ask { channel, message } => self.0.emplace(ask(thread.clone(), channel, message)),
            Call::Answer { channel, reply } => {
                if let Some(reply) = reply {
                    channel.reply(reply);
                }
                match channel.try_receive() {
                    Some(message) => return Some(Ok(message)),
                    None => self.0.emplace(receive(thread.clone(), channel)),
                }
            }
            Call::SleepUntil(until) => self.0.emplace(sleep(thread.clone(), until)),
        }
        None
    }

    #[inline]
    fn poll(&mut self, _: &Thread, context: &mut Context<'_>) -> Poll<Result<usize>> {
        self.0.poll(context)
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) async fn read(
    thread: Arc<Thread>,
    end: Arc<PipeReader>,
    mut room: Room,
) -> Result<usize> {
    let attempt = wait_until(&thread.sleeper, end.queue(), None, || {
        match end.try_read(&mut room, 0) {
            Err(Errno::EAGAIN) => None,
            done => Some(done),
        }
    });
    attempt.await.map_err(Interruption::errno)?
}

pub(super) async fn write(
    thread: Arc<Thread>,
    end: Arc<PipeWriter>,
    mut bytes: Bytes,
    mut done: usize,
) -> Result<usize> {
    while bytes.remaining() > 0 {
        let attempt = wait_until(&thread.sleeper, end.queue(), None, || {
            match end.try_write(&mut bytes, 0) {
                Err(Errno::EAGAIN) => None,
                done => Some(done),
            }
        });
        match attempt.await.map_err(Interruption::errno).flatten() {
            Ok(count) => done += count,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// A message that has been sent and has no reply yet. Dropping it withdraws it.
struct Sent<'a>(&'a Channel);

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.0.withdraw();
    }
}

pub(super) async fn ask(
    thread: Arc<Thread>,
    channel: Arc<Channel>,
    message: usize,
) -> Result<usize> {
    wait_until(&thread.sleeper, &channel.callers, None, || {
        channel.try_send(message)
    })
    .await
    .map_err(Interruption::errno)?;
    let sent = Sent(&channel);
    let reply = wait_until(&thread.sleeper, &channel.caller, None, || {
        channel.try_take_reply()
    })
    .await;
    if reply.is_ok() {
        core::mem::forget(sent);
    }
    reply.map_err(Interruption::errno)
}

pub(super) async fn receive(thread: Arc<Thread>, channel: Arc<Channel>) -> Result<usize> {
    wait_until(&thread.sleeper, &channel.servers, None, || {
        channel.try_receive()
    })
    .await
    .map_err(Interruption::errno)
}

pub(super) async fn sleep(thread: Arc<Thread>, until: Instant) -> Result<usize> {
    match wait_for_time(&thread.sleeper, Some(until)).await {
        Interruption::TimedOut => Ok(0),
        why => Err(why.errno()),
    }
}
