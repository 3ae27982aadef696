//! Text that grows as long as there is memory.

use alloc::vec::Vec;
use core::fmt;

use crate::{Errno, Result};

/// Text that is being written. A write that finds no memory is remembered and makes the whole ENOMEM.
#[derive(Default)]
pub struct Text {
    bytes: Vec<u8>,
    failed: bool,
}

impl Text {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Text {
        Text::default()
    }

    /// Appends bytes as they are.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.bytes.try_reserve(bytes.len()).is_ok() {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.failed = true;
        }
    }

    /// Appends formatted text.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) {
        // The only error there is has been noted.
        let _ = fmt::Write::write_fmt(self, text);
    }

    /// How long it is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was written. ENOMEM: not all of it could be.
    pub fn finish(self) -> Result<Vec<u8>> {
        if self.failed {
            Err(Errno::ENOMEM)
        } else {
            Ok(self.bytes)
        }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        if self.failed { Err(fmt::Error) } else { Ok(()) }
    }
}
