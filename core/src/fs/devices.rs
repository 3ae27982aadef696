//! Character devices by number, as Linux numbers them (Documentation/admin-guide/devices.txt).

use alloc::sync::Arc;

use halyard_cell::SpinLock;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::file::File;
use super::inode::{DeviceNumber, Inode};
use crate::io::{Sink, Source};
use crate::kernel::Kernel;
use crate::tty::TtyFile;
use crate::wait::pause::PIECE_BYTES;
use crate::{Errno, Result};

/// The most bytes moved in one piece.
const CHUNK: usize = 256;

/// The most random bytes that are made in one piece of work: they take more time than copied ones.
pub const RANDOM_PIECE: usize = 16 << 10;

/// The devices of /dev with their numbers and permissions.
pub const DEVICES: [(&str, DeviceNumber, u32); 8] = [
    ("null", DeviceNumber { major: 1, minor: 3 }, 0o666),
    ("zero", DeviceNumber { major: 1, minor: 5 }, 0o666),
    ("full", DeviceNumber { major: 1, minor: 7 }, 0o666),
    ("random", DeviceNumber { major: 1, minor: 8 }, 0o666),
    ("urandom", DeviceNumber { major: 1, minor: 9 }, 0o666),
    ("tty", DeviceNumber { major: 5, minor: 0 }, 0o666),
    ("console", DeviceNumber { major: 5, minor: 1 }, 0o600),
    ("ttyAMA0", SERIAL, 0o600),
];

/// The serial line that the console is.
const SERIAL: DeviceNumber = DeviceNumber {
    major: 204,
    minor: 64,
};

/// Opens the device that `inode` stands for, for a process of `session`. ENXIO: there is none of that number; of /dev/tty: the
/// session has no terminal. A session leader without one that opens the serial line gets it as its controlling terminal,
/// unless `no_control` (O_NOCTTY).
pub fn open(
    kernel: &'static Kernel,
    number: DeviceNumber,
    inode: Arc<Inode>,
    session: u32,
    no_control: bool,
) -> Result<Arc<dyn File>> {
    let console = &kernel.console;
    Ok(match (number.major, number.minor) {
        (1, 3) => Arc::new(NullFile { inode }),
        (1, 5 | 7) => Arc::new(ZeroFile {
            inode,
            full: number.minor == 7,
        }),
        (1, 8 | 9) => Arc::new(RandomFile { kernel, inode }),
        (5, 0) if session == 0 || console.session() != session => return Err(Errno::ENXIO),
        (5, 0 | 1) | (204, 64) => {
            let leads = session != 0 && kernel.this_cpu().running() == session;
            if number == SERIAL && leads && !no_control {
                console.offer_control(session);
            }
            Arc::new(TtyFile::new(Arc::clone(console), inode))
        }
        _ => return kernel.devices.open(number, inode),
    })
}

/// null(4). What is written goes nowhere, so it is not even read: a bad pointer is no error here, as on Linux.
struct NullFile {
    inode: Arc<Inode>,
}

impl File for NullFile {
    fn try_read(&self, _: &mut dyn Sink, _: u64) -> Result<usize> {
        Ok(0)
    }

    fn try_write(&self, source: &mut dyn Source, _: u64) -> Result<usize> {
        Ok(swallow(source))
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }
}

/// zero(4), and full(4), which is the same but takes nothing.
struct ZeroFile {
    inode: Arc<Inode>,
    full: bool,
}

impl File for ZeroFile {
    fn try_read(&self, sink: &mut dyn Sink, _: u64) -> Result<usize> {
        fill(sink, usize::MAX, |_| {})
    }

    fn try_write(&self, source: &mut dyn Source, _: u64) -> Result<usize> {
        if self.full && source.remaining() > 0 {
            return Err(Errno::ENOSPC);
        }
        Ok(swallow(source))
    }

    fn piece(&self) -> usize {
        PIECE_BYTES
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }
}

/// Takes all of a source and looks at nothing.
fn swallow(source: &mut dyn Source) -> usize {
    let count = source.remaining();
    source.skip(count);
    count
}

/// Fills a sink with up to `most` bytes in chunks that `make` prepares; a fault after the first byte is a short count.
fn fill(sink: &mut dyn Sink, most: usize, mut make: impl FnMut(&mut [u8])) -> Result<usize> {
    let room = sink.remaining();
    let wanted = room.min(most);
    let mut chunk = [0; CHUNK];
    let mut done = 0;
    while done < wanted {
        let piece = chunk
            .get_mut(..(wanted - done).min(CHUNK))
            .unwrap_or_default();
        make(piece);
        let put = sink.put(piece);
        done = room - sink.remaining();
        match put {
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
            Ok(()) => {}
        }
    }
    Ok(done)
}

/// The random number generator: ChaCha20, seeded once by the machine. Lock level 3.
pub struct Random(SpinLock<ChaCha20Rng>);

impl Random {
    /// A generator that starts from `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Random {
        Random(SpinLock::new(ChaCha20Rng::from_seed(seed)))
    }

    /// Fills `into` with random bytes.
    pub fn fill(&self, into: &mut [u8]) {
        self.0.lock().fill_bytes(into);
    }

    /// Fills a sink, with [`RANDOM_PIECE`] bytes at most. EFAULT.
    pub fn read(&self, sink: &mut dyn Sink) -> Result<usize> {
        fill(sink, RANDOM_PIECE, |piece| self.fill(piece))
    }
}

/// random(4): both devices give the same numbers and never block; writing to them is accepted and changes nothing.
struct RandomFile {
    kernel: &'static Kernel,
    inode: Arc<Inode>,
}

impl File for RandomFile {
    fn try_read(&self, sink: &mut dyn Sink, _: u64) -> Result<usize> {
        self.kernel.random.read(sink)
    }

    fn try_write(&self, source: &mut dyn Source, _: u64) -> Result<usize> {
        Ok(swallow(source))
    }

    fn piece(&self) -> usize {
        RANDOM_PIECE
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }
}
