//! `ipc_call`: the one door to all mechanisms. Linux has no such call, so there these tests are skipped.

use core::time::Duration;

use halyard_rt::ipc::command as abi;
use halyard_rt::process::Status;
use halyard_rt::signal::{SIGKILL, SIGTERM};
use halyard_rt::{fd, fs, io, ipc, prelude::*, wild};

use halyard_rt::sysv::{IPC_NOWAIT, memory, message};

use crate::runner::suite;
use crate::support::{Blocker, Failure, Outcome, Shared, WILD, call, check, check_eq};

suite!(
    ipc_call_unknown_command_is_einval,
    ipc_call_info_counts_what_lives,
    ipc_call_info_says_how_much_room_it_wants,
    ipc_call_wild_pointer_is_efault,
    ipc_call_pipe_is_the_pipe_of_read_and_write,
    ipc_call_fifo_is_a_fifo,
    ipc_call_word_wait_meets_futex_wake,
    ipc_call_word_wait_times_out,
    ipc_call_signal_reaches_its_process,
    ipc_call_registers_are_kept,
    ipc_call_shared_memory_is_that_of_shmat,
    ipc_call_typed_queue_holds_64_messages_of_256_bytes,
    ipc_call_info_names_each_object,
);

/// Skips the test where the call does not exist.
fn required() -> core::result::Result<(), Failure> {
    if ipc::exists() {
        return Ok(());
    }
    Err(Failure::Skip("this kernel has no ipc_call".into()))
}

fn raw(command: usize, arguments: [usize; 5]) -> Result<usize> {
    let [a0, a1, a2, a3, a4] = arguments;
    call(abi::IPC_CALL, [command, a0, a1, a2, a3, a4])
}

fn live(kind: &str) -> core::result::Result<u64, Failure> {
    let sums_up = |record: &ipc::InfoRecord| {
        let name = record.kind.split(|byte| *byte == 0).next().unwrap_or(&[]);
        name == kind.as_bytes() && record.id == -1
    };
    let records = ipc::info()?;
    let record = records.iter().find(|record| sums_up(record));
    record
        .map(|record| record.count)
        .ok_or(Failure::Wrong(format!("no kind {kind}")))
}

fn ipc_call_unknown_command_is_einval() -> Outcome {
    required()?;
    for command in [0xff, 0xffff, usize::MAX, 1 << 32] {
        check_eq!(raw(command, [0; 5]), Err(Errno::EINVAL));
    }
    Ok(())
}

fn ipc_call_info_counts_what_lives() -> Outcome {
    required()?;
    let before = live("pipe")?;
    let ends = ipc::pipe_create(0)?;
    check_eq!(live("pipe")?, before + 1);
    drop(ends);
    check_eq!(live("pipe")?, before);
    Ok(())
}

fn ipc_call_info_says_how_much_room_it_wants() -> Outcome {
    required()?;
    let count = raw(abi::INFO, [0; 5])?;
    check!(count >= 8);
    check_eq!(ipc::info()?.len(), count);
    let mut one = [0u64; 10];
    let some = raw(abi::INFO, [one.as_mut_ptr() as usize, 1, 0, 0, 0])?;
    check_eq!(some, count);
    check!(one[5..] == [0; 5]);
    Ok(())
}

fn ipc_call_wild_pointer_is_efault() -> Outcome {
    required()?;
    for address in WILD {
        check_eq!(raw(abi::INFO, [address, 1, 0, 0, 0]), Err(Errno::EFAULT));
        check_eq!(
            raw(abi::PIPE_CREATE, [address, 0, 0, 0, 0]),
            Err(Errno::EFAULT)
        );
        check_eq!(
            raw(abi::FIFO_CREATE, [address, 0o600, 0, 0, 0]),
            Err(Errno::EFAULT)
        );
    }
    Ok(())
}

fn ipc_call_pipe_is_the_pipe_of_read_and_write() -> Outcome {
    required()?;
    let (reader, writer) = ipc::pipe_create(0)?;
    let mut buffer = [0; 8];
    check_eq!(ipc::send(&writer, b"one")?, 3);
    check_eq!(io::read(&reader, &mut buffer)?, 3);
    check_eq!(io::write(&writer, b"four")?, 4);
    check_eq!(ipc::receive(&reader, &mut buffer)?, 4);
    check!(buffer.starts_with(b"four"));
    drop(writer);
    check_eq!(ipc::receive(&reader, &mut buffer)?, 0);
    check_eq!(ipc::send(&reader, b"x"), Err(Errno::EBADF));
    Ok(())
}

fn ipc_call_fifo_is_a_fifo() -> Outcome {
    required()?;
    let path = "/tmp/ipc_call_fifo";
    let _ = fs::remove_file(path);
    ipc::fifo_create(path, 0o600)?;
    check_eq!(fs::metadata(path)?.kind(), fs::Kind::Fifo);
    check_eq!(ipc::fifo_create(path, 0o600), Err(Errno::EEXIST));
    fs::remove_file(path)?;
    Ok(())
}

fn ipc_call_word_wait_meets_futex_wake() -> Outcome {
    required()?;
    let shared = Shared::new()?;
    let child = Blocker::start(|| i32::from(ipc::word_wait(shared.word(1), 0, None).is_err()))?;
    check!(child.blocked()?);
    shared.set(1, 1);
    check_eq!(halyard_rt::thread::futex_wake_shared(shared.word(1), 1)?, 1);
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(ipc::word_wait(shared.word(1), 0, None), Err(Errno::EAGAIN));
    check_eq!(ipc::word_wake(shared.word(1), 1)?, 0);
    Ok(())
}

fn ipc_call_word_wait_times_out() -> Outcome {
    required()?;
    let shared = Shared::new()?;
    let length = Duration::from_millis(10);
    let answer = ipc::word_wait(shared.word(0), 0, Some(length));
    check_eq!(answer, Err(Errno::ETIMEDOUT));
    Ok(())
}

fn ipc_call_signal_reaches_its_process() -> Outcome {
    required()?;
    let child = Blocker::start(|| {
        let (reader, _writer) = fd::pipe().unwrap_or_else(|_| process::exit(9));
        i32::from(ipc::receive(&reader, &mut [0]).is_ok())
    })?;
    ipc::signal_send(child.pid(), 0)?;
    check!(child.blocked()?);
    ipc::signal_send(child.pid(), SIGTERM)?;
    check_eq!(child.join()?, Status::Signaled(SIGTERM));
    check_eq!(ipc::signal_send(0x3fff_fff0, SIGKILL), Err(Errno::ESRCH));
    check_eq!(ipc::signal_send(1, 65), Err(Errno::EINVAL));
    Ok(())
}

fn ipc_call_shared_memory_is_that_of_shmat() -> Outcome {
    required()?;
    let id = ipc::shm_create(5000, 0o600)?;
    let here = memory::attach(id, 0)?;
    let there = raw(abi::SHM_MAP, [id as usize, 0, 0, 0, 0])?;
    here.store(4999, 7);
    check_eq!(wild::load(there + 4999), 7);
    check_eq!(memory::status(id)?.nattch, 2);
    check_eq!(raw(abi::SHM_UNMAP, [there, 0, 0, 0, 0]), Ok(0));
    check_eq!(memory::status(id)?.nattch, 1);
    memory::remove(id)?;
    drop(here);
    check_eq!(memory::status(id), Err(Errno::EINVAL));
    Ok(())
}

fn ipc_call_typed_queue_holds_64_messages_of_256_bytes() -> Outcome {
    required()?;
    let id = ipc::msg_create(0, 0o1600)?;
    let long = message::send(id, 1, &[0; 257], IPC_NOWAIT);
    check_eq!(long, Err(Errno::EINVAL));
    for kind in 1..=64 {
        message::send(id, kind, &[kind as u8; 256], IPC_NOWAIT)?;
    }
    let one_more = message::send(id, 1, b"", IPC_NOWAIT);
    check_eq!(one_more, Err(Errno::EAGAIN));
    let mut text = [0; 256];
    check_eq!(message::receive(id, &mut text, 40, 0), Ok((40, 256)));
    check!(text == [40; 256]);
    message::remove(id)?;
    Ok(())
}

fn ipc_call_info_names_each_object() -> Outcome {
    required()?;
    let id = ipc::msg_create(0, 0o1600)?;
    message::send(id, 1, b"x", IPC_NOWAIT)?;
    let records = ipc::info()?;
    let mine = |record: &&ipc::InfoRecord| {
        record.id == i64::from(id) && record.kind.starts_with(b"message_queue\0")
    };
    let count = records.iter().find(mine).map(|record| record.count);
    message::remove(id)?;
    check_eq!(count, Some(1));
    Ok(())
}

/// The door arranges the arguments in the registers of another call; the program must not see it.
fn ipc_call_registers_are_kept() -> Outcome {
    required()?;
    let shared = Shared::new()?;
    let word = shared.word(0).as_ptr() as usize;
    for (command, result) in [
        (abi::WORD_WAKE, Ok(0)),
        (abi::WORD_WAIT, Err(Errno::EAGAIN)),
    ] {
        let arguments = [command, word, 7, 0, 11, 13];
        let (answer, after) = wild::call_and_registers(abi::IPC_CALL, arguments);
        check_eq!(answer, result);
        check!(after == arguments[1..]);
    }
    Ok(())
}
