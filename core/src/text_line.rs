//! A line of text made without the heap.

use core::fmt;

/// Up to `N` bytes of text. What does not fit is refused whole, piece by piece as it is written.
#[derive(Debug)]
pub(crate) struct TextLine<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> TextLine<N> {
    /// An empty one.
    pub(crate) const fn new() -> TextLine<N> {
        TextLine {
            bytes: [0; N],
            length: 0,
        }
    }

    /// What was written.
    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Write for TextLine<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length.saturating_add(text.len());
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
