//! `ipc_call(cmd, a0, ...)`: the one door that leads to every mechanism of inter-process communication.
//!
//! A command is a row of [`COMMANDS`]: how its arguments stand in the registers of the Linux call that does the work, and that
//! call's handler. So both doors lead to the same objects, errors and waits by construction. The registers are as the
//! program left them when the handler is done: a call that a signal restarts is made again as it was.

use halyard_abi::ipc_call as abi;
use halyard_abi::socket::AF_UNIX;
use halyard_abi::sysv::{IPC_CREAT, IPC_PRIVATE};

use super::table::{Entry, grows, lean};
use super::{
    Answer, Call, descriptor, event, futex, ipc_info, mqueue, path, pipe, poll, signal, socket,
    sysv_memory, sysv_message, sysv_semaphore, transfer,
};
use crate::Errno;
use crate::fs::inode::S_IFIFO;
use crate::ipc::channel;
use crate::kernel::Kernel;
use crate::sched::task::Task;

/// `a0` to `a4`.
type Given = [u64; 5];
/// x0 to x5 as a handler reads them.
type Registers = [u64; 6];

/// One command.
struct Door {
    number: usize,
    entry: Entry,
    arrange: fn(Given) -> Registers,
}

const fn door(number: usize, entry: Entry, arrange: fn(Given) -> Registers) -> Door {
    Door {
        number,
        entry,
        arrange,
    }
}

/// Sorted by number.
static COMMANDS: &[Door] = &[
    door(abi::INFO, lean(ipc_info::info), as_given),
    door(abi::PIPE_CREATE, grows(pipe::pipe2), as_given),
    door(abi::FIFO_CREATE, grows(path::mknodat), fifo),
    door(abi::SEND, lean(transfer::write), as_given),
    door(abi::RECEIVE, lean(transfer::read), as_given),
    door(abi::CLOSE, lean(descriptor::close), as_given),
    door(abi::SHM_CREATE, grows(sysv_memory::shmget), segment),
    door(abi::SHM_MAP, grows(sysv_memory::shmat), as_given),
    door(abi::SHM_UNMAP, lean(sysv_memory::shmdt), as_given),
    door(abi::SHM_CONTROL, lean(sysv_memory::shmctl), as_given),
    door(abi::SHM_GET, grows(sysv_memory::shmget), as_given),
    door(abi::MSG_CREATE, grows(sysv_message::typed_queue), as_given),
    door(abi::MSG_SEND, lean(sysv_message::msgsnd), as_given),
    door(abi::MSG_RECEIVE, lean(sysv_message::msgrcv), as_given),
    door(abi::MSG_CONTROL, lean(sysv_message::msgctl), as_given),
    door(abi::MSG_GET, grows(sysv_message::msgget), as_given),
    door(abi::SEM_GET, grows(sysv_semaphore::semget), as_given),
    door(
        abi::SEM_OPERATE,
        grows(sysv_semaphore::semtimedop),
        as_given,
    ),
    door(abi::SEM_CONTROL, lean(sysv_semaphore::semctl), as_given),
    door(abi::WORD_WAIT, grows(futex::futex), word_wait),
    door(abi::WORD_WAKE, lean(futex::futex), word_wake),
    door(abi::SIGNAL_SEND, lean(signal::kill), as_given),
    door(abi::SIGNAL_QUEUE, lean(signal::rt_sigqueueinfo), as_given),
    door(abi::SIGNAL_ACTION, lean(signal::rt_sigaction), as_given),
    door(abi::SIGNAL_MASK, lean(signal::rt_sigprocmask), as_given),
    door(abi::SIGNAL_WAIT, grows(signal::rt_sigtimedwait), as_given),
    door(abi::NAMED_OPEN, grows(mqueue::mq_open), as_given),
    door(abi::NAMED_SEND, lean(mqueue::mq_timedsend), as_given),
    door(abi::NAMED_RECEIVE, lean(mqueue::mq_timedreceive), as_given),
    door(abi::NAMED_REMOVE, grows(mqueue::mq_unlink), as_given),
    door(abi::SOCKET_PAIR, grows(socket::socketpair), socket_pair),
    door(abi::SOCKET_SEND, grows(socket::sendmsg), as_given),
    door(abi::SOCKET_RECEIVE, grows(socket::recvmsg), as_given),
    door(abi::EVENT_CREATE, grows(event::eventfd2), as_given),
    door(abi::CHANNEL_CREATE, grows(create), as_given),
    door(abi::CHANNEL_CLIENT, grows(client), as_given),
    door(abi::CHANNEL_CALL, lean(channel::call), as_given),
    door(abi::CHANNEL_RECEIVE, lean(channel::receive), as_given),
    door(abi::CHANNEL_REPLY, lean(channel::reply), as_given),
    door(
        abi::CHANNEL_REPLY_RECEIVE,
        lean(channel::reply_receive),
        as_given,
    ),
    door(abi::WAIT_ANY, grows(poll::ppoll), wait_any),
];

/// Does what x0 commands. EINVAL: no such command. ENOMEM: it may allocate and the reserve is touched.
#[inline]
pub(super) fn dispatch(kernel: &'static Kernel, task: &mut Task) -> Answer {
    // Messages are in registers: nothing is arranged, and the way is short.
    match task.context.regs.x[0] {
        CHANNEL_CALL => channel::call(&mut Call { kernel, task }),
        CHANNEL_REPLY_RECEIVE => channel::reply_receive(&mut Call { kernel, task }),
        CHANNEL_RECEIVE => channel::receive(&mut Call { kernel, task }),
        CHANNEL_REPLY => channel::reply(&mut Call { kernel, task }),
        _ => by_table(kernel, task),
    }
}

const CHANNEL_CALL: u64 = abi::CHANNEL_CALL as u64;
const CHANNEL_RECEIVE: u64 = abi::CHANNEL_RECEIVE as u64;
const CHANNEL_REPLY: u64 = abi::CHANNEL_REPLY as u64;
const CHANNEL_REPLY_RECEIVE: u64 = abi::CHANNEL_REPLY_RECEIVE as u64;

#[inline(never)]
fn by_table(kernel: &'static Kernel, task: &mut Task) -> Answer {
    let door = find(task.context.regs.x[0]).ok_or(Errno::EINVAL)?;
    if door.entry.allocates {
        kernel.admit()?;
    }
    let [_, given @ ..] = registers(task);
    set_registers(task, (door.arrange)(given));
    let answer = (door.entry.handler)(&mut Call { kernel, task });
    let [first, ..] = registers(task);
    let [a0, a1, a2, a3, a4] = given;
    set_registers(task, [first, a0, a1, a2, a3, a4]);
    answer
}

fn find(command: u64) -> Option<&'static Door> {
    let number = usize::try_from(command).ok()?;
    let at = COMMANDS
        .binary_search_by_key(&number, |door| door.number)
        .ok()?;
    COMMANDS.get(at)
}

fn registers(task: &Task) -> Registers {
    let [x0, x1, x2, x3, x4, x5, ..] = task.context.regs.x;
    [x0, x1, x2, x3, x4, x5]
}

fn set_registers(task: &mut Task, values: Registers) {
    for (register, value) in task.context.regs.x.iter_mut().zip(values) {
        *register = value;
    }
}

/// channel_create(flags).
fn create(call: &mut Call<'_>) -> Answer {
    channel::create(call, call.arg::<0>())
}

/// channel_client(server, badge, flags).
fn client(call: &mut Call<'_>) -> Answer {
    channel::client(call, call.int::<0>(), call.arg::<1>(), call.arg::<2>())
}

/// The arguments as the program gave them.
fn as_given([a0, a1, a2, a3, a4]: Given) -> Registers {
    [a0, a1, a2, a3, a4, 0]
}

/// (path, mode) for mknodat(2).
fn fifo([path, mode, ..]: Given) -> Registers {
    let mode = mode & 0o7777 | u64::from(S_IFIFO);
    [path::AT_FDCWD as u64, path, mode, 0, 0, 0]
}

/// (size, flags) for shmget(2): a segment without a key, found by its id alone.
fn segment([size, flags, ..]: Given) -> Registers {
    let flags = flags | u64::from(IPC_CREAT);
    [IPC_PRIVATE as u64, size, flags, 0, 0, 0]
}

/// (type, fds) for socketpair(2).
fn socket_pair([kind, fds, ..]: Given) -> Registers {
    [u64::from(AF_UNIX), kind, 0, fds, 0, 0]
}

/// (fds, count, timeout) for ppoll(2), with the signal mask as it is.
fn wait_any([fds, count, timeout, ..]: Given) -> Registers {
    [fds, count, timeout, 0, 0, 0]
}

/// (word, value, timeout) for futex(2). Words are shared: whoever maps the page meets here.
fn word_wait([word, value, timeout, ..]: Given) -> Registers {
    let operation = u64::from(futex::FUTEX_WAIT);
    [word, operation, value, timeout, 0, 0]
}

/// (word, count) for futex(2).
fn word_wake([word, count, ..]: Given) -> Registers {
    let operation = u64::from(futex::FUTEX_WAKE);
    [word, operation, count, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    const PAGE: &str = include_str!("../../../docs/ipc-call.md");

    fn rows() -> Vec<String> {
        let row = |command: &abi::Command| {
            format!(
                "| {:#06x} | `{}({})` | {} |",
                command.number, command.name, command.arguments, command.result
            )
        };
        abi::COMMANDS.iter().map(row).collect()
    }

    #[test]
    fn doors_are_the_commands_of_the_abi_in_order() {
        let doors: Vec<usize> = COMMANDS.iter().map(|door| door.number).collect();
        let commands: Vec<usize> = abi::COMMANDS.iter().map(|command| command.number).collect();
        assert!(doors.is_sorted_by(|a, b| a < b));
        assert_eq!(doors, commands);
    }

    #[test]
    fn table_and_its_page_agree() {
        let page: Vec<&str> = PAGE
            .lines()
            .filter(|line| line.starts_with("| 0x"))
            .collect();
        assert_eq!(rows(), page);
    }

    #[test]
    fn unknown_command_has_no_door() {
        assert!(find(u64::MAX).is_none());
        assert!(find(0xff).is_none());
    }
}
