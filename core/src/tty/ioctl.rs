//! What programs ask of a terminal (tty_ioctl(4)).

use alloc::sync::Arc;

use super::Tty;
use super::termios::Termios;
use crate::process::signal::Signal;
use crate::syscall::{Answer, Call, DONE};
use crate::{Errno, Result};

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const TIOCNOTTY: u32 = 0x5422;
const TIOCGSID: u32 = 0x5429;

/// Does `request` on `tty`. ENOTTY: it means nothing to a terminal.
pub fn ioctl(call: &mut Call<'_>, tty: &Arc<Tty>, request: u32) -> Answer {
    let at = call.addr::<2>();
    match request {
        TCGETS => call.space().write_user(at, &tty.termios())?,
        TCSETS | TCSETSW | TCSETSF => {
            tty.check_change(call.kernel, call.thread())?;
            let termios: Termios = call.space().read_user(at)?;
            tty.set_termios(termios, request == TCSETSF);
        }
        // Output is never pending, so there is nothing to drain, to stop or to flush but input.
        TCSBRK | TCXONC => tty.check_change(call.kernel, call.thread())?,
        TCFLSH => match call.int::<2>() {
            0 | 2 => {
                tty.check_change(call.kernel, call.thread())?;
                tty.flush_input();
            }
            1 => {}
            _ => return Err(Errno::EINVAL),
        },
        TIOCOUTQ => call.space().write_user(at, &0i32)?,
        TIOCGWINSZ => call.space().write_user(at, &tty.window())?,
        TIOCSWINSZ => {
            if tty.set_window(call.space().read_user(at)?) {
                tty.signal(call.kernel, Signal::WINCH);
            }
        }
        TIOCSCTTY => take_control(call, tty)?,
        TIOCNOTTY => give_up_control(call, tty)?,
        TIOCGPGRP => {
            check_controlling(call, tty)?;
            call.space().write_user(at, &tty.foreground())?;
        }
        TIOCSPGRP => set_foreground(call, tty)?,
        TIOCGSID => {
            check_controlling(call, tty)?;
            call.space().write_user(at, &tty.session())?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    DONE
}

/// ENOTTY unless `tty` is the caller's controlling terminal.
fn check_controlling(call: &Call<'_>, tty: &Tty) -> Result<()> {
    if tty.session() != 0 && tty.session() == call.process().session() {
        Ok(())
    } else {
        Err(Errno::ENOTTY)
    }
}

/// EPERM: the caller leads no session, or the terminal controls another one and is not taken by force.
fn take_control(call: &Call<'_>, tty: &Tty) -> Result<()> {
    let process = call.process();
    if tty.session() == process.session() {
        return Ok(());
    }
    if process.session() != process.pid {
        return Err(Errno::EPERM);
    }
    let steal = call.int::<2>() == 1 && process.credentials().privileged();
    if tty.session() != 0 && !steal {
        return Err(Errno::EPERM);
    }
    tty.set_session(process.session());
    tty.set_foreground(process.group());
    Ok(())
}

/// The session leader gives up the terminal: its foreground group gets SIGHUP and SIGCONT.
fn give_up_control(call: &Call<'_>, tty: &Tty) -> Result<()> {
    check_controlling(call, tty)?;
    if call.process().session() == call.process().pid {
        tty.signal(call.kernel, Signal::HUP);
        tty.signal(call.kernel, Signal::CONT);
        tty.set_session(0);
        tty.set_foreground(0);
    }
    Ok(())
}

/// EPERM: the group is not in the caller's session. EINVAL: negative.
fn set_foreground(call: &Call<'_>, tty: &Tty) -> Result<()> {
    check_controlling(call, tty)?;
    tty.check_change(call.kernel, call.thread())?;
    let group: i32 = call.space().read_user(call.addr::<2>())?;
    let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
    let session = call.process().session();
    let mut members = call.kernel.processes.group(group).peekable();
    let nobody = members.peek().is_none();
    if !members.any(|member| member.session() == session) {
        return Err(if nobody { Errno::ESRCH } else { Errno::EPERM });
    }
    tty.set_foreground(group);
    Ok(())
}
