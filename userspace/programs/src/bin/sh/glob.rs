//! File names by pattern: `*` any text, `?` any one character, in each part of a path.
//!
//! In a pattern, what was quoted is written with [`ESCAPE`] before it, so that it only means itself.

use halyard_rt::prelude::*;

/// Marks the next character of a pattern as plain; no file name holds a NUL.
pub(crate) const ESCAPE: char = '\0';

/// Whether the text asks for names at all.
pub(crate) fn is_pattern(text: &str) -> bool {
    let mut previous = ' ';
    text.chars().any(|c| {
        let special = matches!(c, '*' | '?') && previous != ESCAPE;
        previous = c;
        special
    })
}

/// The text without its marks.
pub(crate) fn unescape(text: &str) -> String {
    text.chars().filter(|&c| c != ESCAPE).collect()
}

/// The names that fit, sorted; none if no name does.
pub(crate) fn names(pattern: &str) -> Vec<String> {
    let (start, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("/", rest.trim_start_matches('/')),
        None => ("", pattern),
    };
    let mut found = vec![start.to_owned()];
    for part in rest.split('/') {
        let mut next = Vec::new();
        for directory in &found {
            extend(directory, part, &mut next);
        }
        found = next;
    }
    found.sort_unstable();
    found
}

/// Adds what of `directory` fits one part of the pattern.
fn extend(directory: &str, part: &str, next: &mut Vec<String>) {
    let join = |name: &str| match directory {
        "" => name.to_owned(),
        _ if directory.ends_with('/') => format!("{directory}{name}"),
        _ => format!("{directory}/{name}"),
    };
    if !is_pattern(part) {
        let path = join(&unescape(part));
        if fs::symlink_metadata(&path).is_ok() {
            next.push(path);
        }
        return;
    }
    let listed = if directory.is_empty() { "." } else { directory };
    for entry in fs::read_dir(listed).unwrap_or_default() {
        let Ok(name) = core::str::from_utf8(&entry.name) else {
            continue;
        };
        let hidden = name.starts_with('.') && !part.starts_with('.');
        if !hidden && name != "." && name != ".." && fits(part, name) {
            next.push(join(name));
        }
    }
}

/// Whether a name fits one part of a pattern. Time is at most the product of their lengths: after a mismatch only the
/// last `*` is tried with more.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), name.get(n)) {
            (Some('*'), _) => {
                retry = Some((p + 1, n));
                p += 1;
                continue;
            }
            (Some('?'), Some(_)) => {
                p += 1;
                n += 1;
                continue;
            }
            (Some(&ESCAPE), Some(c)) if pattern.get(p + 1) == Some(c) => {
                p += 2;
                n += 1;
                continue;
            }
            (Some(a), Some(b)) if a == b && *a != ESCAPE => {
                p += 1;
                n += 1;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        match retry {
            Some((after, taken)) if taken < name.len() => {
                retry = Some((after, taken + 1));
                p = after;
                n = taken + 1;
            }
            _ => return false,
        }
    }
}
