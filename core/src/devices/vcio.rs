//! /dev/vcio: questions to the firmware of the Raspberry Pis, by the one call that Raspberry Pi's Linux has for it.
//!
//! The argument is a question as the firmware takes it: its bytes, a zero, tags, a zero. The answer stands in its place.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Poll;

use halyard_cell::SpinLock;
use halyard_device::{Firmware, FirmwareError};
use zerocopy::IntoBytes;

use super::turn::Turns;
use crate::fs::file::{File, Special};
use crate::fs::inode::Inode;
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::thread::{Killable, Thread};
use crate::syscall::{Answer, Call};
use crate::time::NANOS_PER_SECOND;
use crate::wait::{Interruption, Sleeper, wait_for_time};
use crate::{Errno, Result};

/// `_IOWR(100, 0, char *)`.
const PROPERTY: u32 = 0xc008_6400;

/// Size, code and end: a question with no tag.
const SHORTEST: usize = 3;
/// Between two looks for the answer, and how long it may take, in ns.
const PACE: u64 = 100_000;
const LIMIT: u64 = NANOS_PER_SECOND;

/// The way to the firmware.
pub struct Mailbox {
    driver: SpinLock<Box<dyn Firmware>>,
    turns: Turns,
}

impl Mailbox {
    pub(super) fn new(driver: Box<dyn Firmware>) -> Self {
        Mailbox {
            driver: SpinLock::new(driver),
            turns: Turns::new(),
        }
    }

    /// Asks, and puts the answer in the question's place. ETIMEDOUT: there was none; EBUSY: there is none yet to an earlier one;
    /// EINVAL: the firmware did not understand.
    async fn ask(&self, thread: &Arc<Thread>, words: &mut [u32]) -> Result<()> {
        let sleeper = Killable(Arc::clone(thread));
        let _turn = self.turns.next(&sleeper).await?;
        self.driver.lock().begin(words).map_err(errno)?;
        let end = sleeper.now().after(LIMIT);
        loop {
            let state = self.driver.lock().step(words);
            if let Poll::Ready(result) = state {
                return result.map_err(errno);
            }
            let now = sleeper.now();
            if now >= end {
                return Err(Errno::ETIMEDOUT);
            }
            thread.kernel().admit()?;
            match wait_for_time(&sleeper, Some(now.after(PACE))).await {
                Interruption::TimedOut => {}
                other => return Err(other.errno()),
            }
        }
    }
}

const fn errno(error: FirmwareError) -> Errno {
    match error {
        FirmwareError::Busy => Errno::EBUSY,
        FirmwareError::TooLong | FirmwareError::Refused => Errno::EINVAL,
    }
}

/// The mailbox, opened.
pub(super) struct VcioFile {
    mailbox: Arc<Mailbox>,
    inode: Arc<Inode>,
}

impl VcioFile {
    pub(super) fn new(mailbox: &Arc<Mailbox>, inode: Arc<Inode>) -> Self {
        VcioFile {
            mailbox: Arc::clone(mailbox),
            inode,
        }
    }
}

impl File for VcioFile {
    fn special(&self) -> Special<'_> {
        Special::Mailbox(&self.mailbox)
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }
}

/// The question at `at`. EFAULT; EINVAL: it is no question, or too long.
fn question(space: &AddressSpace, at: UserAddr, longest: usize) -> Result<Vec<u32>> {
    let size: u32 = space.read_user(at)?;
    let count = size as usize / size_of::<u32>();
    if !size.is_multiple_of(4) || !(SHORTEST..=longest).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let mut words = Vec::new();
    words.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    words.resize(count, 0u32);
    space.read_bytes(at, words.as_mut_bytes())?;
    // Another thread may have changed it meanwhile; what is asked must be as long as what was read, and end.
    if let [first, code, .., last] = &mut words[..] {
        (*first, *code, *last) = (size, 0, 0);
    }
    Ok(words)
}

/// What programs ask of the mailbox. ENOTTY: it means nothing to one.
pub(crate) fn ioctl(call: &mut Call<'_>, mailbox: &Arc<Mailbox>, request: u32) -> Answer {
    if request != PROPERTY {
        return Err(Errno::ENOTTY);
    }
    let at = call.addr::<2>();
    let longest = mailbox.driver.lock().longest();
    let mut words = question(call.space(), at, longest)?;
    let (space, thread) = (Arc::clone(call.space()), Arc::clone(call.thread()));
    let mailbox = Arc::clone(mailbox);
    call.wait(async move {
        mailbox.ask(&thread, &mut words).await?;
        space.write_bytes(at, words.as_bytes())?;
        Ok(0)
    })
}
