//! System calls: the table, and one file a family that decodes arguments and calls the rest of the kernel.
//!
//! Adding a call: one line in [`table`], one function in its family's file, one on-target test, one row in docs/syscalls.md.
//!
//! A handler gets a [`Call`] and returns an [`Outcome`] or an errno. It never blocks: what must wait is handed over as a
//! future with [`Call::wait`], and the system call's result is the future's.

mod copy;
pub mod credentials;
pub mod descriptor;
mod directory;
mod epoll;
mod event;
pub mod futex;
pub mod info;
mod ipc_call;
mod ipc_info;
mod memfd;
pub mod memory;
mod metadata;
mod mount;
mod mqueue;
pub mod path;
pub mod pipe;
pub mod poll;
pub mod process;
pub mod schedule;
pub mod signal;
mod socket;
mod splice;
mod sysv;
mod sysv_memory;
mod sysv_message;
mod sysv_semaphore;
mod table;
pub mod time;
mod timer;
pub mod transfer;
mod xattr;

use alloc::sync::Arc;
use core::future::Future;

use crate::fs::descriptors::DescriptorTable;
use crate::fs::open_file::FileRef;
use crate::kernel::Kernel;
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::exit::ExitRequest;
use crate::process::state::Process;
use crate::process::thread::Thread;
use crate::sched::task::Task;
use crate::{Errno, Result};

/// What a handler leaves behind.
#[derive(Debug)]
pub enum Outcome {
    /// The call is done; this goes to x0.
    Done(usize),
    /// The call waits in the task's future ([`Call::wait`]).
    Waiting,
    /// The registers are as the program is to find them (exec, sigreturn).
    Resumed,
    /// The call waits in the task's exchange, and the task that is to be run instead is there.
    HandOver,
    /// The thread ends.
    Exit(ExitRequest),
}

impl From<usize> for Outcome {
    fn from(value: usize) -> Outcome {
        Outcome::Done(value)
    }
}

/// What a system call returns to the dispatcher.
pub type Answer = Result<Outcome>;

/// The answer of a call that succeeded with nothing to say.
pub const DONE: Answer = Ok(Outcome::Done(0));

/// A system call being made.
pub struct Call<'a> {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Who makes it.
    pub task: &'a mut Task,
}

/// A handler.
type Handler = fn(&mut Call<'_>) -> Answer;

/// Makes the call that `task`'s registers ask for (x8 the number, x0 to x5 the arguments). ENOSYS: no such call. ENOMEM:
/// it may allocate and the reserve is touched.
#[inline]
pub fn dispatch(kernel: &'static Kernel, task: &mut Task) -> Answer {
    let number = task.context.regs.x[8];
    task.restart.x0 = task.context.regs.x[0];
    let Some(entry) = table::entry(number) else {
        return beyond_the_table(kernel, task, number);
    };
    if entry.allocates {
        kernel.admit()?;
    }
    (entry.handler)(&mut Call { kernel, task })
}

/// The one call that has no row in [`table`]. ENOSYS: it is not that one.
#[inline(never)]
fn beyond_the_table(kernel: &'static Kernel, task: &mut Task, number: u64) -> Answer {
    if number == halyard_abi::ipc_call::IPC_CALL as u64 {
        ipc_call::dispatch(kernel, task)
    } else {
        Err(Errno::ENOSYS)
    }
}

impl Call<'_> {
    /// Argument `N` (0 to 5) as the register has it.
    #[inline]
    #[must_use]
    pub const fn arg<const N: usize>(&self) -> u64 {
        const { assert!(N < 6) };
        self.task.context.regs.x[N]
    }

    /// Argument `N` as a C `int`: the upper half of the register is ignored.
    #[inline]
    #[must_use]
    pub const fn int<const N: usize>(&self) -> i32 {
        self.arg::<N>() as i32
    }

    /// Argument `N` as a C `unsigned int`.
    #[inline]
    #[must_use]
    pub const fn uint<const N: usize>(&self) -> u32 {
        self.arg::<N>() as u32
    }

    /// Argument `N` as a length.
    #[inline]
    #[must_use]
    pub const fn size<const N: usize>(&self) -> usize {
        self.arg::<N>() as usize
    }

    /// Argument `N` as a user address.
    #[inline]
    #[must_use]
    pub const fn addr<const N: usize>(&self) -> UserAddr {
        UserAddr(self.arg::<N>() as usize)
    }

    /// The calling thread.
    #[inline]
    #[must_use]
    pub fn thread(&self) -> &Arc<Thread> {
        &self.task.thread
    }

    /// The calling process.
    #[inline]
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.task.thread.process
    }

    /// The caller's address space.
    #[inline]
    #[must_use]
    pub fn space(&self) -> &Arc<AddressSpace> {
        &self.task.space
    }

    /// The caller's descriptors.
    #[inline]
    #[must_use]
    pub fn files(&self) -> &Arc<DescriptorTable> {
        &self.task.files
    }

    /// The open file that argument `N` names. EBADF.
    #[inline]
    pub fn file<const N: usize>(&self) -> Result<FileRef> {
        self.task.files.get(self.int::<N>())
    }

    /// Makes the caller wait in `future`, whose result becomes the call's.
    #[inline]
    pub fn wait<F: Future<Output = Result<usize>> + Send + 'static>(
        &mut self,
        future: F,
    ) -> Answer {
        self.task.wait_in(future);
        Ok(Outcome::Waiting)
    }
}
