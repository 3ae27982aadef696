//! Firmware that runs beside the kernel, on a processor of its own, and answers questions.

use core::task::Poll;

/// Why the firmware gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareError {
    /// The question is longer than the device can take.
    TooLong,
    /// It still owes the answer to a question that was given up.
    Busy,
    /// It did not understand.
    Refused,
}

/// A way to ask the firmware, one question at a time: words out, as many words back in their place.
pub trait Firmware: Send {
    /// How many words a question may have.
    fn longest(&self) -> usize;

    /// Asks.
    fn begin(&mut self, question: &[u32]) -> Result<(), FirmwareError>;

    /// Whether the answer is there; if so it is in `answer`, which is as long as the question.
    fn step(&mut self, answer: &mut [u32]) -> Poll<Result<(), FirmwareError>>;
}
