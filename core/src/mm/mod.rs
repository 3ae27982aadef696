//! Memory: page frames, memory objects, address spaces, and access to a program's memory.

/// A growable array of page frames: contents of a file or of shared memory.
#[derive(Debug)]
pub struct MemoryObject {}
