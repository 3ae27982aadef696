//! Buses of I2C (`/dev/i2c-N`), as embedded-hal has them: drivers of sensors and the like run over [`Bus`] unchanged.

use alloc::vec::Vec;
use core::fmt::Write;

use embedded_hal::i2c::{
    Error, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress,
};

use crate::fd::{AsFd, Fd};
use crate::{Errno, Result, fs, nr, open, sys};

const I2C_RDWR: usize = 0x0707;
const I2C_M_RD: u16 = 1;

/// A message (struct i2c_msg of linux/i2c.h).
#[repr(C)]
struct Message {
    address: u16,
    flags: u16,
    length: u16,
    padding: u16,
    data: *mut u8,
}

/// The argument of I2C_RDWR (struct i2c_rdwr_ioctl_data of linux/i2c-dev.h).
#[repr(C)]
struct Transfers {
    messages: *mut Message,
    count: u32,
}

/// An opened bus.
#[derive(Debug)]
pub struct Bus(Fd);

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusError(pub Errno);

impl Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self.0 {
            Errno::EAGAIN => ErrorKind::ArbitrationLoss,
            Errno::ENXIO => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Errno::EREMOTEIO => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
            Errno::EIO => ErrorKind::Bus,
            _ => ErrorKind::Other,
        }
    }
}

impl Bus {
    /// Opens bus `number`.
    ///
    /// # Errors
    /// `ENOENT`: there is none; `EACCES`.
    pub fn open(number: u32) -> Result<Self> {
        let mut path = alloc::string::String::new();
        // Nothing refuses text to a string.
        let _ = write!(path, "/dev/i2c-{number}");
        fs::open_with(&path, open::O_RDWR, 0).map(Bus)
    }
}

impl ErrorType for Bus {
    type Error = BusError;
}

impl I2c for Bus {
    fn transaction(
        &mut self,
        address: SevenBitAddress,
        operations: &mut [Operation<'_>],
    ) -> core::result::Result<(), BusError> {
        let mut parts = parts(operations);
        self.transfer(address, &mut parts).map_err(BusError)?;
        let mut read = parts.iter().filter(|part| part.reads);
        let mut bytes = Vec::new();
        // What was read at once belongs to one operation or to several.
        for operation in operations {
            if let Operation::Read(into) = operation {
                if bytes.is_empty() {
                    bytes = read
                        .next()
                        .map(|part| part.data.clone())
                        .unwrap_or_default();
                }
                let count = into.len().min(bytes.len());
                into.iter_mut()
                    .zip(bytes.drain(..count))
                    .for_each(|(to, from)| *to = from);
            }
        }
        Ok(())
    }
}

/// Operations of one direction that follow each other: they are one message.
struct Part {
    reads: bool,
    data: Vec<u8>,
}

fn parts(operations: &[Operation<'_>]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for operation in operations {
        let reads = matches!(operation, Operation::Read(_));
        if parts.last().is_none_or(|part| part.reads != reads) {
            let data = Vec::new();
            parts.push(Part { reads, data });
        }
        if let Some(part) = parts.last_mut() {
            match operation {
                Operation::Read(into) => part.data.resize(part.data.len() + into.len(), 0),
                Operation::Write(data) => part.data.extend_from_slice(data),
            }
        }
    }
    parts
}

impl Bus {
    fn transfer(&mut self, address: u8, parts: &mut [Part]) -> Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        let message = |part: &mut Part| {
            let length = u16::try_from(part.data.len()).map_err(|_| Errno::EINVAL)?;
            Ok(Message {
                address: address.into(),
                flags: if part.reads { I2C_M_RD } else { 0 },
                length,
                padding: 0,
                data: part.data.as_mut_ptr(),
            })
        };
        let mut messages = parts.iter_mut().map(message).collect::<Result<Vec<_>>>()?;
        let mut transfers = Transfers {
            messages: messages.as_mut_ptr(),
            count: messages.len() as u32,
        };
        let argument = (&raw mut transfers).addr();
        let arguments = [self.0.fd() as usize, I2C_RDWR, argument, 0, 0, 0];
        // SAFETY: the kernel reads the two structures, which live until after, and reads or writes no more than `length` bytes of
        // each part's own buffer.
        unsafe { sys::call(nr::IOCTL, arguments) }.map(drop)
    }
}
