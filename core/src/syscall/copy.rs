//! From one open file to another within the kernel: sendfile, copy_file_range.

use alloc::sync::Arc;

use super::transfer::{TRANSFER_MAX, finish_write, offset, restartable, unless_again};
use super::{Answer, Call, DONE, Outcome};
use crate::fs::file::Side;
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::machine::UserAddr;
use crate::process::thread::Thread;
use crate::wait::wait_until;
use crate::{Errno, Result};

/// Bytes moved at once.
const CHUNK: usize = 1024;

/// A copy in progress.
struct Copy {
    input: Arc<OpenFile>,
    output: Arc<OpenFile>,
    /// Where it goes on in the input.
    at: u64,
    /// Where it goes on in the output; None: at its position.
    to: Option<u64>,
    wanted: usize,
    done: usize,
}

impl Copy {
    /// Copies on until all is done, the input ends, or the output takes no more now (EAGAIN).
    fn advance(&mut self) -> Result<()> {
        let mut chunk = [0u8; CHUNK];
        while self.done < self.wanted {
            let mut room = chunk
                .get_mut(..CHUNK.min(self.wanted - self.done))
                .unwrap_or_default();
            let got = self.input.try_read_at(&mut room, self.at)?;
            if got == 0 {
                break;
            }
            let mut bytes = chunk.get(..got).unwrap_or_default();
            let count = match self.to {
                None => self.output.try_write(&mut bytes)?,
                Some(to) => self.output.try_write_at(&mut bytes, to)?,
            };
            self.done += count;
            self.at = self.at.saturating_add(count as u64);
            self.to = self.to.map(|to| to.saturating_add(count as u64));
        }
        Ok(())
    }

    /// Waits until the output takes more, and goes on, to the end.
    async fn complete(&mut self, thread: &Arc<Thread>) -> Result<()> {
        let output = Arc::clone(&self.output);
        let queue = output.file().wait_queue(Side::Write).ok_or(Errno::EAGAIN)?;
        let attempt = || unless_again(self.advance());
        wait_until(thread, queue, None, attempt)
            .await
            .unwrap_or_else(|interruption| Err(restartable(interruption)))
    }

    /// The result of the call, `outcome` having ended the copy; notes where it ended at `place`, or as the input's position.
    fn finish(&self, thread: &Thread, outcome: Result<()>, place: UserAddr) -> Result<usize> {
        if place.0 == 0 {
            self.input.reposition(|_| Ok(self.at))?;
        } else {
            let space = thread.process.space().ok_or(Errno::EFAULT)?;
            space.write_user(place, &self.at)?;
        }
        match outcome {
            Ok(()) => Ok(self.done),
            Err(errno) => finish_write(thread, self.done, errno),
        }
    }
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
    let waits = !output.nonblocking();
    let mut copy = Copy {
        input,
        output,
        at,
        to: None,
        wanted,
        done: 0,
    };
    match copy.advance() {
        Err(Errno::EAGAIN) if waits => {
            let thread = Arc::clone(call.thread());
            call.wait(async move {
                let outcome = copy.complete(&thread).await;
                copy.finish(&thread, outcome, place)
            })
        }
        outcome => copy
            .finish(call.thread(), outcome, place)
            .map(Outcome::Done),
    }
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
    let out = Arc::clone(&output);
    let mut copy = Copy {
        input,
        output,
        at,
        to: Some(end),
        wanted,
        done: 0,
    };
    let outcome = copy.advance();
    let reached = copy.to.unwrap_or(end);
    if to.0 == 0 {
        out.reposition(|_| Ok(reached))?;
    } else {
        call.space().write_user(to, &reached)?;
    }
    copy.finish(call.thread(), outcome, from).map(Outcome::Done)
}
