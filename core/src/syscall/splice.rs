//! splice(2), tee(2), vmsplice(2): bytes between pipes and files without a way through the program. They are copied, a piece at
//! a time; pages are not moved.

use alloc::sync::Arc;

use super::transfer::{TRANSFER_MAX, finish_write, offset, restartable, unless_again};
use super::{Answer, Call, DONE, Outcome};
use crate::fs::file::Side;
use crate::fs::open_file::{FileRef, OpenFile, OpenFlags};
use crate::ipc::pipe::Pipe;
use crate::machine::UserAddr;
use crate::mm::{AddressSpace, InHand, Room, UserBuffer};
use crate::process::thread::Thread;
use crate::wait::wait_until;
use crate::{Errno, Result};

const SPLICE_F_NONBLOCK: u32 = 2;
/// SPLICE_F_MOVE, SPLICE_F_NONBLOCK, SPLICE_F_MORE, SPLICE_F_GIFT.
const SPLICE_F_ALL: u32 = 15;

/// Bytes moved at once.
const CHUNK: usize = 1024;

/// An open file and, if it is no pipe, where in it to go on; None: at no place, for it has none.
struct End {
    file: FileRef,
    at: Option<u64>,
    /// Where the program wants to be told the place; NULL: the file's position is meant.
    place: UserAddr,
}

/// A splice or tee in progress.
struct Move {
    from: End,
    to: End,
    wanted: usize,
    done: usize,
    /// What is read stays where it is (tee).
    keeps: bool,
    room: &'static Room,
}

/// Why a move does not go on.
enum Halt {
    /// All is done, or the input has ended.
    Over,
    /// One end is not ready: the input, or the output.
    Wait(Side),
    Failed(Errno),
}

impl End {
    /// Where `file` is to be read or written. ESPIPE: a place in what has none.
    fn new(space: &AddressSpace, file: FileRef, place: UserAddr) -> Result<End> {
        let at = match (place, file.seekable()) {
            (UserAddr(0), true) => Some(file.reposition(Ok)?),
            (UserAddr(0), false) => None,
            (_, false) => return Err(Errno::ESPIPE),
            (place, true) => Some(offset(space.read_user(place)?)?),
        };
        Ok(End { file, at, place })
    }

    fn advance(&mut self, count: usize) {
        self.at = self.at.map(|at| at.saturating_add(count as u64));
    }

    /// Tells where it has come to.
    fn settle(&self, space: &AddressSpace) -> Result<()> {
        match (self.at, self.place) {
            (None, _) => {}
            (Some(at), UserAddr(0)) => drop(self.file.reposition(|_| Ok(at))?),
            (Some(at), place) => space.write_user(place, &at)?,
        }
        Ok(())
    }

    fn write(&self, mut bytes: InHand<'_>) -> Result<usize> {
        match self.at {
            None => self.file.try_write(&mut bytes),
            Some(at) => self.file.try_write_at(&mut bytes, at),
        }
    }
}

impl Move {
    /// Moves on as far as it goes now.
    fn advance(&mut self) -> Halt {
        let input = Arc::clone(&self.from.file);
        match input.file().pipe() {
            Some(pipe) => self.drain(pipe),
            None => self.read(),
        }
    }

    /// Out of a pipe.
    fn drain(&mut self, pipe: &Pipe) -> Halt {
        let mut chunk = [0u8; CHUNK];
        let loan = pipe.borrow();
        while self.done < self.wanted {
            let room = CHUNK.min(self.wanted - self.done);
            let into = chunk.get_mut(..room).unwrap_or_default();
            let behind = if self.keeps { self.done } else { 0 };
            let count = match loan.copy(behind, into) {
                Ok(None) => return Halt::Wait(Side::Read),
                Ok(Some(0)) => break,
                Ok(Some(count)) => count,
                Err(errno) => return Halt::Failed(errno),
            };
            let written = match self.put(chunk.get(..count).unwrap_or_default()) {
                Ok(written) => written,
                Err(halt) => return halt,
            };
            if !self.keeps {
                loan.take(written);
            }
        }
        Halt::Over
    }

    /// Out of a file, which keeps what it has.
    fn read(&mut self) -> Halt {
        let mut chunk = [0u8; CHUNK];
        while self.done < self.wanted {
            let mut into = chunk
                .get_mut(..CHUNK.min(self.wanted - self.done))
                .unwrap_or_default();
            let at = self.from.at.unwrap_or(0);
            let count = match self.from.file.try_read_at(&mut into, at) {
                Ok(0) => break,
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Halt::Wait(Side::Read),
                Err(errno) => return Halt::Failed(errno),
            };
            match self.put(chunk.get(..count).unwrap_or_default()) {
                Ok(written) => self.from.advance(written),
                Err(halt) => return halt,
            }
        }
        Halt::Over
    }

    /// Writes to the output and counts.
    fn put(&mut self, bytes: &[u8]) -> core::result::Result<usize, Halt> {
        let room = self.room;
        match self.to.write(InHand { bytes, room }) {
            Ok(0) | Err(Errno::EAGAIN) => Err(Halt::Wait(Side::Write)),
            Err(errno) => Err(Halt::Failed(errno)),
            Ok(written) => {
                self.to.advance(written);
                self.done += written;
                Ok(written)
            }
        }
    }

    /// The end of the call, but where it must wait.
    fn finish(&self, thread: &Thread, space: &AddressSpace, halt: &Halt) -> Result<usize> {
        self.from.settle(space)?;
        self.to.settle(space)?;
        match halt {
            Halt::Failed(errno) => finish_write(thread, self.done, *errno),
            Halt::Wait(_) if self.done == 0 => Err(Errno::EAGAIN),
            Halt::Over | Halt::Wait(_) => Ok(self.done),
        }
    }

    /// Waits until something has been moved.
    async fn complete(
        &mut self,
        thread: &Arc<Thread>,
        space: &AddressSpace,
        mut side: Side,
    ) -> Result<usize> {
        loop {
            let file = Arc::clone(match side {
                Side::Read => &self.from.file,
                Side::Write => &self.to.file,
            });
            let queue = file.file().wait_queue(side).ok_or(Errno::EAGAIN)?;
            let attempt = || match self.advance() {
                Halt::Wait(again) if again == side && self.done == 0 => None,
                halt => Some(halt),
            };
            match wait_until(thread, queue, None, attempt).await {
                Err(interruption) => return Err(restartable(interruption)),
                Ok(Halt::Wait(other)) if self.done == 0 => side = other,
                Ok(halt) => return self.finish(thread, space, &halt),
            }
        }
    }
}

fn run(call: &mut Call<'_>, mut work: Move, waits: bool) -> Answer {
    match work.advance() {
        Halt::Wait(side) if waits && work.done == 0 => {
            let (thread, space) = (Arc::clone(call.thread()), Arc::clone(call.space()));
            call.wait(async move { work.complete(&thread, &space, side).await })
        }
        halt => work
            .finish(call.thread(), call.space(), &halt)
            .map(Outcome::Done),
    }
}

/// The files of two descriptors, the first to be read, the second to be written. EBADF.
fn ends<const FROM: usize, const TO: usize>(call: &Call<'_>) -> Result<(FileRef, FileRef)> {
    let (from, to) = (call.file::<FROM>()?, call.file::<TO>()?);
    if !from.flags().readable() || !to.flags().writable() {
        return Err(Errno::EBADF);
    }
    Ok((from, to))
}

fn same_pipe(from: Option<&Pipe>, to: Option<&Pipe>) -> bool {
    from.zip(to)
        .is_some_and(|(from, to)| core::ptr::eq(from, to))
}

/// splice(2): input, its offset, output, its offset, length, flags. EINVAL: neither is a pipe, both are one pipe, the output
/// is open with O_APPEND, or the input is neither a pipe nor a file with a position.
pub(super) fn splice(call: &mut Call<'_>) -> Answer {
    let (wanted, flags) = (call.size::<4>().min(TRANSFER_MAX), call.uint::<5>());
    if wanted == 0 {
        return DONE;
    }
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, to) = ends::<0, 2>(call)?;
    let pipes = [from.file().pipe(), to.file().pipe()];
    let [input, output] = pipes.map(|pipe| pipe.is_some());
    if (input && call.arg::<1>() != 0) || (output && call.arg::<3>() != 0) {
        return Err(Errno::ESPIPE);
    }
    let possible = match (input, output) {
        (false, false) => false,
        (true, true) => !same_pipe(pipes[0], pipes[1]),
        (true, false) => !to.flags().contains(OpenFlags::APPEND),
        (false, true) => from.seekable(),
    };
    if !possible {
        return Err(Errno::EINVAL);
    }
    let waits = flags & SPLICE_F_NONBLOCK == 0
        && !(input && from.nonblocking())
        && !(output && to.nonblocking());
    let from = End::new(call.space(), from, call.addr::<1>())?;
    let to = End::new(call.space(), to, call.addr::<3>())?;
    let work = Move {
        from,
        to,
        wanted,
        done: 0,
        keeps: false,
        room: call.kernel.memory.frames.room(),
    };
    run(call, work, waits)
}

/// tee(2): input, output, length, flags. EINVAL: not two different pipes.
pub(super) fn tee(call: &mut Call<'_>) -> Answer {
    let (wanted, flags) = (call.size::<2>().min(TRANSFER_MAX), call.uint::<3>());
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    if wanted == 0 {
        return DONE;
    }
    let (from, to) = ends::<0, 1>(call)?;
    let (input, output) = (from.file().pipe(), to.file().pipe());
    if input.is_none() || output.is_none() || same_pipe(input, output) {
        return Err(Errno::EINVAL);
    }
    let waits = flags & SPLICE_F_NONBLOCK == 0 && !from.nonblocking() && !to.nonblocking();
    let from = End::new(call.space(), from, UserAddr(0))?;
    let to = End::new(call.space(), to, UserAddr(0))?;
    let work = Move {
        from,
        to,
        wanted,
        done: 0,
        keeps: true,
        room: call.kernel.memory.frames.room(),
    };
    run(call, work, waits)
}

/// vmsplice(2): pipe, iovecs, their number, flags. To the writing end as much as there is room for, once there is some; from
/// the reading end what there is. EBADF: not a pipe.
pub(super) fn vmsplice(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<3>();
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    let file = call.file::<0>()?;
    file.file().pipe().ok_or(Errno::EBADF)?;
    let mut buffer = UserBuffer::from_iovec(call.space(), call.addr::<1>(), call.size::<2>())?;
    if crate::io::Sink::remaining(&buffer) == 0 {
        return DONE;
    }
    let side = if file.flags().writable() {
        Side::Write
    } else {
        Side::Read
    };
    let waits = flags & SPLICE_F_NONBLOCK == 0 && !file.nonblocking();
    match transfer(&file, &mut buffer, side) {
        Err(Errno::EAGAIN) if waits => {
            let thread = Arc::clone(call.thread());
            call.wait(async move {
                let queue = file.file().wait_queue(side).ok_or(Errno::EAGAIN)?;
                let attempt = || unless_again(transfer(&file, &mut buffer, side));
                let outcome = wait_until(&thread, queue, None, attempt)
                    .await
                    .unwrap_or_else(|interruption| Err(restartable(interruption)));
                outcome.or_else(|errno| finish_write(&thread, 0, errno))
            })
        }
        outcome => outcome
            .or_else(|errno| finish_write(call.thread(), 0, errno))
            .map(Outcome::Done),
    }
}

fn transfer(file: &OpenFile, buffer: &mut UserBuffer, side: Side) -> Result<usize> {
    match side {
        Side::Read => file.try_read(buffer),
        Side::Write => file.try_write(buffer),
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;
