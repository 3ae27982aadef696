//! Lines of a controller (`/dev/gpiochipN`), as embedded-hal has pins: drivers of what hangs on pins run over [`Line`] unchanged.

use alloc::format;

use embedded_hal::digital::{Error, ErrorKind, ErrorType, InputPin, OutputPin, StatefulOutputPin};

use crate::fd::{AsFd, Fd};
use crate::{Errno, Result, fs, nr, open, sys};

const GET_CHIPINFO: usize = 0x8044_b401;
const GET_LINE: usize = 0xc250_b407;
const GET_VALUES: usize = 0xc010_b40e;
const SET_VALUES: usize = 0xc010_b40f;

/// The line is low when it is active.
pub const ACTIVE_LOW: u64 = 1 << 1;
/// The line is read.
pub const INPUT: u64 = 1 << 2;
/// The line is driven.
pub const OUTPUT: u64 = 1 << 3;

/// struct gpiochip_info of linux/gpio.h.
#[repr(C)]
struct ChipInfo {
    name: [u8; 32],
    label: [u8; 32],
    lines: u32,
}

/// struct gpio_v2_line_request; of its attributes none is used.
#[repr(C)]
struct Request {
    offsets: [u32; 64],
    consumer: [u8; 32],
    flags: u64,
    attribute_count: u32,
    padding: [u32; 5],
    attributes: [u64; 30],
    count: u32,
    event_buffer: u32,
    more_padding: [u32; 5],
    fd: i32,
}

/// struct gpio_v2_line_values.
#[repr(C)]
struct Values {
    bits: u64,
    mask: u64,
}

fn ioctl<T>(file: &Fd, request: usize, argument: &mut T) -> Result<()> {
    let address = core::ptr::from_mut(argument).addr();
    let arguments = [file.fd() as usize, request, address, 0, 0, 0];
    // SAFETY: each request here is called with its own structure, which the kernel reads and writes and whose size the request says;
    // it is borrowed for that.
    unsafe { sys::call(nr::IOCTL, arguments) }.map(drop)
}

/// A controller.
#[derive(Debug)]
pub struct Chip(Fd);

impl Chip {
    /// Opens controller `number`.
    ///
    /// # Errors
    /// `ENOENT`: there is none; `EACCES`.
    pub fn open(number: u32) -> Result<Self> {
        let path = format!("/dev/gpiochip{number}");
        fs::open_with(&path, open::O_RDWR, 0).map(Chip)
    }

    /// How many lines it has.
    ///
    /// # Errors
    /// `ENOTTY`: it is no controller.
    pub fn lines(&self) -> Result<u32> {
        let mut info = ChipInfo {
            name: [0; 32],
            label: [0; 32],
            lines: 0,
        };
        ioctl(&self.0, GET_CHIPINFO, &mut info)?;
        Ok(info.lines)
    }

    /// Asks for lines, with flags for all of them ([`INPUT`] and others).
    ///
    /// # Errors
    /// `EINVAL`: no such lines or flags; `EBUSY`: somebody has one; `EOPNOTSUPP`.
    pub fn request(&self, lines: &[u32], flags: u64) -> Result<Lines> {
        let mut request = Request {
            offsets: [0; 64],
            consumer: [0; 32],
            flags,
            attribute_count: 0,
            padding: [0; 5],
            attributes: [0; 30],
            count: lines.len() as u32,
            event_buffer: 0,
            more_padding: [0; 5],
            fd: -1,
        };
        request
            .offsets
            .iter_mut()
            .zip(lines)
            .for_each(|(to, line)| *to = *line);
        request.consumer[..7].copy_from_slice(b"halyard");
        ioctl(&self.0, GET_LINE, &mut request)?;
        Ok(Lines(Fd::from_raw(request.fd)))
    }
}

/// Lines that are this program's until this goes.
#[derive(Debug)]
pub struct Lines(Fd);

impl Lines {
    /// The values of the lines in `mask`: a bit a line, by their order in the request.
    ///
    /// # Errors
    /// `EINVAL`: there is none of them.
    pub fn values(&self, mask: u64) -> Result<u64> {
        let mut values = Values { bits: 0, mask };
        ioctl(&self.0, GET_VALUES, &mut values)?;
        Ok(values.bits)
    }

    /// Sets those in `mask`.
    ///
    /// # Errors
    /// `EINVAL`: there is none of them; `EPERM`: one is an input.
    pub fn set_values(&self, mask: u64, bits: u64) -> Result<()> {
        ioctl(&self.0, SET_VALUES, &mut Values { bits, mask })
    }
}

/// One line, as a pin.
#[derive(Debug)]
pub struct Line(Lines);

impl Line {
    /// Asks for a line, which is made an output.
    ///
    /// # Errors
    /// As [`Chip::request`].
    pub fn output(chip: &Chip, line: u32) -> Result<Self> {
        chip.request(&[line], OUTPUT).map(Line)
    }

    /// Asks for a line, which is made an input.
    ///
    /// # Errors
    /// As [`Chip::request`].
    pub fn input(chip: &Chip, line: u32) -> Result<Self> {
        chip.request(&[line], INPUT).map(Line)
    }
}

/// Why a pin could not be read or set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinError(pub Errno);

impl Error for PinError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for Line {
    type Error = PinError;
}

impl InputPin for Line {
    fn is_high(&mut self) -> core::result::Result<bool, PinError> {
        self.0.values(1).map(|bits| bits != 0).map_err(PinError)
    }

    fn is_low(&mut self) -> core::result::Result<bool, PinError> {
        self.is_high().map(|high| !high)
    }
}

impl OutputPin for Line {
    fn set_low(&mut self) -> core::result::Result<(), PinError> {
        self.0.set_values(1, 0).map_err(PinError)
    }

    fn set_high(&mut self) -> core::result::Result<(), PinError> {
        self.0.set_values(1, 1).map_err(PinError)
    }
}

impl StatefulOutputPin for Line {
    fn is_set_high(&mut self) -> core::result::Result<bool, PinError> {
        self.is_high()
    }

    fn is_set_low(&mut self) -> core::result::Result<bool, PinError> {
        self.is_low()
    }
}
