//! read and write and their kin: THE blocking loop over [`File`](crate::fs::file::File), which never blocks itself.

use alloc::sync::Arc;

use super::{Answer, Call, Outcome};
use crate::fs::file::Side;
use crate::fs::open_file::OpenFile;
use crate::io::{Sink, Source};
use crate::machine::{PAGE_SIZE, UserAddr};
use crate::mm::UserBuffer;
use crate::process::signal::{self, RESTART, Signal};
use crate::process::thread::Thread;
use crate::wait::{Interruption, wait_until};
use crate::{Errno, Result};

/// The most bytes that one call moves (MAX_RW_COUNT of read(2)): a multiple of the page size below 2^31.
const TRANSFER_MAX: usize = (i32::MAX as usize) & !(PAGE_SIZE - 1);

/// read(2).
pub(super) fn read(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let buffer = UserBuffer::new(
        call.space(),
        call.addr::<1>(),
        call.size::<2>().min(TRANSFER_MAX),
    )?;
    read_into(call, file, buffer)
}

/// write(2).
pub(super) fn write(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let buffer = UserBuffer::new(
        call.space(),
        call.addr::<1>(),
        call.size::<2>().min(TRANSFER_MAX),
    )?;
    write_from(call, file, buffer)
}

/// readv(2).
pub(super) fn readv(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let buffer = vector(call)?;
    read_into(call, file, buffer)
}

/// writev(2).
pub(super) fn writev(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let buffer = vector(call)?;
    write_from(call, file, buffer)
}

/// The buffer that arguments 1 and 2 describe as an array of iovecs.
fn vector(call: &Call<'_>) -> Result<UserBuffer> {
    let count = usize::try_from(call.int::<2>()).map_err(|_| Errno::EINVAL)?;
    UserBuffer::from_iovec(call.space(), call.addr::<1>(), count)
}

#[inline]
fn read_into(call: &mut Call<'_>, file: Arc<OpenFile>, mut buffer: UserBuffer) -> Answer {
    match file.try_read(&mut buffer) {
        Err(Errno::EAGAIN) if !file.nonblocking() => {
            let thread = Arc::clone(call.thread());
            call.wait(async move { read_waiting(&thread, &file, &mut buffer).await })
        }
        outcome => outcome.map(Outcome::Done),
    }
}

/// Reads as soon as there is something to read. Interrupted with nothing read: restarted if the handler allows.
pub async fn read_waiting(
    thread: &Arc<Thread>,
    file: &OpenFile,
    sink: &mut UserBuffer,
) -> Result<usize> {
    let attempt = || unless_again(file.try_read(sink));
    let Some(queue) = file.file().wait_queue(Side::Read) else {
        return Err(Errno::EAGAIN);
    };
    match wait_until(thread, queue, None, attempt).await {
        Ok(outcome) => outcome,
        Err(interruption) => Err(restartable(interruption)),
    }
}

/// What an interrupted wait means to a call that is restarted if the handler says so.
pub(super) const fn restartable(interruption: Interruption) -> Errno {
    match interruption {
        Interruption::Signal => RESTART,
        other => other.errno(),
    }
}

/// EAGAIN means: not yet.
fn unless_again<T>(outcome: Result<T>) -> Option<Result<T>> {
    match outcome {
        Err(Errno::EAGAIN) => None,
        outcome => Some(outcome),
    }
}

#[inline]
fn write_from(call: &mut Call<'_>, file: Arc<OpenFile>, mut buffer: UserBuffer) -> Answer {
    let wanted = Source::remaining(&buffer);
    let outcome = file.try_write(&mut buffer);
    match outcome {
        Ok(count) if count == wanted => Ok(Outcome::Done(count)),
        Ok(count) if file.nonblocking() => Ok(Outcome::Done(count)),
        Ok(done) => {
            let thread = Arc::clone(call.thread());
            call.wait(async move { write_waiting(&thread, &file, &mut buffer, done).await })
        }
        Err(Errno::EAGAIN) if !file.nonblocking() => {
            let thread = Arc::clone(call.thread());
            call.wait(async move { write_waiting(&thread, &file, &mut buffer, 0).await })
        }
        Err(errno) => finish_write(call.thread(), 0, errno).map(Outcome::Done),
    }
}

/// Writes until all is taken. An error or a signal after progress gives the count.
async fn write_waiting(
    thread: &Arc<Thread>,
    file: &OpenFile,
    source: &mut UserBuffer,
    mut done: usize,
) -> Result<usize> {
    while Source::remaining(source) > 0 {
        let attempt = || unless_again(file.try_write(source));
        let outcome = match file.file().wait_queue(Side::Write) {
            Some(queue) => wait_until(thread, queue, None, attempt)
                .await
                .unwrap_or_else(|interruption| Err(restartable(interruption))),
            None => file.try_write(source),
        };
        match outcome {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(errno) => return finish_write(thread, done, errno),
        }
    }
    Ok(done)
}

/// The end of a write that met `errno` after `done` bytes. A broken pipe raises SIGPIPE in the writing thread.
fn finish_write(thread: &Arc<Thread>, done: usize, errno: Errno) -> Result<usize> {
    if errno == Errno::EPIPE {
        signal::raise_current(thread, Signal::PIPE);
    }
    if done > 0 { Ok(done) } else { Err(errno) }
}

/// An offset argument. EINVAL: negative.
fn offset(argument: u64) -> Result<u64> {
    if argument as i64 >= 0 {
        Ok(argument)
    } else {
        Err(Errno::EINVAL)
    }
}

/// pread64(2). Only seekable files come here, and they never wait.
pub(super) fn pread64(call: &mut Call<'_>) -> Answer {
    let at = offset(call.arg::<3>())?;
    let file = call.file::<0>()?;
    let mut buffer = UserBuffer::new(
        call.space(),
        call.addr::<1>(),
        call.size::<2>().min(TRANSFER_MAX),
    )?;
    file.try_read_at(&mut buffer, at).map(Outcome::Done)
}

/// pwrite64(2).
pub(super) fn pwrite64(call: &mut Call<'_>) -> Answer {
    let at = offset(call.arg::<3>())?;
    let file = call.file::<0>()?;
    let mut buffer = UserBuffer::new(
        call.space(),
        call.addr::<1>(),
        call.size::<2>().min(TRANSFER_MAX),
    )?;
    file.try_write_at(&mut buffer, at).map(Outcome::Done)
}

/// preadv(2): on a 64-bit machine the offset is whole in argument 3.
pub(super) fn preadv(call: &mut Call<'_>) -> Answer {
    let at = offset(call.arg::<3>())?;
    let file = call.file::<0>()?;
    file.try_read_at(&mut vector(call)?, at).map(Outcome::Done)
}

/// pwritev(2).
pub(super) fn pwritev(call: &mut Call<'_>) -> Answer {
    let at = offset(call.arg::<3>())?;
    let file = call.file::<0>()?;
    file.try_write_at(&mut vector(call)?, at).map(Outcome::Done)
}

/// sendfile(2), from a seekable file. What the output takes at once is sent; at least something, by waiting.
pub(super) fn sendfile(call: &mut Call<'_>) -> Answer {
    const CHUNK: usize = 1024;
    let (output, input) = (call.file::<0>()?, call.file::<1>()?);
    let place = call.addr::<2>();
    let mut at = match place {
        UserAddr(0) => input.reposition(Ok)?,
        place => offset(call.space().read_user(place)?)?,
    };
    let wanted = call.size::<3>().min(TRANSFER_MAX);
    let mut done = 0;
    let mut chunk = [0u8; CHUNK];
    while done < wanted {
        let mut room = chunk
            .get_mut(..CHUNK.min(wanted - done))
            .unwrap_or_default();
        let got = input.try_read_at(&mut room, at)?;
        if got == 0 {
            break;
        }
        let mut bytes = chunk.get(..got).unwrap_or_default();
        match output.try_write(&mut bytes) {
            Ok(count) => (done, at) = (done + count, at + count as u64),
            Err(errno) if done == 0 => {
                return finish_write(call.thread(), 0, errno).map(Outcome::Done);
            }
            Err(_) => break,
        }
        if !bytes.is_empty() {
            break;
        }
    }
    match place {
        UserAddr(0) => input.reposition(|_| Ok(at)).map(|_| ())?,
        place => call.space().write_user(place, &at)?,
    }
    Ok(Outcome::Done(done))
}

/// getrandom(2). Never blocks: the generator is seeded at boot.
pub(super) fn getrandom(call: &mut Call<'_>) -> Answer {
    const KNOWN: u32 = 7;
    if call.uint::<2>() & !KNOWN != 0 || call.uint::<2>() & 6 == 6 {
        return Err(Errno::EINVAL);
    }
    let mut buffer = UserBuffer::new(
        call.space(),
        call.addr::<0>(),
        call.size::<1>().min(TRANSFER_MAX),
    )?;
    if Sink::remaining(&buffer) == 0 {
        return super::DONE;
    }
    call.kernel.random.read(&mut buffer).map(Outcome::Done)
}
