//! Epoll instances that watch each other: never in a circle, never in a chain of more than five (epoll_ctl(2), ELOOP), and
//! never so that one change wakes too many of them: through four levels of n instances each, n to the fourth (EINVAL,
//! as with Linux).
//! Lock level 1, one for the whole kernel: a circle could be closed by two calls at once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use halyard_cell::{SpinGuard, SpinLock};

use super::Epoll;
use crate::fs::file::Special;
use crate::fs::open_file::OpenFile;
use crate::{Errno, Result};

/// The most instances that a wake may pass through after the first.
const DEPTH_MAX: u32 = 4;
/// The most wakes that one of an instance makes in those above it, counted once for each way there. Linux: 500, 100, 50, 10 for
/// the lengths of these ways.
const WAKES_MAX: u32 = 100;

/// The right to nest instances. Holds how many walks there have been: who has been met in one is marked with its number.
#[derive(Debug, Default)]
pub struct Nesting(SpinLock<u64>);

impl Nesting {
    /// No walk yet.
    #[must_use]
    pub fn new() -> Nesting {
        Nesting::default()
    }

    /// Whether `parent` may watch `child`; nothing else is nested until the guard is dropped. ELOOP, ENOMEM.
    pub(super) fn check(
        &self,
        parent: &Arc<Epoll>,
        child: &Arc<Epoll>,
    ) -> Result<SpinGuard<'_, u64>> {
        let mut walks = self.0.lock();
        let below = Walk::begin(&mut walks, Some(parent)).height(child, 0, children)?;
        let above = Walk::begin(&mut walks, None).height(parent, 0, parents)?;
        if below + 1 + above > DEPTH_MAX {
            return Err(Errno::ELOOP);
        }
        Ok(walks)
    }
}

/// Whether no wake makes too many others, now that `child` is watched by one more; `walks` is what [`Nesting::check`] gave.
/// EINVAL, ENOMEM.
pub(super) fn check_wakes(walks: &mut u64, child: &Arc<Epoll>) -> Result<()> {
    let mut below = Vec::new();
    Walk::begin(walks, None).collect(child, &mut below)?;
    let upwards = Walk::begin(walks, None);
    for epoll in &below {
        if upwards.wakes(epoll)? > WAKES_MAX {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

/// One look at all that an instance watches, or at all that watch it.
struct Walk<'a> {
    number: u64,
    /// Who must not be met.
    forbidden: Option<&'a Arc<Epoll>>,
}

impl<'a> Walk<'a> {
    fn begin(walks: &mut u64, forbidden: Option<&'a Arc<Epoll>>) -> Walk<'a> {
        *walks += 1;
        Walk {
            number: *walks,
            forbidden,
        }
    }

    /// How many instances follow one another behind `epoll`. ELOOP: too many, or the forbidden one. ENOMEM.
    fn height(
        &self,
        epoll: &Arc<Epoll>,
        depth: u32,
        next: fn(&Epoll) -> Result<Vec<Arc<Epoll>>>,
    ) -> Result<u32> {
        if depth > DEPTH_MAX || self.forbidden.is_some_and(|it| Arc::ptr_eq(it, epoll)) {
            return Err(Errno::ELOOP);
        }
        if epoll.walk.load(Ordering::Relaxed) == self.number {
            return Ok(epoll.height.load(Ordering::Relaxed));
        }
        let mut height = 0;
        for other in next(epoll)? {
            height = height.max(self.height(&other, depth + 1, next)? + 1);
        }
        epoll.height.store(height, Ordering::Relaxed);
        epoll.walk.store(self.number, Ordering::Relaxed);
        Ok(height)
    }

    /// Adds `epoll` and all instances behind it to `met`, each once. ENOMEM.
    fn collect(&self, epoll: &Arc<Epoll>, met: &mut Vec<Arc<Epoll>>) -> Result<()> {
        if epoll.walk.swap(self.number, Ordering::Relaxed) == self.number {
            return Ok(());
        }
        met.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        met.push(Arc::clone(epoll));
        children(epoll)?
            .iter()
            .try_for_each(|child| self.collect(child, met))
    }

    /// How many wakes one of `epoll` makes in those above it. ENOMEM.
    fn wakes(&self, epoll: &Arc<Epoll>) -> Result<u32> {
        if epoll.walk.load(Ordering::Relaxed) == self.number {
            return Ok(epoll.height.load(Ordering::Relaxed));
        }
        let mut wakes: u32 = 0;
        for parent in parents(epoll)? {
            wakes = wakes.saturating_add(self.wakes(&parent)?).saturating_add(1);
        }
        epoll.height.store(wakes, Ordering::Relaxed);
        epoll.walk.store(self.number, Ordering::Relaxed);
        Ok(wakes)
    }
}

/// The instances that `epoll` watches.
fn children(epoll: &Epoll) -> Result<Vec<Arc<Epoll>>> {
    // First the files, so that none is let go of with the lock held.
    let mut files: Vec<Arc<OpenFile>> = Vec::new();
    let set = epoll.set.lock();
    let nested = || set.items.values().filter(|item| item.nests);
    let reserved = files.try_reserve_exact(nested().count());
    if reserved.is_ok() {
        files.extend(nested().filter_map(|item| item.file.upgrade()));
    }
    drop(set);
    reserved.map_err(|_| Errno::ENOMEM)?;
    let mut found = Vec::new();
    found
        .try_reserve_exact(files.len())
        .map_err(|_| Errno::ENOMEM)?;
    for file in &files {
        if let Special::Epoll(child) = file.file().special() {
            found.push(Arc::clone(child));
        }
    }
    Ok(found)
}

/// The instances that watch `epoll`.
fn parents(epoll: &Epoll) -> Result<Vec<Arc<Epoll>>> {
    let mut found = Vec::new();
    let set = epoll.set.lock();
    let reserved = found.try_reserve_exact(set.parents.len());
    if reserved.is_ok() {
        found.extend(set.parents.iter().filter_map(alloc::sync::Weak::upgrade));
    }
    drop(set);
    reserved.map_err(|_| Errno::ENOMEM)?;
    Ok(found)
}
