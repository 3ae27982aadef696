//! The terminal: what can be asked and set. What is typed is for the tests that hold the other end.

use halyard_rt::process::Status;
use halyard_rt::raw::general::{ECHO, ICANON, ISIG, OPOST};
use halyard_rt::signal::{self, SignalSet};
use halyard_rt::{fd, nr, open, prelude::*, raw, tty};

use crate::runner::suite;
use crate::support::{Failure, Outcome, call, check, check_eq, in_child};

suite!(
    console_is_a_terminal,
    console_settings_are_the_usual_ones,
    console_settings_can_be_changed,
    console_has_a_size,
    other_files_are_no_terminals,
    terminal_unknown_request_is_enotty,
    terminal_of_a_session_without_one_is_enxio,
    terminal_foreground_is_told,
    terminal_nonblocking_read_is_eagain,
);

/// The console, or the reason why it can't be tested.
fn console() -> core::result::Result<Fd, Failure> {
    match fs::open_with("/dev/console", open::O_RDWR | open::O_NOCTTY, 0) {
        Ok(console) => Ok(console),
        Err(errno) => Err(Failure::Skip(format!("/dev/console: {errno}"))),
    }
}

fn console_is_a_terminal() -> Outcome {
    check!(tty::is_terminal(console()?));
    Ok(())
}

fn console_settings_are_the_usual_ones() -> Outcome {
    let settings = tty::settings(console()?)?;
    let wanted = ICANON | ISIG | ECHO;
    check_eq!(settings.c_lflag & wanted, wanted);
    check!(settings.c_oflag & OPOST != 0);
    let control = |index: u32| settings.c_cc[index as usize];
    check_eq!(control(raw::general::VINTR), 3);
    check_eq!(control(raw::general::VEOF), 4);
    check_eq!(control(raw::general::VERASE), 127);
    check_eq!(control(raw::general::VSUSP), 26);
    Ok(())
}

fn console_settings_can_be_changed() -> Outcome {
    let console = console()?;
    let before = tty::settings(&console)?;
    // A process in the background may only do it if it does not hear the signal for that.
    let ttou = SignalSet::of(&[signal::SIGTTOU]);
    signal::mask(signal::How::Block, ttou)?;
    let mut other = before;
    other.c_lflag &= !(ECHO | ICANON);
    tty::set_settings(&console, &other)?;
    let now = tty::settings(&console)?;
    tty::set_settings(&console, &before)?;
    check_eq!(now.c_lflag, other.c_lflag);
    check_eq!(tty::settings(&console)?.c_lflag, before.c_lflag);
    Ok(())
}

fn console_has_a_size() -> Outcome {
    let console = console()?;
    tty::window_size(&console)?;
    let tcgets = raw::ioctl::TCGETS as usize;
    check_eq!(
        call(nr::IOCTL, [console.fd() as usize, tcgets, 8]),
        Err(Errno::EFAULT)
    );
    let size = raw::ioctl::TIOCGWINSZ as usize;
    check_eq!(
        call(nr::IOCTL, [console.fd() as usize, size, 8]),
        Err(Errno::EFAULT)
    );
    Ok(())
}

fn other_files_are_no_terminals() -> Outcome {
    let (reader, _writer) = fd::pipe()?;
    let null = fs::open("/dev/null")?;
    let directory = fs::open("/")?;
    for file in [reader, null, directory] {
        check_eq!(tty::settings(&file).map(drop), Err(Errno::ENOTTY));
        check_eq!(tty::foreground(&file), Err(Errno::ENOTTY));
    }
    Ok(())
}

fn terminal_unknown_request_is_enotty() -> Outcome {
    let result = call(nr::IOCTL, [console()?.fd() as usize, 0x5499, 0]);
    check_eq!(result, Err(Errno::ENOTTY));
    Ok(())
}

fn terminal_of_a_session_without_one_is_enxio() -> Outcome {
    let status = in_child(|| {
        let _ = process::new_session();
        let result = fs::open_with("/dev/tty", open::O_RDWR, 0).map(drop);
        i32::from(result != Err(Errno::ENXIO))
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

/// In a session of its own with the console as its terminal: exit code 0, or 77 where the console is somebody's already.
fn terminal_foreground_is_told() -> Outcome {
    let console = console()?;
    let status = in_child(|| {
        let _ = process::new_session();
        match tty::make_controlling(&console) {
            Ok(()) => i32::from(!foreground_works(&console)),
            Err(_) => 77,
        }
    })?;
    if status == Status::Exited(77) {
        return Err(Failure::Skip("the console is another session's".to_owned()));
    }
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn foreground_works(console: &Fd) -> bool {
    let own = process::id();
    let terminal = fs::open_with("/dev/tty", open::O_RDWR, 0);
    let Ok(terminal) = terminal else { return false };
    let Ok(child) = process::spawn(|| {
        crate::support::sleep_ms(10_000);
        0
    }) else {
        return false;
    };
    let grouped = process::set_group(child, child) == Ok(());
    let taken = tty::set_foreground(console, own) == Ok(())
        && tty::foreground(&terminal) == Ok(own)
        && tty::set_foreground(&terminal, 1) == Err(Errno::EPERM)
        && tty::set_foreground(&terminal, -1) == Err(Errno::EINVAL)
        && tty::set_foreground(&terminal, child) == Ok(())
        && tty::foreground(console) == Ok(child);
    // Now this process is in the background: it may not write settings, nor read.
    let ttou = SignalSet::of(&[signal::SIGTTOU, signal::SIGTTIN]);
    let held = signal::mask(signal::How::Block, ttou).is_ok()
        && tty::set_foreground(&terminal, own) == Ok(())
        && tty::foreground(console) == Ok(own);
    let _ = process::kill(child, signal::SIGKILL);
    grouped && taken && held
}

fn terminal_nonblocking_read_is_eagain() -> Outcome {
    let flags = open::O_RDWR | open::O_NOCTTY | open::O_NONBLOCK;
    let console = fs::open_with("/dev/console", flags, 0)?;
    // A background reader of its own terminal would be stopped.
    let status = in_child(|| {
        let _ = process::new_session();
        // What somebody typed before is there to be read; behind it there is nothing, and that is no reason to wait.
        for _ in 0..64 {
            match io::read(&console, &mut [0; 64]) {
                Ok(_) => {}
                Err(Errno::EAGAIN) => return 0,
                Err(_) => return 1,
            }
        }
        2
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}
