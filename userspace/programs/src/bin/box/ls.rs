//! Lists directories.

use crate::command::{Outcome, join, parse};
use halyard_rt::fs::{Kind, Metadata};
use halyard_rt::prelude::*;

/// `ls [-a] [-l] [FILE...]`: one name a line, sorted.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "al1")?;
    let (all, long) = (parsed.has('a'), parsed.has('l'));
    let names = match parsed.operands.as_slice() {
        [] => &["."],
        names => names,
    };
    let mut out = BufWriter::new(STDOUT);
    let mut code = 0;
    for (index, name) in names.iter().enumerate() {
        // `ls link` shows what a link leads to, `ls -l link` the link, as elsewhere.
        let found = match long {
            true => fs::symlink_metadata(name),
            false => fs::metadata(name).or_else(|_| fs::symlink_metadata(name)),
        };
        let shown = match found {
            Ok(found) if found.is_dir() => {
                if names.len() > 1 {
                    let gap = if index > 0 { "\n" } else { "" };
                    let _ = writeln!(out, "{gap}{name}:");
                }
                list(&mut out, name.as_bytes(), all, long)
            }
            Ok(found) => show(
                &mut out,
                name.as_bytes(),
                name.as_bytes(),
                long.then_some(&found),
            ),
            Err(errno) => Err(errno),
        };
        if let Err(errno) = shown {
            out.flush()?;
            eprintln!("ls: {name}: {errno}");
            code = 1;
        }
    }
    out.flush()?;
    Ok(code)
}

fn list(out: &mut BufWriter<i32>, directory: &[u8], all: bool, long: bool) -> Result<()> {
    let mut entries = fs::read_dir(directory)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in entries {
        if !all && entry.name.starts_with(b".") {
            continue;
        }
        let path = join(directory, &entry.name);
        // A name may go between the listing and the look at it.
        let found = if long {
            fs::symlink_metadata(&path).ok()
        } else {
            None
        };
        show(out, &path, &entry.name, found.as_ref())?;
    }
    Ok(())
}

fn show(
    out: &mut BufWriter<i32>,
    path: &[u8],
    name: &[u8],
    found: Option<&Metadata>,
) -> Result<()> {
    if let Some(found) = found {
        let (user, group) = found.owner();
        let size = match found.kind() {
            Kind::CharDevice | Kind::BlockDevice => {
                let (major, minor) = found.device_numbers();
                format!("{major},{minor}")
            }
            _ => found.size().to_string(),
        };
        let line = format!(
            "{} {:3} {user:4} {group:4} {size:>9} ",
            permissions(found),
            found.links()
        );
        out.write(line.as_bytes())?;
    }
    out.write(name)?;
    if found.is_some_and(|found| found.kind() == Kind::Symlink)
        && let Ok(target) = fs::read_link(path)
    {
        out.write(b" -> ")?;
        out.write(&target)?;
    }
    out.write(b"\n")
}

/// `drwxr-xr-x`
fn permissions(found: &Metadata) -> String {
    let kind = match found.kind() {
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
        Kind::CharDevice => 'c',
        Kind::BlockDevice => 'b',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
        Kind::Regular | Kind::Other => '-',
    };
    let mode = found.permissions();
    let mut text = String::from(kind);
    for (shift, special, mark) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift & 7;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => mark,
            (true, false) => mark.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}
