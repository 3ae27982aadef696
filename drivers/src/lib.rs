//! Device drivers: one file a device, found by its device-tree `compatible`.
//!
//! Owns the knowledge of register layouts and bindings; owns no address, no interrupt number and no lock. It knows
//! neither `core` nor `arch`: whoever brings a machine up reads the tree with [`dt`], maps the registers, and hands
//! them to a driver. Promises: no allocation, no panic whatever the tree or a register says, no unsafe code. Drivers
//! take no locks; what needs one takes `&mut self`.
#![no_std]
#![forbid(unsafe_code)]

// The fuzz target's walk is a test's too, and names the crate from outside.
#[cfg(test)]
extern crate self as halyard_drivers;
#[cfg(test)]
extern crate std;

pub mod bcm2835_gpio;
pub mod bcm2835_i2c;
pub mod bcm2835_mbox;
pub mod bcm2835_pm;
pub mod bcm2835_rng;
pub mod device;
pub mod dt;
pub mod iproc_rng200;
pub mod irq;
pub mod mmio;
pub mod pl011;
pub mod pl031;
pub mod pl061;
pub mod plan;
pub mod psci;
pub mod serial;
pub mod sunxi_pio;
pub mod sunxi_wdt;
pub mod uart16550;
