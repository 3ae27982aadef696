//! Reads a sensor of the LM75's kind over I2C. The sensor's driver is a crate that knows nothing of Halyard: it is written against
//! embedded-hal, and `/dev/i2c-N` is opened as such a bus.
//!
//! `thermometer [BUS [ADDRESS]]`: the temperature in degrees Celsius; on bus 1 at address 0x48 if nothing else is said.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::fmt;

use halyard_rt::i2c::Bus;
use halyard_rt::prelude::*;
use lm75::{Address, Lm75};

entry!(main);

fn main() -> Result<i32> {
    let number = argument(1, 1)?;
    let address = u8::try_from(argument(2, 0x48)?).map_err(|_| Errno::EINVAL)?;
    let mut sensor = Lm75::new(Bus::open(number)?, Address::from(address));
    match sensor.read_temperature() {
        Ok(degrees) => println!("{}", Tenths((degrees * 10.0) as i32)),
        Err(error) => {
            println!("thermometer: bus {number}, address {address:#x}: {error:?}");
            return Ok(1);
        }
    }
    Ok(0)
}

/// A number of tenths.
struct Tenths(i32);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let whole = self.0.unsigned_abs();
        write!(f, "{sign}{}.{}", whole / 10, whole % 10)
    }
}

/// The number that argument `index` is, in decimal or with 0x in front. EINVAL: it is none.
fn argument(index: usize, otherwise: u32) -> Result<u32> {
    let Some(text) = args::args().nth(index) else {
        return Ok(otherwise);
    };
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| Errno::EINVAL)
}
