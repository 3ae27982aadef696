//! Files of memory without a name, and seals on them (memfd_create(2)).

use halyard_rt::memfd::{
    self, F_SEAL_EXEC, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE,
    MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_NOEXEC_SEAL,
};
use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::process::Status;
use halyard_rt::{fd, fs, io, nr, open, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, WILD, call, check, check_eq, in_child};

suite!(
    memfd_is_an_empty_regular_file_without_links,
    memfd_flags_are_checked,
    memfd_name_too_long_is_einval,
    memfd_without_allow_sealing_cannot_be_sealed,
    memfd_seal_seal_is_the_last,
    memfd_seal_shrink_lets_it_grow_alone,
    memfd_seal_grow_lets_it_shrink_alone,
    memfd_seal_write_stops_write_and_shared_mappings,
    memfd_seal_write_with_a_writable_mapping_is_ebusy,
    memfd_seal_future_write_leaves_mappings_that_are_there,
    memfd_seal_exec_of_what_may_be_executed_stops_writes_too,
    memfd_seal_needs_a_writable_descriptor,
    memfd_seals_belong_to_the_file,
    memfd_seals_unknown_are_einval,
    memfd_seals_of_a_pipe_are_einval,
    memfd_is_shared_over_fork_by_mapping_and_by_write,
);

const SEALABLE: u32 = MFD_ALLOW_SEALING;

fn sealable(length: u64) -> Result<Fd> {
    let file = memfd::create("test", SEALABLE)?;
    fs::set_length(&file, length)?;
    Ok(file)
}

fn shared(file: &Fd, prot: u32) -> Result<Mapping> {
    Mapping::file(file, 0, PAGE, prot, Sharing::Shared)
}

fn memfd_is_an_empty_regular_file_without_links() -> Outcome {
    let file = memfd::create("a name", 0)?;
    let found = fs::metadata_of(&file)?;
    check_eq!(found.kind(), fs::Kind::Regular);
    check_eq!((found.size(), found.links()), (0, 0));
    check_eq!(fd::flags(&file)? & open::O_ACCMODE, open::O_RDWR);
    check!(!fd::cloexec(&file)?);
    check!(fd::cloexec(&memfd::create("", MFD_CLOEXEC)?)?);
    Ok(())
}

fn memfd_flags_are_checked() -> Outcome {
    let file = memfd::create("x", 1 << 20);
    check_eq!(file.map(drop), Err(Errno::EINVAL));
    for at in WILD {
        check_eq!(call(nr::MEMFD_CREATE, [at, 0]), Err(Errno::EFAULT));
    }
    Ok(())
}

fn memfd_name_too_long_is_einval() -> Outcome {
    drop(memfd::create(&"x".repeat(249), 0)?);
    let longer = memfd::create(&"x".repeat(250), 0);
    check_eq!(longer.map(drop), Err(Errno::EINVAL));
    Ok(())
}

fn memfd_without_allow_sealing_cannot_be_sealed() -> Outcome {
    let file = memfd::create("x", 0)?;
    check_eq!(memfd::seals(&file)?, F_SEAL_SEAL);
    check_eq!(memfd::seal(&file, F_SEAL_GROW), Err(Errno::EPERM));
    Ok(())
}

fn memfd_seal_seal_is_the_last() -> Outcome {
    let file = sealable(0)?;
    check_eq!(memfd::seals(&file)?, 0);
    memfd::seal(&file, F_SEAL_GROW)?;
    memfd::seal(&file, F_SEAL_GROW | F_SEAL_SHRINK)?;
    memfd::seal(&file, F_SEAL_SEAL)?;
    check_eq!(
        memfd::seals(&file)?,
        F_SEAL_SEAL | F_SEAL_GROW | F_SEAL_SHRINK
    );
    check_eq!(memfd::seal(&file, F_SEAL_WRITE), Err(Errno::EPERM));
    Ok(())
}

fn memfd_seal_shrink_lets_it_grow_alone() -> Outcome {
    let file = sealable(100)?;
    memfd::seal(&file, F_SEAL_SHRINK)?;
    check_eq!(fs::set_length(&file, 99), Err(Errno::EPERM));
    fs::set_length(&file, 100)?;
    fs::set_length(&file, 200)?;
    check_eq!(fs::metadata_of(&file)?.size(), 200);
    Ok(())
}

fn memfd_seal_grow_lets_it_shrink_alone() -> Outcome {
    let file = sealable(2 * PAGE as u64)?;
    memfd::seal(&file, F_SEAL_GROW)?;
    check_eq!(
        fs::set_length(&file, 2 * PAGE as u64 + 1),
        Err(Errno::EPERM)
    );
    let end = 2 * PAGE as i64;
    check_eq!(io::pwrite(&file, b"beyond", end), Err(Errno::EPERM));
    check_eq!(io::pwrite(&file, b"within", end - 6)?, 6);
    // A write over the end is refused as a whole.
    let over = io::pwrite(&file, &[1; PAGE + 9], end - PAGE as i64);
    check_eq!(over, Err(Errno::EPERM));
    let mut last = [7];
    io::pread(&file, &mut last, end - PAGE as i64)?;
    check_eq!(last, [0]);
    check_eq!(fs::metadata_of(&file)?.size(), 2 * PAGE as u64);
    fs::set_length(&file, 5)?;
    Ok(())
}

fn memfd_seal_write_stops_write_and_shared_mappings() -> Outcome {
    let file = sealable(PAGE as u64)?;
    io::pwrite(&file, b"for ever", 0)?;
    memfd::seal(&file, F_SEAL_WRITE)?;
    check_eq!(io::pwrite(&file, b"x", 0), Err(Errno::EPERM));
    check_eq!(io::pwrite(&file, b"", 0), Ok(0));
    let mapped = shared(&file, PROT_READ | PROT_WRITE);
    check_eq!(mapped.map(drop), Err(Errno::EPERM));
    // Private stores are nobody else's.
    let own = Mapping::file(&file, 0, PAGE, PROT_READ | PROT_WRITE, Sharing::Private)?;
    own.store(0, b'F');
    let mut text = [0; 8];
    io::pread(&file, &mut text, 0)?;
    check_eq!(&text, b"for ever");
    // It may still change its size.
    fs::set_length(&file, 1)?;
    Ok(())
}

fn memfd_seal_write_with_a_writable_mapping_is_ebusy() -> Outcome {
    let file = sealable(PAGE as u64)?;
    let mapped = shared(&file, PROT_READ | PROT_WRITE)?;
    mapped.store(0, 7);
    check_eq!(memfd::seal(&file, F_SEAL_WRITE), Err(Errno::EBUSY));
    check_eq!(memfd::seals(&file)?, 0);
    memfd::seal(&file, F_SEAL_GROW)?;
    // A copy over fork counts too, until its process goes.
    let reader = &mapped;
    let child = Blocker::start(|| {
        halyard_rt::time::sleep(core::time::Duration::from_secs(9));
        i32::from(reader.load(0) != 7)
    })?;
    drop(mapped);
    check_eq!(memfd::seal(&file, F_SEAL_WRITE), Err(Errno::EBUSY));
    child.kill()?;
    memfd::seal(&file, F_SEAL_WRITE)?;
    Ok(())
}

fn memfd_seal_future_write_leaves_mappings_that_are_there() -> Outcome {
    let file = sealable(PAGE as u64)?;
    let mapped = shared(&file, PROT_READ | PROT_WRITE)?;
    memfd::seal(&file, F_SEAL_FUTURE_WRITE)?;
    mapped.store(3, 42);
    let mut byte = [0];
    io::pread(&file, &mut byte, 3)?;
    check_eq!(byte, [42]);
    check_eq!(io::pwrite(&file, b"x", 0), Err(Errno::EPERM));
    let second = shared(&file, PROT_READ | PROT_WRITE);
    check_eq!(second.map(drop), Err(Errno::EPERM));
    let reader = shared(&file, PROT_READ)?;
    check_eq!(reader.load(3), 42);
    check_eq!(
        reader.protect(0, PAGE, PROT_READ | PROT_WRITE),
        Err(Errno::EACCES)
    );
    Ok(())
}

fn memfd_seal_exec_of_what_may_be_executed_stops_writes_too() -> Outcome {
    let file = sealable(PAGE as u64)?;
    check_eq!(fs::metadata_of(&file)?.mode() & 0o111, 0o111);
    memfd::seal(&file, F_SEAL_EXEC)?;
    let all = F_SEAL_EXEC | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    check_eq!(memfd::seals(&file)?, all);
    check_eq!(io::pwrite(&file, b"x", 0), Err(Errno::EPERM));
    // What may not be executed is sealed against that alone.
    let data = memfd::create("data", MFD_NOEXEC_SEAL)?;
    check_eq!(memfd::seals(&data)?, F_SEAL_EXEC);
    check_eq!(io::pwrite(&data, b"x", 0)?, 1);
    Ok(())
}

fn memfd_seal_needs_a_writable_descriptor() -> Outcome {
    let file = sealable(0)?;
    let path = format!("/proc/self/fd/{}", file.fd());
    let reader = fs::open(&path)?;
    check_eq!(memfd::seal(&reader, F_SEAL_GROW), Err(Errno::EPERM));
    check_eq!(memfd::seals(&reader)?, 0);
    Ok(())
}

fn memfd_seals_belong_to_the_file() -> Outcome {
    let file = sealable(0)?;
    let second = fd::dup(&file)?;
    let status = in_child(|| i32::from(memfd::seal(&second, F_SEAL_GROW).is_err()))?;
    check_eq!(status, Status::Exited(0));
    check_eq!(memfd::seals(&file)?, F_SEAL_GROW);
    Ok(())
}

fn memfd_seals_unknown_are_einval() -> Outcome {
    let file = sealable(0)?;
    check_eq!(memfd::seal(&file, 1 << 15), Err(Errno::EINVAL));
    check_eq!(memfd::seals(&file)?, 0);
    Ok(())
}

fn memfd_seals_of_a_pipe_are_einval() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(memfd::seals(&reader), Err(Errno::EINVAL));
    check_eq!(memfd::seal(&writer, F_SEAL_GROW), Err(Errno::EINVAL));
    Ok(())
}

fn memfd_is_shared_over_fork_by_mapping_and_by_write() -> Outcome {
    let file = sealable(PAGE as u64)?;
    let mapped = shared(&file, PROT_READ | PROT_WRITE)?;
    let status = in_child(|| {
        mapped.store(0, 1);
        i32::from(io::pwrite(&file, &[2], 1) != Ok(1))
    })?;
    check_eq!(status, Status::Exited(0));
    check_eq!((mapped.load(0), mapped.load(1)), (1, 2));
    Ok(())
}
