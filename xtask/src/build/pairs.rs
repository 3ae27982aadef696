//! Packs texts that say the same things again and again: the most frequent pair of bytes becomes one byte, and again, until all bytes
//! beyond ASCII stand for a pair (Gage, "A New Algorithm for Data Compression", 1994; Linux packs its symbols so too).

use std::collections::HashMap;

/// Bytes that may stand for a pair: from 128.
const COUNT: usize = 128;

/// What the bytes from 128 stand for, in order; each of a pair is below what stands for it.
pub(super) struct Pairs(Vec<[u8; 2]>);

impl Pairs {
    /// The pairs by which these ASCII texts become short.
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut texts: Vec<Vec<u8>> = texts.map(<[u8]>::to_vec).collect();
        let mut pairs = Vec::new();
        while pairs.len() < COUNT {
            let Some(pair) = most_frequent(&texts) else {
                break;
            };
            let code = 128 + pairs.len() as u8;
            texts
                .iter_mut()
                .for_each(|text| *text = replace(text, pair, code));
            pairs.push(pair);
        }
        Self(pairs)
    }

    /// The text with pairs in it.
    pub(super) fn pack(&self, text: &[u8]) -> Vec<u8> {
        (128..=u8::MAX)
            .zip(&self.0)
            .fold(text.to_vec(), |text, (code, pair)| {
                replace(&text, *pair, code)
            })
    }

    /// All pairs there can be, two bytes each; those that are not used are zero.
    pub(super) fn bytes(&self) -> [u8; 2 * COUNT] {
        let mut bytes = [0; 2 * COUNT];
        let used = self.0.as_flattened();
        bytes[..used.len()].copy_from_slice(used);
        bytes
    }
}

/// The pair that there is most of, if one is there twice; of equals the lowest, so that a build is the same each time.
fn most_frequent(texts: &[Vec<u8>]) -> Option<[u8; 2]> {
    let mut counts: HashMap<[u8; 2], usize> = HashMap::new();
    for pair in texts.iter().flat_map(|text| text.array_windows::<2>()) {
        *counts.entry(*pair).or_default() += 1;
    }
    let repeated = counts.into_iter().filter(|(_, count)| *count > 1);
    let best = repeated.max_by_key(|&(pair, count)| (count, std::cmp::Reverse(pair)));
    best.map(|(pair, _)| pair)
}

/// The text with `code` for each `pair`, from the left.
fn replace(text: &[u8], pair: [u8; 2], code: u8) -> Vec<u8> {
    let mut packed = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        if rest.starts_with(&pair) {
            packed.push(code);
            rest = &rest[2..];
        } else {
            packed.push(*first);
            rest = after;
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel does it.
    fn unpack(pairs: &[u8; 256], byte: u8, into: &mut Vec<u8>) {
        if byte < 128 {
            into.push(byte);
            return;
        }
        let at = usize::from(byte - 128) * 2;
        for part in [pairs[at], pairs[at + 1]] {
            assert!(part < byte);
            unpack(pairs, part, into);
        }
    }

    #[test]
    fn packed_texts_are_shorter_and_come_back_whole() {
        let texts = [
            "core::fmt::write",
            "core::fmt::Display",
            "core::ops",
            "x",
            "",
        ];
        let pairs = Pairs::of(texts.iter().map(|text| text.as_bytes()));
        let mut total = 0;
        for text in texts.iter().chain(&["fmt::another"]) {
            let packed = pairs.pack(text.as_bytes());
            total += packed.len();
            let mut whole = Vec::new();
            packed
                .iter()
                .for_each(|byte| unpack(&pairs.bytes(), *byte, &mut whole));
            assert_eq!(whole, text.as_bytes());
        }
        assert!(total < 40, "{total}");
    }

    #[test]
    fn pairs_are_the_same_each_time() {
        let texts = ["abcd", "cdab", "dabc"];
        let pairs = || Pairs::of(texts.iter().map(|text| text.as_bytes())).bytes();
        assert_eq!(pairs(), pairs());
    }
}
