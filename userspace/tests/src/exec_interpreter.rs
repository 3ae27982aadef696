//! Programs that ask for an interpreter (PT_INTERP), as those do that are linked dynamically: execve starts the interpreter in
//! their memory, and tells it by the auxiliary vector where they are. Here the interpreter is this very program.

use halyard_rt::process::Status;
use halyard_rt::raw::auxvec;
use halyard_rt::{args, fs, prelude::*, process};

use crate::exec::{HELPER, own_path, program};
use crate::runner::suite;
use crate::support::{Outcome, check_eq, in_child};

suite!(
    exec_interpreter_is_started_with_the_programs_arguments,
    exec_interpreter_is_told_where_the_program_is,
    exec_interpreter_that_is_not_there_is_enoent,
    exec_interpreter_without_x_is_eacces,
    exec_interpreter_of_text_is_elibbad,
    exec_interpreter_with_a_broken_path_is_enoexec,
    exec_interpreter_of_an_interpreter_is_not_asked_for,
);

const PATH: &str = "/tmp/exec_interpreted";
/// Where the program lies that only asks for an interpreter, and where it would begin.
const BASE: u64 = 0x1000_0000;
const ENTRY: u64 = BASE + 0x78;
const HEADER: usize = 64;
const SEGMENT: usize = 56;

/// A program of one segment at [`BASE`], with these bytes as the path of its interpreter.
fn asking_for(interpreter: &[u8]) -> Vec<u8> {
    asking_for_at(BASE, interpreter)
}

fn asking_for_at(base: u64, interpreter: &[u8]) -> Vec<u8> {
    let path_at = HEADER + 2 * SEGMENT;
    let length = (path_at + interpreter.len()) as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    // Kind: executable; machine: AArch64.
    half(&mut file, 2);
    half(&mut file, 183);
    word(&mut file, 1);
    for value in [base + ENTRY - BASE, HEADER as u64, 0] {
        long(&mut file, value);
    }
    word(&mut file, 0);
    for value in [HEADER, SEGMENT, 2, 0, 0, 0] {
        half(&mut file, value as u16);
    }
    let (load, interp, read_execute) = (1, 3, 5);
    let parts = [
        (interp, path_at as u64, interpreter.len() as u64),
        (load, 0, length),
    ];
    for (kind, offset, size) in parts {
        word(&mut file, kind);
        word(&mut file, read_execute);
        for value in [offset, base + offset, base + offset, size, size, 0x1_0000] {
            long(&mut file, value);
        }
    }
    file.extend(interpreter);
    file
}

fn with_end(path: &str) -> Vec<u8> {
    [path.as_bytes(), b"\0"].concat()
}

/// The errno of executing a program that asks for this interpreter.
fn refusal(interpreter: &[u8]) -> Result<Errno> {
    program(PATH, &asking_for(interpreter))?;
    let errno = process::exec(PATH, ["x"], [""; 0]);
    fs::remove_file(PATH)?;
    Ok(errno)
}

/// Runs this program as the interpreter of another, and as a helper with these words.
fn run(interpreter: &[u8], words: &[&str]) -> Result<Status> {
    program(PATH, &asking_for(interpreter))?;
    let arguments = ["tests", HELPER].into_iter().chain(words.iter().copied());
    let status = in_child(|| {
        let errno = process::exec(PATH, arguments.clone(), ["A=1"]);
        println!("# exec {PATH}: {errno}");
        126
    });
    fs::remove_file(PATH)?;
    status
}

/// What the helper `interpreter` finds of the program that it is the interpreter of.
pub(crate) fn told_right() -> bool {
    args::auxv(auxvec::AT_ENTRY) == Some(ENTRY as usize)
        && args::auxv(auxvec::AT_PHDR) == Some(BASE as usize + HEADER)
        && args::auxv(auxvec::AT_PHNUM) == Some(2)
        && args::auxv(auxvec::AT_BASE).is_some()
}

fn exec_interpreter_is_started_with_the_programs_arguments() -> Outcome {
    let status = run(&with_end(own_path()), &["exit", "42"])?;
    check_eq!(status, Status::Exited(42));
    Ok(())
}

fn exec_interpreter_is_told_where_the_program_is() -> Outcome {
    let status = run(&with_end(own_path()), &["interpreter"])?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn exec_interpreter_that_is_not_there_is_enoent() -> Outcome {
    check_eq!(refusal(b"/nowhere/ld.so\0")?, Errno::ENOENT);
    Ok(())
}

fn exec_interpreter_without_x_is_eacces() -> Outcome {
    fs::write("/tmp/exec_ld", &fs::read(own_path())?)?;
    fs::set_permissions("/tmp/exec_ld", 0o644)?;
    check_eq!(refusal(b"/tmp/exec_ld\0")?, Errno::EACCES);
    check_eq!(refusal(b"/tmp\0")?, Errno::EACCES);
    fs::remove_file("/tmp/exec_ld")?;
    Ok(())
}

fn exec_interpreter_of_text_is_elibbad() -> Outcome {
    let text = "a".repeat(200);
    program("/tmp/exec_ld", text.as_bytes())?;
    check_eq!(refusal(b"/tmp/exec_ld\0")?, Errno::ELIBBAD);
    fs::remove_file("/tmp/exec_ld")?;
    Ok(())
}

fn exec_interpreter_with_a_broken_path_is_enoexec() -> Outcome {
    // Without an end, and too short to be one.
    for path in [&b"/bin/sh"[..], b"\0"] {
        check_eq!(refusal(path)?, Errno::ENOEXEC);
    }
    Ok(())
}

fn exec_interpreter_of_an_interpreter_is_not_asked_for() -> Outcome {
    // It would begin with zeros, which are no instruction: what counts is that it is what begins.
    program(
        "/tmp/exec_ld",
        &asking_for_at(2 * BASE, b"/nowhere/ld.so\0"),
    )?;
    program(PATH, &asking_for(b"/tmp/exec_ld\0"))?;
    let status = in_child(|| {
        process::exec(PATH, ["x"], [""; 0]);
        201
    })?;
    fs::remove_file("/tmp/exec_ld")?;
    fs::remove_file(PATH)?;
    check_eq!(matches!(status, Status::Signaled(_)), true);
    Ok(())
}
