//! Signals of job control: stop and continue.

use halyard_rt::process::Status;
use halyard_rt::raw::general::{WNOHANG, WUNTRACED};
use halyard_rt::signal::{self, Action, How, SIGCONT, SIGSTOP, SIGTERM, SIGTSTP, SignalSet};
use halyard_rt::{fd, io, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, Shared, check, check_eq, settle, sleep_ms};

suite!(
    signal_23_stop_stops_and_cont_continues,
    signal_08_stopped_process_defers_term_but_not_kill,
    signal_08_cont_discards_pending_stops,
    signal_08_stop_discards_pending_cont,
    signal_08_cont_resumes_even_if_blocked,
    signal_19_stop_is_invisible_to_a_blocked_read,
    signal_08_every_thread_stops,
    signal_24_orphaned_group_does_not_stop_from_the_terminal,
);

/// A child that counts as long as it runs.
fn counter(shared: &Shared, before: impl FnOnce()) -> Result<Blocker> {
    Blocker::start(|| {
        before();
        loop {
            shared.add(5, 1);
            let _ = time::sleep_once(core::time::Duration::from_micros(500));
        }
    })
}

fn counts(shared: &Shared) -> bool {
    let before = shared.get(5);
    settle();
    settle();
    shared.get(5) != before
}

fn signal_23_stop_stops_and_cont_continues() -> Outcome {
    let shared = Shared::new()?;
    let child = counter(&shared, || {})?;
    check!(counts(&shared));
    for number in [SIGSTOP, signal::SIGTSTP, signal::SIGTTIN, signal::SIGTTOU] {
        process::kill(child.pid(), number)?;
        let stopped = process::wait_for(child.pid(), WUNTRACED)?;
        check_eq!(stopped, Some((child.pid(), Status::Stopped(number))));
        check!(!counts(&shared));
        process::kill(child.pid(), SIGCONT)?;
        check!(counts(&shared));
    }
    child.kill()?;
    Ok(())
}

fn signal_08_stopped_process_defers_term_but_not_kill() -> Outcome {
    let shared = Shared::new()?;
    let child = counter(&shared, || {})?;
    process::kill(child.pid(), SIGSTOP)?;
    process::wait_for(child.pid(), WUNTRACED)?;
    process::kill(child.pid(), SIGTERM)?;
    settle();
    check_eq!(process::wait_for(child.pid(), WNOHANG)?, None);
    process::kill(child.pid(), SIGCONT)?;
    check_eq!(child.join()?, Status::Signaled(SIGTERM));
    let child = counter(&shared, || {})?;
    process::kill(child.pid(), SIGSTOP)?;
    process::wait_for(child.pid(), WUNTRACED)?;
    check_eq!(child.kill()?, Status::Signaled(signal::SIGKILL));
    Ok(())
}

fn signal_08_cont_discards_pending_stops() -> Outcome {
    let tstp = SignalSet::of(&[SIGTSTP]);
    signal::mask(How::Block, tstp)?;
    process::kill(process::id(), SIGTSTP)?;
    check_eq!(signal::pending()?, tstp);
    process::kill(process::id(), SIGCONT)?;
    check_eq!(signal::pending()?, SignalSet::EMPTY);
    Ok(())
}

extern "C" fn ignore(_: i32) {}

fn signal_08_stop_discards_pending_cont() -> Outcome {
    let cont = SignalSet::of(&[SIGCONT]);
    let both = SignalSet::of(&[SIGCONT, SIGTSTP]);
    signal::set(SIGCONT, Action::Call(ignore), 0, SignalSet::EMPTY)?;
    signal::mask(How::Block, both)?;
    process::kill(process::id(), SIGCONT)?;
    check_eq!(signal::pending()?, cont);
    process::kill(process::id(), SIGTSTP)?;
    check_eq!(signal::pending()?, SignalSet::of(&[SIGTSTP]));
    process::kill(process::id(), SIGCONT)?;
    check_eq!(signal::pending()?, cont);
    Ok(())
}

fn signal_08_cont_resumes_even_if_blocked() -> Outcome {
    let shared = Shared::new()?;
    let child = counter(&shared, || {
        let _ = signal::mask(How::Block, SignalSet::of(&[SIGCONT]));
    })?;
    process::kill(child.pid(), SIGSTOP)?;
    process::wait_for(child.pid(), WUNTRACED)?;
    process::kill(child.pid(), SIGCONT)?;
    check!(counts(&shared));
    child.kill()?;
    Ok(())
}

fn signal_19_stop_is_invisible_to_a_blocked_read() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let child = Blocker::start(|| i32::from(io::read(&reader, &mut [0]) != Ok(1)))?;
    process::kill(child.pid(), SIGSTOP)?;
    process::wait_for(child.pid(), WUNTRACED)?;
    process::kill(child.pid(), SIGCONT)?;
    settle();
    check!(child.blocked()?);
    // Also when the data come while it is stopped.
    process::kill(child.pid(), SIGSTOP)?;
    process::wait_for(child.pid(), WUNTRACED)?;
    io::write(&writer, b"x")?;
    settle();
    check_eq!(process::wait_for(child.pid(), WNOHANG)?, None);
    process::kill(child.pid(), SIGCONT)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn signal_08_every_thread_stops() -> Outcome {
    let shared = Shared::new()?;
    let words: [_; 3] = core::array::from_fn(|index| shared.word(16 + index));
    let child = Blocker::start(|| {
        for word in words {
            let _worker = halyard_rt::thread::spawn(move || {
                loop {
                    word.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
                }
            });
        }
        sleep_ms(100_000);
        0
    })?;
    process::kill(child.pid(), SIGSTOP)?;
    process::wait_for(child.pid(), WUNTRACED)?;
    let look = || words.map(|word| word.load(core::sync::atomic::Ordering::SeqCst));
    let before = look();
    settle();
    check_eq!(look(), before);
    process::kill(child.pid(), SIGCONT)?;
    // Three that spin may have to wait for each other's turns, and for those of others.
    for _ in 0..40 {
        settle();
        if before.iter().zip(look()).all(|(old, new)| *old != new) {
            break;
        }
    }
    let after = look();
    check!(before.iter().zip(after).all(|(old, new)| *old != new));
    child.kill()?;
    Ok(())
}

fn signal_24_orphaned_group_does_not_stop_from_the_terminal() -> Outcome {
    // A session of its own has no parent in the same session: its group is orphaned.
    let child = Blocker::start(|| {
        let _ = process::new_session();
        let _ = process::kill(process::id(), SIGTSTP);
        let _ = process::kill(process::id(), signal::SIGTTIN);
        6
    })?;
    check_eq!(
        process::wait_for(child.pid(), WUNTRACED)?,
        Some((child.pid(), Status::Exited(6)))
    );
    Ok(())
}
