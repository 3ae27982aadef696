//! The program's arguments, its environment and the auxiliary vector, as the kernel left them on the stack.
//!
//! They are written once, before `main`, and never change: the environment handed to a program that is started is the
//! caller's own list (see [`crate::process::exec`]).

use core::ffi::CStr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

static ARGC: AtomicUsize = AtomicUsize::new(0);
static ARGV: AtomicPtr<*const u8> = AtomicPtr::new(core::ptr::null_mut());

/// Remembers where the vectors are.
///
/// # Safety
/// `stack` is the stack pointer at process entry; the strings stay untouched for ever. Called once.
pub(crate) unsafe fn init(stack: *const usize) {
    // SAFETY: the kernel put argc there.
    let argc = unsafe { *stack };
    // SAFETY: argv follows it.
    let argv = unsafe { stack.add(1) };
    ARGC.store(argc, Ordering::Relaxed);
    ARGV.store(argv as *mut *const u8, Ordering::Relaxed);
}

/// The word at `index` after `argc`: `argv`, a null, `envp`, a null, then the auxiliary vector.
fn word(index: usize) -> *const u8 {
    let argv = ARGV.load(Ordering::Relaxed);
    if argv.is_null() {
        return core::ptr::null();
    }
    // SAFETY: the callers stay before the end marks that the kernel wrote.
    unsafe { *argv.add(index) }
}

fn bytes_at(index: usize) -> Option<&'static [u8]> {
    let pointer = word(index);
    // SAFETY: the kernel gives NUL-terminated strings that live as long as the process.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer).to_bytes() })
}

/// The arguments as bytes, the program's name first.
pub fn args_bytes() -> impl ExactSizeIterator<Item = &'static [u8]> + DoubleEndedIterator {
    (0..ARGC.load(Ordering::Relaxed)).map(|index| bytes_at(index).unwrap_or(b""))
}

/// The arguments, the program's name first. One that is not UTF-8 ends at its first bad byte.
pub fn args() -> impl ExactSizeIterator<Item = &'static str> + DoubleEndedIterator {
    args_bytes().map(text)
}

/// The program's name as it was called, without its directory.
pub fn program() -> &'static str {
    let path = args().next().unwrap_or("?");
    path.rsplit('/').next().unwrap_or(path)
}

/// The environment, as `NAME=value` bytes.
pub fn vars_bytes() -> impl Iterator<Item = &'static [u8]> {
    let first = ARGC.load(Ordering::Relaxed) + 1;
    (first..).map_while(bytes_at)
}

/// The environment as names and values.
pub fn vars() -> impl Iterator<Item = (&'static str, &'static str)> {
    vars_bytes().filter_map(|entry| text(entry).split_once('='))
}

/// The value of an environment variable.
pub fn var(name: &str) -> Option<&'static str> {
    vars().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// An entry of the auxiliary vector, by its `AT_` number (`raw::auxvec`).
pub fn auxv(key: u32) -> Option<usize> {
    let mut index = ARGC.load(Ordering::Relaxed) + 1 + vars_bytes().count() + 1;
    loop {
        match word(index) as usize {
            0 => return None,
            found if found == key as usize => return Some(word(index + 1) as usize),
            _ => index += 2,
        }
    }
}

/// The longest prefix that is UTF-8.
fn text(bytes: &'static [u8]) -> &'static str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
    }
}
