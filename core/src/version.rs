//! What the kernel calls itself.

/// uname's sysname. The ABI is Linux's, and programs look here for it.
pub const SYSTEM: &str = "Linux";

/// uname's release: the Linux whose system calls are spoken. C libraries refuse releases older than they were built for.
pub const ABI_RELEASE: &str = "6.1.0-halyard";

/// uname's version: what this really is.
pub const VERSION: &str = concat!("Halyard ", env!("CARGO_PKG_VERSION"));
