//! Copies files, and with `-r` directories.

use crate::command::{On, Outcome, destination, join, parse, usage};
use halyard_rt::fs::Kind;
use halyard_rt::{open, prelude::*};

/// `cp [-r] FROM... TO`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "r")?;
    let Some((to, from)) = parsed
        .operands
        .split_last()
        .filter(|(_, from)| !from.is_empty())
    else {
        return usage("two names are needed");
    };
    if from.len() > 1 && !fs::metadata(to).on(to)?.is_dir() {
        return Err(Errno::ENOTDIR).on(to);
    }
    for name in from {
        copy(name.as_bytes(), &destination(name, to), parsed.has('r')).on(name)?;
    }
    Ok(0)
}

fn copy(from: &[u8], to: &[u8], deep: bool) -> Result<()> {
    let found = if deep {
        fs::symlink_metadata(from)?
    } else {
        fs::metadata(from)?
    };
    match found.kind() {
        Kind::Directory if !deep => Err(Errno::EISDIR),
        Kind::Directory => {
            match fs::create_dir(to, found.permissions()) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            // Listed before anything is copied, so that a copy into itself ends.
            for entry in fs::read_dir(from)? {
                if entry.name != b"." && entry.name != b".." {
                    copy(&join(from, &entry.name), &join(to, &entry.name), deep)?;
                }
            }
            Ok(())
        }
        Kind::Symlink => fs::symlink(fs::read_link(from)?, to),
        _ => copy_file(from, to, found.permissions()),
    }
}

fn copy_file(from: &[u8], to: &[u8], mode: u32) -> Result<()> {
    let source = fs::open(from)?;
    let identity = |found: fs::Metadata| (found.device(), found.inode());
    if fs::metadata(to).map(identity) == fs::metadata_of(&source).map(identity) {
        return Err(Errno::EEXIST);
    }
    let flags = open::O_WRONLY | open::O_CREAT | open::O_TRUNC | open::O_CLOEXEC;
    io::copy(source, fs::open_with(to, flags, mode)?).map(drop)
}
