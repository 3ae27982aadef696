//! futex(2) and the calls about robust lists.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::{Answer, Call, DONE, Outcome};
use crate::ipc::futex::{self, ANY, Key, Requeued};
use crate::machine::UserAddr;
use crate::process::signal::{RESTART, RESTART_ALWAYS, RESTART_TIMED};
use crate::time::{Instant, TimeSpec};
use crate::wait::Interruption;
use crate::{Errno, Result};

pub(super) const FUTEX_WAIT: u32 = 0;
pub(super) const FUTEX_WAKE: u32 = 1;
const FUTEX_REQUEUE: u32 = 3;
const FUTEX_CMP_REQUEUE: u32 = 4;
const FUTEX_WAKE_OP: u32 = 5;
const FUTEX_LOCK_PI: u32 = 6;
const FUTEX_UNLOCK_PI: u32 = 7;
const FUTEX_TRYLOCK_PI: u32 = 8;
const FUTEX_WAIT_BITSET: u32 = 9;
const FUTEX_WAKE_BITSET: u32 = 10;
const FUTEX_WAIT_REQUEUE_PI: u32 = 11;
const FUTEX_CMP_REQUEUE_PI: u32 = 12;
const FUTEX_LOCK_PI2: u32 = 13;
const FUTEX_PRIVATE_FLAG: u32 = 128;
const FUTEX_CLOCK_REALTIME: u32 = 256;

/// Bytes of `struct robust_list_head`.
const ROBUST_HEAD_BYTES: usize = 24;

/// futex(2): word, operation, value, time-out or second count, second word, third value.
pub(super) fn futex(call: &mut Call<'_>) -> Answer {
    let operation = call.uint::<1>();
    let private = operation & FUTEX_PRIVATE_FLAG != 0;
    let clock_real = operation & FUTEX_CLOCK_REALTIME != 0;
    let command = operation & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    if clock_real
        && !matches!(
            command,
            FUTEX_WAIT | FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI2
        )
    {
        return Err(Errno::ENOSYS);
    }
    let key = |call: &Call<'_>, at| Key::of(call.space(), at, private);
    match command {
        FUTEX_WAIT => {
            let deadline = deadline(call, false, clock_real)?;
            let key = key(call, call.addr::<0>())?;
            wait(call, key, ANY, deadline)
        }
        FUTEX_WAIT_BITSET => {
            let bitset = bitset(call)?;
            let deadline = deadline(call, true, clock_real)?;
            let key = key(call, call.addr::<0>())?;
            wait(call, key, bitset, deadline)
        }
        FUTEX_WAKE => wake(call, &key(call, call.addr::<0>())?, ANY),
        FUTEX_WAKE_BITSET => wake(call, &key(call, call.addr::<0>())?, bitset(call)?),
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let (from, to) = (key(call, call.addr::<0>())?, key(call, call.addr::<4>())?);
            requeue(call, &from, &to, command == FUTEX_CMP_REQUEUE)
        }
        FUTEX_WAKE_OP => {
            let (one, other) = (key(call, call.addr::<0>())?, key(call, call.addr::<4>())?);
            wake_op(call, &one, &other)
        }
        FUTEX_LOCK_PI | FUTEX_LOCK_PI2 => {
            // The older of both measures by the wall clock, whatever is asked.
            let wall = command == FUTEX_LOCK_PI || clock_real;
            let deadline = deadline(call, true, wall)?;
            let key = key(call, call.addr::<0>())?;
            lock_pi(call, key, deadline)
        }
        FUTEX_TRYLOCK_PI => {
            let place = (key(call, call.addr::<0>())?, call.addr::<0>());
            // With no leave to wait there is no place to wait in.
            futex::lock_pi(call.thread(), call.space(), place, true).map(drop)?;
            DONE
        }
        FUTEX_UNLOCK_PI => {
            let place = (key(call, call.addr::<0>())?, call.addr::<0>());
            futex::unlock_pi(call.thread(), call.space(), place)?;
            DONE
        }
        FUTEX_WAIT_REQUEUE_PI => {
            let deadline = deadline(call, true, clock_real)?;
            let (from, to) = (key(call, call.addr::<0>())?, key(call, call.addr::<4>())?);
            wait_requeue_pi(call, from, to, deadline)
        }
        FUTEX_CMP_REQUEUE_PI => {
            let (from, to) = (key(call, call.addr::<0>())?, key(call, call.addr::<4>())?);
            cmp_requeue_pi(call, &from, &to)
        }
        _ => Err(Errno::ENOSYS),
    }
}

fn lock_pi(call: &mut Call<'_>, key: Key, deadline: Option<Instant>) -> Answer {
    let place = (key, call.addr::<0>());
    let Some(place) = futex::lock_pi(call.thread(), call.space(), place, false)? else {
        return DONE;
    };
    call.wait(async move {
        match place.wait(deadline).await {
            Ok(()) => Ok(0),
            // Never EINTR: who locks a mutex does not expect to fail.
            Err(Interruption::Signal) => Err(RESTART_ALWAYS),
            Err(other) => Err(other.errno()),
        }
    })
}

fn wait_requeue_pi(call: &mut Call<'_>, from: Key, to: Key, deadline: Option<Instant>) -> Answer {
    let (at, expected) = (call.addr::<0>(), call.uint::<2>());
    let space = Arc::clone(call.space());
    let place = futex::wait_requeue_pi(
        call.thread(),
        &space,
        (from, ANY),
        (to, call.addr::<4>()),
        || Ok(space.load_u32(at)? == expected),
    )?;
    call.wait(async move {
        match place.wait(deadline).await {
            Ok(()) => Ok(0),
            Err(Requeued::Before(Interruption::Signal)) => Err(RESTART_ALWAYS),
            // It cannot be made anew: the first word has changed. Its caller looks at the second.
            Err(Requeued::After(Interruption::Signal)) => Err(Errno::EAGAIN),
            Err(Requeued::Before(other) | Requeued::After(other)) => Err(other.errno()),
        }
    })
}

/// How many to wake (it must be one), how many to move, what the first word must hold.
fn cmp_requeue_pi(call: &Call<'_>, from: &Key, to: &Key) -> Answer {
    if call.int::<2>() != 1 {
        return Err(Errno::EINVAL);
    }
    let move_on = usize::try_from(call.int::<3>()).map_err(|_| Errno::EINVAL)?;
    let unchanged = || Ok(call.space().load_u32(call.addr::<0>())? == call.uint::<5>());
    let moved = futex::cmp_requeue_pi(
        call.thread(),
        call.space(),
        from,
        (to, call.addr::<4>()),
        move_on.saturating_add(1),
        unchanged,
    )?;
    Ok(Outcome::Done(moved))
}

/// The bitset of argument 5. EINVAL: empty.
fn bitset(call: &Call<'_>) -> Result<u32> {
    match call.uint::<5>() {
        0 => Err(Errno::EINVAL),
        bits => Ok(bits),
    }
}

/// A count of those to wake: one is woken before Linux looks at the count, so that none and less than none are as one.
fn count(argument: u32) -> usize {
    usize::try_from(argument.cast_signed()).map_or(1, |count| count.max(1))
}

/// The deadline of argument 3: none if it is NULL. EINVAL, EFAULT.
fn deadline(call: &Call<'_>, absolute: bool, clock_real: bool) -> Result<Option<Instant>> {
    let UserAddr(0) = call.addr::<3>() else {
        let time: TimeSpec = call.space().read_user(call.addr::<3>())?;
        let nanos = time.to_nanos()?;
        let now = call.kernel.machine.now();
        return Ok(Some(match (absolute, clock_real) {
            (false, _) => call
                .thread()
                .signals
                .kept_deadline()
                .unwrap_or(now.after(nanos)),
            (true, false) => Instant(nanos),
            (true, true) => now.after(nanos.saturating_sub(call.kernel.clock.real(now))),
        }));
    };
    Ok(None)
}

fn wait(call: &mut Call<'_>, key: Key, bitset: u32, deadline: Option<Instant>) -> Answer {
    let kernel = call.kernel;
    let (at, expected) = (call.addr::<0>(), call.uint::<2>());
    let space = Arc::clone(call.space());
    let place = kernel
        .futexes
        .enter(key, bitset, || Ok(space.load_u32(at)? == expected))?;
    let thread = Arc::clone(call.thread());
    call.wait(async move {
        match place.wait(&thread, deadline).await {
            Ok(()) => Ok(0),
            Err(Interruption::Signal) => Err(match deadline {
                None => RESTART,
                Some(until) => {
                    thread.signals.keep_deadline(until);
                    RESTART_TIMED
                }
            }),
            Err(other) => Err(other.errno()),
        }
    })
}

fn wake(call: &Call<'_>, key: &Key, bitset: u32) -> Answer {
    Ok(Outcome::Done(call.kernel.futexes.wake(
        key,
        count(call.uint::<2>()),
        bitset,
    )?))
}

fn requeue(call: &Call<'_>, from: &Key, to: &Key, compare: bool) -> Answer {
    let (wake, move_on) = (call.int::<2>(), call.int::<3>());
    let wake = usize::try_from(wake).map_err(|_| Errno::EINVAL)?;
    let move_on = usize::try_from(move_on).map_err(|_| Errno::EINVAL)?;
    let unchanged = || Ok(!compare || call.space().load_u32(call.addr::<0>())? == call.uint::<5>());
    let (woken, moved) = call
        .kernel
        .futexes
        .requeue(from, to, wake, move_on, unchanged)?;
    // futex(2) would not count those moved without a comparison; Linux does.
    Ok(Outcome::Done(woken + moved))
}

/// FUTEX_WAKE_OP: changes the second word, wakes waiters of the first, and of the second if what it held compares.
fn wake_op(call: &Call<'_>, one: &Key, other: &Key) -> Answer {
    let (first, second) = (count(call.uint::<2>()), count(call.uint::<3>()));
    let change = || change_word(call, call.addr::<4>(), call.uint::<5>());
    let woken = call
        .kernel
        .futexes
        .wake_op((one, first), (other, second), change)?;
    Ok(Outcome::Done(woken))
}

/// Does the operation of `code` to the word at `at`; whether what it held compares. EFAULT. ENOSYS: no such operation; no such
/// comparison, which is found out when the word has been changed, as on Linux.
fn change_word(call: &Call<'_>, at: UserAddr, code: u32) -> Result<bool> {
    let compare_with = sign_extended(code & 0xfff);
    let mut value = call.space().load_u32(at)?;
    let old = loop {
        let found = call
            .space()
            .compare_exchange_u32(at, value, operated(code, value)?)?;
        if found == value {
            break found as i32;
        }
        value = found;
    };
    Ok(match code >> 24 & 15 {
        0 => old == compare_with,
        1 => old != compare_with,
        2 => old < compare_with,
        3 => old <= compare_with,
        4 => old > compare_with,
        5 => old >= compare_with,
        _ => return Err(Errno::ENOSYS),
    })
}

/// A 12-bit number with its sign.
const fn sign_extended(bits: u32) -> i32 {
    ((bits << 20) as i32) >> 20
}

/// What the operation of `code` makes of `value` (futex(2), FUTEX_OP_*). ENOSYS: no such operation.
fn operated(code: u32, value: u32) -> Result<u32> {
    let argument = sign_extended(code >> 12 & 0xfff) as u32;
    let argument = if code >> 31 != 0 {
        1u32.wrapping_shl(argument & 31)
    } else {
        argument
    };
    match code >> 28 & 7 {
        0 => Ok(argument),
        1 => Ok(value.wrapping_add(argument)),
        2 => Ok(value | argument),
        3 => Ok(value & !argument),
        4 => Ok(value ^ argument),
        _ => Err(Errno::ENOSYS),
    }
}

/// set_robust_list(2).
pub(super) fn set_robust_list(call: &mut Call<'_>) -> Answer {
    if call.size::<1>() != ROBUST_HEAD_BYTES {
        return Err(Errno::EINVAL);
    }
    call.thread()
        .robust_list
        .store(call.arg::<0>(), Ordering::Relaxed);
    DONE
}

/// get_robust_list(2), of the caller and of threads of the caller's own user.
pub(super) fn get_robust_list(call: &mut Call<'_>) -> Answer {
    let thread = match call.int::<0>() {
        0 => Arc::clone(call.thread()),
        tid => u32::try_from(tid)
            .ok()
            .and_then(|tid| call.kernel.processes.thread(tid))
            .ok_or(Errno::ESRCH)?,
    };
    let own = call.process().credentials();
    if !own.privileged() && thread.process.credentials().euid != own.euid {
        return Err(Errno::EPERM);
    }
    call.space()
        .write_user(call.addr::<2>(), &(ROBUST_HEAD_BYTES as u64))?;
    call.space().write_user(
        call.addr::<1>(),
        &thread.robust_list.load(Ordering::Relaxed),
    )?;
    DONE
}
