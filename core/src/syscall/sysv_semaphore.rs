//! semget(2), semop(2), semtimedop(2), semctl(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use halyard_abi::sysv::{
    GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_CREAT, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT,
    SEM_INFO, SEM_STAT, SEM_STAT_ANY, SEMMSL, SEMOPM, SEMVMX, SETALL, SETVAL,
};
use zerocopy::IntoBytes;

use super::sysv::{keeper, perm, read_perm, request, seconds, stamp, to_show, who, write_status};
use super::{Answer, Call, DONE, Outcome};
use crate::ipc::sysv::SEMMNS;
use crate::ipc::sysv::permission::{READ, WRITE};
use crate::ipc::sysv::semaphore::{OperatingPlace, Operations, SemaphoreSet};
use crate::ipc::sysv::table::Object;
use crate::machine::UserAddr;
use crate::time::{Instant, TimeSpec};
use crate::wait::Interruption;
use crate::{Errno, Result};

/// `struct semid64_ds` in words.
const STATUS_WORDS: usize = 11;

/// semget(2).
pub(super) fn semget(call: &mut Call<'_>) -> Answer {
    let count = usize::try_from(call.int::<1>()).map_err(|_| Errno::EINVAL)?;
    if count > SEMMSL {
        return Err(Errno::EINVAL);
    }
    let who = who(call);
    let request = request(call, call.uint::<2>(), &who);
    let fits = |set: &SemaphoreSet| {
        if count > set.count() {
            return Err(Errno::EINVAL);
        }
        Ok(())
    };
    let sysv = &call.kernel.sysv;
    let make = || {
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        if !sysv.claim_semaphores(count) {
            return Err(Errno::ENOSPC);
        }
        let now = call.kernel.wall_clock();
        let made = SemaphoreSet::new(request.header(), count, Some(sysv), now);
        if made.is_err() {
            sysv.release_semaphores(count);
        }
        made
    };
    let set = sysv.semaphores.get(&request, fits, make)?;
    Ok(Outcome::Done(set.header().id() as usize))
}

const _: () = assert!(IPC_CREAT == 0o1000);

/// The set `id`, if the caller may. EINVAL, EACCES.
fn set_for(call: &Call<'_>, id: i32, right: u32) -> Result<Arc<SemaphoreSet>> {
    let set = call.kernel.sysv.semaphores.find(id)?;
    check(call, &set, right)?;
    Ok(set)
}

fn check(call: &Call<'_>, set: &SemaphoreSet, right: u32) -> Result<()> {
    let credentials = call.process().credentials.lock();
    set.header().permission.check(&credentials, right)
}

/// semop(2).
pub(super) fn semop(call: &mut Call<'_>) -> Answer {
    operate(call, None)
}

/// semtimedop(2).
pub(super) fn semtimedop(call: &mut Call<'_>) -> Answer {
    let UserAddr(0) = call.addr::<3>() else {
        let timeout = call.space().read_user(call.addr::<3>())?;
        return operate(call, Some(timeout));
    };
    operate(call, None)
}

fn operate(call: &mut Call<'_>, timeout: Option<TimeSpec>) -> Answer {
    if call.int::<0>() < 0 {
        return Err(Errno::EINVAL);
    }
    let operations = read_operations(call)?;
    let deadline = match timeout {
        None => None,
        Some(time) => Some(call.kernel.machine.now().after(time.to_nanos()?)),
    };
    let set = call.kernel.sysv.semaphores.find(call.int::<0>())?;
    if operations.highest() >= set.count() {
        return Err(Errno::EFBIG);
    }
    let right = if operations.any_change() { WRITE } else { READ };
    check(call, &set, right)?;
    let list = if operations.any_undo() {
        let list = call.process().undo_list(keeper(call));
        list.note(&set)?;
        list.number()
    } else {
        0
    };
    match set.operate(&operations, list, stamp(call))? {
        None => DONE,
        Some(place) => wait(call, place, deadline),
    }
}

/// EINVAL: none. E2BIG, EFAULT, ENOMEM.
fn read_operations(call: &Call<'_>) -> Result<Operations> {
    let (space, at) = (call.space(), call.addr::<1>());
    // An unsigned int: the rest of the register is ignored.
    Operations::with(call.uint::<2>() as usize, |operations| {
        space.read_bytes(at, operations.as_mut_bytes())
    })
}

fn wait(call: &mut Call<'_>, mut place: OperatingPlace, deadline: Option<Instant>) -> Answer {
    let thread = Arc::clone(call.thread());
    call.wait(async move {
        match place.wait(&thread, deadline).await {
            Ok(done) => done.map(|()| 0),
            Err(Interruption::TimedOut) => Err(Errno::EAGAIN),
            // Never made anew, whatever the handler says (signal(7)).
            Err(why) => Err(why.errno()),
        }
    })
}

/// semctl(2). The fourth argument is a union, and so a register.
pub(super) fn semctl(call: &mut Call<'_>) -> Answer {
    let (id, command) = (call.int::<0>(), call.uint::<2>());
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        IPC_INFO | SEM_INFO => info(call, command == SEM_INFO),
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => show(call, command),
        IPC_SET => set(call, id),
        IPC_RMID => remove(call, id),
        GETVAL | GETPID | GETNCNT | GETZCNT => get(call, id, command),
        SETVAL => set_value(call, id),
        GETALL => get_all(call, id),
        SETALL => set_all(call, id),
        _ => Err(Errno::EINVAL),
    }
}

/// The semaphore's number of argument 1. EINVAL.
fn number(call: &Call<'_>, set: &SemaphoreSet) -> Result<usize> {
    let number = usize::try_from(call.int::<1>()).map_err(|_| Errno::EINVAL)?;
    if number < set.count() {
        Ok(number)
    } else {
        Err(Errno::EINVAL)
    }
}

fn get(call: &Call<'_>, id: i32, command: u32) -> Answer {
    let set = set_for(call, id, READ)?;
    let number = number(call, &set)?;
    let value = match command {
        GETVAL => usize::from(set.semaphore(number)?.value),
        GETPID => set.semaphore(number)?.pid as usize,
        GETNCNT => set.sleepers(number, false)?,
        _ => set.sleepers(number, true)?,
    };
    Ok(Outcome::Done(value))
}

fn set_value(call: &Call<'_>, id: i32) -> Answer {
    let value = u16::try_from(call.int::<3>()).map_err(|_| Errno::ERANGE)?;
    if value > SEMVMX {
        return Err(Errno::ERANGE);
    }
    let set = call.kernel.sysv.semaphores.find(id)?;
    let number = number(call, &set)?;
    check(call, &set, WRITE)?;
    set.set_value(number, value, stamp(call))?;
    DONE
}

/// Room for the values of all. ENOMEM.
fn room_for(set: &SemaphoreSet) -> Result<Vec<u16>> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(set.count())
        .map_err(|_| Errno::ENOMEM)?;
    values.resize(set.count(), 0);
    Ok(values)
}

fn get_all(call: &Call<'_>, id: i32) -> Answer {
    let set = set_for(call, id, READ)?;
    let mut values = room_for(&set)?;
    set.values(&mut values)?;
    call.space()
        .write_bytes(call.addr::<3>(), values.as_slice().as_bytes())?;
    DONE
}

fn set_all(call: &Call<'_>, id: i32) -> Answer {
    let set = set_for(call, id, WRITE)?;
    let mut values = room_for(&set)?;
    call.space()
        .read_bytes(call.addr::<3>(), values.as_mut_slice().as_mut_bytes())?;
    set.set_values(&values, stamp(call))?;
    DONE
}

fn remove(call: &Call<'_>, id: i32) -> Answer {
    let table = &call.kernel.sysv.semaphores;
    let set = table.find(id)?;
    set.header().permission.check_owner(&who(call))?;
    let removed = table.remove(id).ok_or(Errno::EIDRM)?;
    removed.remove();
    DONE
}

fn show(call: &Call<'_>, command: u32) -> Answer {
    let table = &call.kernel.sysv.semaphores;
    let any = command == SEM_STAT_ANY;
    let by_place = command != IPC_STAT;
    let (set, result) = to_show(table, &who(call), call.int::<0>(), by_place, any)?;
    let status = set.status();
    let rest: [u64; STATUS_WORDS - 6] = [
        seconds(status.operated),
        seconds(status.changed),
        status.count as u64,
        0,
        0,
    ];
    let perm = perm(set.header(), &status.ownership);
    write_status(call, call.addr::<3>(), perm, rest)?;
    Ok(Outcome::Done(result))
}

fn set(call: &Call<'_>, id: i32) -> Answer {
    let words: [u64; STATUS_WORDS] = call.space().read_user(call.addr::<3>())?;
    let set = call.kernel.sysv.semaphores.find(id)?;
    set.header().permission.check_owner(&who(call))?;
    let (uid, gid, mode) = read_perm(&words);
    set.header().permission.set(uid, gid, mode)?;
    set.set_changed(call.kernel.wall_clock());
    DONE
}

/// IPC_INFO: the limits. SEM_INFO: the same, but how many sets and semaphores there are in two of the fields.
fn info(call: &Call<'_>, uses: bool) -> Answer {
    let sysv = &call.kernel.sysv;
    let sets = sysv.semaphores.limit();
    let (usz, aem) = if uses {
        (sysv.semaphores.used(), sysv.semaphore_count())
    } else {
        // The size of an undo structure means nothing here (linux/sem.h).
        (20, usize::from(SEMVMX))
    };
    let greatest = usize::from(SEMVMX);
    let values = [
        SEMMNS, sets, SEMMNS, SEMMNS, SEMMSL, SEMOPM, SEMOPM, usz, greatest, aem,
    ];
    let fields = values.map(|value| i32::try_from(value).unwrap_or(i32::MAX));
    call.space().write_user(call.addr::<3>(), &fields)?;
    Ok(Outcome::Done(sysv.semaphores.highest()))
}
