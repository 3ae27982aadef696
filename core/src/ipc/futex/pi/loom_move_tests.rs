//! Moves to a futex that inherits priority under the model checker: the kernel's loop on two CPUs, with threads that wait on a
//! condition and one that changes it and moves them to the lock. As pthread_cond_wait(3) has it: who waited is moved and comes
//! to own the lock, or saw the change; nobody is left on either word.

use std::sync::Arc;
use std::vec::Vec;

use halyard_abi::nr;

use crate::bench::interleaved::{Script, Step, run_threads};
use crate::bench::kernel::DATA;
use crate::ipc::futex::Key;
use crate::kernel::Kernel;
use crate::machine::{UserAddr, UserRegs};
use crate::mm::AddressSpace;
use crate::{Errno, Result};

/// The lock, the condition's word, and one on which nobody waits.
const LOCK: u64 = DATA;
const CONDITION: u64 = DATA + 8;
const ASIDE: u64 = DATA + 16;
/// The number of the second thread: init and the first come before.
const MOVER: u32 = 3;

/// A time of all zeros.
const LONG_AGO: u64 = DATA + 0x1000;

const WAKE_OP: u64 = 5 | PRIVATE;
const LOCK_PI: u64 = 6 | PRIVATE;
const UNLOCK_PI: u64 = 7 | PRIVATE;
const WAIT_REQUEUE_PI: u64 = 11 | PRIVATE;
const CMP_REQUEUE_PI: u64 = 12 | PRIVATE;
const PRIVATE: u64 = 128;
/// FUTEX_OP_SET to 1, FUTEX_OP_CMP_EQ with a number that it never was.
const SET_TO_ONE: u64 = 1 << 12 | 0xfff;

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 100_000;
    builder.check(body);
}

fn futex(at: u64, operation: u64, rest: [u64; 4]) -> Step {
    let [two, three, four, five] = rest;
    Step::Call(nr::FUTEX, [at, operation, two, three, four, five])
}

fn unlock() -> Step {
    futex(LOCK, UNLOCK_PI, [0; 4])
}

fn result(regs: &UserRegs) -> Result<usize> {
    Errno::from_return(regs.x[0] as isize)
}

/// Waits while the condition is 0, until `DEADLINE`; gives up the lock if it comes to own it.
fn wait<const DEADLINE: u64>(step: u64, regs: &mut UserRegs) -> Step {
    match (step, result(regs)) {
        (0, _) => futex(CONDITION, WAIT_REQUEUE_PI, [0, DEADLINE, LOCK, 0]),
        (1, Ok(0)) => unlock(),
        (1, Err(Errno::EAGAIN)) => Step::End,
        (1, Err(Errno::ETIMEDOUT)) if DEADLINE != 0 => Step::End,
        (2, Ok(0)) => Step::End,
        (_, other) => panic!("who waits, step {step}: {other:?}"),
    }
}

fn change() -> Step {
    futex(ASIDE, WAKE_OP, [0, 0, CONDITION, SET_TO_ONE])
}

/// Moves one and so many more who wait for the condition, which is 1.
fn move_on(more: u64) -> Step {
    futex(CONDITION, CMP_REQUEUE_PI, [1, more, LOCK, 1])
}

/// pthread_cond_broadcast with the lock held, which is given up then.
fn broadcast<const MORE: u64>(step: u64, regs: &mut UserRegs) -> Step {
    match (step, result(regs)) {
        (0, _) => futex(LOCK, LOCK_PI, [0; 4]),
        (1, Ok(0)) => change(),
        (2, Ok(0)) => move_on(MORE),
        (3, Ok(moved)) if moved as u64 <= MORE + 1 => unlock(),
        (4, Ok(0)) => Step::End,
        (_, other) => panic!("who moves, step {step}: {other:?}"),
    }
}

/// The same without the lock.
fn broadcast_unlocked(step: u64, regs: &mut UserRegs) -> Step {
    match (step, result(regs)) {
        (0, _) => change(),
        (1, Ok(0)) => move_on(0),
        (2, Ok(0 | 1)) => Step::End,
        (_, other) => panic!("who moves, step {step}: {other:?}"),
    }
}

/// Ends with the lock held and somebody moved to it, or not.
fn broadcast_and_end(step: u64, regs: &mut UserRegs) -> Step {
    match (step, result(regs)) {
        (3, Ok(0 | 1)) => Step::Call(nr::EXIT, [0; 6]),
        _ => broadcast::<0>(step, regs),
    }
}

/// Nobody waits on any word, and the kernel knows of no lock.
fn assert_quiet(kernel: &Kernel, space: &Arc<AddressSpace>) {
    assert!(kernel.futexes.pi.lock().buckets.iter().all(Vec::is_empty));
    let condition = Key::of(space, UserAddr(CONDITION as usize), true);
    assert_eq!(
        condition.map(|key| kernel.futexes.plain.waiting(&key)),
        Ok(0)
    );
}

/// So, and the lock is free.
fn assert_free(kernel: &Kernel, space: &Arc<AddressSpace>) {
    assert_quiet(kernel, space);
    assert_eq!(space.load_u32(UserAddr(LOCK as usize)), Ok(0));
}

#[test]
fn loom_pi_move_of_one_who_waits_or_sees_the_change() {
    model(|| {
        let scripts: [Script; 2] = [wait::<0>, broadcast::<0>];
        run_threads((2, 2), &scripts, |kernel, space| {
            assert_free(kernel, &space)
        });
    });
}

#[test]
fn loom_pi_move_to_a_free_lock_makes_an_owner() {
    model(|| {
        let scripts: [Script; 2] = [wait::<0>, broadcast_unlocked];
        run_threads((2, 2), &scripts, |kernel, space| {
            assert_free(kernel, &space)
        });
    });
}

#[test]
fn loom_pi_move_of_two_lets_both_own_it_in_turn() {
    model(|| {
        let scripts: [Script; 3] = [wait::<0>, wait::<0>, broadcast::<1>];
        run_threads((2, 3), &scripts, |kernel, space| {
            assert_free(kernel, &space)
        });
    });
}

#[test]
fn loom_pi_move_racing_with_a_time_out_owns_it_or_leaves() {
    model(|| {
        let scripts: [Script; 2] = [wait::<LONG_AGO>, broadcast::<0>];
        run_threads((2, 2), &scripts, |kernel, space| {
            assert_quiet(kernel, &space);
            // It may still say that others wait, which costs the next unlock a call.
            let word = space.load_u32(UserAddr(LOCK as usize));
            assert_eq!(word.map(|word| word & !super::WAITERS), Ok(0));
        });
    });
}

#[test]
fn loom_pi_move_to_the_lock_of_one_who_ends_is_handed_on() {
    model(|| {
        let scripts: [Script; 2] = [wait::<0>, broadcast_and_end];
        run_threads((2, 1), &scripts, |_, space| {
            let word = space.load_u32(UserAddr(LOCK as usize));
            // Either the heir has freed it, or nobody waited and it is its last owner's for ever: the list of robust ones
            // was empty.
            assert!(matches!(word, Ok(0 | MOVER)), "{word:x?}");
        });
    });
}
