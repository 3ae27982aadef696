//! Says what the firmware of a Raspberry Pi knows of the board.

use crate::command::Outcome;
use halyard_rt::firmware::{
    ARM_MEMORY, BOARD_REVISION, BOARD_SERIAL, CLOCK_ARM, CLOCK_CORE, CLOCK_RATE, Firmware,
};
use halyard_rt::prelude::*;

/// `boardinfo`
pub(crate) fn run(_: &[&'static str]) -> Outcome {
    let firmware = Firmware::open()?;
    let [revision, _] = firmware.property(BOARD_REVISION, [0; 2])?;
    println!("revision {revision:06x}");
    let [low, high] = firmware.property(BOARD_SERIAL, [0; 2])?;
    println!("serial {high:08x}{low:08x}");
    let [start, bytes] = firmware.property(ARM_MEMORY, [0; 2])?;
    println!("memory {} KiB from {start:#x}", bytes >> 10);
    for (name, clock) in [("cpu", CLOCK_ARM), ("core", CLOCK_CORE)] {
        let [_, hertz] = firmware.property(CLOCK_RATE, [clock, 0])?;
        println!("{name} {} kHz", hertz / 1000);
    }
    Ok(0)
}
