//! What there is: the kernel's live objects and the machine's free memory.

use core::time::Duration;

use halyard_rt::objects::{self, Objects};
use halyard_rt::{prelude::*, system};

/// Live objects by kind, and free memory in KiB.
#[derive(Debug, Clone)]
pub(crate) struct Count {
    objects: Objects,
    free: u64,
}

/// Memory that the kernel may keep for itself after a storm, in KiB: its heap grows by such pieces and keeps them.
const KEPT: u64 = 1024;

/// How long what was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

impl Count {
    /// Looks until nothing changes any more. None: this kernel does not say.
    pub(crate) fn at_rest() -> Option<Self> {
        let objects = objects::at_rest()?;
        Some(Self {
            objects,
            free: free()?,
        })
    }

    /// Looks until it is as `before`, or for a while.
    pub(crate) fn settled(before: &Self) -> Option<Self> {
        let objects = objects::settled(&before.objects, PATIENCE)?;
        Some(Self {
            objects,
            free: free()?,
        })
    }

    /// Says what is not as it was. True: nothing.
    pub(crate) fn is_as(&self, before: &Self) -> bool {
        for (name, count, now) in objects::differences(&before.objects, &self.objects) {
            println!("storm: {name}: {count} before, {now} after");
        }
        println!(
            "storm: free memory {} KiB before, {} KiB after",
            before.free, self.free
        );
        self.objects == before.objects && self.free + KEPT >= before.free
    }
}

fn free() -> Option<u64> {
    let info = system::info().ok()?;
    Some(info.free * u64::from(info.unit) / 1024)
}
