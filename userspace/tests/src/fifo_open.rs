//! FIFOs: pipes with a name (fifo(7)).

use halyard_rt::fs::Kind;
use halyard_rt::poll::{POLLHUP, POLLIN, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, SA_RESTART, SIGUSR1, SignalSet};
use halyard_rt::{fs, io, open, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, check, check_eq, settle};

suite!(
    fifo_made_on_an_existing_name_is_eexist,
    fifo_is_a_fifo_with_the_permissions_asked_for,
    fifo_nonblocking_writer_without_reader_is_enxio,
    fifo_nonblocking_reader_opens_at_once,
    fifo_open_waits_for_the_other_end,
    fifo_blocking_open_can_be_interrupted,
    fifo_blocking_open_with_restart_goes_on,
    fifo_blocking_open_can_be_killed,
    fifo_read_write_open_never_waits,
    fifo_without_a_writer_ever_reads_0_and_has_no_hup,
    fifo_whose_writer_left_has_hup_until_a_new_one_comes,
    fifo_data_is_dropped_at_the_last_close,
    fifo_data_outlives_its_writer_while_a_reader_stays,
    fifo_unlinked_works_on,
    fifo_carries_bytes_between_strangers,
);

struct Name(String);

impl Name {
    fn new(name: &str) -> Result<Name> {
        let path = format!("/tmp/fifo_{name}_{}", process::id());
        let _ = fs::remove_file(&path);
        fs::create_node(&path, halyard_rt::raw::general::S_IFIFO | 0o640, (0, 0))?;
        Ok(Name(path))
    }

    fn open(&self, flags: u32) -> Result<Fd> {
        fs::open_with(&self.0, flags, 0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const READ: u32 = open::O_RDONLY;
const WRITE: u32 = open::O_WRONLY;
const NOW: u32 = open::O_NONBLOCK;

fn polled(fd: &Fd) -> Result<i16> {
    let mut fds = [PollFd::new(fd.fd(), POLLIN)];
    poll(&mut fds, Some(core::time::Duration::ZERO))?;
    Ok(fds[0].revents)
}

fn fifo_made_on_an_existing_name_is_eexist() -> Outcome {
    let name = Name::new("twice")?;
    let again = fs::create_node(&name.0, halyard_rt::raw::general::S_IFIFO | 0o600, (0, 0));
    check_eq!(again, Err(Errno::EEXIST));
    Ok(())
}

fn fifo_is_a_fifo_with_the_permissions_asked_for() -> Outcome {
    let name = Name::new("kind")?;
    let found = fs::metadata(&name.0)?;
    check_eq!((found.kind(), found.size()), (Kind::Fifo, 0));
    check_eq!(found.permissions(), 0o640);
    let open = name.open(READ | NOW)?;
    check_eq!(fs::metadata_of(&open)?.inode(), found.inode());
    Ok(())
}

fn fifo_nonblocking_writer_without_reader_is_enxio() -> Outcome {
    let name = Name::new("enxio")?;
    check_eq!(name.open(WRITE | NOW).map(drop), Err(Errno::ENXIO));
    let _reader = name.open(READ | NOW)?;
    name.open(WRITE | NOW)?;
    Ok(())
}

fn fifo_nonblocking_reader_opens_at_once() -> Outcome {
    let name = Name::new("reader")?;
    let reader = name.open(READ | NOW)?;
    check_eq!(io::read(&reader, &mut [0; 4])?, 0);
    Ok(())
}

fn fifo_open_waits_for_the_other_end() -> Outcome {
    let name = Name::new("wait")?;
    for (mine, theirs) in [(READ, WRITE), (WRITE, READ)] {
        let child = Blocker::start(|| i32::from(name.open(theirs).is_err()))?;
        check!(child.blocked()?);
        drop(name.open(mine)?);
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn catch(flags: u32) -> bool {
    signal::set(SIGUSR1, Action::Call(nothing), flags, SignalSet::EMPTY).is_ok()
}

fn fifo_blocking_open_can_be_interrupted() -> Outcome {
    let name = Name::new("eintr")?;
    for flags in [READ, WRITE] {
        let child = Blocker::start(|| {
            let ready = catch(0);
            i32::from(!ready || name.open(flags) != Err(Errno::EINTR))
        })?;
        process::kill(child.pid(), SIGUSR1)?;
        check_eq!(child.join()?, Status::Exited(0));
    }
    // What was interrupted has opened nothing.
    check_eq!(name.open(WRITE | NOW).map(drop), Err(Errno::ENXIO));
    Ok(())
}

fn fifo_blocking_open_with_restart_goes_on() -> Outcome {
    let name = Name::new("restart")?;
    let child = Blocker::start(|| {
        let ready = catch(SA_RESTART);
        i32::from(!ready || name.open(READ).is_err())
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    settle();
    check!(child.blocked()?);
    drop(name.open(WRITE)?);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn fifo_blocking_open_can_be_killed() -> Outcome {
    let name = Name::new("kill")?;
    let child = Blocker::start(|| i32::from(name.open(READ).is_err()))?;
    check_eq!(child.kill()?, Status::Signaled(signal::SIGKILL));
    check_eq!(name.open(WRITE | NOW).map(drop), Err(Errno::ENXIO));
    Ok(())
}

fn fifo_read_write_open_never_waits() -> Outcome {
    let name = Name::new("both")?;
    let both = name.open(open::O_RDWR)?;
    io::write_all(&both, b"echo")?;
    let mut text = [0; 4];
    check_eq!(io::read(&both, &mut text)?, 4);
    check_eq!(&text, b"echo");
    // It is a reader and a writer to others.
    name.open(WRITE | NOW)?;
    drop(name.open(READ)?);
    Ok(())
}

fn fifo_without_a_writer_ever_reads_0_and_has_no_hup() -> Outcome {
    let name = Name::new("never")?;
    let reader = name.open(READ | NOW)?;
    check_eq!(io::read(&reader, &mut [0; 4])?, 0);
    check_eq!(polled(&reader)?, 0);
    Ok(())
}

fn fifo_whose_writer_left_has_hup_until_a_new_one_comes() -> Outcome {
    let name = Name::new("hup")?;
    let reader = name.open(READ | NOW)?;
    let writer = name.open(WRITE)?;
    check_eq!(polled(&reader)?, 0);
    check_eq!(io::read(&reader, &mut [0; 4]), Err(Errno::EAGAIN));
    drop(writer);
    check_eq!(polled(&reader)?, POLLHUP);
    check_eq!(io::read(&reader, &mut [0; 4])?, 0);
    let _next = name.open(WRITE)?;
    check_eq!(polled(&reader)?, 0);
    check_eq!(io::read(&reader, &mut [0; 4]), Err(Errno::EAGAIN));
    Ok(())
}

fn fifo_data_is_dropped_at_the_last_close() -> Outcome {
    let name = Name::new("dropped")?;
    let reader = name.open(READ | NOW)?;
    let writer = name.open(WRITE)?;
    io::write_all(&writer, b"lost")?;
    drop((reader, writer));
    let reader = name.open(READ | NOW)?;
    check_eq!(io::read(&reader, &mut [0; 4])?, 0);
    Ok(())
}

fn fifo_data_outlives_its_writer_while_a_reader_stays() -> Outcome {
    let name = Name::new("kept")?;
    let reader = name.open(READ | NOW)?;
    let writer = name.open(WRITE)?;
    io::write_all(&writer, b"kept")?;
    drop(writer);
    let mut text = [0; 8];
    check_eq!(io::read(&reader, &mut text)?, 4);
    check_eq!(&text[..4], b"kept");
    check_eq!(io::read(&reader, &mut text)?, 0);
    Ok(())
}

fn fifo_unlinked_works_on() -> Outcome {
    let name = Name::new("unlinked")?;
    let both = name.open(open::O_RDWR)?;
    fs::remove_file(&name.0)?;
    io::write_all(&both, b"on")?;
    check_eq!(io::read(&both, &mut [0; 2])?, 2);
    Ok(())
}

fn fifo_carries_bytes_between_strangers() -> Outcome {
    const LENGTH: usize = 100_000;
    let name = Name::new("bytes")?;
    let data: Vec<u8> = (0..LENGTH).map(|at| (at % 249) as u8).collect();
    let child = process::spawn(|| {
        let sent = name
            .open(WRITE)
            .and_then(|writer| io::write_all(&writer, &data));
        i32::from(sent.is_err())
    })?;
    let reader = name.open(READ)?;
    let mut seen = Vec::new();
    io::read_to_end(&reader, &mut seen)?;
    check!(seen == data);
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    Ok(())
}
