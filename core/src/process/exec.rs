//! execve: a process goes on with another program.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::image::{self, Image, Strings};
use super::signal::RESTART;
use super::thread::Killable;
use crate::Errno;
use crate::fs::path;
use crate::ipc::futex;
use crate::machine::{UserAddr, UserContext};
use crate::syscall::{Answer, Call, Outcome};
use crate::wait::wait_until;

/// The arguments of execve, as the program gave them.
#[derive(Clone, Copy, Debug)]
pub struct ExecRequest {
    /// The program's path.
    pub path: UserAddr,
    /// Its arguments: addresses, then 0.
    pub argv: UserAddr,
    /// Its environment.
    pub envp: UserAddr,
}

/// execve(2). Nothing changes unless all that can fail has succeeded.
pub fn execve(call: &mut Call<'_>, request: &ExecRequest) -> Answer {
    let name = call.space().read_cstr(request.path, path::PATH_MAX)?;
    let argv = Strings::read(call.space(), request.argv)?;
    let envp = Strings::read(call.space(), request.envp)?;
    let fs = call.process().fs().ok_or(Errno::ESRCH)?;
    let image = image::load(
        call.kernel,
        &fs,
        &call.process().credentials(),
        &name,
        argv,
        envp,
    )?;
    if call.process().thread_count() > 1 {
        return end_other_threads(call);
    }
    let files = call.files().for_exec()?;
    install(call, &name, image, files);
    Ok(Outcome::Resumed)
}

/// Ends the process's other threads; the call is then made anew by the only one left (the program is loaded again: it has
/// been seen to load, and this is rare).
fn end_other_threads(call: &mut Call<'_>) -> Answer {
    let thread = Arc::clone(call.thread());
    if !thread.process.begin_exec(thread.tid) {
        return Err(Errno::EINTR);
    }
    call.wait(async move {
        let process = Arc::clone(&thread.process);
        let alone = || (process.thread_count() == 1).then_some(());
        let waited = wait_until(&Killable(thread), &process.threads_changed, None, alone).await;
        process.end_exec();
        match waited {
            Ok(()) => Err(RESTART),
            Err(_) => Err(Errno::EINTR),
        }
    })
}

fn install(
    call: &mut Call<'_>,
    name: &[u8],
    image: Image,
    files: Arc<crate::fs::descriptors::DescriptorTable>,
) {
    let thread = Arc::clone(call.thread());
    let process = Arc::clone(&thread.process);
    call.kernel.machine.release(&mut call.task.context);
    futex::on_exec(&thread, &call.task.space);
    // The new program does not know whom it owes a reply.
    call.task.owed = None;
    thread.clear_child_tid.store(0, Ordering::Relaxed);
    thread.robust_list.store(0, Ordering::Relaxed);
    let fresh = UserContext {
        regs: image.regs,
        ..UserContext::default()
    };
    call.task.context = fresh;
    let old_space = core::mem::replace(&mut call.task.space, Arc::clone(&image.space));
    process.limits.apply(&image.space);
    let shared_space = process.replace_space(image.space);
    let old_files = core::mem::replace(&mut call.task.files, Arc::clone(&files));
    if let Some(used) = process.replace_files(files) {
        used.succeed(&call.task.files);
    }
    process.signals.reset_for_exec();
    process.posix_timers.clear();
    thread.signals.reset_for_exec();
    process.set_executed();
    process.set_names(name, image.command_line);
    drop((old_space, shared_space, old_files));
    process.vfork.finish();
}
