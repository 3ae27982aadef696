//! Counts lines, words and bytes.

use core::ops::AddAssign;

use crate::command::{Outcome, Parsed, each_input, parse};
use halyard_rt::prelude::*;

#[derive(Default, Clone, Copy)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}

/// `wc [-c] [-l] [-w] [FILE...]`: all three if not told.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "clw")?;
    let mut total = Counts::default();
    let code = each_input("wc", &parsed.operands, |name, file| {
        let counts = count(file)?;
        total += counts;
        show(&parsed, counts, name);
        Ok(())
    })?;
    if parsed.operands.len() > 1 {
        show(&parsed, total, "total");
    }
    Ok(code)
}

fn count(file: i32) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut in_word = false;
    let mut chunk = [0u8; 4096];
    loop {
        let length = io::read_some(file, &mut chunk)?;
        let Some(bytes) = chunk.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return Ok(counts);
        };
        counts.bytes += length as u64;
        for byte in bytes {
            counts.lines += u64::from(*byte == b'\n');
            let blank = byte.is_ascii_whitespace();
            counts.words += u64::from(!blank && !in_word);
            in_word = !blank;
        }
    }
}

fn show(parsed: &Parsed, counts: Counts, name: &str) {
    let all = !"clw".chars().any(|option| parsed.has(option));
    let columns = [
        ('l', counts.lines),
        ('w', counts.words),
        ('c', counts.bytes),
    ];
    let wanted = columns
        .iter()
        .filter(|(option, _)| all || parsed.has(*option));
    let mut shown: Vec<String> = wanted.map(|(_, value)| value.to_string()).collect();
    if name != "-" {
        shown.push(name.to_owned());
    }
    println!("{}", shown.join(" "));
}
