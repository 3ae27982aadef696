//! Prints the last lines.

use alloc::collections::VecDeque;

use crate::command::{Outcome, each_input, number, parse};
use halyard_rt::prelude::*;

/// `tail [-n LINES] [FILE...]`, 10 lines if not told.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "n:")?;
    let count: usize = parsed.value('n').map_or(Ok(10), number)?;
    let mut out = BufWriter::new(STDOUT);
    let code = each_input("tail", &parsed.operands, |_, file| {
        let mut lines = Lines::new(file);
        let mut kept = VecDeque::new();
        while let Some(line) = lines.next_line()? {
            if kept.len() == count {
                kept.pop_front();
            }
            if count > 0 {
                kept.push_back(line);
            }
        }
        for line in kept {
            out.write(&line)?;
            out.write(b"\n")?;
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(code)
}
