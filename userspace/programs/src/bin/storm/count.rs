//! What there is: the kernel's live objects and the machine's free memory.

use alloc::collections::BTreeMap;
use core::time::Duration;

use halyard_rt::{prelude::*, system};

/// Live objects by kind, and free memory in KiB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Count {
    objects: BTreeMap<String, u64>,
    free: u64,
}

/// Memory that the kernel may keep for itself after a storm, in KiB: its heap grows by such pieces and keeps them.
const KEPT: u64 = 1024;

impl Count {
    /// Looks. None: this kernel does not say.
    pub(crate) fn now() -> Option<Self> {
        let text = fs::read_to_string("/proc/halyard/objects").ok()?;
        let line = |line: &str| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.trim().parse().ok()?))
        };
        let info = system::info().ok()?;
        Some(Self {
            objects: text.lines().map(line).collect::<Option<_>>()?,
            free: info.free * u64::from(info.unit) / 1024,
        })
    }

    /// Looks until nothing changes any more.
    pub(crate) fn at_rest() -> Option<Self> {
        let mut last = Self::now()?;
        for _ in 0..50 {
            time::sleep(Duration::from_millis(200));
            let now = Self::now()?;
            if now == last {
                break;
            }
            last = now;
        }
        Some(last)
    }

    /// Looks until it is as `before` or five seconds are over: what is killed is not gone at once.
    pub(crate) fn settled(before: &Self) -> Option<Self> {
        for _ in 0..100 {
            let now = Self::now()?;
            if now.objects == before.objects && now.free >= before.free {
                return Some(now);
            }
            time::sleep(Duration::from_millis(50));
        }
        Self::now()
    }

    /// Says what is not as it was. True: nothing.
    pub(crate) fn is_as(&self, before: &Self) -> bool {
        let mut same = true;
        for (name, count) in &before.objects {
            let now = self.objects.get(name).copied().unwrap_or(0);
            if now != *count {
                println!("storm: {name}: {count} before, {now} after");
                same = false;
            }
        }
        println!(
            "storm: free memory {} KiB before, {} KiB after",
            before.free, self.free
        );
        same && self.free + KEPT >= before.free
    }
}
