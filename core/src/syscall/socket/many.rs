//! sendmmsg(2) and recvmmsg(2): several messages in one call.

use alloc::boxed::Box;

use halyard_abi::socket::{MSG_DONTWAIT, MSG_WAITFORONE};

use super::Caller;
use super::message::Header;
use super::receive::Receiving;
use super::send::Sending;
use crate::fs::open_file::FileRef;
use crate::machine::UserAddr;
use crate::mm::IOV_MAX;
use crate::syscall::{Answer, Call, DONE};
use crate::time::{Instant, TimeSpec};
use crate::wait::Sleeper;
use crate::{Errno, Result};

/// Bytes of a `struct mmsghdr`.
const ENTRY: usize = 64;
/// Where in it the length of the message is.
const LENGTH: usize = 56;

/// The messages of a call.
struct Batch {
    caller: Caller,
    file: FileRef,
    array: UserAddr,
    count: usize,
    flags: u32,
}

impl Batch {
    /// What the arguments of both calls say. As in Linux, more than IOV_MAX messages are cut off.
    fn of(call: &Call<'_>) -> Result<Batch> {
        let file = call.socket_file::<0>()?;
        Ok(Batch {
            caller: Caller::of(call),
            file,
            array: call.addr::<1>(),
            count: (call.uint::<2>() as usize).min(IOV_MAX),
            flags: call.uint::<3>(),
        })
    }

    fn entry(&self, index: usize) -> UserAddr {
        UserAddr(self.array.0.wrapping_add(index * ENTRY))
    }

    /// Notes how long a message was.
    fn note(&self, index: usize, length: usize) -> Result<()> {
        let at = UserAddr(self.entry(index).0.wrapping_add(LENGTH));
        self.caller.space.write_user(at, &(length as u32))
    }

    async fn send(&self, index: usize) -> Result<()> {
        let header = Header::read(&self.caller.space, self.entry(index))?;
        let socket = self.file.file().socket()?;
        let mut sending = Sending::new(self.caller.party(), socket, &header, self.flags)?;
        let length = sending
            .complete(&self.caller.thread, &self.file, self.flags)
            .await?;
        self.note(index, length)
    }

    async fn receive(&self, index: usize, flags: u32) -> Result<()> {
        let (party, at) = (self.caller.party(), self.entry(index));
        let mut receiving = Receiving::of_message(party, &self.file, at, flags)?;
        let length = receiving.complete(&self.caller, &self.file).await?;
        self.note(index, length)
    }

    async fn send_all(&self) -> Result<usize> {
        for index in 0..self.count {
            match self.send(index).await {
                Err(errno) if index == 0 => return Err(errno),
                Err(_) => return Ok(index),
                Ok(()) => {}
            }
        }
        Ok(self.count)
    }

    /// The deadline is looked at between messages alone, as recvmmsg(2) says under BUGS.
    async fn receive_all(&self, until: Option<Instant>) -> Result<usize> {
        let mut flags = self.flags & !MSG_WAITFORONE;
        for index in 0..self.count {
            match self.receive(index, flags).await {
                Err(errno) if index == 0 => return Err(errno),
                Err(_) => return Ok(index),
                Ok(()) => {}
            }
            if self.flags & MSG_WAITFORONE != 0 {
                flags |= MSG_DONTWAIT;
            }
            if until.is_some_and(|until| self.caller.thread.now() >= until) {
                return Ok(index + 1);
            }
        }
        Ok(self.count)
    }
}

/// sendmmsg(2).
pub(in crate::syscall) fn sendmmsg(call: &mut Call<'_>) -> Answer {
    let batch = Batch::of(call)?;
    if batch.count == 0 {
        return DONE;
    }
    let sending = Box::pin(async move { batch.send_all().await });
    call.wait(sending)
}

/// recvmmsg(2).
pub(in crate::syscall) fn recvmmsg(call: &mut Call<'_>) -> Answer {
    let batch = Batch::of(call)?;
    let place = call.addr::<4>();
    let mut until = None;
    if place.0 != 0 {
        let time: TimeSpec = call.space().read_user(place)?;
        until = Some(call.thread().now().after(time.to_nanos()?));
    }
    if batch.count == 0 {
        return DONE;
    }
    let receiving = Box::pin(async move {
        let count = batch.receive_all(until).await?;
        if let Some(until) = until {
            let left = until.since(batch.caller.thread.now());
            batch
                .caller
                .space
                .write_user(place, &TimeSpec::from_nanos(left))?;
        }
        Ok::<usize, Errno>(count)
    });
    call.wait(receiving)
}
