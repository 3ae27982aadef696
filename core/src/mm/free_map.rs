//! A set of free frames as a bitmap with a summary: one bit a frame, one summary bit a word.
//!
//! Finds a free frame in a handful of instructions, since it remembers the word in which it last took or put one. Guarded
//! by its owner's lock.

use core::ops::Range;

/// Bits in a word.
const BITS: usize = 64;
/// log2 of [`BITS`].
const BITS_LOG2: u32 = 6;

/// The free frames, by index.
pub(super) struct FreeMap {
    /// One bit a frame: 1 is free.
    words: &'static mut [u64],
    /// One bit a word: 1 is "not 0".
    summary: &'static mut [u64],
    /// The word to look at first.
    hint: usize,
    free: usize,
    given: usize,
    reserve: usize,
}

impl FreeMap {
    /// Words needed for that many frames.
    pub(super) const fn words_for(frames: usize) -> usize {
        let words = frames.div_ceil(BITS);
        words + words.div_ceil(BITS)
    }

    /// A map of `frames` frames, none free, in `memory`, whose contents do not matter. None if it is too small.
    pub(super) fn new(memory: &'static mut [u64], frames: usize) -> Option<FreeMap> {
        if memory.len() < Self::words_for(frames) {
            return None;
        }
        memory.fill(0);
        let (words, summary) = memory.split_at_mut(frames.div_ceil(BITS));
        Some(FreeMap {
            words,
            summary,
            hint: 0,
            free: 0,
            given: 0,
            reserve: 0,
        })
    }

    pub(super) const fn free(&self) -> usize {
        self.free
    }

    pub(super) const fn given(&self) -> usize {
        self.given
    }

    pub(super) const fn set_reserve(&mut self, frames: usize) {
        self.reserve = frames;
    }

    /// Makes the indices of `range` free, for the first time.
    pub(super) fn give(&mut self, range: Range<usize>) {
        let mut at = range.start;
        while at < range.end {
            let in_word = (BITS - at % BITS).min(range.end - at);
            let mask = (u64::MAX >> (BITS - in_word)) << (at % BITS);
            if let Some(word) = self.words.get_mut(at / BITS) {
                let fresh = (mask & !*word).count_ones() as usize;
                *word |= mask;
                self.free += fresh;
                self.given += fresh;
                self.note_free(at / BITS);
            }
            at += in_word;
        }
    }

    /// Takes any free index, if more than the reserve is free.
    #[inline]
    pub(super) fn take(&mut self) -> Option<usize> {
        if self.free <= self.reserve {
            return None;
        }
        let mut at = self.hint;
        if self.words.get(at).is_none_or(|word| *word == 0) {
            at = self.next_word(at)?;
            self.hint = at;
        }
        let word = self.words.get_mut(at)?;
        let bit = word.trailing_zeros() as usize;
        *word &= word.wrapping_sub(1);
        if *word == 0 {
            self.note_full(at);
        }
        self.free -= 1;
        Some(at * BITS + bit)
    }

    /// Makes a taken index free.
    #[inline]
    pub(super) fn put(&mut self, index: usize) {
        let at = index / BITS;
        let Some(word) = self.words.get_mut(at) else {
            return;
        };
        let bit = 1 << (index % BITS);
        debug_assert!(*word & bit == 0, "frame {index} is released and free");
        if *word & bit == 0 {
            self.free += 1;
        }
        let was_full = *word == 0;
        *word |= bit;
        if was_full {
            self.note_free(at);
        }
        // What was used last is likely still in the cache.
        self.hint = at;
    }

    /// Takes 2^`order` consecutive indices aligned to as many; returns the first. Ignores the reserve.
    pub(super) fn take_run(&mut self, order: u32) -> Option<usize> {
        let first = if order < BITS_LOG2 {
            self.find_in_word(order)?
        } else {
            self.find_words(1 << (order - BITS_LOG2))?
        };
        let length = 1_usize << order;
        let mut at = first;
        while at < first + length {
            let in_word = length.min(BITS);
            let mask = (u64::MAX >> (BITS - in_word)) << (at % BITS);
            let word = self.words.get_mut(at / BITS)?;
            *word &= !mask;
            if *word == 0 {
                self.note_full(at / BITS);
            }
            at += in_word;
        }
        self.free -= length;
        Some(first)
    }

    /// An aligned run of fewer than 64 free indices.
    fn find_in_word(&self, order: u32) -> Option<usize> {
        let mut at = self.next_word(0)?;
        loop {
            let runs = aligned_runs(*self.words.get(at)?, order);
            if runs != 0 {
                return Some(at * BITS + runs.trailing_zeros() as usize);
            }
            at = self.next_word(at + 1).filter(|next| *next > at)?;
        }
    }

    /// `count` words (a power of two), aligned to as many, all of whose indices are free.
    fn find_words(&self, count: usize) -> Option<usize> {
        let mut at = self.next_word(0)? / count * count;
        while at < self.words.len() {
            if self
                .words
                .get(at..at + count)?
                .iter()
                .all(|word| *word == u64::MAX)
            {
                return Some(at * BITS);
            }
            let next = self.next_word(at + count)?;
            if next < at + count {
                return None;
            }
            at = next / count * count;
        }
        None
    }

    /// The first word from `from` on that has a free index; if there is none, the first of all.
    fn next_word(&self, from: usize) -> Option<usize> {
        let start = from / BITS;
        let rest = self
            .summary
            .get(start)
            .map_or(0, |word| word & (u64::MAX << (from % BITS)));
        if rest != 0 {
            return Some(start * BITS + rest.trailing_zeros() as usize);
        }
        let after = self.summary.iter().enumerate().skip(start + 1);
        let before = self.summary.iter().enumerate().take(start + 1);
        let (at, word) = after.chain(before).find(|(_, word)| **word != 0)?;
        Some(at * BITS + word.trailing_zeros() as usize)
    }

    fn note_free(&mut self, at: usize) {
        if let Some(word) = self.summary.get_mut(at / BITS) {
            *word |= 1 << (at % BITS);
        }
    }

    fn note_full(&mut self, at: usize) {
        if let Some(word) = self.summary.get_mut(at / BITS) {
            *word &= !(1 << (at % BITS));
        }
    }
}

/// Has bit i where `word` has 2^`order` ones from i on and i is a multiple of 2^`order`.
fn aligned_runs(word: u64, order: u32) -> u64 {
    let mut runs = word;
    let mut aligned = u64::MAX;
    for step in 0..order {
        runs &= runs >> (1 << step);
        // Keeps every second of the positions that were aligned so far.
        aligned = match step {
            0 => 0x5555_5555_5555_5555,
            1 => 0x1111_1111_1111_1111,
            2 => 0x0101_0101_0101_0101,
            3 => 0x0001_0001_0001_0001,
            4 => 0x0000_0001_0000_0001,
            _ => 1,
        };
    }
    runs & aligned
}
