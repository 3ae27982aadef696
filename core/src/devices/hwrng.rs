//! /dev/hwrng: the words of the board's generator of random numbers as they come (Documentation/admin-guide/hw_random.rst of Linux).

use alloc::boxed::Box;
use alloc::sync::Arc;

use halyard_cell::SpinLock;
use halyard_device::RandomSource;

use crate::fs::file::{File, Readiness};
use crate::fs::inode::Inode;
use crate::io::Sink;
use crate::{Errno, Result};

/// Bytes that one step takes at most.
const STEP: usize = 64;
/// When a generator that had nothing is asked again: one makes a word in ten to a hundred microseconds.
const PACE: u64 = 100_000;

/// The generator.
pub(super) struct Generator(SpinLock<Box<dyn RandomSource>>);

impl Generator {
    pub(super) fn new(source: Box<dyn RandomSource>) -> Self {
        Generator(SpinLock::new(source))
    }
}

/// The generator, opened.
pub(super) struct HwrngFile {
    generator: Arc<Generator>,
    inode: Arc<Inode>,
}

impl HwrngFile {
    pub(super) fn new(generator: &Arc<Generator>, inode: Arc<Inode>) -> Self {
        HwrngFile {
            generator: Arc::clone(generator),
            inode,
        }
    }
}

impl File for HwrngFile {
    /// As many bytes as there are, in words. EAGAIN: none.
    fn try_read(&self, sink: &mut dyn Sink, _: u64) -> Result<usize> {
        let wanted = sink.remaining().min(STEP);
        let mut bytes = [0; STEP];
        let mut count = 0;
        while count < wanted {
            let Some(word) = self.generator.0.lock().try_word() else {
                break;
            };
            let room = bytes.iter_mut().skip(count);
            room.zip(word.to_ne_bytes())
                .for_each(|(to, from)| *to = from);
            count = wanted.min(count + size_of_val(&word));
        }
        if count == 0 && wanted > 0 {
            return Err(Errno::EAGAIN);
        }
        sink.put(bytes.get(..count).unwrap_or_default())?;
        Ok(count)
    }

    fn piece(&self) -> usize {
        STEP
    }

    fn pace(&self) -> Option<u64> {
        Some(PACE)
    }

    fn poll(&self) -> Readiness {
        Readiness::IN | Readiness::RDNORM
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }
}
