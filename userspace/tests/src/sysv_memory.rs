//! Shared memory of System V, by the rules of the chapter docs/ipc/shared-memory.md.

use core::sync::atomic::Ordering;
use core::time::Duration;

use halyard_rt::mm::{PAGE, PROT_READ};
use halyard_rt::process::Status;
use halyard_rt::raw::general::WNOHANG;
use halyard_rt::signal::{SIGKILL, SIGSEGV};
use halyard_rt::sysv::memory::{self, Attached};
use halyard_rt::sysv::{
    IPC_CREAT, IPC_EXCL, IPC_PRIVATE, Id, SHM_EXEC, SHM_RDONLY, SHM_REMAP, SHM_RND,
};
use halyard_rt::{nr, prelude::*, wild};

use crate::exec;
use crate::runner::suite;
use crate::support::{
    Blocker, Failure, Outcome, Shared, WILD, call, check, check_eq, in_child, sleep_ms, wrong,
};
use crate::sysv_support::{as_user, key};

suite!(
    sysv_shm_01_get_checks_the_size_finds_and_makes,
    sysv_shm_01_too_many_segments_are_enospc,
    sysv_shm_02_size_is_what_was_asked_and_the_tail_is_usable,
    sysv_shm_03_places_are_checked,
    sysv_shm_04_read_only_attach_cannot_be_stored_to,
    sysv_shm_04_attaches_are_coherent_and_counted,
    sysv_shm_05_fork_doubles_the_count_and_ends_restore_it,
    sysv_shm_05_exec_detaches,
    sysv_shm_05_parts_unmapped_and_protected_are_counted_as_regions,
    sysv_shm_06_removed_segment_lives_until_its_last_detach,
    sysv_shm_06_detach_of_anything_else_is_einval,
    sysv_shm_06_last_detach_by_a_kill_destroys,
    sysv_shm_07_exit_against_removal_frees_once,
    sysv_shm_permissions_deny,
    sysv_shm_lock_shows_in_the_mode,
    sysv_shm_every_command_shows_the_segment,
    sysv_shm_bad_arguments_and_pointers,
    sysv_shm_futex_in_the_segment_wakes_across_processes,
);

const DEST: u32 = 0o1000;
const LOCKED: u32 = 0o2000;

/// A segment that is removed at the end.
struct Segment(Id);

impl Segment {
    fn new(size: usize) -> Result<Segment> {
        memory::get(IPC_PRIVATE, size, IPC_CREAT | 0o600).map(Segment)
    }

    fn attached(&self) -> Result<u64> {
        memory::status(self.0).map(|status| status.nattch)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let _ = memory::remove(self.0);
    }
}

/// shmat with any address and flags.
fn attach_at(id: Id, at: usize, flags: u32) -> Result<usize> {
    call(nr::SHMAT, [id as usize, at, flags as usize])
}

fn detach_at(at: usize) -> Result<usize> {
    call(nr::SHMDT, [at])
}

fn sysv_shm_01_get_checks_the_size_finds_and_makes() -> Outcome {
    let key = key();
    check_eq!(memory::get(key, 1, 0o600), Err(Errno::ENOENT));
    check_eq!(memory::get(key, 0, IPC_CREAT | 0o600), Err(Errno::EINVAL));
    let segment = Segment(memory::get(key, 5000, IPC_CREAT | 0o600)?);
    for smaller in [0, 1, 4999, 5000] {
        check_eq!(memory::get(key, smaller, 0), Ok(segment.0));
    }
    check_eq!(memory::get(key, 5001, 0), Err(Errno::EINVAL));
    let again = memory::get(key, 5000, IPC_CREAT | IPC_EXCL);
    check_eq!(again, Err(Errno::EEXIST));
    let huge = memory::get(IPC_PRIVATE, usize::MAX, IPC_CREAT);
    check_eq!(huge, Err(Errno::EINVAL));
    Ok(())
}

fn sysv_shm_01_too_many_segments_are_enospc() -> Outcome {
    let (info, _) = memory::info()?;
    check!(info.shmmni > 0 && info.shmmin == 1);
    let mut segments = Vec::new();
    let why = loop {
        match Segment::new(1) {
            Ok(segment) => segments.push(segment),
            Err(why) => break why,
        }
        check!(segments.len() <= info.shmmni as usize);
    };
    check_eq!(why, Errno::ENOSPC);
    Ok(())
}

fn sysv_shm_02_size_is_what_was_asked_and_the_tail_is_usable() -> Outcome {
    let segment = Segment::new(5000)?;
    let status = memory::status(segment.0)?;
    check_eq!(status.segsz, 5000);
    check_eq!((status.cpid, status.lpid), (process::id(), 0));
    check_eq!((status.atime, status.dtime), (0, 0));
    check!(status.ctime > 0);
    let here = memory::attach(segment.0, 0)?;
    check!((0..2 * PAGE).all(|index| here.load(index) == 0));
    here.store(2 * PAGE - 1, 7);
    check_eq!(here.load(2 * PAGE - 1), 7);
    let status = memory::status(segment.0)?;
    check!(status.atime > 0 && status.lpid == process::id());
    drop(here);
    check!(memory::status(segment.0)?.dtime > 0);
    let again = memory::attach(segment.0, 0)?;
    check_eq!(again.load(2 * PAGE - 1), 7);
    Ok(())
}

fn sysv_shm_03_places_are_checked() -> Outcome {
    let segment = Segment::new(2 * PAGE)?;
    let at = attach_at(segment.0, 0, 0)?;
    check!(at.is_multiple_of(PAGE));
    detach_at(at)?;
    check_eq!(attach_at(segment.0, at + 1, 0), Err(Errno::EINVAL));
    check_eq!(attach_at(segment.0, at + 1, SHM_RND), Ok(at));
    check_eq!(attach_at(segment.0, at, 0), Err(Errno::EINVAL));
    check_eq!(attach_at(segment.0, at + PAGE, 0), Err(Errno::EINVAL));
    check_eq!(attach_at(segment.0, 0, SHM_REMAP), Err(Errno::EINVAL));
    check_eq!(segment.attached()?, 1);
    check_eq!(attach_at(segment.0, at, SHM_REMAP), Ok(at));
    check_eq!(segment.attached()?, 1);
    detach_at(at)?;
    check_eq!(attach_at(-1, 0, 0), Err(Errno::EINVAL));
    Ok(())
}

fn sysv_shm_04_read_only_attach_cannot_be_stored_to() -> Outcome {
    let segment = Segment::new(PAGE)?;
    let at = attach_at(segment.0, 0, SHM_RDONLY)?;
    check_eq!(wild::load(at), 0);
    let child = in_child(|| {
        wild::store(at, 1);
        0
    })?;
    check_eq!(child, Status::Signaled(SIGSEGV));
    let more = call(nr::MPROTECT, [at, PAGE, 3]);
    check_eq!(more, Err(Errno::EACCES));
    detach_at(at)?;
    let code = attach_at(segment.0, 0, SHM_EXEC)?;
    wild::store(code, 1);
    detach_at(code)?;
    Ok(())
}

fn sysv_shm_04_attaches_are_coherent_and_counted() -> Outcome {
    let segment = Segment::new(PAGE)?;
    let writer = memory::attach(segment.0, 0)?;
    let reader = memory::attach(segment.0, SHM_RDONLY)?;
    check!(writer.address() != reader.address());
    check_eq!(segment.attached()?, 2);
    writer.store(100, 42);
    check_eq!(reader.load(100), 42);
    drop(writer);
    check_eq!(segment.attached()?, 1);
    memory::detach(reader)?;
    check_eq!(segment.attached()?, 0);
    Ok(())
}

fn sysv_shm_05_fork_doubles_the_count_and_ends_restore_it() -> Outcome {
    let segment = Segment::new(PAGE)?;
    let _two = [memory::attach(segment.0, 0)?, memory::attach(segment.0, 0)?];
    let seen = in_child(|| i32::from(segment.attached() != Ok(4)))?;
    check_eq!(seen, Status::Exited(0));
    check_eq!(segment.attached()?, 2);
    let crashed = in_child(|| {
        wild::store(8, 0);
        0
    })?;
    check_eq!(crashed, Status::Signaled(SIGSEGV));
    check_eq!(segment.attached()?, 2);
    let killed = Blocker::start(|| {
        sleep_ms(10_000);
        0
    })?;
    check_eq!(segment.attached()?, 4);
    check_eq!(killed.kill()?, Status::Signaled(SIGKILL));
    check_eq!(segment.attached()?, 2);
    Ok(())
}

fn sysv_shm_05_exec_detaches() -> Outcome {
    let segment = Segment::new(PAGE)?;
    let _here = memory::attach(segment.0, 0)?;
    let child = exec::start(&["sleep", "1000"])?;
    let mut left = 90;
    while segment.attached()? != 1 && left > 0 {
        sleep_ms(10);
        left -= 1;
    }
    check_eq!(segment.attached()?, 1);
    check_eq!(process::wait_for(child, WNOHANG)?, None);
    process::wait_pid(child)?;
    check_eq!(segment.attached()?, 1);
    Ok(())
}

fn sysv_shm_05_parts_unmapped_and_protected_are_counted_as_regions() -> Outcome {
    let segment = Segment::new(5 * PAGE)?;
    let at = attach_at(segment.0, 0, 0)?;
    call(nr::MUNMAP, [at + 2 * PAGE, PAGE])?;
    check_eq!(segment.attached()?, 2);
    call(nr::MPROTECT, [at + PAGE, PAGE, PROT_READ as usize])?;
    check_eq!(segment.attached()?, 3);
    call(nr::MUNMAP, [at, PAGE])?;
    check_eq!(segment.attached()?, 2);
    // What is left of one attach goes at once, though its front is gone.
    detach_at(at)?;
    check_eq!(segment.attached()?, 0);
    let at = attach_at(segment.0, 0, 0)?;
    call(nr::MUNMAP, [at, 5 * PAGE])?;
    check_eq!(segment.attached()?, 0);
    check_eq!(detach_at(at), Err(Errno::EINVAL));
    Ok(())
}

fn sysv_shm_06_removed_segment_lives_until_its_last_detach() -> Outcome {
    let key = key();
    let segment = Segment(memory::get(key, PAGE, IPC_CREAT | 0o600)?);
    let here = memory::attach(segment.0, 0)?;
    here.store(0, 9);
    memory::remove(segment.0)?;
    let status = memory::status(segment.0)?;
    check_eq!((status.perm.key, status.nattch), (0, 1));
    check!(status.perm.mode & DEST != 0);
    check_eq!(memory::get(key, 0, 0), Err(Errno::ENOENT));
    let other = Segment(memory::get(key, PAGE, IPC_CREAT | IPC_EXCL | 0o600)?);
    check!(other.0 != segment.0);
    let late = memory::attach(segment.0, 0)?;
    check_eq!(late.load(0), 9);
    drop(here);
    check_eq!(late.load(0), 9);
    drop(late);
    check_eq!(memory::status(segment.0), Err(Errno::EINVAL));
    check_eq!(attach_at(segment.0, 0, 0), Err(Errno::EINVAL));
    check_eq!(memory::remove(segment.0), Err(Errno::EINVAL));
    Ok(())
}

fn sysv_shm_06_detach_of_anything_else_is_einval() -> Outcome {
    let segment = Segment::new(3 * PAGE)?;
    let at = attach_at(segment.0, 0, 0)?;
    for wrong in [0, 8, at + 1, at + PAGE, at + 3 * PAGE, at - PAGE] {
        check_eq!(detach_at(wrong), Err(Errno::EINVAL));
    }
    for wrong in WILD {
        check_eq!(detach_at(wrong), Err(Errno::EINVAL));
    }
    let shared = Shared::new()?;
    let mapped = shared.word(0).as_ptr() as usize;
    check_eq!(detach_at(mapped), Err(Errno::EINVAL));
    detach_at(at)?;
    check_eq!(detach_at(at), Err(Errno::EINVAL));
    Ok(())
}

fn sysv_shm_06_last_detach_by_a_kill_destroys() -> Outcome {
    let segment = Segment::new(PAGE)?;
    let child = Blocker::start(|| {
        let _here = memory::attach(segment.0, 0);
        sleep_ms(10_000);
        0
    })?;
    check_eq!(segment.attached()?, 1);
    memory::remove(segment.0)?;
    check_eq!(segment.attached()?, 1);
    child.kill()?;
    check_eq!(memory::status(segment.0), Err(Errno::EINVAL));
    Ok(())
}

fn sysv_shm_07_exit_against_removal_frees_once() -> Outcome {
    // What a kernel makes once and keeps is there after the first hundred.
    remove_in_use(100)?;
    // What is lost is lost each time; what others take meanwhile, or a loaded Linux frees late, is not.
    let returns = |_| -> core::result::Result<bool, Failure> {
        let free = halyard_rt::system::info()?.free;
        remove_in_use(400)?;
        comes_back(free)
    };
    for outcome in (0..3).map(returns) {
        if outcome? {
            return Ok(());
        }
    }
    Err(wrong("memory was lost three times"))
}

/// Whether so much memory is free again within a while. Four hundred segments are 3,200 pages. Others run too, each CPU may keep some
/// hundreds that it freed, and Linux frees the stacks of ended processes only some time later.
fn comes_back(free: u64) -> core::result::Result<bool, Failure> {
    let deadline = time::uptime() + Duration::from_secs(2);
    while time::uptime() < deadline {
        let lost = free.saturating_sub(halyard_rt::system::info()?.free);
        if lost < (1600 * PAGE) as u64 {
            return Ok(true);
        }
        sleep_ms(20);
    }
    Ok(false)
}

/// Makes so many segments of eight pages, each removed while its users go.
fn remove_in_use(count: usize) -> Outcome {
    for round in 0..count {
        let segment = Segment::new(8 * PAGE)?;
        let here = memory::attach(segment.0, 0)?;
        (0..8).for_each(|page| here.store(page * PAGE, 1));
        let child = process::spawn(|| {
            here.store(5, 1);
            0
        })?;
        if round % 2 == 0 {
            let _ = process::kill(child, SIGKILL);
        }
        memory::remove(segment.0)?;
        drop(here);
        process::wait_pid(child)?;
        check_eq!(memory::status(segment.0), Err(Errno::EINVAL));
    }
    Ok(())
}

fn sysv_shm_permissions_deny() -> Outcome {
    let key = key();
    let segment = Segment(memory::get(key, PAGE, IPC_CREAT | 0o604)?);
    let status = as_user(1000, || {
        let results = [
            memory::get(key, 0, 0o006) == Err(Errno::EACCES),
            attach_at(segment.0, 0, 0) == Err(Errno::EACCES),
            attach_at(segment.0, 0, SHM_RDONLY).is_ok(),
            memory::status(segment.0).is_ok(),
            memory::remove(segment.0) == Err(Errno::EPERM),
            memory::lock(segment.0, true) == Err(Errno::EPERM),
        ];
        i32::from(results.contains(&false))
    })?;
    check_eq!(status, Status::Exited(0));
    let mut status = memory::status(segment.0)?;
    status.perm.mode = 0o600;
    memory::set(segment.0, &status)?;
    let denied = as_user(1000, || {
        let status = memory::status(segment.0);
        i32::from(status != Err(Errno::EACCES))
    })?;
    check_eq!(denied, Status::Exited(0));
    Ok(())
}

fn sysv_shm_lock_shows_in_the_mode() -> Outcome {
    let segment = Segment::new(PAGE)?;
    memory::lock(segment.0, true)?;
    check_eq!(memory::status(segment.0)?.perm.mode & LOCKED, LOCKED);
    memory::lock(segment.0, false)?;
    check_eq!(memory::status(segment.0)?.perm.mode & LOCKED, 0);
    Ok(())
}

fn sysv_shm_every_command_shows_the_segment() -> Outcome {
    let segment = Segment::new(3 * PAGE)?;
    let here = memory::attach(segment.0, 0)?;
    here.store(0, 1);
    let (_, highest) = memory::info()?;
    let shows = |any| {
        let mut places = 0..=highest;
        places.any(|place| memory::at(place, any).is_ok_and(|it| it.0 == segment.0))
    };
    check!(shows(false) && shows(true));
    let uses = memory::uses()?;
    check!(uses.used_ids >= 1 && uses.shm_tot >= 3 && uses.shm_rss >= 1);
    let text = fs::read_to_string("/proc/sysvipc/shm")?;
    let id = format!("{}", segment.0);
    let mut lines = text
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let line = lines
        .find(|line| line.get(1) == Some(&id.as_str()))
        .unwrap_or_default();
    check_eq!(line.get(2..4), Some(&["600", "12288"][..]));
    check_eq!(line.get(6), Some(&"1"));
    let maps = fs::read_to_string("/proc/self/maps")?;
    check!(maps.contains("/SYSV00000000 (deleted)"));
    Ok(())
}

fn sysv_shm_bad_arguments_and_pointers() -> Outcome {
    let segment = Segment::new(PAGE)?;
    let id = segment.0 as usize;
    check_eq!(call(nr::SHMCTL, [id, 99, 0]), Err(Errno::EINVAL));
    for address in WILD {
        for command in [1, 2] {
            let answer = call(nr::SHMCTL, [id, command, address]);
            check_eq!(answer, Err(Errno::EFAULT));
        }
    }
    for bad in [-1, i32::MAX] {
        check_eq!(memory::status(bad), Err(Errno::EINVAL));
        check_eq!(memory::remove(bad), Err(Errno::EINVAL));
    }
    Ok(())
}

fn sysv_shm_futex_in_the_segment_wakes_across_processes() -> Outcome {
    let segment = Segment::new(PAGE)?;
    let here: Attached = memory::attach(segment.0, 0)?;
    let child = Blocker::start(|| {
        // Attached at another place, so only the segment can tell that the words are one.
        let Ok(there) = memory::attach(segment.0, 0) else {
            return 2;
        };
        while there.atomic(0).load(Ordering::SeqCst) == 0 {
            let _ = halyard_rt::thread::futex_wait_shared(there.atomic(0), 0, None);
        }
        0
    })?;
    check!(child.blocked()?);
    here.atomic(0).store(1, Ordering::SeqCst);
    halyard_rt::thread::futex_wake_shared(here.atomic(0), 1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}
