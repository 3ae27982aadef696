//! Files: descriptors, open files, and the file systems behind them.

pub mod file;
