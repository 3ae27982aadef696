//! What the tests of System V objects have in common: actors that block, and headers.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::table::Header;
use super::{Keeper, Stamp};
use crate::process::credentials::Credentials;
use crate::wait::testing::Bell;

/// The header of an object of root's, without a key.
pub(crate) fn header() -> Header {
    Header::new(0, 0o600, &Credentials::root())
}

/// Process `pid` at time `pid`.
pub(crate) fn by(pid: u32) -> Stamp {
    Stamp {
        pid,
        time: u64::from(pid),
    }
}

/// A kernel of which nobody asks anything.
pub(crate) struct NoKernel;

impl Keeper for NoKernel {
    fn stamp(&self) -> Stamp {
        by(77)
    }
    fn forget_segment(&self, _: i32) {}
    fn release_pages(&self, _: usize) {}
}

/// Something that blocks until it has a result.
pub(crate) struct Actor<T> {
    call: Pin<Box<dyn Future<Output = T>>>,
    bell: Arc<Bell>,
    waker: Waker,
    runnable: bool,
}

impl<T> Actor<T> {
    /// It has not run yet.
    pub(crate) fn new(call: impl Future<Output = T> + 'static) -> Actor<T> {
        let (bell, waker) = Bell::new();
        Actor {
            call: Box::pin(call),
            bell,
            waker,
            runnable: true,
        }
    }

    /// Runs if it never did or a wake has reached it since it last did; its result, if it has one now.
    pub(crate) fn run(&mut self) -> Option<T> {
        self.runnable |= self.bell.rings() > 0;
        if !self.runnable {
            return None;
        }
        self.runnable = false;
        match self
            .call
            .as_mut()
            .poll(&mut Context::from_waker(&self.waker))
        {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }
}
