//! The meeting of opens against a plain list of who has the FIFO open and has met somebody. proptest prints the seed and the
//! shortest sequence that fails.

use alloc::vec::Vec;
use core::result::Result as Checked;

use proptest::prelude::*;

use super::*;
use crate::Errno;

#[derive(Clone, Debug)]
enum Step {
    /// Open for reading, for writing, for both; waiting or not.
    Open(u8, bool),
    /// One of those who have it open closes it, or gives up its wait.
    Close(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..8_u8, any::<bool>()).prop_map(|(access, nonblocking)| Step::Open(access, nonblocking)),
        2 => any::<prop::sample::Index>().prop_map(Step::Close),
    ]
}

/// One who has it open.
struct End {
    reads: bool,
    writes: bool,
    /// Whether its open is done.
    met: bool,
}

/// What the open of an end does to those that are there; None: it is refused.
fn open(ends: &mut Vec<End>, (reads, writes): (bool, bool), nonblocking: bool) -> Option<()> {
    let others = |ends: &[End]| {
        ends.iter()
            .any(|it| (reads && it.writes) || (writes && it.reads))
    };
    if writes && !reads && nonblocking && !others(ends) {
        return None;
    }
    let met = reads && (nonblocking || writes) || others(ends);
    for end in ends.iter_mut() {
        end.met |= (reads && end.writes) || (writes && end.reads);
    }
    ends.push(End { reads, writes, met });
    Some(())
}

fn compare(steps: Vec<Step>) -> Checked<(), TestCaseError> {
    let fifo = Fifo::new();
    let (mut model, mut openings) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Open(access, nonblocking) => {
                let (access, sides) = match access {
                    0 => (Access::Both, (true, true)),
                    1..4 => (Access::Read, (true, false)),
                    _ => (Access::Write, (false, true)),
                };
                match (
                    fifo.open(access, nonblocking),
                    open(&mut model, sides, nonblocking),
                ) {
                    (Ok(opening), Some(())) => openings.push(opening),
                    (Err(errno), None) => prop_assert_eq!(errno, Errno::ENXIO),
                    (opened, _) => prop_assert!(false, "opened: {}", opened.is_ok()),
                }
            }
            Step::Close(_) if openings.is_empty() => {}
            Step::Close(which) => {
                let at = which.index(openings.len());
                drop(openings.remove(at));
                model.remove(at);
            }
        }
        for (opening, end) in openings.iter().zip(&model) {
            prop_assert_eq!(opening.ready().is_some(), end.met);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fifo_opens_meet_as_the_model_says(steps in prop::collection::vec(step(), 1..40)) {
        compare(steps)?;
    }
}
