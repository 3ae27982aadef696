//! Pipes and signals: interrupted calls, and writing to nobody. Rules 6 to 8.

use core::sync::atomic::{AtomicI32, Ordering};

use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, SA_RESTART, SIGPIPE, SIGUSR1, SignalSet};
use halyard_rt::{fd, io, prelude::*, thread};

use crate::pipe_size::{CAPACITY, PIPE_BUF, fill};
use crate::runner::suite;
use crate::support::{Blocker, Outcome, check, check_eq, in_child, settle, wrong};

suite!(
    pipe_06_write_interrupted_after_progress_gives_the_count,
    pipe_06_write_interrupted_without_progress_is_eintr,
    pipe_06_write_interrupted_with_restart_goes_on,
    pipe_06_read_interrupted_is_eintr,
    pipe_06_read_interrupted_with_restart_goes_on,
    pipe_06_read_passed_by_ignored_signal_goes_on,
    pipe_07_no_readers_is_epipe_and_sigpipe,
    pipe_07_no_readers_kills_by_default,
    pipe_07_sigpipe_goes_to_the_writing_thread,
    pipe_08_reader_leaving_midway_gives_the_count_and_sigpipe,
    pipe_08_reader_leaving_before_progress_is_epipe,
    pipe_08_blocked_write_can_be_killed,
);

static CAUGHT: AtomicI32 = AtomicI32::new(0);
static CAUGHT_BY: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: i32) {
    CAUGHT.store(number, Ordering::SeqCst);
    CAUGHT_BY.store(process::thread_id(), Ordering::SeqCst);
}

fn caught() -> i32 {
    CAUGHT.swap(0, Ordering::SeqCst)
}

fn catch(number: i32, flags: u32) -> Result<()> {
    signal::set(number, Action::Call(note), flags, SignalSet::EMPTY).map(drop)
}

fn pipe_06_write_interrupted_after_progress_gives_the_count() -> Outcome {
    let (_reader, writer) = fd::pipe()?;
    let child = Blocker::start(|| {
        let caught_up = catch(SIGUSR1, 0).is_ok();
        let count = io::write(&writer, &vec![0; 100_000]);
        i32::from(!(caught_up && count == Ok(CAPACITY) && caught() == SIGUSR1))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_06_write_interrupted_without_progress_is_eintr() -> Outcome {
    let (_reader, writer) = fd::pipe()?;
    fill(&writer)?;
    for length in [1, PIPE_BUF, 3 * PIPE_BUF] {
        let child = Blocker::start(|| {
            let _ = catch(SIGUSR1, 0);
            i32::from(io::write(&writer, &vec![0; length]) != Err(Errno::EINTR))
        })?;
        process::kill(child.pid(), SIGUSR1)?;
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}

fn pipe_06_write_interrupted_with_restart_goes_on() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    fill(&writer)?;
    let child = Blocker::start(|| {
        let _ = catch(SIGUSR1, SA_RESTART);
        let whole = io::write(&writer, &[0; PIPE_BUF]) == Ok(PIPE_BUF);
        i32::from(!(whole && caught() == SIGUSR1))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    settle();
    check!(child.blocked()?);
    check_eq!(io::read_full(&reader, &mut [0; PIPE_BUF])?, PIPE_BUF);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_06_read_interrupted_is_eintr() -> Outcome {
    let (reader, _writer) = fd::pipe()?;
    let child = Blocker::start(|| {
        let _ = catch(SIGUSR1, 0);
        let interrupted = io::read(&reader, &mut [0]) == Err(Errno::EINTR);
        i32::from(!(interrupted && caught() == SIGUSR1))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_06_read_interrupted_with_restart_goes_on() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let child = Blocker::start(|| {
        let _ = catch(SIGUSR1, SA_RESTART);
        let mut byte = [0];
        let read = io::read(&reader, &mut byte) == Ok(1) && byte == [b'r'];
        i32::from(!(read && caught() == SIGUSR1))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    settle();
    check!(child.blocked()?);
    io::write(&writer, b"r")?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_06_read_passed_by_ignored_signal_goes_on() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let child = Blocker::start(|| {
        let _ = signal::set(SIGUSR1, Action::Ignore, 0, SignalSet::EMPTY);
        i32::from(io::read(&reader, &mut [0]) != Ok(1))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    process::kill(child.pid(), signal::SIGCHLD)?;
    settle();
    check!(child.blocked()?);
    io::write(&writer, b"r")?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_07_no_readers_is_epipe_and_sigpipe() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    drop(reader);
    catch(SIGPIPE, 0)?;
    check_eq!(io::write(&writer, b"x"), Err(Errno::EPIPE));
    check_eq!(caught(), SIGPIPE);
    signal::set(SIGPIPE, Action::Ignore, 0, SignalSet::EMPTY)?;
    check_eq!(io::write(&writer, b"x"), Err(Errno::EPIPE));
    fd::set_nonblocking(&writer, true)?;
    check_eq!(io::write(&writer, &[0; 2 * PIPE_BUF]), Err(Errno::EPIPE));
    Ok(())
}

fn pipe_07_no_readers_kills_by_default() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    drop(reader);
    let status = in_child(|| {
        let _ = io::write(&writer, b"x");
        0
    })?;
    check_eq!(status, Status::Signaled(SIGPIPE));
    Ok(())
}

fn pipe_07_sigpipe_goes_to_the_writing_thread() -> Outcome {
    static WRITER_ID: AtomicI32 = AtomicI32::new(0);
    let (reader, writer) = fd::pipe()?;
    drop(reader);
    catch(SIGPIPE, 0)?;
    let worker = thread::spawn(move || {
        WRITER_ID.store(process::thread_id(), Ordering::SeqCst);
        let _ = io::write(&writer, b"x");
    })?;
    worker.join();
    check_eq!(caught(), SIGPIPE);
    check_eq!(
        CAUGHT_BY.load(Ordering::SeqCst),
        WRITER_ID.load(Ordering::SeqCst)
    );
    check!(process::thread_id() != WRITER_ID.load(Ordering::SeqCst));
    Ok(())
}

fn pipe_08_reader_leaving_midway_gives_the_count_and_sigpipe() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let number = reader.fd();
    let child = Blocker::start(|| {
        let _ = fd::close(number);
        let _ = catch(SIGPIPE, 0);
        let count = io::write(&writer, &vec![0; 100_000]);
        i32::from(!(count == Ok(CAPACITY) && caught() == SIGPIPE))
    })?;
    check!(child.blocked()?);
    drop(reader);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_08_reader_leaving_before_progress_is_epipe() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    fill(&writer)?;
    let number = reader.fd();
    let child = Blocker::start(|| {
        let _ = fd::close(number);
        let _ = catch(SIGPIPE, 0);
        let result = io::write(&writer, b"x");
        i32::from(!(result == Err(Errno::EPIPE) && caught() == SIGPIPE))
    })?;
    check!(child.blocked()?);
    drop(reader);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_08_blocked_write_can_be_killed() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    for body in [0, 1] {
        let child = match body {
            0 => Blocker::start(|| i32::from(io::write(&writer, &vec![0; 200_000]).is_ok()))?,
            _ => {
                io::read_full(&reader, &mut vec![0; CAPACITY])?;
                Blocker::start(|| i32::from(io::read(&reader, &mut [0]).is_ok()))?
            }
        };
        if !child.blocked()? {
            return Err(wrong("it did not block"));
        }
        check_eq!(child.kill()?, Status::Signaled(signal::SIGKILL));
    }
    Ok(())
}
