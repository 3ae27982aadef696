//! Blinks what hangs on a line: written against embedded-hal's pins, which `/dev/gpiochipN` is opened as.
//!
//! `blink CHIP LINE [TIMES]`: high and low for a second each, so many times (3), and says which.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use embedded_hal::digital::OutputPin;
use halyard_rt::gpio::{Chip, Line};
use halyard_rt::prelude::*;

entry!(main);

const HALF: Duration = Duration::from_secs(1);

fn main() -> Result<i32> {
    let numbers: Vec<Option<u32>> = args::args().skip(1).map(|text| text.parse().ok()).collect();
    let (chip, line, times) = match numbers[..] {
        [Some(chip), Some(line)] => (chip, line, 3),
        [Some(chip), Some(line), Some(times)] => (chip, line, times),
        _ => {
            println!("usage: blink CHIP LINE [TIMES]");
            return Ok(2);
        }
    };
    let mut pin = Line::output(&Chip::open(chip)?, line)?;
    match blink(&mut pin, times) {
        Ok(()) => Ok(0),
        Err(error) => {
            println!("blink: chip {chip}, line {line}: {error:?}");
            Ok(1)
        }
    }
}

/// Any output will do.
fn blink<P: OutputPin>(pin: &mut P, times: u32) -> core::result::Result<(), P::Error> {
    for _ in 0..times {
        pin.set_high()?;
        println!("high");
        time::sleep(HALF);
        pin.set_low()?;
        println!("low");
        time::sleep(HALF);
    }
    Ok(())
}
