//! The ends of a channel, as files.

use alloc::sync::Arc;

use super::exchange::{Delivery, Outcome, complete_with};
use super::{Channel, Exchange};
use crate::Errno;
use crate::fs::file::{File, Readiness, Side, Special};
use crate::wait::WaitQueue;

/// The server's end: there is one, which forks and messages may share.
pub struct ServerEnd {
    pub(super) channel: Arc<Channel>,
}

/// An end that calls.
pub struct ClientEnd {
    pub(super) channel: Arc<Channel>,
    /// What the server is told with each call by this end: it cannot be forged.
    pub(super) badge: u64,
}

impl ServerEnd {
    /// A new channel.
    pub(super) fn new() -> ServerEnd {
        ServerEnd {
            channel: Channel::new(),
        }
    }

    /// Another end that calls.
    pub(super) fn client(&self, badge: u64) -> ClientEnd {
        ClientEnd {
            channel: Arc::clone(&self.channel),
            badge,
        }
    }
}

impl Drop for ServerEnd {
    /// Calls that wait to be taken fail with EPIPE. Who receives holds the end, so nobody does.
    fn drop(&mut self) {
        self.channel.state.lock().open = false;
        loop {
            let call = self.channel.state.lock().calls.pop_front();
            let Some(call) = call else { break };
            let delivery = Delivery {
                letter: Err(Errno::EPIPE),
                owed: None,
                unsent: call.letter.file,
            };
            let _: Result<Outcome, _> = complete_with(&call.caller, call.ticket, delivery);
        }
        self.channel.closed.wake_all();
    }
}

impl File for ServerEnd {
    fn poll(&self) -> Readiness {
        if self.channel.state.lock().calls.is_empty() {
            Readiness::empty()
        } else {
            Readiness::IN | Readiness::RDNORM
        }
    }

    fn wait_queue(&self, side: Side) -> Option<&WaitQueue> {
        (side == Side::Read).then_some(&self.channel.called)
    }

    fn special(&self) -> Special<'_> {
        Special::ChannelServer(self)
    }
}

impl File for ClientEnd {
    fn poll(&self) -> Readiness {
        if self.channel.state.lock().open {
            Readiness::OUT | Readiness::WRNORM
        } else {
            Readiness::ERR | Readiness::HUP
        }
    }

    fn wait_queue(&self, _: Side) -> Option<&WaitQueue> {
        Some(&self.channel.closed)
    }

    fn special(&self) -> Special<'_> {
        Special::ChannelClient(self)
    }
}

impl Exchange {
    /// Whether it is the call numbered `ticket`, waiting for its reply.
    #[inline]
    pub(super) fn is_call(&self, wanted: u64) -> bool {
        matches!(self, Exchange::Calling { ticket, .. } if *ticket == wanted)
    }
}
