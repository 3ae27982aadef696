//! Job control: a process in the background does not read the terminal, nor change it, nor (if TOSTOP is set) write to it
//! (termios(3), credentials(7)).

use super::Tty;
use super::termios::Local;
use crate::kernel::Kernel;
use crate::process::signal::{self, RESTART, Signal, SignalInfo};
use crate::process::state::Process;
use crate::process::thread::Thread;
use crate::{Errno, Result};

impl Tty {
    /// Whether it is `process`'s controlling terminal and another group has it.
    fn in_background(&self, process: &Process) -> bool {
        let session = self.session();
        session != 0 && process.session() == session && process.group() != self.foreground()
    }

    /// Lets `thread` read only in the foreground: else SIGTTIN goes to its group, and the call is made again when that goes
    /// on. EIO: the signal would do nothing.
    pub fn check_read(&self, kernel: &'static Kernel, thread: &Thread) -> Result<()> {
        if !self.in_background(&thread.process) {
            return Ok(());
        }
        if is_idle(thread, Signal::TTIN) {
            return Err(Errno::EIO);
        }
        stop_group(kernel, &thread.process, Signal::TTIN)
    }

    /// As [`Tty::check_change`], but only if TOSTOP is set.
    pub fn check_write(&self, kernel: &'static Kernel, thread: &Thread) -> Result<()> {
        if !self.in_background(&thread.process) || !self.termios().local().contains(Local::TOSTOP) {
            return Ok(());
        }
        self.check_change(kernel, thread)
    }

    /// Lets `thread` change the terminal only in the foreground, or if it blocks or ignores SIGTTOU; else that goes to its
    /// group, and the call is made again when that goes on. EIO: the group is orphaned.
    pub fn check_change(&self, kernel: &'static Kernel, thread: &Thread) -> Result<()> {
        if !self.in_background(&thread.process) || is_idle(thread, Signal::TTOU) {
            return Ok(());
        }
        stop_group(kernel, &thread.process, Signal::TTOU)
    }

    /// The leader of `session` has ended: if it was this terminal's, the foreground group gets SIGHUP and SIGCONT, and the
    /// terminal is nobody's.
    pub fn session_ended(&self, kernel: &'static Kernel, session: u32) {
        if session != 0 && self.session() == session {
            self.signal(kernel, Signal::HUP);
            self.signal(kernel, Signal::CONT);
            self.set_session(0);
            self.set_foreground(0);
        }
    }
}

/// Whether `signal` would do nothing to `thread`.
fn is_idle(thread: &Thread, signal: Signal) -> bool {
    thread.signals.mask().contains(signal) || thread.process.signals.action(signal).is_ignore()
}

fn stop_group(kernel: &'static Kernel, process: &Process, signal: Signal) -> Result<()> {
    let group = process.group();
    if signal::is_orphaned(kernel, group, None) {
        return Err(Errno::EIO);
    }
    // The caller is in the group, so the group is there.
    let _ = signal::send_to_group(kernel, group, signal, SignalInfo::kernel());
    Err(RESTART)
}
