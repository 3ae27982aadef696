//! Prints the first lines.

use crate::command::{Outcome, each_input, number, parse};
use halyard_rt::prelude::*;

/// `head [-n LINES] [FILE...]`, 10 lines if not told.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "n:")?;
    let count: u64 = parsed.value('n').map_or(Ok(10), number)?;
    let mut out = BufWriter::new(STDOUT);
    let code = each_input("head", &parsed.operands, |_, file| {
        let mut lines = Lines::new(file);
        for _ in 0..count {
            let Some(line) = lines.next_line()? else {
                break;
            };
            out.write(&line)?;
            out.write(b"\n")?;
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(code)
}
