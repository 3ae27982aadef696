//! The functions that move, set and compare bytes (`arch/mem`), which kernel and programs share: every length and alignment
//! that takes a way of its own, and not a byte beside the range.

use core::cmp::Ordering;
use core::hint::black_box;

use crate::runner::suite;
use crate::support::{Outcome, check, check_eq};

suite!(
    bytes_copy_is_exact_at_every_length_and_alignment,
    bytes_move_within_overlapping_ranges_is_exact,
    bytes_set_is_exact_at_every_length_and_alignment,
    bytes_compare_finds_the_first_difference,
);

/// Beyond this length the ways repeat themselves.
const LONGEST: usize = 200;
const ROOM: usize = LONGEST + 32;

/// Bytes of which no two neighbours, and no two at a distance below 251, are alike.
fn pattern() -> [u8; ROOM] {
    core::array::from_fn(|at| (at % 251) as u8)
}

/// Byte by byte, so that no function under test is what it is judged by.
fn same(left: &[u8], right: impl Fn(usize) -> u8) -> bool {
    (0..left.len()).all(|at| black_box(left[at]) == right(at))
}

fn bytes_copy_is_exact_at_every_length_and_alignment() -> Outcome {
    let source = black_box(pattern());
    for length in 0..=LONGEST {
        for (from, to) in (0..9).flat_map(|from| (0..9).map(move |to| (from, to))) {
            let mut target = [0xeeu8; ROOM];
            target[to..to + length].copy_from_slice(&source[from..from + length]);
            let inside = |at: usize| (to..to + length).contains(&at);
            let right = |at: usize| {
                if inside(at) {
                    source[from + at - to]
                } else {
                    0xee
                }
            };
            check!(same(&target, right));
        }
    }
    Ok(())
}

fn bytes_move_within_overlapping_ranges_is_exact() -> Outcome {
    let source = black_box(pattern());
    for length in 0..=LONGEST {
        for (from, to) in (0..32)
            .map(|from| (from, 31 - from))
            .chain([(0, 1), (1, 0), (7, 7)])
        {
            let mut moved = source;
            moved.copy_within(from..from + length, to);
            let inside = |at: usize| (to..to + length).contains(&at);
            let right = |at: usize| source[if inside(at) { from + at - to } else { at }];
            check!(same(&moved, right));
        }
    }
    Ok(())
}

fn bytes_set_is_exact_at_every_length_and_alignment() -> Outcome {
    for length in 0..=LONGEST {
        for to in 0..9 {
            let mut target = [0x11u8; ROOM];
            target[to..to + length].fill(black_box(0xa5));
            let inside = |at: usize| (to..to + length).contains(&at);
            check!(same(&target, |at| if inside(at) { 0xa5 } else { 0x11 }));
        }
    }
    Ok(())
}

fn bytes_compare_finds_the_first_difference() -> Outcome {
    for length in 0..40 {
        let left: [u8; 40] = black_box([0x80; 40]);
        check!(left[..length] == black_box(left)[..length]);
        for place in 0..length {
            for (byte, order) in [(0x7f, Ordering::Greater), (0x81, Ordering::Less)] {
                let mut right = left;
                right[place] = byte;
                // What comes later must not count.
                if let Some(later) = right[..length].get_mut(place + 1) {
                    *later = 0xff - byte;
                }
                check_eq!(left[..length].cmp(&right[..length]), order);
                check!(left[..length] != right[..length]);
            }
        }
    }
    Ok(())
}
