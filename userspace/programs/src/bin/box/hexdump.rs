//! Shows bytes as numbers and as text, sixteen a line.

use crate::command::{Outcome, each_input, parse};
use halyard_rt::prelude::*;

/// `hexdump [FILE...]`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "")?;
    let mut out = BufWriter::new(STDOUT);
    let code = each_input("hexdump", &parsed.operands, |_, file| {
        let mut offset = 0;
        let mut row = [0u8; 16];
        loop {
            let length = io::read_full(file, &mut row)?;
            let Some(bytes) = row.get(..length).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            write!(out, "{offset:08x} ")?;
            for index in 0..row.len() {
                match bytes.get(index) {
                    Some(byte) => write!(out, " {byte:02x}")?,
                    None => out.write(b"   ")?,
                }
            }
            let shown = |&byte: &u8| match byte {
                b' '..=b'~' => char::from(byte),
                _ => '.',
            };
            let text: String = bytes.iter().map(shown).collect();
            writeln!(out, "  |{text}|")?;
            offset += length;
            // A short row is the last: a terminal would have to be told of the end twice.
            if length < row.len() {
                break;
            }
        }
        writeln!(out, "{offset:08x}")?;
        Ok(())
    })?;
    out.flush()?;
    Ok(code)
}
