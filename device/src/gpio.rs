//! General-purpose inputs and outputs.

/// What a line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// It is read.
    Input,
    /// It is driven.
    Output,
    /// It belongs to another device of the board.
    Other,
}

/// Lines of a controller, numbered from 0. A line that there is not reads as low and takes nothing.
pub trait GpioChip: Send {
    /// What it is called.
    fn label(&self) -> &'static str;

    /// How many lines it has.
    fn lines(&self) -> u32;

    /// What the line does.
    fn function(&self, line: u32) -> Function;

    /// Makes it an input.
    fn input(&mut self, line: u32);

    /// Makes it an output, which begins with that level.
    fn output(&mut self, line: u32, high: bool);

    /// The level of the line itself, whoever drives it.
    fn is_high(&self, line: u32) -> bool;

    /// Drives an output.
    fn set(&mut self, line: u32, high: bool);
}
