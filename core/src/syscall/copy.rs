//! From one open file to another within the kernel: sendfile, copy_file_range.

use alloc::sync::Arc;

use super::transfer::{TRANSFER_MAX, finish_write, goes_on, offset, restartable, unless_again};
use super::{Answer, Call, DONE, Outcome};
use crate::fs::file::Side;
use crate::fs::open_file::{FileRef, OpenFile, OpenFlags};
use crate::machine::UserAddr;
use crate::mm::{InHand, Room};
use crate::process::signal::RESTART;
use crate::process::thread::Thread;
use crate::wait::pause::PIECE_BYTES;
use crate::wait::wait_until;
use crate::{Errno, Result};

/// Bytes moved at once.
const CHUNK: usize = 1024;

/// A copy in progress.
struct Copy {
    input: FileRef,
    output: FileRef,
    /// Where it goes on in the input, and where that is to be noted; 0: as the input's position.
    at: (u64, UserAddr),
    /// As `at`, in the output; None: at its position.
    to: Option<(u64, UserAddr)>,
    wanted: usize,
    done: usize,
    room: &'static Room,
}

impl Copy {
    /// Copies on, a piece at most; true when all is done or the input ends. EAGAIN: the output takes no more now.
    fn advance(&mut self) -> Result<bool> {
        let mut chunk = [0u8; CHUNK];
        let stop = self.wanted.min(self.done + PIECE_BYTES);
        while self.done < stop {
            let mut room = chunk
                .get_mut(..CHUNK.min(stop - self.done))
                .unwrap_or_default();
            let got = self.input.try_read_at(&mut room, self.at.0)?;
            let mut bytes = InHand {
                bytes: chunk.get(..got).unwrap_or_default(),
                room: self.room,
            };
            let count = match (got, self.to) {
                (0, _) => 0,
                (_, None) => self.output.try_write(&mut bytes)?,
                (_, Some((to, _))) => self.output.try_write_at(&mut bytes, to)?,
            };
            if count == 0 {
                return Ok(true);
            }
            self.done += count;
            self.at.0 = self.at.0.saturating_add(count as u64);
            if let Some((to, _)) = &mut self.to {
                *to = to.saturating_add(count as u64);
            }
        }
        Ok(self.done == self.wanted)
    }

    /// Goes on to the end after a first piece that was not all: pauses between pieces, waits until the output takes more.
    async fn complete(&mut self, thread: &Arc<Thread>, first: Result<bool>) -> Result<()> {
        let output = Arc::clone(&self.output);
        let mut last = first;
        loop {
            last = match (last, output.file().wait_queue(Side::Write)) {
                (Ok(true), _) => return Ok(()),
                (Ok(false), _) if goes_on(thread, &output).await => self.advance(),
                (Ok(false), _) => return Err(RESTART),
                (Err(Errno::EAGAIN), Some(queue)) if !output.nonblocking() => {
                    wait_until(thread, queue, None, || unless_again(self.advance()))
                        .await
                        .unwrap_or_else(|interruption| Err(restartable(interruption)))
                }
                (Err(errno), _) => return Err(errno),
            };
        }
    }

    /// The result of the call, `outcome` having ended the copy; notes where it ended.
    fn finish(&self, thread: &Thread, outcome: Result<()>) -> Result<usize> {
        note(thread, &self.input, self.at)?;
        if let Some(to) = self.to {
            note(thread, &self.output, to)?;
        }
        match outcome {
            Ok(()) => Ok(self.done),
            Err(errno) => finish_write(thread, self.done, errno),
        }
    }

    /// Does the copy: at once if it is short and the output takes it all.
    fn run(mut self, call: &mut Call<'_>) -> Answer {
        let waits = !self.output.nonblocking();
        match self.advance() {
            Ok(true) => self.finish(call.thread(), Ok(())).map(Outcome::Done),
            Err(errno) if errno != Errno::EAGAIN || !waits => {
                self.finish(call.thread(), Err(errno)).map(Outcome::Done)
            }
            first => {
                let thread = Arc::clone(call.thread());
                call.wait(async move {
                    let outcome = self.complete(&thread, first).await;
                    self.finish(&thread, outcome)
                })
            }
        }
    }
}

/// Notes that a copy has got to `at` in `file`: at an address, or as its position.
fn note(thread: &Thread, file: &OpenFile, (at, place): (u64, UserAddr)) -> Result<()> {
    if place.0 == 0 {
        return file.reposition(|_| Ok(at)).map(|_| ());
    }
    let space = thread.process.space().ok_or(Errno::EFAULT)?;
    space.write_user(place, &at)
}

/// The offset at `place`, or if that is NULL the position of `file`.
fn start(call: &Call<'_>, file: &OpenFile, place: UserAddr) -> Result<u64> {
    match place {
        UserAddr(0) => file.reposition(Ok),
        place => offset(call.space().read_user(place)?),
    }
}

/// sendfile(2), from a file with a position to anything. EINVAL: the input has none, or the output is open with O_APPEND.
pub(super) fn sendfile(call: &mut Call<'_>) -> Answer {
    let (output, input) = (call.file::<0>()?, call.file::<1>()?);
    let place = call.addr::<2>();
    if !input.flags().readable() || !output.flags().writable() {
        return Err(Errno::EBADF);
    }
    if !input.seekable() || output.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    let at = start(call, &input, place)?;
    let wanted = call.size::<3>().min(TRANSFER_MAX);
    let copy = Copy {
        input,
        output,
        at: (at, place),
        to: None,
        wanted,
        done: 0,
        room: call.kernel.memory.frames.room(),
    };
    copy.run(call)
}

/// copy_file_range(2), between regular files. EISDIR, EINVAL: something else, or ranges of one file that overlap. EBADF: the
/// output is open with O_APPEND.
pub(super) fn copy_file_range(call: &mut Call<'_>) -> Answer {
    let (input, output) = (call.file::<0>()?, call.file::<2>()?);
    let (from, to) = (call.addr::<1>(), call.addr::<3>());
    if call.uint::<5>() != 0 {
        return Err(Errno::EINVAL);
    }
    let append = output.flags().contains(OpenFlags::APPEND);
    if !input.flags().readable() || !output.flags().writable() || append {
        return Err(Errno::EBADF);
    }
    for file in [&input, &output] {
        if file.inode().is_some_and(|inode| inode.is_directory()) {
            return Err(Errno::EISDIR);
        }
        file.file().memory().map_err(|_| Errno::EINVAL)?;
    }
    let at = start(call, &input, from)?;
    let end = start(call, &output, to)?;
    let wanted = call.size::<4>().min(TRANSFER_MAX);
    let same = match (input.inode(), output.inode()) {
        (Some(input), Some(output)) => Arc::ptr_eq(input, output),
        _ => false,
    };
    if same && at.abs_diff(end) < wanted as u64 {
        return Err(Errno::EINVAL);
    }
    if wanted == 0 {
        return DONE;
    }
    let copy = Copy {
        input,
        output,
        at: (at, from),
        to: Some((end, to)),
        wanted,
        done: 0,
        room: call.kernel.memory.frames.room(),
    };
    copy.run(call)
}
