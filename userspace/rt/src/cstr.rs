//! Strings as the kernel wants them: ended by a NUL.

use alloc::vec::Vec;

use crate::{Errno, Result};

/// Paths up to this length, with their NUL, are converted on the stack.
const SHORT: usize = 256;

/// Calls `body` with a pointer to a NUL-terminated copy of `text`.
///
/// # Errors
/// `EINVAL` if `text` holds a NUL.
pub(crate) fn with<T>(text: &[u8], body: impl FnOnce(*const u8) -> Result<T>) -> Result<T> {
    if text.contains(&0) {
        return Err(Errno::EINVAL);
    }
    if text.len() < SHORT {
        let mut copy = [0u8; SHORT];
        copy[..text.len()].copy_from_slice(text);
        return body(copy.as_ptr());
    }
    body(owned(text).as_ptr())
}

/// A NUL-terminated copy on the heap; what follows a NUL in `text` is cut off by the kernel.
pub(crate) fn owned(text: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(text.len() + 1);
    copy.extend_from_slice(text);
    copy.push(0);
    copy
}
