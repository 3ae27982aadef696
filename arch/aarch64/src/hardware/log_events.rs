//! The core's events as records of the log: one text for each, here and nowhere else.

use halyard_core::log::Event;
use halyard_core::machine::Shutdown;

/// Puts an event into the log. The core has asked the level.
pub(crate) fn put(event: &Event<'_>) {
    match *event {
        Event::Unpacked { bytes } => {
            defmt::info!("initramfs unpacked: {=usize} KiB", bytes >> 10);
        }
        Event::Init { free } => {
            defmt::info!("process 1 begins, {=usize} KiB free", free >> 10);
        }
        Event::Fault {
            pid,
            name,
            signal,
            address,
            pc,
        } => {
            defmt::warn!(
                "process {=u32} ({=str}) dies of signal {=u8}: address {=u64:#x}, pc {=u64:#x}",
                pid,
                name,
                signal,
                address.0 as u64,
                pc
            );
        }
        Event::Shortage {
            pid,
            name,
            kibibytes,
        } => {
            defmt::error!(
                "out of memory: process {=u32} ({=str}) is ended, which has {=usize} KiB",
                pid,
                name,
                kibibytes
            );
        }
        Event::Shutdown(how) => match how {
            Shutdown::PowerOff(code) => defmt::info!("power off, code {=u8}", code),
            Shutdown::Reboot => defmt::info!("reboot"),
            Shutdown::Halt => defmt::info!("halt"),
        },
    }
}
