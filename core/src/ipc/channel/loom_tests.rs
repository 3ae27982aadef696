//! Channels under the model checker: the kernel's loop on two CPUs, with a server, clients, and somebody who kills. Each call
//! ends, with a reply or with the error that fits; what was passed is where it was passed to, or gone.

use alloc::boxed::Box;
use alloc::sync::Arc;

use halyard_abi::ipc_call::IPC_CALL;
use halyard_abi::nr;

use super::*;
use crate::Errno;
use crate::bench::interleaved::{Script, Step, run};
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::kernel::Kernel;
use crate::machine::UserRegs;
use crate::sched::task::Task;

/// The commands of `ipc_call`.
const CALL: u64 = 0xc02;
const RECEIVE: u64 = 0xc03;
const REPLY: u64 = 0xc04;
const REPLY_RECEIVE: u64 = 0xc05;
/// One word, and a descriptor with it.
const PASSING: u64 = 0x101;

/// The descriptors: the server's end, or the client's, and what is passed on.
const END: u64 = 0;
const PASSED: u64 = 1;

/// The processes, in the order of their scripts: init is the first of all.
const CLIENT_PID: u64 = 3;

const WORD: usize = 9;
const SIGKILL: u64 = 9;

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 100_000;
    builder.check(body);
}

fn door(command: u64, one: u64, two: u64, three: u64) -> Step {
    Step::Call(IPC_CALL, [command, one, two, three, 0, 0])
}

fn result(regs: &UserRegs) -> i64 {
    regs.x[0].cast_signed()
}

fn error(errno: Errno) -> i64 {
    errno.to_return() as i64
}

fn open(file: Arc<dyn crate::fs::file::File>) -> Arc<OpenFile> {
    match OpenFile::new(file, OpenFlags::READ_WRITE) {
        Ok(file) => file,
        Err(errno) => panic!("no open file: {errno:?}"),
    }
}

fn give(task: &Task, file: Arc<OpenFile>, fd: u64) {
    assert_eq!(task.files.insert(file, 0, 16, false), Ok(fd as u32 as _));
}

/// The first process has the server's end, each of the others an end that calls, with its number in the order as badge; the
/// second has one more, that only it has, to pass on.
fn prepare(_: &'static Kernel, tasks: &[Box<Task>]) -> (Arc<Channel>, Arc<OpenFile>) {
    let server = ServerEnd::new();
    let channel = Arc::clone(&server.channel);
    let to_pass = open(Arc::new(server.client(99)));
    let clients: Vec<_> = (1..tasks.len())
        .map(|badge| open(Arc::new(server.client(badge as u64))))
        .collect();
    let server = open(Arc::new(server));
    for (task, end) in tasks.iter().zip([server].into_iter().chain(clients)) {
        give(task, end, END);
    }
    give(&tasks[1], Arc::clone(&to_pass), PASSED);
    (channel, to_pass)
}

/// Nobody is left on the channel's lists.
fn assert_quiet(channel: &Channel) {
    let state = channel.state.lock();
    assert!(state.calls.is_empty());
    assert!(state.servers.is_empty());
}

/// Receives, replies with twice the word, and then receives in the same call; after `N` replies it is done.
fn serve<const N: u64>(step: u64, regs: &mut UserRegs) -> Step {
    if step > 0 {
        let right = if step > N { 0 } else { 1 };
        assert_eq!(result(regs), right, "server, step {step}");
        regs.x[WORD] *= 2;
    }
    match step {
        0 => door(RECEIVE, END, 0, 0),
        _ if step < N => door(REPLY_RECEIVE, END, 1, 0),
        _ if step == N => door(REPLY, 0, 1, 0),
        _ => Step::End,
    }
}

/// Calls with 10 and `N`.
fn ask<const N: u64>(step: u64, regs: &mut UserRegs) -> Step {
    if step == 1 {
        assert_eq!((result(regs), regs.x[WORD]), (1, 2 * (10 + N)));
        return Step::End;
    }
    regs.x[WORD] = 10 + N;
    door(CALL, END, 1, 0)
}

#[test]
fn loom_channel_call_meets_receive_and_reply() {
    model(|| {
        let scripts: [Script; 2] = [serve::<1>, ask::<1>];
        run((2, 2), &scripts, prepare, |_, (channel, _)| {
            assert_quiet(&channel);
        });
    });
}

#[test]
fn loom_channel_two_callers_are_both_answered() {
    model(|| {
        let scripts: [Script; 3] = [serve::<2>, ask::<1>, ask::<2>];
        run((2, 3), &scripts, prepare, |_, (channel, _)| {
            assert_quiet(&channel);
        });
    });
}

#[test]
fn loom_channel_server_that_ends_lets_no_caller_wait() {
    fn take_and_end(step: u64, _: &mut UserRegs) -> Step {
        match step {
            0 => door(RECEIVE, END, 0, 0),
            _ => Step::Call(nr::EXIT_GROUP, [0; 6]),
        }
    }
    fn fail(step: u64, regs: &mut UserRegs) -> Step {
        if step == 0 {
            return door(CALL, END, 1, 0);
        }
        // The one that was taken, and the one that was not.
        let errors = [Errno::ECONNRESET, Errno::EPIPE].map(error);
        assert!(errors.contains(&result(regs)), "{}", result(regs));
        Step::End
    }
    model(|| {
        let scripts: [Script; 3] = [take_and_end, fail, fail];
        run((2, 2), &scripts, prepare, |_, (channel, _)| {
            assert_quiet(&channel);
            assert!(!channel.state.lock().open);
        });
    });
}

#[test]
fn loom_channel_caller_killed_leaves_the_server_to_the_next() {
    /// Serves until the call of badge 2 has been answered.
    fn serve_both(step: u64, regs: &mut UserRegs) -> Step {
        if step == 0 {
            return door(RECEIVE, END, 0, 0);
        }
        if regs.x[0] == 0 {
            return Step::End;
        }
        assert_eq!(result(regs), 1);
        if regs.x[1] == 2 {
            regs.x[WORD] *= 2;
            return door(REPLY, 0, 1, 0);
        }
        door(REPLY_RECEIVE, END, 1, 0)
    }
    fn victim(step: u64, _: &mut UserRegs) -> Step {
        match step {
            0 => door(CALL, END, 1, 0),
            _ => Step::Rest,
        }
    }
    fn killer(step: u64, regs: &mut UserRegs) -> Step {
        match step {
            0 => Step::Call(nr::KILL, [CLIENT_PID, SIGKILL, 0, 0, 0, 0]),
            _ => {
                assert!(step > 1 || result(regs) == 0, "kill");
                ask::<2>(step - 1, regs)
            }
        }
    }
    model(|| {
        let scripts: [Script; 3] = [serve_both, victim, killer];
        run((2, 2), &scripts, prepare, |_, (channel, _)| {
            assert_quiet(&channel);
        });
    });
}

#[test]
fn loom_channel_descriptor_arrives_with_the_call() {
    fn take_it(step: u64, regs: &mut UserRegs) -> Step {
        match step {
            0 => door(RECEIVE, END, 0, 0),
            1 => {
                // Beside the server's own end.
                assert_eq!((result(regs), regs.x[2]), (1, 1));
                regs.x[WORD] *= 2;
                door(REPLY, 0, 1, 0)
            }
            _ => Step::End,
        }
    }
    fn pass_it(step: u64, regs: &mut UserRegs) -> Step {
        if step > 0 {
            return ask::<1>(step, regs);
        }
        regs.x[WORD] = 11;
        door(CALL, END, PASSING, PASSED)
    }
    model(|| {
        let scripts: [Script; 2] = [take_it, pass_it];
        run((2, 2), &scripts, prepare, |_, (channel, passed)| {
            assert_quiet(&channel);
            // Ours, the client's and the server's.
            assert_eq!(Arc::strong_count(&passed), 3);
        });
    });
}

#[test]
fn loom_channel_descriptor_of_a_caller_whose_server_ends_is_not_lost() {
    fn end_at_once(_: u64, _: &mut UserRegs) -> Step {
        Step::Call(nr::EXIT_GROUP, [0; 6])
    }
    fn pass_it(step: u64, regs: &mut UserRegs) -> Step {
        if step == 0 {
            return door(CALL, END, PASSING, PASSED);
        }
        assert_eq!(result(regs), error(Errno::EPIPE));
        Step::End
    }
    model(|| {
        let scripts: [Script; 2] = [end_at_once, pass_it];
        run((2, 1), &scripts, prepare, |_, (channel, passed)| {
            assert_quiet(&channel);
            // Ours and the client's: what was queued with the call has been let go.
            assert_eq!(Arc::strong_count(&passed), 2);
        });
    });
}
