//! Replacing the program: what execve hands on, what it refuses. Also this program's own helpers for that.

use halyard_rt::process::{Pid, Status};
use halyard_rt::raw::auxvec;
use halyard_rt::{args, fd, fs, mm, open, prelude::*, process, signal};

use crate::runner::suite;
use crate::support::{Outcome, check, check_eq, in_child};

suite!(
    exec_hands_on_arguments_and_environment,
    exec_keeps_number_directory_and_open_files,
    exec_closes_what_is_to_be_closed,
    signal_10_exec_resets_handlers_and_keeps_ignores,
    signal_10_exec_keeps_the_mask,
    exec_gives_an_auxiliary_vector,
    exec_of_nothing_is_enoent,
    exec_of_a_directory_is_eacces,
    exec_of_a_file_without_x_is_eacces,
    exec_of_text_is_enoexec,
    exec_of_broken_programs_is_enoexec,
    exec_of_cut_programs_harms_nobody,
    exec_of_too_many_arguments_is_e2big,
    exec_of_long_arguments_hands_them_on,
    exec_again_and_again_leaks_nothing,
);

/// The first argument by which this program is its own helper.
pub(crate) const HELPER: &str = "--helper";

/// This program's path.
pub(crate) fn own_path() -> &'static str {
    args::args()
        .next()
        .filter(|name| name.contains('/'))
        .unwrap_or("/bin/tests")
}

/// Turns into this program as a helper with those words.
pub(crate) fn become_helper(words: &[&str]) -> i32 {
    let arguments = ["tests", HELPER].into_iter().chain(words.iter().copied());
    let errno = process::exec(own_path(), arguments, ["A=1", "B=two words"]);
    println!("# exec {}: {errno}", own_path());
    126
}

/// Starts a helper.
pub(crate) fn start(words: &[&str]) -> Result<Pid> {
    process::spawn(|| become_helper(words))
}

fn run(words: &[&str]) -> Result<Status> {
    process::wait_pid(start(words)?)
}

/// What a helper does; its exit code.
pub(crate) fn help(words: &[&str]) -> i32 {
    let number = |text: &str| text.parse::<i32>().unwrap_or(-1);
    match *words {
        ["exit", code] => number(code),
        ["sleep", milliseconds] => {
            crate::support::sleep_ms(number(milliseconds) as u64);
            0
        }
        ["arguments", first, "", last] => {
            let vars: Vec<_> = args::vars().collect();
            let vars_right = vars == [("A", "1"), ("B", "two words")];
            i32::from(!(vars_right && first == "a b" && last == "ä"))
        }
        ["open", number_text, number_closed] => {
            let open_one = fd::flags(number(number_text)).is_ok();
            let closed_one = fd::flags(number(number_closed)) == Err(Errno::EBADF);
            i32::from(!(open_one && closed_one))
        }
        ["place", pid, directory] => {
            let same = process::id() == number(pid);
            i32::from(!(same && fs::current_dir().as_deref() == Ok(directory)))
        }
        ["signals"] => {
            let caught = signal::get(signal::SIGUSR1).map(|action| action.handler);
            let ignored = signal::get(signal::SIGUSR2).map(|action| action.handler);
            i32::from(!(caught == Ok(0) && ignored == Ok(1)))
        }
        ["mask"] => {
            let blocked = signal::mask(signal::How::Block, signal::SignalSet::EMPTY);
            i32::from(blocked != Ok(signal::SignalSet::of(&[signal::SIGUSR1])))
        }
        ["interpreter"] => i32::from(!crate::exec_interpreter::told_right()),
        ["auxiliary"] => i32::from(!auxiliary_right()),
        ["long", text, length] => i32::from(text.len() != number(length) as usize),
        _ => 125,
    }
}

fn auxiliary_right() -> bool {
    let name = args::args_bytes().next().map(<[u8]>::len);
    let all_there = [
        auxvec::AT_PHDR,
        auxvec::AT_ENTRY,
        auxvec::AT_RANDOM,
        auxvec::AT_EXECFN,
    ]
    .iter()
    .all(|&key| args::auxv(key).is_some_and(|value| value != 0));
    let entry = args::auxv(auxvec::AT_ENTRY).unwrap_or(0);
    name == Some(5)
        && all_there
        && args::auxv(auxvec::AT_PAGESZ) == Some(mm::PAGE)
        && args::auxv(auxvec::AT_PHENT) == Some(56)
        && args::auxv(auxvec::AT_PHNUM).is_some_and(|count| (2..20).contains(&count))
        && entry.is_multiple_of(4)
        && args::auxv(auxvec::AT_UID).is_some()
        && args::auxv(auxvec::AT_SECURE) == Some(0)
}

fn exec_hands_on_arguments_and_environment() -> Outcome {
    check_eq!(run(&["exit", "33"])?, Status::Exited(33));
    check_eq!(run(&["arguments", "a b", "", "ä"])?, Status::Exited(0));
    Ok(())
}

fn exec_keeps_number_directory_and_open_files() -> Outcome {
    let status = in_child(|| {
        let _ = fs::set_current_dir("/tmp");
        become_helper(&["place", &process::id().to_string(), "/tmp"])
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn exec_closes_what_is_to_be_closed() -> Outcome {
    let kept = fs::open_with("/", open::O_RDONLY, 0)?;
    let closed = fs::open_with("/", open::O_RDONLY | open::O_CLOEXEC, 0)?;
    let (kept, closed) = (kept.fd().to_string(), closed.fd().to_string());
    check_eq!(run(&["open", &kept, &closed])?, Status::Exited(0));
    Ok(())
}

extern "C" fn ignore(_: i32) {}

fn signal_10_exec_resets_handlers_and_keeps_ignores() -> Outcome {
    let none = signal::SignalSet::EMPTY;
    signal::set(signal::SIGUSR1, signal::Action::Call(ignore), 0, none)?;
    signal::set(signal::SIGUSR2, signal::Action::Ignore, 0, none)?;
    check_eq!(run(&["signals"])?, Status::Exited(0));
    Ok(())
}

fn signal_10_exec_keeps_the_mask() -> Outcome {
    signal::mask(signal::How::Set, signal::SignalSet::of(&[signal::SIGUSR1]))?;
    check_eq!(run(&["mask"])?, Status::Exited(0));
    Ok(())
}

fn exec_gives_an_auxiliary_vector() -> Outcome {
    check_eq!(run(&["auxiliary"])?, Status::Exited(0));
    Ok(())
}

fn try_exec(path: &str) -> Errno {
    process::exec(path, ["x"], [""; 0])
}

fn exec_of_nothing_is_enoent() -> Outcome {
    check_eq!(try_exec("/nowhere"), Errno::ENOENT);
    check_eq!(try_exec(""), Errno::ENOENT);
    check_eq!(try_exec("/init/nowhere"), Errno::ENOTDIR);
    Ok(())
}

fn exec_of_a_directory_is_eacces() -> Outcome {
    check_eq!(try_exec("/tmp"), Errno::EACCES);
    Ok(())
}

fn exec_of_a_file_without_x_is_eacces() -> Outcome {
    fs::write("/tmp/exec_no_x", &fs::read(own_path())?)?;
    fs::set_permissions("/tmp/exec_no_x", 0o644)?;
    check_eq!(try_exec("/tmp/exec_no_x"), Errno::EACCES);
    fs::remove_file("/tmp/exec_no_x")?;
    Ok(())
}

/// Writes an executable file. The descriptor is closed, or it could not be run.
pub(crate) fn program(path: &str, contents: &[u8]) -> Result<()> {
    fs::write(path, contents)?;
    fs::set_permissions(path, 0o755)
}

fn exec_of_text_is_enoexec() -> Outcome {
    for text in [&b"echo hello\n"[..], b"", b"\x7f", b"\x7fELF"] {
        program("/tmp/exec_text", text)?;
        check_eq!(try_exec("/tmp/exec_text"), Errno::ENOEXEC);
    }
    fs::remove_file("/tmp/exec_text")?;
    Ok(())
}

fn exec_of_broken_programs_is_enoexec() -> Outcome {
    let good = fs::read(own_path())?;
    // Of the ELF header: class, data order, kind, machine, the size of a program header.
    for (offset, value) in [(16, 9), (18, 3), (54, 7)] {
        let mut broken = good.clone();
        broken[offset] = value;
        program("/tmp/exec_broken", &broken)?;
        check_eq!(
            (offset, try_exec("/tmp/exec_broken")),
            (offset, Errno::ENOEXEC)
        );
    }
    fs::remove_file("/tmp/exec_broken")?;
    Ok(())
}

/// Programs cut short, or with wild program headers: an error or a signal.
fn exec_of_cut_programs_harms_nobody() -> Outcome {
    let good = fs::read(own_path())?;
    let run_it = || {
        in_child(|| {
            // Whole enough to run, it only leaves.
            process::exec("/tmp/exec_cut", ["tests", HELPER, "exit", "0"], [""; 0]);
            201
        })
    };
    for length in [60, 64, 100, 300, 0x1000, good.len() / 4] {
        program("/tmp/exec_cut", &good[..length])?;
        check!(!matches!(run_it()?, Status::Exited(0)));
    }
    // The first program headers' offsets, addresses and sizes become enormous.
    for offset in (64..64 + 3 * 56)
        .step_by(8)
        .filter(|offset| (offset - 64) % 56 >= 8)
    {
        let mut wild = good.clone();
        wild[offset..offset + 8].copy_from_slice(&(u64::MAX - 0xfff).to_le_bytes());
        program("/tmp/exec_cut", &wild)?;
        // Some fields mean nothing to the loader; whatever happens, it ends.
        run_it()?;
    }
    fs::remove_file("/tmp/exec_cut")?;
    Ok(())
}

fn exec_of_too_many_arguments_is_e2big() -> Outcome {
    let long = "x".repeat(200_000);
    let errno = process::exec(own_path(), ["tests", &long], [""; 0]);
    check_eq!(errno, Errno::E2BIG);
    Ok(())
}

fn exec_of_long_arguments_hands_them_on() -> Outcome {
    let long = "x".repeat(20_000);
    check_eq!(run(&["long", &long, "20000"])?, Status::Exited(0));
    Ok(())
}

fn exec_again_and_again_leaks_nothing() -> Outcome {
    let before = crate::system::live_objects();
    for _ in 0..20 {
        check_eq!(run(&["exit", "1"])?, Status::Exited(1));
    }
    check_eq!(crate::system::live_objects_settled(&before), before);
    Ok(())
}
