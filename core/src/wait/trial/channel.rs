//! A channel, as small as it can be: one call at a time, served by whoever receives.

use halyard_cell::SpinLock;

use crate::wait::WaitQueue;

/// Where the call in progress stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Free,
    Sent(usize),
    /// A server works on it.
    Taken,
    /// As Taken, but the caller has gone.
    Orphaned,
    Replied(usize),
}

#[derive(Default)]
pub(super) struct Channel {
    stage: SpinLock<Stage>,
    /// Waits for the channel to be free.
    pub(super) callers: WaitQueue,
    /// Waits for a message.
    pub(super) servers: WaitQueue,
    /// Waits for the reply.
    pub(super) caller: WaitQueue,
}

impl Channel {
    /// Where it stands now.
    #[cfg(not(loom))]
    pub(super) fn stage(&self) -> Stage {
        *self.stage.lock()
    }

    /// Hands over a message if no other call is in progress.
    pub(super) fn try_send(&self, message: usize) -> Option<()> {
        let mut stage = self.stage.lock();
        if *stage != Stage::Free {
            return None;
        }
        *stage = Stage::Sent(message);
        drop(stage);
        self.servers.wake_one();
        Some(())
    }

    /// Takes the reply to the message sent; the channel is free again.
    pub(super) fn try_take_reply(&self) -> Option<usize> {
        let mut stage = self.stage.lock();
        let Stage::Replied(reply) = *stage else {
            return None;
        };
        *stage = Stage::Free;
        drop(stage);
        self.callers.wake_one();
        Some(reply)
    }

    /// The caller goes without waiting for its reply.
    pub(super) fn withdraw(&self) {
        let mut stage = self.stage.lock();
        *stage = if *stage == Stage::Taken {
            Stage::Orphaned
        } else {
            Stage::Free
        };
        let free = *stage == Stage::Free;
        drop(stage);
        if free {
            self.callers.wake_one();
        }
    }

    /// Takes a message.
    pub(super) fn try_receive(&self) -> Option<usize> {
        let mut stage = self.stage.lock();
        let Stage::Sent(message) = *stage else {
            return None;
        };
        *stage = Stage::Taken;
        Some(message)
    }

    /// Gives the reply to the message taken.
    pub(super) fn reply(&self, reply: usize) {
        let mut stage = self.stage.lock();
        let queue = match *stage {
            Stage::Taken => {
                *stage = Stage::Replied(reply);
                &self.caller
            }
            Stage::Orphaned => {
                *stage = Stage::Free;
                &self.callers
            }
            Stage::Free | Stage::Sent(_) | Stage::Replied(_) => return,
        };
        drop(stage);
        queue.wake_one();
    }
}
