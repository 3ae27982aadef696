//! Randomness: what the loader left in the device tree, the generators of CPU (RNDR) and board where there are any, and the jitter of
//! counter and code. No better than its sources; the core's generator stretches it.

use core::arch::asm;

use halyard_cell::SpinLock;
use halyard_drivers::dt::Tree;

use super::timer;

/// Four lanes into which everything is mixed.
static STATE: SpinLock<[u64; 4]> = SpinLock::new([
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
]);

/// A bijection of words in which each bit of the input moves each of the output (the finaliser of SplitMix64).
const fn scramble(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn absorb(state: &mut [u64; 4], word: u64) {
    let mut carry = word;
    for lane in state {
        carry = scramble(carry.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ *lane);
        *lane = lane.rotate_left(23) ^ carry;
    }
}

/// A word from the CPU's generator, if it has one and it is not exhausted (FEAT_RNG, Arm ARM K14).
fn rndr() -> Option<u64> {
    let features: u64;
    // SAFETY: reads a register.
    unsafe {
        asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack, preserves_flags))
    };
    if features >> 60 == 0 {
        return None;
    }
    let (word, failed): (u64, u64);
    // SAFETY: reads a register that this CPU has; Z says that there was nothing.
    unsafe {
        asm!("mrs {w}, S3_3_C2_C4_0", "cset {f}, eq", w = out(reg) word, f = out(reg) failed, options(nomem, nostack))
    };
    (failed == 0).then_some(word)
}

/// Takes in the loader's seeds.
pub(crate) fn init(tree: &Tree<'_>) {
    let mut state = STATE.lock();
    if let Some(chosen) = tree.chosen() {
        for bytes in chosen.rng_seed().chunks(8) {
            let mut word = [0; 8];
            word.iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
            absorb(&mut state, u64::from_le_bytes(word));
        }
        absorb(&mut state, chosen.kaslr_seed().unwrap_or(0));
    }
    absorb(&mut state, timer::counter());
}

/// Takes in a word of a generator.
pub(crate) fn add(word: u32) {
    absorb(&mut STATE.lock(), word.into());
}

/// Fills `into`.
pub(crate) fn fill(into: &mut [u8]) {
    let mut state = STATE.lock();
    for chunk in into.chunks_mut(8) {
        absorb(&mut state, timer::counter());
        if let Some(word) = rndr() {
            absorb(&mut state, word);
        }
        let [a, b, c, d] = *state;
        let word = scramble(a.wrapping_add(scramble(b ^ c.rotate_left(17)))) ^ d;
        chunk
            .iter_mut()
            .zip(word.to_le_bytes())
            .for_each(|(to, from)| *to = from);
    }
    // What was given out cannot be computed from what is left.
    let [a, b, c, d] = *state;
    absorb(&mut state, a ^ b.rotate_left(32) ^ c.wrapping_mul(d | 1));
}
