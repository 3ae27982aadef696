//! Buses of I2C (UM10204), as a master has them.

use core::task::Poll;
use core::time::Duration;

use embedded_hal::i2c::ErrorKind;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the device.
    Write,
    /// From the device.
    Read,
}

/// What passes between one start condition and the next, or the stop condition.
#[derive(Debug)]
pub struct Message<'a> {
    /// The device, by its address of seven bits.
    pub address: u8,
    /// Which way.
    pub direction: Direction,
    /// What is sent, or where what comes is to stand.
    pub data: &'a mut [u8],
}

/// A bus, moved along in steps.
///
/// A transaction is [`I2cBus::begin`] and then [`I2cBus::step`] with the same messages until it says how it ended. In between
/// there is time for something else: the bus goes on by itself until its buffer is full or empty.
pub trait I2cBus: Send {
    /// Whether the bus can do a transaction of these messages.
    fn can(&self, messages: &[Message<'_>]) -> bool {
        let _ = messages;
        true
    }

    /// Begins a transaction of these messages. One that was under way is given up.
    fn begin(&mut self, messages: &mut [Message<'_>]);

    /// Moves the transaction along as far as it goes without waiting. Ready: it is over and the bus is free. Whoever calls sets the
    /// limit: a device may hold the clock for ever.
    fn step(&mut self, messages: &mut [Message<'_>]) -> Poll<Result<(), ErrorKind>>;

    /// Gives the transaction up; the bus is free.
    fn abort(&mut self);

    /// How long the bus takes for a byte and its acknowledgement.
    fn byte_time(&self) -> Duration;
}
