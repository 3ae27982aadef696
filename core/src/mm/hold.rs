//! Who counts the regions that map an object. A region has a [`Hold`] in its label: it is cloned where the region forks or is split, and dropped
//! where the region goes, so that the count is that of the regions at any time.

use alloc::sync::Arc;
use core::fmt;

/// Something whose mappings are counted. Both may be called where an address space is locked (level 4), so they take no lock but leaves.
pub trait Mapped: Send + Sync {
    /// There is one region more.
    fn mapped(&self);
    /// There is one less.
    fn unmapped(&self);
    /// What its regions are called in /proc/PID/maps.
    fn name(&self) -> &str;
}

/// One region's share in the count.
pub struct Hold(Arc<dyn Mapped>);

impl Hold {
    /// Counts one more.
    #[must_use]
    pub fn new(mapped: Arc<dyn Mapped>) -> Hold {
        mapped.mapped();
        Hold(mapped)
    }

    /// What its region is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }
}

impl Clone for Hold {
    fn clone(&self) -> Hold {
        Hold::new(Arc::clone(&self.0))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.unmapped();
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.name()).finish()
    }
}
