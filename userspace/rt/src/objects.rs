//! The kernel's counters of live objects (`/proc/halyard/objects`, `name count` a line). Linux has none.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

use crate::{fs, time};

/// How many there are of each kind.
pub type Objects = BTreeMap<String, u64>;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What there is now. None: this kernel does not say.
#[must_use]
pub fn live() -> Option<Objects> {
    let text = fs::read_to_string("/proc/halyard/objects").ok()?;
    let line = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    text.lines().map(line).collect()
}

/// What there is once it has stayed the same for a fifth of a second, or after ten: what ends goes a little after its
/// parent was told.
#[must_use]
pub fn at_rest() -> Option<Objects> {
    const STILL: u32 = 4;
    const LOOKS: u32 = 200;
    let mut last = live()?;
    let mut same = 0;
    for _ in 0..LOOKS {
        time::sleep(PAUSE);
        let now = live()?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same == STILL {
            break;
        }
    }
    Some(last)
}

/// What there is once it is `before`, or after `patience`.
#[must_use]
pub fn settled(before: &Objects, patience: Duration) -> Option<Objects> {
    let until = time::uptime() + patience;
    let mut now = live()?;
    while now != *before && time::uptime() < until {
        time::sleep(PAUSE);
        now = live()?;
    }
    Some(now)
}

/// What `after` has more or less than `before`: the kind, and both counts.
pub fn differences<'a>(
    before: &'a Objects,
    after: &'a Objects,
) -> impl Iterator<Item = (&'a str, u64, u64)> {
    before.iter().filter_map(|(name, count)| {
        let now = after.get(name).copied().unwrap_or(0);
        (now != *count).then_some((name.as_str(), *count, now))
    })
}
