//! Threads, and the futex that they sleep on.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use crate::mm::{Mapping, PROT_READ, PROT_WRITE, Sharing};
use crate::process::Pid;
use crate::sys::sys;
use crate::{Errno, Result, nr, raw};

/// A thread's stack in bytes.
const STACK: usize = 64 * 1024;

type Body = Box<dyn FnOnce() + Send>;

/// A thread that can be waited for. Dropping it without waiting leaves its stack mapped.
#[derive(Debug)]
pub struct Thread {
    id: Pid,
    alive: Arc<AtomicU32>,
    stack: Option<Mapping>,
}

/// Starts a thread of this process.
///
/// # Errors
/// `EAGAIN`, `ENOMEM`.
pub fn spawn(body: impl FnOnce() + Send + 'static) -> Result<Thread> {
    use raw::general as g;
    const FLAGS: u32 = g::CLONE_VM
        | g::CLONE_FS
        | g::CLONE_FILES
        | g::CLONE_SIGHAND
        | g::CLONE_THREAD
        | g::CLONE_SYSVSEM
        | g::CLONE_CHILD_CLEARTID;
    let stack = Mapping::anonymous(STACK, PROT_READ | PROT_WRITE, Sharing::Private)?;
    let alive = Arc::new(AtomicU32::new(1));
    // A box of a box: the thin pointer that fits a register.
    let body: *mut Body = Box::into_raw(Box::new(Box::new(body)));
    let top = stack.address() + STACK;
    // The kernel writes to `alive` when the thread ends: that reference is the thread's, see `Drop`.
    let cleared = Arc::into_raw(alive.clone());
    // SAFETY: the new thread runs `thread_main` on a stack of its own with a body of its own.
    let result = unsafe { clone_thread(FLAGS, top, cleared, body) };
    match Errno::from_return(result) {
        Ok(id) => Ok(Thread {
            id: id as Pid,
            alive,
            stack: Some(stack),
        }),
        Err(errno) => {
            // SAFETY: no thread came to be, so both are still ours.
            unsafe {
                drop(Arc::from_raw(cleared));
                drop(Box::from_raw(body));
            }
            Err(errno)
        }
    }
}

impl Thread {
    /// Its number.
    pub fn id(&self) -> Pid {
        self.id
    }

    /// Waits until it has ended.
    pub fn join(mut self) {
        loop {
            match self.alive.load(Ordering::Acquire) {
                0 => break,
                value => {
                    let _ = futex_wait_shared(&self.alive, value, None);
                }
            }
        }
        // SAFETY: the kernel has done its one write; this was the thread's reference.
        unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self.alive)) };
        drop(self.stack.take());
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        core::mem::forget(self.stack.take());
    }
}

/// `clone` for a thread. It cannot be a plain call: the child returns on another stack.
///
/// # Safety
/// `top` is the end of a free stack; `cleared` lives until the thread has ended; `body` is the thread's.
unsafe fn clone_thread(
    flags: u32,
    top: usize,
    cleared: *const AtomicU32,
    body: *mut Body,
) -> isize {
    let mut x0 = flags as isize;
    // SAFETY: in the parent only x0 changes; the child leaves for `thread_main` and never comes back.
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, {body}",
            "b {main}",
            "2:",
            body = in(reg) body,
            main = sym thread_main,
            in("x8") nr::CLONE,
            inlateout("x0") x0,
            in("x1") top,
            in("x2") 0usize,
            in("x3") 0usize,
            in("x4") cleared,
        );
    }
    x0
}

/// First code of a thread.
///
/// # Safety
/// `body` came from `Box::into_raw` and belongs to this thread.
unsafe extern "C" fn thread_main(body: *mut Body) -> ! {
    // SAFETY: the caller's promise.
    let body = unsafe { Box::from_raw(body) };
    body();
    exit()
}

/// Ends this thread only.
pub fn exit() -> ! {
    loop {
        let _ = crate::sys::plain(nr::EXIT, 0, 0, 0);
    }
}

/// Sleeps while the word holds `value`, until [`futex_wake`]; within this process.
///
/// # Errors
/// `EAGAIN` if it holds something else, `ETIMEDOUT`, `EINTR`.
pub fn futex_wait(word: &AtomicU32, value: u32, timeout: Option<Duration>) -> Result<()> {
    wait(
        word,
        raw::general::FUTEX_WAIT | raw::general::FUTEX_PRIVATE_FLAG,
        value,
        timeout,
    )
}

/// [`futex_wait`] among all processes that share the word's page.
///
/// # Errors
/// As [`futex_wait`].
pub fn futex_wait_shared(word: &AtomicU32, value: u32, timeout: Option<Duration>) -> Result<()> {
    wait(word, raw::general::FUTEX_WAIT, value, timeout)
}

fn wait(word: &AtomicU32, op: u32, value: u32, timeout: Option<Duration>) -> Result<()> {
    let time = timeout.map(crate::time::timespec);
    let time = time
        .as_ref()
        .map_or(core::ptr::null(), |time| &raw const *time);
    // SAFETY: the kernel reads the word and the time.
    unsafe { sys!(nr::FUTEX, word.as_ptr(), op, value, time) }.map(drop)
}

/// Wakes up to `count` sleepers of this process and says how many.
///
/// # Errors
/// None that a program could cause.
pub fn futex_wake(word: &AtomicU32, count: u32) -> Result<usize> {
    let op = raw::general::FUTEX_WAKE | raw::general::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel uses the word's address as a name.
    unsafe { sys!(nr::FUTEX, word.as_ptr(), op, count) }
}

/// Wakes up to `count` sleepers of all processes that share the word's page, and says how many.
///
/// # Errors
/// None that a program could cause.
pub fn futex_wake_shared(word: &AtomicU32, count: u32) -> Result<usize> {
    // SAFETY: the kernel uses the word's address as a name.
    unsafe { sys!(nr::FUTEX, word.as_ptr(), raw::general::FUTEX_WAKE, count) }
}
