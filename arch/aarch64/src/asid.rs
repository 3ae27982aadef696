//! Address space identifiers: which are in use, and which may still have translations somewhere (Arm ARM D8.16). Pure.
//!
//! An ASID is a space's for as long as the space lives. When a space dies its ASID turns stale: nothing is flushed then; when no
//! fresh one is left, one flush of everything makes all stale ones fresh. So a space's token never changes, and programs that come
//! and go cost one flush for each 32,766 of them.

/// How many ASIDs are used at most, ASID 0 (the kernel's own) included.
pub const LIMIT: usize = 32_768;

const WORDS: usize = LIMIT / 64;

/// The ASIDs.
#[derive(Debug)]
pub struct Asids {
    live: [u64; WORDS],
    stale: [u64; WORDS],
    /// Where to look first.
    hint: usize,
}

/// An ASID to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// The number.
    pub asid: u16,
    /// Forget all translations on all CPUs before it is used.
    pub flush_first: bool,
}

impl Asids {
    /// All fresh, but ASID 0.
    #[must_use]
    pub const fn new() -> Self {
        let mut live = [0; WORDS];
        live[0] = 1;
        Self {
            live,
            stale: [0; WORDS],
            hint: 0,
        }
    }

    /// Gives out one below 2^`bits`; None if as many spaces live.
    pub fn allocate(&mut self, bits: u32) -> Option<Fresh> {
        let words = (1_usize << bits).min(LIMIT) / 64;
        if let Some(asid) = self.find(words) {
            return Some(Fresh {
                asid,
                flush_first: false,
            });
        }
        self.stale.fill(0);
        self.hint = 0;
        let asid = self.find(words)?;
        Some(Fresh {
            asid,
            flush_first: true,
        })
    }

    fn find(&mut self, words: usize) -> Option<u16> {
        for word in self.hint..words {
            let (live, stale) = (self.live.get_mut(word)?, self.stale.get(word)?);
            let used = *live | *stale;
            if used != u64::MAX {
                let bit = used.trailing_ones() as usize;
                *live |= 1 << bit;
                self.hint = word;
                return Some((64 * word + bit) as u16);
            }
        }
        None
    }

    /// Takes one back.
    pub fn release(&mut self, asid: u16) {
        let (word, bit) = (usize::from(asid) / 64, asid % 64);
        if let (Some(live), Some(stale)) = (self.live.get_mut(word), self.stale.get_mut(word)) {
            *live &= !(1 << bit);
            *stale |= 1 << bit;
        }
    }
}

impl Default for Asids {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocate_never_gives_zero_nor_one_twice() {
        let mut asids = Asids::new();
        for expected in 1..256 {
            assert_eq!(
                asids.allocate(8),
                Some(Fresh {
                    asid: expected,
                    flush_first: false
                })
            );
        }
        assert_eq!(asids.allocate(8), None);
    }

    #[test]
    fn allocate_reuses_only_after_a_flush() {
        let mut asids = Asids::new();
        for _ in 1..256 {
            asids.allocate(8).unwrap();
        }
        asids.release(77);
        asids.release(3);
        let again = asids.allocate(8).unwrap();
        assert_eq!((again.asid, again.flush_first), (3, true));
        // Released before that flush, so it is fresh too.
        let again = asids.allocate(8).unwrap();
        assert_eq!((again.asid, again.flush_first), (77, false));
        asids.release(77);
        assert!(asids.allocate(8).unwrap().flush_first);
    }

    #[test]
    fn churn_flushes_once_a_generation() {
        let mut asids = Asids::new();
        let mut flushes = 0;
        for _ in 0..10 * LIMIT {
            let fresh = asids.allocate(16).unwrap();
            flushes += usize::from(fresh.flush_first);
            asids.release(fresh.asid);
        }
        assert!((9..=11).contains(&flushes), "{flushes}");
    }
}
