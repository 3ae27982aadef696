//! POSIX shared memory: files of /dev/shm, which shm_open(3) makes, and shared mappings of them (shm_overview(7)).

use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::process::Status;
use halyard_rt::{fs, io, nr, open, prelude::*, signal, wild};

use crate::runner::suite;
use crate::support::{Outcome, call, check, check_eq, in_child};

suite!(
    shm_posix_directory_is_sticky_and_anybodys,
    shm_posix_is_a_tmpfs,
    shm_posix_name_leads_every_process_to_the_same_bytes,
    shm_posix_mapping_and_file_are_coherent,
    shm_posix_unlinked_object_lives_with_its_mappings,
    shm_posix_access_behind_the_end_is_sigbus,
    shm_posix_page_cut_off_is_sigbus_and_comes_back_zero,
    shm_posix_read_only_descriptor_maps_read_only,
    shm_posix_stranger_cannot_unlink,
    shm_posix_anonymous_mapping_is_shared_with_the_child_alone,
    shm_posix_two_mappings_of_one_object_agree,
    shm_posix_counter_under_contention_is_exact,
);

const RW: u32 = PROT_READ | PROT_WRITE;

/// shm_open(3) as C libraries do it.
fn create(name: &str, length: u64) -> Result<Fd> {
    let flags = open::O_RDWR | open::O_CREAT | open::O_EXCL | open::O_CLOEXEC | open::O_NOFOLLOW;
    let file = fs::open_with(format!("/dev/shm/{name}"), flags, 0o600)?;
    fs::set_length(&file, length)?;
    Ok(file)
}

fn unlink(name: &str) -> Result<()> {
    fs::remove_file(format!("/dev/shm/{name}"))
}

/// An object that has lost its name.
fn nameless(length: u64) -> Result<Fd> {
    let _ = unlink("nameless");
    let file = create("nameless", length)?;
    unlink("nameless")?;
    Ok(file)
}

fn shared(file: &Fd, length: usize) -> Result<Mapping> {
    Mapping::file(file, 0, length, RW, Sharing::Shared)
}

fn shm_posix_directory_is_sticky_and_anybodys() -> Outcome {
    let found = fs::metadata("/dev/shm")?;
    check!(found.is_dir());
    check_eq!(found.permissions(), 0o1777);
    Ok(())
}

fn shm_posix_is_a_tmpfs() -> Outcome {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    let mut about = [0u64; 15];
    let path = c"/dev/shm".as_ptr() as usize;
    call(nr::STATFS, [path, about.as_mut_ptr() as usize])?;
    check_eq!(about[0], TMPFS_MAGIC);
    let mounts = fs::read_to_string("/proc/mounts")?;
    let on_it = |line: &str| line.contains(" /dev/shm tmpfs ");
    check!(mounts.lines().any(on_it));
    Ok(())
}

fn shm_posix_name_leads_every_process_to_the_same_bytes() -> Outcome {
    let _ = unlink("meeting");
    let object = create("meeting", PAGE as u64)?;
    let mapped = shared(&object, PAGE)?;
    let status = in_child(|| {
        let Ok(file) = fs::open_with("/dev/shm/meeting", open::O_RDWR, 0) else {
            return 1;
        };
        match shared(&file, PAGE) {
            Ok(mapped) => mapped.store(9, 99),
            Err(_) => return 2,
        }
        0
    })?;
    unlink("meeting")?;
    check_eq!(status, Status::Exited(0));
    check_eq!(mapped.load(9), 99);
    Ok(())
}

fn shm_posix_mapping_and_file_are_coherent() -> Outcome {
    let object = nameless(2 * PAGE as u64)?;
    let mapped = shared(&object, 2 * PAGE)?;
    io::pwrite(&object, b"written", PAGE as i64 - 3)?;
    let seen: Vec<u8> = (0..7).map(|at| mapped.load(PAGE - 3 + at)).collect();
    check_eq!(seen, b"written");
    mapped.store(PAGE, b'#');
    let mut text = [0; 7];
    io::pread(&object, &mut text, PAGE as i64 - 3)?;
    check_eq!(&text, b"wri#ten");
    Ok(())
}

fn shm_posix_unlinked_object_lives_with_its_mappings() -> Outcome {
    let object = nameless(PAGE as u64)?;
    let mapped = shared(&object, PAGE)?;
    drop(object);
    mapped.store(0, 5);
    let status = in_child(|| {
        mapped.store(1, mapped.load(0) + 1);
        0
    })?;
    check_eq!(status, Status::Exited(0));
    check_eq!(mapped.load(1), 6);
    Ok(())
}

fn shm_posix_access_behind_the_end_is_sigbus() -> Outcome {
    let object = nameless(PAGE as u64 + 1)?;
    let mapped = shared(&object, 3 * PAGE)?;
    // The page of the last byte is whole.
    mapped.store(2 * PAGE - 1, 1);
    for write in [false, true] {
        let at = mapped.address() + 2 * PAGE;
        let status = in_child(|| {
            if write {
                wild::store(at, 1);
            } else {
                wild::load(at);
            }
            0
        })?;
        check_eq!(status, Status::Signaled(signal::SIGBUS));
    }
    // A kernel that copies there says EFAULT.
    let at = mapped.address() + 2 * PAGE;
    check_eq!(
        call(nr::WRITE, [object.fd() as usize, at, 1]),
        Err(Errno::EFAULT)
    );
    Ok(())
}

fn shm_posix_page_cut_off_is_sigbus_and_comes_back_zero() -> Outcome {
    let object = nameless(2 * PAGE as u64)?;
    let mapped = shared(&object, 2 * PAGE)?;
    mapped.store(PAGE, 7);
    mapped.store(10, 7);
    fs::set_length(&object, 5)?;
    let status = in_child(|| {
        mapped.load(PAGE);
        0
    })?;
    check_eq!(status, Status::Signaled(signal::SIGBUS));
    fs::set_length(&object, 2 * PAGE as u64)?;
    check_eq!((mapped.load(PAGE), mapped.load(10)), (0, 0));
    Ok(())
}

fn shm_posix_read_only_descriptor_maps_read_only() -> Outcome {
    let _ = unlink("reading");
    let _object = create("reading", PAGE as u64)?;
    let reader = fs::open("/dev/shm/reading")?;
    unlink("reading")?;
    let stores = Mapping::file(&reader, 0, PAGE, RW, Sharing::Shared);
    check_eq!(stores.map(drop), Err(Errno::EACCES));
    let mapped = Mapping::file(&reader, 0, PAGE, PROT_READ, Sharing::Shared)?;
    check_eq!(mapped.protect(0, PAGE, RW), Err(Errno::EACCES));
    Ok(())
}

fn shm_posix_stranger_cannot_unlink() -> Outcome {
    let _ = unlink("owned");
    let _object = create("owned", 1)?;
    let status = in_child(|| {
        if call(nr::SETUID, [4711]).is_err() {
            return 2;
        }
        i32::from(!matches!(
            unlink("owned"),
            Err(Errno::EPERM | Errno::EACCES)
        ))
    })?;
    unlink("owned")?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn shm_posix_anonymous_mapping_is_shared_with_the_child_alone() -> Outcome {
    let both = Mapping::anonymous(PAGE, RW, Sharing::Shared)?;
    let own = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    let status = in_child(|| {
        both.store(0, 1);
        own.store(0, 1);
        0
    })?;
    check_eq!(status, Status::Exited(0));
    check_eq!((both.load(0), own.load(0)), (1, 0));
    Ok(())
}

fn shm_posix_two_mappings_of_one_object_agree() -> Outcome {
    let object = nameless(2 * PAGE as u64)?;
    let whole = shared(&object, 2 * PAGE)?;
    let second = Mapping::file(&object, PAGE as u64, PAGE, RW, Sharing::Shared)?;
    let private = Mapping::file(&object, 0, PAGE, RW, Sharing::Private)?;
    whole.store(PAGE + 4, 3);
    check_eq!(second.load(4), 3);
    private.store(0, 9);
    whole.store(1, 8);
    check_eq!(whole.load(0), 0);
    Ok(())
}

fn shm_posix_counter_under_contention_is_exact() -> Outcome {
    const EACH: u32 = 5000;
    let object = nameless(PAGE as u64)?;
    let mapped = shared(&object, PAGE)?;
    let word = mapped.atomic(64);
    let count = || {
        for _ in 0..EACH {
            word.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        }
        0
    };
    let children = [process::spawn(count)?, process::spawn(count)?];
    for child in children {
        check_eq!(process::wait_pid(child)?, Status::Exited(0));
    }
    check_eq!(word.load(core::sync::atomic::Ordering::Relaxed), 2 * EACH);
    Ok(())
}
