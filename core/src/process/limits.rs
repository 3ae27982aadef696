//! Resource limits (getrlimit(2)): a soft and a hard one for each of the sixteen resources.

use halyard_cell::SpinLock;

use crate::mm::AddressSpace;
use crate::{Errno, Result};

/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// A resource, by its RLIMIT_* number (asm-generic/resource.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource(usize);

impl Resource {
    /// Greatest stack, in bytes.
    pub const STACK: Resource = Resource(3);
    /// Most processes of the user.
    pub const PROCESSES: Resource = Resource(6);
    /// One more than the greatest descriptor.
    pub const FILES: Resource = Resource(7);
    /// Greatest address space, in bytes.
    pub const ADDRESS_SPACE: Resource = Resource(9);
    /// Most queued signals.
    pub const PENDING_SIGNALS: Resource = Resource(11);
    /// Most bytes of POSIX message queues of the user.
    pub const MESSAGE_QUEUES: Resource = Resource(12);

    /// The resource of that number; None if there is none.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Resource> {
        if number < COUNT as u32 {
            Some(Resource(number as usize))
        } else {
            None
        }
    }
}

const COUNT: usize = 16;

/// A soft limit, which counts, and the hard one up to which it may be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What counts.
    pub soft: u64,
    /// Ceiling of the soft one.
    pub hard: u64,
}

/// The limits of a process. Lock level 2.
#[derive(Debug)]
pub struct Limits {
    values: SpinLock<[Limit; COUNT]>,
}

impl Default for Limits {
    fn default() -> Self {
        let mut values = [Limit {
            soft: INFINITY,
            hard: INFINITY,
        }; COUNT];
        values[Resource::STACK.0].soft = 8 << 20;
        values[Resource::PROCESSES.0] = Limit {
            soft: 4096,
            hard: 4096,
        };
        values[Resource::FILES.0] = Limit {
            soft: 1024,
            hard: 4096,
        };
        values[Resource::PENDING_SIGNALS.0] = Limit {
            soft: 1024,
            hard: 1024,
        };
        values[Resource::MESSAGE_QUEUES.0] = Limit {
            soft: 819_200,
            hard: 819_200,
        };
        Limits {
            values: SpinLock::new(values),
        }
    }
}

impl Clone for Limits {
    fn clone(&self) -> Self {
        Limits {
            values: SpinLock::new(*self.values.lock()),
        }
    }
}

impl Limits {
    /// The limit of `resource`.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Limit {
        self.values
            .lock()
            .get(resource.0)
            .copied()
            .unwrap_or(Limit {
                soft: INFINITY,
                hard: INFINITY,
            })
    }

    /// Tells `space` what it may come to.
    pub fn apply(&self, space: &AddressSpace) {
        space.set_limits(
            self.get(Resource::ADDRESS_SPACE).soft,
            self.get(Resource::STACK).soft,
        );
    }

    /// Changes a limit. EINVAL: soft above hard. EPERM: the unprivileged may not raise the hard one.
    pub fn set(&self, resource: Resource, to: Limit, privileged: bool) -> Result<()> {
        if to.soft > to.hard {
            return Err(Errno::EINVAL);
        }
        let mut values = self.values.lock();
        let Some(limit) = values.get_mut(resource.0) else {
            return Err(Errno::EINVAL);
        };
        if to.hard > limit.hard && !privileged {
            return Err(Errno::EPERM);
        }
        *limit = to;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_soft_above_hard_is_einval() {
        let limits = Limits::default();
        assert_eq!(
            limits.set(Resource::FILES, Limit { soft: 2, hard: 1 }, true),
            Err(Errno::EINVAL)
        );
    }

    #[test]
    fn limit_hard_raised_by_unprivileged_is_eperm() {
        let limits = Limits::default();
        let Limit { soft, hard } = limits.get(Resource::FILES);
        assert_eq!(
            limits.set(
                Resource::FILES,
                Limit {
                    soft,
                    hard: hard + 1
                },
                false
            ),
            Err(Errno::EPERM)
        );
        assert_eq!(
            limits.set(
                Resource::FILES,
                Limit {
                    soft,
                    hard: hard + 1
                },
                true
            ),
            Ok(())
        );
    }

    #[test]
    fn limit_number_beyond_the_last_is_none() {
        assert_eq!(Resource::from_number(16), None);
        assert_eq!(Resource::from_number(7), Some(Resource::FILES));
    }
}
