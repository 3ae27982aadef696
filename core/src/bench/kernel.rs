//! A kernel on an emulated machine, and what a process is made of.

use std::boxed::Box;
use std::sync::Arc;

use crate::boot::{self, BootInfo};
use crate::devices::Found;
use crate::fs::descriptors::DescriptorTable;
use crate::fs::path::FsContext;
use crate::kernel::Kernel;
use crate::machine::{Access, Frame, Machine, UserAddr, UserContext, UserRegs};
use crate::mm::{AddressSpace, Label, Memory};
use crate::process::Pid;
use crate::process::credentials::Credentials;
use crate::process::limits::Limits;
use crate::process::signal::{ProcessSignals, ThreadSignals};
use crate::process::state::{Parts, Process};
use crate::process::thread::Thread;
use crate::sched::run_queue::Policy;
use crate::sched::task::Task;

/// Where programs may read and write: everything from here to [`DATA_END`].
pub(crate) const DATA: u64 = 0x1_0000;
/// First address beyond the data.
pub(crate) const DATA_END: u64 = 0x100_0000;
/// The stack pointer at the start.
pub(crate) const STACK: u64 = 0x8_0000;

/// A kernel in which nothing runs, at `real_time` ns since 1970.
pub(crate) fn kernel(
    machine: &'static dyn Machine,
    memory: &'static Memory,
    real_time: u64,
) -> &'static Kernel {
    let mut info = BootInfo {
        machine,
        memory,
        initramfs: None,
        initramfs_frames: Frame(0)..Frame(0),
        command_line: "",
        seed: [1; 32],
        real_time,
        kernel_bytes: 0,
        devices: Found::default(),
    };
    Box::leak(Box::new(boot::make_kernel(&mut info).unwrap()))
}

fn space(memory: &'static Memory) -> Arc<AddressSpace> {
    let space = AddressSpace::new(memory).unwrap();
    let (start, length) = (UserAddr(DATA as usize), (DATA_END - DATA) as usize);
    space
        .map_anonymous(start, length, Access::READ | Access::WRITE, Label::Heap)
        .unwrap();
    space
}

/// What a process of root's is made of, with no descriptor.
pub(crate) fn parts(kernel: &'static Kernel) -> Parts {
    Parts {
        space: space(kernel.memory),
        files: Arc::new(DescriptorTable::new()),
        fs: Arc::new(FsContext::new(Arc::clone(kernel.names.root()))),
        credentials: Arc::new(Credentials::root()),
        signals: ProcessSignals::default(),
        limits: Limits::default(),
    }
}

/// The next process, of root's and with no descriptor, and the task of its one thread, which starts at `start`.
pub(crate) fn process(kernel: &'static Kernel, parent: Pid, start: u64) -> Box<Task> {
    let pid = kernel.processes.number().unwrap();
    let parts = parts(kernel);
    let (space, files) = (Arc::clone(&parts.space), Arc::clone(&parts.files));
    let process = Arc::new(Process::new(pid, parts));
    kernel.processes.add(Arc::clone(&process), parent);
    task(kernel, &process, pid, (space, files), start)
}

/// The task of one more thread of `first`'s process.
#[cfg(loom)]
pub(crate) fn thread(kernel: &'static Kernel, first: &Task, start: u64) -> Box<Task> {
    let tid = kernel.processes.number().unwrap();
    let shared = (Arc::clone(&first.space), Arc::clone(&first.files));
    task(kernel, &first.thread.process, tid, shared, start)
}

fn task(
    kernel: &'static Kernel,
    process: &Arc<Process>,
    tid: Pid,
    (space, files): (Arc<AddressSpace>, Arc<DescriptorTable>),
    start: u64,
) -> Box<Task> {
    let thread = Thread::new(
        kernel,
        Arc::clone(process),
        tid,
        Policy::Fair(0),
        ThreadSignals::default(),
    );
    let thread = Arc::new(thread);
    process.add_thread(Arc::clone(&thread)).unwrap();
    kernel.processes.add_thread(Arc::clone(&thread));
    let regs = UserRegs {
        pc: start,
        sp: STACK,
        ..UserRegs::default()
    };
    let context = UserContext {
        regs,
        ..UserContext::default()
    };
    Box::new(Task::new(context, thread, space, files))
}
