//! Questions to the firmware of a Raspberry Pi (`/dev/vcio`), by its property interface (wiki of raspberrypi/firmware).

use crate::fd::{AsFd, Fd};
use crate::{Errno, Result, fs, nr, open, sys};

const PROPERTY: usize = 0xc008_6400;
/// Set in a tag's length when it was answered.
const ANSWERED: u32 = 1 << 31;

/// The board's revision: one word.
pub const BOARD_REVISION: u32 = 0x0001_0002;
/// The board's serial number: two words.
pub const BOARD_SERIAL: u32 = 0x0001_0004;
/// The memory that is ours: first address and bytes.
pub const ARM_MEMORY: u32 = 0x0001_0005;
/// A clock's rate: its number, and hertz.
pub const CLOCK_RATE: u32 = 0x0003_0002;
/// The clock of the SD card's controller.
pub const CLOCK_EMMC: u32 = 1;
/// The clock of the CPUs.
pub const CLOCK_ARM: u32 = 3;
/// The core's clock.
pub const CLOCK_CORE: u32 = 4;

/// The opened mailbox.
#[derive(Debug)]
pub struct Firmware(Fd);

impl Firmware {
    /// Opens it.
    ///
    /// # Errors
    /// `ENOENT`: the board has none; `EACCES`.
    pub fn open() -> Result<Self> {
        fs::open_with("/dev/vcio", open::O_RDWR, 0).map(Firmware)
    }

    /// Asks for a property, whose value is two words of which `value` goes along.
    ///
    /// # Errors
    /// `ENODATA`: the firmware does not know it; `ETIMEDOUT`, `EBUSY`, `EINVAL`.
    pub fn property(&self, tag: u32, value: [u32; 2]) -> Result<[u32; 2]> {
        let mut question = [32, 0, tag, 8, 0, value[0], value[1], 0];
        self.ask(&mut question)?;
        let [_, _, _, _, length, first, second, _] = question;
        // To what it does not know, some firmware answers nothing, and some no bytes.
        if length & ANSWERED == 0 || length == ANSWERED {
            return Err(Errno::ENODATA);
        }
        Ok([first, second])
    }

    fn ask(&self, question: &mut [u32; 8]) -> Result<()> {
        let address = question.as_mut_ptr().addr();
        // SAFETY: the kernel reads and writes as many bytes as the first word says, which are the array's.
        unsafe {
            sys::call(
                nr::IOCTL,
                [self.0.fd() as usize, PROPERTY, address, 0, 0, 0],
            )
        }
        .map(drop)
    }
}
