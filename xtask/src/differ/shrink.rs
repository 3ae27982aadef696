//! Makes a program that differs as small as it can be and still differ.
//!
//! Each round boots both kernels once and tries many parts at a time: every part with one step less, and the steps that
//! turned out not to matter taken away together.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use halyard_hil::verdict::{Case, Verdict};

use super::{Pair, Task};

/// Rounds, at most: what is not small by then is shown as it is.
const ROUNDS: usize = 10;

/// Parts of a round, at most: the kernel's command line is not endless.
const PARTS: usize = 64;

/// The traces of parts of a program, Halyard's and Linux's.
type Traces = BTreeMap<u64, [Vec<String>; 2]>;

/// The hashes of the traces in which a program was seen to differ, Halyard's and Linux's.
type Sums = [Option<u64>; 2];

/// The smallest part of a program that differs, as a failed case with both traces in its notes. First it is played over and over:
/// what Linux gives now and then is as right as what it mostly gives, so Halyard's traces must be among those of Linux.
pub(super) fn smallest(pair: &Pair<'_>, task: &Task, program: u64, sums: Sums) -> Result<Case> {
    let name = format!("differ_seed_{}_program_{program}", task.seed);
    let words = vec![program.to_string(); PARTS];
    let command = format!("{} show {}{}", task.seed, words.join(" "), task.tail());
    let [ours, theirs] = pair.ask(&command)?.map(|lines| plays(&lines));
    let seen = Seen {
        sums,
        ours: ours.iter().map(Vec::as_slice).collect(),
        theirs: theirs.iter().map(Vec::as_slice).collect(),
    };
    if !seen.is_steady() {
        return Ok(seen.judge(name));
    }
    let whole = play(pair, task, program, &[u64::MAX])?;
    let Some(traces) = whole.get(&u64::MAX) else {
        return Ok(seen.judge(name));
    };
    let mut best = (mask_of(traces), traces.clone());
    for _ in 0..ROUNDS {
        let Some(smaller) = round(pair, task, program, best.0)? else {
            break;
        };
        best = smaller;
    }
    let (mask, [ours, theirs]) = best;
    let verdict = Verdict::Fail(format!(
        "Halyard's trace is not Linux's; again: differ {} show {program}/{mask:x}{}",
        task.seed,
        task.tail()
    ));
    Ok(Case {
        name,
        verdict,
        notes: side_by_side(&ours, &theirs),
    })
}

/// The traces of many plays of one program, and the hashes of the two that differed.
struct Seen<'a> {
    sums: Sums,
    ours: BTreeSet<&'a [String]>,
    theirs: BTreeSet<&'a [String]>,
}

impl<'a> Seen<'a> {
    /// Whether each kernel always gives the same, and not the same as the other.
    fn is_steady(&self) -> bool {
        self.ours.len() == 1 && self.theirs.len() == 1 && self.ours != self.theirs
    }

    fn judge(&self, name: String) -> Case {
        let Some(foreign) = self.foreign() else {
            return Case {
                name,
                verdict: Verdict::Pass,
                notes: vec![self.counts()],
            };
        };
        let verdict = Verdict::Fail(format!(
            "Linux never gave what Halyard did; {}",
            self.counts()
        ));
        let notes = match (foreign, self.theirs.first()) {
            (Some(ours), Some(theirs)) => side_by_side(ours, theirs),
            _ => Vec::new(),
        };
        Case {
            name,
            verdict,
            notes,
        }
    }

    /// A trace that Halyard gave and Linux did not; Some(None): only its hash is known.
    fn foreign(&self) -> Option<Option<&'a [String]>> {
        if let Some(trace) = self.ours.difference(&self.theirs).next() {
            return Some(Some(trace));
        }
        let [ours, _] = self.sums;
        let known = |sum| self.theirs.iter().any(|trace| hash(trace) == sum);
        match ours {
            Some(sum) if known(sum) => None,
            _ => Some(None),
        }
    }

    fn counts(&self) -> String {
        format!(
            "played {PARTS} times after it had differed it gave {} traces on Halyard and {} on Linux",
            self.ours.len(),
            self.theirs.len()
        )
    }
}

/// The hash of a trace as `differ` on the target makes it: FNV-1a of its text.
fn hash(trace: &[String]) -> u64 {
    let bytes = trace.iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Takes steps away from the part `mask`; None if every step matters.
fn round(
    pair: &Pair<'_>,
    task: &Task,
    program: u64,
    mask: u64,
) -> Result<Option<(u64, [Vec<String>; 2])>> {
    let singles: Vec<u64> = bits(mask).map(|bit| mask & !bit).collect();
    let traces = play(pair, task, program, &singles)?;
    let differing = |traces: &Traces, part: &u64| {
        traces
            .get(part)
            .is_some_and(|[ours, theirs]| ours != theirs)
    };
    let removable: Vec<u64> = singles
        .into_iter()
        .filter(|part| differing(&traces, part))
        .map(|part| mask & !part)
        .collect();
    if removable.is_empty() {
        return Ok(None);
    }
    let mut parts = Vec::new();
    let mut part = mask;
    for bit in &removable {
        part &= !bit;
        parts.push(part);
    }
    let together = play(pair, task, program, &parts)?;
    let smallest = parts
        .into_iter()
        .rev()
        .find(|part| differing(&together, part));
    // The first of them is a single one, which differed a moment ago.
    Ok(smallest.and_then(|part| Some((part, together.get(&part)?.clone()))))
}

/// Plays parts of a program on both kernels.
fn play(pair: &Pair<'_>, task: &Task, program: u64, parts: &[u64]) -> Result<Traces> {
    let list = parts.iter().take(PARTS);
    let words: Vec<String> = list.map(|part| format!("{program}/{part:x}")).collect();
    let command = format!("{} show {}{}", task.seed, words.join(" "), task.tail());
    let [ours, theirs] = pair.ask(&command)?.map(|lines| split(&lines));
    let both = ours.into_iter().map(|(part, lines)| {
        let other = theirs.get(&part).cloned().unwrap_or_default();
        (part, [lines, other])
    });
    Ok(both.collect())
}

/// One trace after the other, of the same program.
fn plays(lines: &[String]) -> Vec<Vec<String>> {
    let begins = |line: &String| line.starts_with("program ");
    let plays = lines.split(begins).skip(1);
    plays.map(<[String]>::to_vec).collect()
}

/// Traces by the mask in the line `program NUMBER/MASK` before each.
fn split(lines: &[String]) -> BTreeMap<u64, Vec<String>> {
    let mut traces: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut current = 0;
    for line in lines {
        let mask = line
            .strip_prefix("program ")
            .and_then(|rest| u64::from_str_radix(rest.split_once('/')?.1, 16).ok());
        match mask {
            Some(mask) => {
                current = mask;
                traces.insert(mask, Vec::new());
            }
            None => traces.entry(current).or_default().push(line.clone()),
        }
    }
    traces
}

/// The steps that a trace names: each line begins with the number of its step.
fn mask_of(traces: &[Vec<String>; 2]) -> u64 {
    let number = |line: &String| line.split_whitespace().next()?.parse::<u32>().ok();
    let numbers = traces.iter().flatten().filter_map(number);
    numbers.fold(0, |mask, number| {
        mask | 1u64.checked_shl(number).unwrap_or(0)
    })
}

/// The bits of a mask, the last steps first: they matter least.
fn bits(mask: u64) -> impl Iterator<Item = u64> {
    (0..64)
        .rev()
        .map(|bit| 1 << bit)
        .filter(move |bit| mask & bit != 0)
}

/// Both traces in one: what they share, and what each has of its own.
fn side_by_side(ours: &[String], theirs: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for index in 0..ours.len().max(theirs.len()) {
        match (ours.get(index), theirs.get(index)) {
            (Some(ours), Some(theirs)) if ours == theirs => lines.push(format!("both    {ours}")),
            (ours, theirs) => {
                lines.extend(theirs.map(|line| format!("linux   {line}")));
                lines.extend(ours.map(|line| format!("halyard {line}")));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn split_finds_each_trace_by_its_mask() {
        let text = lines(&["program 7/3", "   0 a", "program 7/1", "   0 b", "   1 c"]);
        let traces = split(&text);
        assert_eq!(traces.get(&3), Some(&lines(&["   0 a"])));
        assert_eq!(traces.get(&1), Some(&lines(&["   0 b", "   1 c"])));
    }

    #[test]
    fn plays_of_one_program_are_told_apart() {
        let text = lines(&[
            "program 7/f",
            " 0 a",
            "program 7/f",
            " 0 b",
            "program 7/f",
            " 0 a",
        ]);
        let plays = plays(&text);
        assert_eq!(
            plays,
            [lines(&[" 0 a"]), lines(&[" 0 b"]), lines(&[" 0 a"])]
        );
    }

    #[test]
    fn trace_that_linux_gives_now_and_then_is_no_difference() {
        let [a, b, c] = ["a", "b", "c"].map(|text| lines(&[text]));
        let seen = |sums: [&[String]; 2], ours: &'static str, theirs: &[&'static str]| {
            let ours = [lines(&[ours])];
            let theirs: Vec<_> = theirs.iter().map(|text| lines(&[text])).collect();
            Seen {
                sums: sums.map(|trace| Some(hash(trace))),
                ours: ours.iter().map(Vec::as_slice).collect(),
                theirs: theirs.iter().map(Vec::as_slice).collect(),
            }
            .foreign()
            .is_none()
        };
        assert!(seen([&a, &b], "a", &["a"]), "it was Linux that wavered");
        assert!(!seen([&b, &a], "a", &["a"]), "it was Halyard that wavered");
        assert!(seen([&b, &a], "a", &["a", "b"]));
        assert!(!seen([&a, &b], "c", &["a", "b"]));
        assert!(!seen([&c, &b], "a", &["a", "b"]));
    }

    #[test]
    fn mask_has_a_bit_for_each_step_named() {
        let traces = [lines(&["   0 a", "  12 b"]), lines(&["   3 c"])];
        assert_eq!(mask_of(&traces), 1 << 12 | 1 << 3 | 1);
        assert_eq!(bits(0b101).collect::<Vec<_>>(), [4, 1]);
    }

    #[test]
    fn traces_side_by_side_show_where_they_part() {
        let merged = side_by_side(&lines(&["a", "b"]), &lines(&["a", "c"]));
        assert_eq!(merged, lines(&["both    a", "linux   c", "halyard b"]));
    }
}
