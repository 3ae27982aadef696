//! Removes files, and with `-r` directories.

use crate::command::{Outcome, each_name, join, parse};
use halyard_rt::prelude::*;

/// `rm [-r] [-f] FILE...`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "rf")?;
    if parsed.operands.is_empty() && parsed.has('f') {
        return Ok(0);
    }
    each_name("rm", &parsed.operands, |name| {
        match remove(name.as_bytes(), parsed.has('r')) {
            Err(Errno::ENOENT) if parsed.has('f') => Ok(()),
            result => result,
        }
    })
}

fn remove(path: &[u8], deep: bool) -> Result<()> {
    if !deep || !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    for entry in fs::read_dir(path)? {
        if entry.name != b"." && entry.name != b".." {
            remove(&join(path, &entry.name), true)?;
        }
    }
    fs::remove_dir(path)
}
