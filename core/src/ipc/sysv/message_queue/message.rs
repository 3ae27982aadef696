//! A message, and which one a receiver asks for.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::{Errno, Result};

/// Texts of up to this many bytes take no memory of their own.
pub const INLINE: usize = 48;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type, greater than 0.
    pub kind: i64,
    text: Text,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    Short(u8, [u8; INLINE]),
    Long(Vec<u8>),
}

impl Message {
    /// A message with the text that `fill` fills in. ENOMEM, and what `fill` fails with.
    #[inline]
    pub fn with(
        kind: i64,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<Message> {
        let text = if length <= INLINE {
            let mut bytes = [0; INLINE];
            fill(bytes.get_mut(..length).unwrap_or_default())?;
            Text::Short(length as u8, bytes)
        } else {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
            bytes.resize(length, 0);
            fill(&mut bytes)?;
            Text::Long(bytes)
        };
        Ok(Message { kind, text })
    }

    /// The text.
    #[inline]
    #[must_use]
    pub fn text(&self) -> &[u8] {
        match &self.text {
            Text::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Text::Long(bytes) => bytes,
        }
    }

    /// The length of the text.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.text {
            Text::Short(length, _) => usize::from(*length),
            Text::Long(bytes) => bytes.len(),
        }
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which message (msgop(2), msgtyp).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The oldest.
    Oldest,
    /// The oldest of this type.
    Of(i64),
    /// The oldest of another type.
    Except(i64),
    /// The oldest of the lowest type that is not above this.
    UpTo(i64),
}

impl Select {
    /// What `kind` says; `except`: MSG_EXCEPT.
    #[must_use]
    pub const fn from_type(kind: i64, except: bool) -> Select {
        match kind {
            0 => Select::Oldest,
            // The least number has no opposite.
            ..0 => Select::UpTo(kind.saturating_neg()),
            _ if except => Select::Except(kind),
            _ => Select::Of(kind),
        }
    }

    /// Whether a message of type `kind` is one.
    #[inline]
    #[must_use]
    pub const fn wants(self, kind: i64) -> bool {
        match self {
            Select::Oldest => true,
            Select::Of(wanted) => kind == wanted,
            Select::Except(unwanted) => kind != unwanted,
            Select::UpTo(most) => kind <= most,
        }
    }

    /// Where it is.
    #[inline]
    pub(super) fn find(self, messages: &VecDeque<Message>) -> Option<usize> {
        match self {
            Select::Oldest => (!messages.is_empty()).then_some(0),
            Select::UpTo(most) => {
                let candidates = messages.iter().enumerate();
                let candidates = candidates.filter(|(_, message)| message.kind <= most);
                // The first of equals is the oldest.
                candidates
                    .min_by_key(|(_, message)| message.kind)
                    .map(|(at, _)| at)
            }
            _ => messages.iter().position(|message| self.wants(message.kind)),
        }
    }
}
