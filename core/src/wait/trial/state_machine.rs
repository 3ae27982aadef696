//! The calls as a state machine written by hand: an enum of blocked calls that are tried again on each wake. It uses the
//! same places in the same queues; what a future's compiler-made state and drop do for [`super::futures`] is written out.

use core::task::Waker;

use super::*;
use crate::fs::file::File;
use crate::wait::testing::TestSleeper;
use crate::wait::{Rank, Sleeper, WaitQueue};

/// The call that waits, if one does.
#[derive(Default)]
pub(super) struct StateMachine(Blocked);

/// A call that waits.
#[derive(Default)]
enum Blocked {
    #[default]
    Free,
    Reading {
        end: Arc<PipeReader>,
        room: Room,
        seat: Seat,
    },
    Writing {
        end: Arc<PipeWriter>,
        bytes: Bytes,
        done: usize,
        seat: Seat,
    },
    /// Waits for the channel to be free.
    Sending {
        channel: Arc<Channel>,
        message: usize,
        seat: Seat,
    },
    /// Has sent; waits for the reply.
    Asking {
        channel: Arc<Channel>,
        seat: Seat,
    },
    Receiving {
        channel: Arc<Channel>,
        seat: Seat,
    },
    Sleeping {
        until: Instant,
        begun: bool,
        thread: Arc<Thread>,
    },
}

/// Where a call stands with its queue.
struct Seat {
    rank: Rank,
    begun: bool,
}

impl Seat {
    const fn new() -> Seat {
        Seat {
            rank: Rank::EXCLUSIVE,
            begun: false,
        }
    }

    /// Tries `op`, takes the place, tries again: the protocol of `Wait::poll`, for a queue that is named each time.
    #[inline]
    fn attempt<T>(
        &mut self,
        queue: &WaitQueue,
        sleeper: &TestSleeper,
        waker: &Waker,
        mut op: impl FnMut() -> Option<Result<T>>,
    ) -> Poll<Result<T>> {
        let mut result = None;
        if self.begun {
            self.rank.disarm(queue);
            result = op();
        }
        if result.is_none() {
            if self.rank.arm(queue, waker).is_err() {
                result = Some(Err(Errno::ENOMEM));
            } else if let Some(done) = op() {
                result = Some(done);
            } else if sleeper.interrupted() {
                self.rank.leave(queue, false);
                return Poll::Ready(Err(Errno::EINTR));
            }
        }
        self.begun = true;
        match result {
            Some(done) => {
                self.rank.leave(queue, true);
                self.begun = false;
                Poll::Ready(done)
            }
            None => Poll::Pending,
        }
    }
}

fn would_block(result: Result<usize>) -> Option<Result<usize>> {
    if result == Err(Errno::EAGAIN) {
        None
    } else {
        Some(result)
    }
}

impl Model for StateMachine {
    #[inline]
    fn start(&mut self, call: Call, thread: &Arc<Thread>) -> Option<Result<usize>> {
        let seat = Seat::new();
        self.0 = match call {
            Call::Read { end, mut room } => match end.try_read(&mut room, 0) {
                Err(Errno::EAGAIN) => Blocked::Reading { end, room, seat },
                done => return Some(done),
            },
            Call::Write { end, mut bytes } => match end.try_write(&mut bytes, 0) {
                Ok(done) if bytes.remaining() > 0 => Blocked::Writing {
                    end,
                    bytes,
                    done,
                    seat,
                },
                Err(Errno::EAGAIN) => Blocked::Writing {
                    end,
                    bytes,
                    done: 0,
                    seat,
                },
                done => return Some(done),
            },
            Call::Ask { channel, message } => Blocked::Sending {
                channel,
                message,
                seat,
            },
            Call::Answer { channel, reply } => {
                if let Some(reply) = reply {
                    channel.reply(reply);
                }
                match channel.try_receive() {
                    Some(message) => return Some(Ok(message)),
                    None => Blocked::Receiving { channel, seat },
                }
            }
            Call::SleepUntil(until) => Blocked::Sleeping {
                until,
                begun: false,
                thread: thread.clone(),
            },
        };
        None
    }

    #[inline]
    fn poll(&mut self, thread: &Thread, context: &mut Context<'_>) -> Poll<Result<usize>> {
        loop {
            let polled = self.0.step(thread, context.waker());
            match (polled, &mut self.0) {
                // The message is sent: the call goes on in its next state.
                (Poll::Ready(Ok(_)), Blocked::Sending { channel, .. }) => {
                    let channel = channel.clone();
                    self.0 = Blocked::Asking {
                        channel,
                        seat: Seat::new(),
                    };
                }
                (Poll::Ready(result), Blocked::Asking { channel, .. }) => {
                    if result.is_err() {
                        channel.withdraw();
                    }
                    self.0 = Blocked::Free;
                    return Poll::Ready(result);
                }
                (Poll::Ready(Ok(count)), Blocked::Writing { bytes, done, .. }) => {
                    *done += count;
                    if bytes.remaining() == 0 {
                        let done = *done;
                        self.0 = Blocked::Free;
                        return Poll::Ready(Ok(done));
                    }
                }
                (Poll::Ready(Err(_)), Blocked::Writing { done, .. }) if *done > 0 => {
                    let done = *done;
                    self.0 = Blocked::Free;
                    return Poll::Ready(Ok(done));
                }
                (Poll::Ready(result), _) => {
                    self.0 = Blocked::Free;
                    return Poll::Ready(result);
                }
                (Poll::Pending, _) => return Poll::Pending,
            }
        }
    }

    fn clear(&mut self) {
        match core::mem::take(&mut self.0) {
            Blocked::Free => {}
            Blocked::Reading { end, mut seat, .. } => seat.rank.leave(end.queue(), false),
            Blocked::Writing { end, mut seat, .. } => seat.rank.leave(end.queue(), false),
            Blocked::Sending {
                channel, mut seat, ..
            } => seat.rank.leave(&channel.callers, false),
            Blocked::Asking { channel, mut seat } => {
                seat.rank.leave(&channel.caller, false);
                channel.withdraw();
            }
            Blocked::Receiving { channel, mut seat } => seat.rank.leave(&channel.servers, false),
            Blocked::Sleeping { begun, thread, .. } => {
                if begun {
                    thread.sleeper.set_deadline(None);
                }
            }
        }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        matches!(self.0, Blocked::Free)
    }
}

impl Blocked {
    /// One attempt in the present state.
    #[inline]
    fn step(&mut self, thread: &Thread, waker: &Waker) -> Poll<Result<usize>> {
        let sleeper = &thread.sleeper;
        match self {
            Blocked::Free => Poll::Pending,
            Blocked::Reading { end, room, seat } => {
                seat.attempt(end.queue(), sleeper, waker, || {
                    would_block(end.try_read(room, 0))
                })
            }
            Blocked::Writing {
                end, bytes, seat, ..
            } => seat.attempt(end.queue(), sleeper, waker, || {
                would_block(end.try_write(bytes, 0))
            }),
            Blocked::Sending {
                channel,
                message,
                seat,
            } => seat.attempt(&channel.callers, sleeper, waker, || {
                channel.try_send(*message).map(|()| Ok(0))
            }),
            Blocked::Asking { channel, seat } => {
                seat.attempt(&channel.caller, sleeper, waker, || {
                    channel.try_take_reply().map(Ok)
                })
            }
            Blocked::Receiving { channel, seat } => {
                seat.attempt(&channel.servers, sleeper, waker, || {
                    channel.try_receive().map(Ok)
                })
            }
            Blocked::Sleeping { until, begun, .. } => {
                let result = if sleeper.interrupted() {
                    Err(Errno::EINTR)
                } else if sleeper.now() >= *until {
                    Ok(0)
                } else {
                    if !*begun {
                        sleeper.set_deadline(Some(*until));
                    }
                    *begun = true;
                    return Poll::Pending;
                };
                if *begun {
                    sleeper.set_deadline(None);
                }
                Poll::Ready(result)
            }
        }
    }
}

/// What a future does when it is dropped.
impl Drop for StateMachine {
    fn drop(&mut self) {
        self.clear();
    }
}
