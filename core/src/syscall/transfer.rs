//! read and write and their kin: THE blocking loop over [`File`](crate::fs::file::File), which never blocks itself.
//!
//! What is long is done in pieces ([`OpenFile::piece`]): between two of them others have their turn, and signals are seen.

use alloc::sync::Arc;

use halyard_device::Direction;

use super::{Answer, Call, Outcome, socket};
use crate::devices::i2c;
use crate::fs::file::{Readiness, Side, Special};
use crate::fs::open_file::{FileRef, OpenFile};
use crate::io::{Piece, Sink, Source};
use crate::machine::{PAGE_SIZE, UserAddr};
use crate::mm::{UserBuffer, UserSlice};
use crate::process::signal::{self, RESTART, Signal};
use crate::process::thread::{Killable, Thread};
use crate::wait::pause::pause;
use crate::wait::{Interruption, Sleeper, wait_for_time, wait_until};
use crate::{Errno, Result};

/// The most bytes that one call moves (MAX_RW_COUNT of read(2)): a multiple of the page size below 2^31.
pub(super) const TRANSFER_MAX: usize = (i32::MAX as usize) & !(PAGE_SIZE - 1);

/// Where a read or write takes place: at the file's position, which it moves (None), or at an offset.
type Place = Option<u64>;

/// read(2). What can be done at once is done without a hold on the caller's memory or a place to wait in.
pub(super) fn read(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let length = call.size::<2>().min(TRANSFER_MAX);
    if file.asks_who() {
        if file.is_socket() {
            return socket::read(call, file);
        }
        if file.is_i2c() {
            return i2c::transfer(call, &file, Direction::Read);
        }
        let buffer = UserBuffer::new(call.space(), call.addr::<1>(), length)?;
        return read_terminal(call, file, buffer);
    }
    let piece = length.min(file.piece());
    let outcome = match UserSlice::new(call.space(), call.addr::<1>(), length) {
        Ok(mut slice) => {
            slice.shorten(piece);
            file.try_read(&mut slice)
        }
        Err(errno) => Err(errno),
    };
    match outcome {
        Ok(count) if count < piece || piece == length => Ok(Outcome::Done(count)),
        outcome => read_on(call, file, outcome),
    }
}

/// A read of one stretch that is not over after the first attempt.
#[cold]
#[inline(never)]
fn read_on(call: &mut Call<'_>, file: FileRef, outcome: Result<usize>) -> Answer {
    let done = match outcome {
        Ok(done) => done,
        Err(errno) if errno != Errno::EAGAIN || file.nonblocking() => return Err(errno),
        Err(_) => 0,
    };
    let mut buffer = rest_of_buffer(call, done)?;
    let thread = Arc::clone(call.thread());
    if done > 0 {
        call.wait(async move { read_pieces(&thread, &file, &mut buffer, None, done).await })
    } else {
        call.wait(async move { read_waiting(&thread, &file, &mut buffer).await })
    }
}

/// The stretch of arguments 1 and 2 behind its first `done` bytes.
fn rest_of_buffer(call: &Call<'_>, done: usize) -> Result<UserBuffer> {
    let rest = call.size::<2>().min(TRANSFER_MAX) - done;
    let at = UserAddr(call.addr::<1>().0.wrapping_add(done));
    UserBuffer::new(call.space(), at, rest)
}

/// write(2). As [`read`].
pub(super) fn write(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let length = call.size::<2>().min(TRANSFER_MAX);
    if file.asks_who() {
        if file.is_socket() {
            return socket::write(call, file);
        }
        if file.is_i2c() {
            return i2c::transfer(call, &file, Direction::Write);
        }
        check_terminal_write(call, &file)?;
    }
    let outcome = match UserSlice::new(call.space(), call.addr::<1>(), length) {
        Ok(mut slice) => {
            slice.shorten(file.piece());
            file.try_write(&mut slice)
        }
        Err(errno) => Err(errno),
    };
    match outcome {
        Ok(count) if count == length => Ok(Outcome::Done(count)),
        outcome => write_on(call, file, outcome),
    }
}

/// A write of one stretch that was not done at once, or not to its end.
#[cold]
#[inline(never)]
fn write_on(call: &mut Call<'_>, file: FileRef, outcome: Result<usize>) -> Answer {
    let done = match first_write(call, &file, outcome) {
        First::Over(answer) => return answer,
        First::Wait(done) => done,
    };
    let mut buffer = rest_of_buffer(call, done)?;
    let thread = Arc::clone(call.thread());
    call.wait(async move { write_waiting(&thread, &file, &mut buffer, None, done).await })
}

/// What the first attempt of a write that is not complete means.
enum First {
    /// The call is over.
    Over(Answer),
    /// It waits, having written so much.
    Wait(usize),
}

fn first_write(call: &Call<'_>, file: &OpenFile, outcome: Result<usize>) -> First {
    match outcome {
        Ok(count) if is_all(file, count) => First::Over(Ok(Outcome::Done(count))),
        Ok(count) => First::Wait(count),
        Err(Errno::EAGAIN) if !file.nonblocking() => First::Wait(0),
        Err(errno) => First::Over(finish_write(call.thread(), 0, errno).map(Outcome::Done)),
    }
}

/// Whether a write that waits for room, `done` bytes being done, tries again. One that has begun goes on when there is enough to
/// be worth waking it; so it takes the same whether it had fallen asleep before a reader made a little room, or not yet.
fn may_go_on(file: &OpenFile, done: usize) -> bool {
    done == 0
        || file
            .file()
            .poll()
            .intersects(Readiness::OUT | Readiness::ERR | Readiness::HUP)
}

/// Whether a write ends with this piece of `count` bytes although more is left: it would have to wait for room.
fn is_all(file: &OpenFile, count: usize) -> bool {
    takes_units(file) || (file.nonblocking() && count < file.piece())
}

/// Whether a write takes one unit from the front and is over, however much it was given.
fn takes_units(file: &OpenFile) -> bool {
    matches!(file.file().special(), Special::EventFd)
}

/// readv(2).
pub(super) fn readv(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let buffer = vector(call)?;
    read_into(call, file, buffer, None)
}

/// writev(2).
pub(super) fn writev(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let buffer = vector(call)?;
    write_from(call, file, buffer, None)
}

/// The buffer that arguments 1 and 2 describe as an array of iovecs.
fn vector(call: &Call<'_>) -> Result<UserBuffer> {
    let count = usize::try_from(call.int::<2>()).map_err(|_| Errno::EINVAL)?;
    UserBuffer::from_iovec(call.space(), call.addr::<1>(), count)
}

fn read_into(call: &mut Call<'_>, file: FileRef, mut buffer: UserBuffer, place: Place) -> Answer {
    if file.is_socket() && place.is_none() {
        return socket::readv(call, file, buffer);
    }
    if file.is_terminal() && place.is_none() {
        return read_terminal(call, file, buffer);
    }
    let wanted = Sink::remaining(&buffer);
    let piece = wanted.min(file.piece());
    let thread = call.thread();
    match try_read(&file, &mut buffer, place, 0) {
        Ok(done) if done < piece || piece == wanted => Ok(Outcome::Done(done)),
        Ok(done) => {
            let thread = Arc::clone(thread);
            call.wait(async move { read_pieces(&thread, &file, &mut buffer, place, done).await })
        }
        Err(Errno::EAGAIN) if !file.nonblocking() => {
            let thread = Arc::clone(thread);
            call.wait(async move { read_waiting(&thread, &file, &mut buffer).await })
        }
        Err(errno) => Err(errno),
    }
}

/// Reads the next piece of a read of which `done` bytes are done.
fn try_read(file: &OpenFile, buffer: &mut UserBuffer, place: Place, done: usize) -> Result<usize> {
    let mut piece = Piece::new(buffer, file.piece());
    match place {
        None => file.try_read(&mut piece),
        Some(at) => file.try_read_at(&mut piece, at.saturating_add(done as u64)),
    }
}

/// As [`try_read`], for a write.
fn try_write(file: &OpenFile, buffer: &mut UserBuffer, place: Place, done: usize) -> Result<usize> {
    let mut piece = Piece::new(buffer, file.piece());
    match place {
        None => file.try_write(&mut piece),
        Some(at) => file.try_write_at(&mut piece, at.saturating_add(done as u64)),
    }
}

/// Lets others have their turn between two pieces of a call on `file`. False: the call ends here. What has positions is not
/// interrupted by signals, only by the end of the process (read(2) of a disk file).
pub(super) async fn goes_on(thread: &Arc<Thread>, file: &OpenFile) -> bool {
    if file.seekable() {
        pause(&Killable(Arc::clone(thread))).await.is_ok()
    } else {
        pause(thread).await.is_ok()
    }
}

/// Reads on, `done` bytes being done, until a piece is short. An error or a signal now leaves it at what there is.
async fn read_pieces(
    thread: &Arc<Thread>,
    file: &OpenFile,
    sink: &mut UserBuffer,
    place: Place,
    mut done: usize,
) -> Result<usize> {
    while Sink::remaining(sink) > 0 && goes_on(thread, file).await {
        let wanted = Sink::remaining(sink).min(file.piece());
        let count = try_read(file, sink, place, done).unwrap_or(0);
        done += count;
        if count < wanted {
            break;
        }
    }
    Ok(done)
}

/// A terminal is read in the foreground alone. Without waiting, what is there counts, be it less than VMIN.
#[cold]
#[inline(never)]
fn read_terminal(call: &mut Call<'_>, file: FileRef, mut buffer: UserBuffer) -> Answer {
    if let (Some(terminal), true) = (file.file().terminal(), file.flags().readable()) {
        terminal.check_read(call.kernel, call.thread())?;
    }
    match file.try_read(&mut buffer) {
        Err(Errno::EAGAIN) if file.nonblocking() => {
            file.file().try_read_late(&mut buffer).map(Outcome::Done)
        }
        Err(Errno::EAGAIN) => {
            let thread = Arc::clone(call.thread());
            call.wait(async move { read_waiting(&thread, &file, &mut buffer).await })
        }
        outcome => outcome.map(Outcome::Done),
    }
}

/// Reads as soon as there is something to read, or as the file says that it waits no longer. Interrupted with nothing read:
/// restarted if the handler allows.
async fn read_waiting(
    thread: &Arc<Thread>,
    file: &OpenFile,
    sink: &mut UserBuffer,
) -> Result<usize> {
    let Some(queue) = file.file().wait_queue(Side::Read) else {
        return read_at_a_pace(thread, file, sink).await;
    };
    let begun = thread.now();
    loop {
        let deadline = file.file().read_deadline(begun);
        if deadline.is_some() {
            // read is lean, but an alarm may take a tree node.
            thread.kernel().admit()?;
        }
        let moved = || file.file().read_deadline(begun) != deadline;
        let attempt = || match file.try_read(sink) {
            // There is more or less time now: the wait begins anew.
            Err(Errno::EAGAIN) if moved() => Some(Err(Errno::EAGAIN)),
            outcome => unless_again(outcome),
        };
        match wait_until(thread, queue, deadline, attempt).await {
            Ok(Err(Errno::EAGAIN)) => {}
            Ok(outcome) => return outcome,
            Err(Interruption::TimedOut) => {
                let late = file.file().try_read_late(sink);
                return if late == Err(Errno::EAGAIN) {
                    Ok(0)
                } else {
                    late
                };
            }
            Err(interruption) => return Err(restartable(interruption)),
        }
    }
}

/// Reads again and again where nobody tells that there is something.
async fn read_at_a_pace(
    thread: &Arc<Thread>,
    file: &OpenFile,
    sink: &mut UserBuffer,
) -> Result<usize> {
    let pace = file.file().pace().ok_or(Errno::EAGAIN)?;
    loop {
        thread.kernel().admit()?;
        match wait_for_time(thread, Some(thread.now().after(pace))).await {
            Interruption::TimedOut => {}
            other => return Err(restartable(other)),
        }
        if let Some(outcome) = unless_again(file.try_read(sink)) {
            return outcome;
        }
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
pub(super) fn unless_again<T>(outcome: Result<T>) -> Option<Result<T>> {
    match outcome {
        Err(Errno::EAGAIN) => None,
        outcome => Some(outcome),
    }
}

fn write_from(call: &mut Call<'_>, file: FileRef, mut buffer: UserBuffer, place: Place) -> Answer {
    if file.is_socket() && place.is_none() {
        return socket::writev(call, file, buffer);
    }
    if file.is_terminal() && place.is_none() {
        check_terminal_write(call, &file)?;
    }
    let wanted = Source::remaining(&buffer);
    let done = match try_write(&file, &mut buffer, place, 0) {
        Ok(count) if count == wanted => return Ok(Outcome::Done(count)),
        outcome => match first_write(call, &file, outcome) {
            First::Over(answer) => return answer,
            First::Wait(done) => done,
        },
    };
    let thread = Arc::clone(call.thread());
    call.wait(async move { write_waiting(&thread, &file, &mut buffer, place, done).await })
}

/// With TOSTOP a terminal is written in the foreground alone.
#[cold]
#[inline(never)]
fn check_terminal_write(call: &Call<'_>, file: &OpenFile) -> Result<()> {
    match file.file().terminal() {
        Some(terminal) if file.flags().writable() => {
            terminal.check_write(call.kernel, call.thread())
        }
        _ => Ok(()),
    }
}

/// Writes on, `done` bytes being done, until all is taken. An error or a signal after progress gives the count.
async fn write_waiting(
    thread: &Arc<Thread>,
    file: &OpenFile,
    source: &mut UserBuffer,
    place: Place,
    mut done: usize,
) -> Result<usize> {
    let mut full_piece = done > 0 && done == file.piece();
    // What the file says that it took counts, not what the source says: it must end, whatever a file does.
    let wanted = done + Source::remaining(source);
    while done < wanted {
        if full_piece && !goes_on(thread, file).await {
            break;
        }
        let mut attempt = || try_write(file, source, place, done);
        let outcome = match file.file().wait_queue(Side::Write) {
            Some(queue) if !file.nonblocking() => {
                let again = || {
                    may_go_on(file, done)
                        .then(&mut attempt)
                        .and_then(unless_again)
                };
                wait_until(thread, queue, None, again)
                    .await
                    .unwrap_or_else(|interruption| Err(restartable(interruption)))
            }
            _ => attempt(),
        };
        match outcome {
            Ok(0) => break,
            Ok(count) => {
                done += count;
                if is_all(file, count) {
                    break;
                }
                full_piece = count == file.piece();
            }
            Err(errno) => return finish_write(thread, done, errno),
        }
    }
    Ok(done)
}

/// The end of a write that met `errno` after `done` bytes. A broken pipe raises SIGPIPE in the writing thread.
pub(super) fn finish_write(thread: &Thread, done: usize, errno: Errno) -> Result<usize> {
    if errno == Errno::EPIPE {
        signal::raise_current(thread, Signal::PIPE);
    }
    if done > 0 { Ok(done) } else { Err(errno) }
}

/// An offset argument. EINVAL: negative.
pub(super) fn offset(argument: u64) -> Result<u64> {
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
    let buffer = rest_of_buffer(call, 0)?;
    read_into(call, file, buffer, Some(at))
}

/// pwrite64(2).
pub(super) fn pwrite64(call: &mut Call<'_>) -> Answer {
    let at = offset(call.arg::<3>())?;
    let file = call.file::<0>()?;
    let buffer = rest_of_buffer(call, 0)?;
    write_from(call, file, buffer, Some(at))
}

/// preadv(2): on a 64-bit machine the offset is whole in argument 3.
pub(super) fn preadv(call: &mut Call<'_>) -> Answer {
    let at = offset(call.arg::<3>())?;
    let file = call.file::<0>()?;
    let buffer = vector(call)?;
    read_into(call, file, buffer, Some(at))
}

/// pwritev(2).
pub(super) fn pwritev(call: &mut Call<'_>) -> Answer {
    let at = offset(call.arg::<3>())?;
    let file = call.file::<0>()?;
    let buffer = vector(call)?;
    write_from(call, file, buffer, Some(at))
}

/// RWF_HIPRI, RWF_DSYNC and RWF_SYNC ask for what is done anyway. EOPNOTSUPP: another one.
fn check_flags(flags: u32) -> Result<()> {
    if flags & !7 == 0 {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

/// The offset of preadv2 and pwritev2 that means the position.
const AT_POSITION: u64 = u64::MAX;

/// preadv2(2).
pub(super) fn preadv2(call: &mut Call<'_>) -> Answer {
    check_flags(call.uint::<5>())?;
    if call.arg::<3>() == AT_POSITION {
        readv(call)
    } else {
        preadv(call)
    }
}

/// pwritev2(2).
pub(super) fn pwritev2(call: &mut Call<'_>) -> Answer {
    check_flags(call.uint::<5>())?;
    if call.arg::<3>() == AT_POSITION {
        writev(call)
    } else {
        pwritev(call)
    }
}

/// getrandom(2). Never blocks: the generator is seeded at boot. A signal ends a long one early.
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
    let kernel = call.kernel;
    let mut done = kernel.random.read(&mut buffer)?;
    if Sink::remaining(&buffer) == 0 {
        return Ok(Outcome::Done(done));
    }
    let thread = Arc::clone(call.thread());
    call.wait(async move {
        while Sink::remaining(&buffer) > 0 && pause(&thread).await.is_ok() {
            match kernel.random.read(&mut buffer) {
                Ok(count) => done += count,
                Err(_) => break,
            }
        }
        Ok(done)
    })
}
