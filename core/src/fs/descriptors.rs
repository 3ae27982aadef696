//! Descriptor tables: small numbers for open files. Lock level 2.

use alloc::sync::Arc;
use alloc::vec::Vec;

use halyard_cell::SpinLock;

use super::open_file::OpenFile;
use crate::{Errno, Result};

/// The most descriptors that any limit allows; the table is bounded by it.
pub const DESCRIPTORS_MAX: usize = 4096;

/// One descriptor.
#[derive(Clone)]
struct Slot {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

/// The descriptors of a process, or of several that share them (CLONE_FILES).
#[derive(Default)]
pub struct DescriptorTable {
    slots: SpinLock<Slots>,
}

#[derive(Default)]
struct Slots {
    list: Vec<Option<Slot>>,
    /// No descriptor below this one is free.
    lowest_free: usize,
}

impl Slots {
    fn get(&self, fd: i32) -> Result<&Slot> {
        usize::try_from(fd).ok().and_then(|at| self.list.get(at)).and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    /// The lowest free descriptor from `least` on. EMFILE: it is not below `limit`.
    fn free_from(&self, least: usize, limit: usize) -> Result<usize> {
        let start = least.max(self.lowest_free);
        let open = self.list.iter().skip(start).position(Option::is_none);
        let at = open.map_or(self.list.len().max(start), |offset| start + offset);
        if at < limit.min(DESCRIPTORS_MAX) { Ok(at) } else { Err(Errno::EMFILE) }
    }

    /// Puts `slot` at `at`; gives back what was there.
    fn put(&mut self, at: usize, slot: Slot) -> Result<Option<Slot>> {
        if at >= self.list.len() {
            let more = at + 1 - self.list.len();
            self.list.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
            self.list.resize_with(at + 1, || None);
        }
        if at == self.lowest_free {
            self.lowest_free = at + 1;
        }
        Ok(self.list.get_mut(at).and_then(|place| place.replace(slot)))
    }

    fn take(&mut self, fd: i32) -> Option<Slot> {
        let at = usize::try_from(fd).ok()?;
        let slot = self.list.get_mut(at)?.take()?;
        self.lowest_free = self.lowest_free.min(at);
        Some(slot)
    }
}

impl DescriptorTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> DescriptorTable {
        DescriptorTable::default()
    }

    /// The open file of `fd`. EBADF.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>> {
        self.slots.lock().get(fd).map(|slot| Arc::clone(&slot.file))
    }

    /// Gives `file` the lowest free descriptor that is at least `least`. EMFILE: none below `limit`. ENOMEM.
    pub fn insert(&self, file: Arc<OpenFile>, least: usize, limit: usize, close_on_exec: bool) -> Result<i32> {
        let mut slots = self.slots.lock();
        let at = slots.free_from(least, limit)?;
        let displaced = slots.put(at, Slot { file, close_on_exec })?;
        drop(slots);
        drop(displaced);
        Ok(at as i32)
    }

    /// Gives two files the two lowest free descriptors, or neither. EMFILE, ENOMEM.
    pub fn insert_pair(&self, files: [Arc<OpenFile>; 2], limit: usize, close_on_exec: bool) -> Result<[i32; 2]> {
        let [first, second] = files;
        let first = self.insert(first, 0, limit, close_on_exec)?;
        match self.insert(second, 0, limit, close_on_exec) {
            Ok(second) => Ok([first, second]),
            Err(errno) => {
                let _ = self.close(first);
                Err(errno)
            }
        }
    }

    /// Makes `to` refer to the open file of `from`, closing what it was. EBADF: `from` is not open or `to` beyond `limit`.
    pub fn replace(&self, from: i32, to: i32, limit: usize, close_on_exec: bool) -> Result<i32> {
        let at = usize::try_from(to).ok().filter(|at| *at < limit.min(DESCRIPTORS_MAX)).ok_or(Errno::EBADF)?;
        let mut slots = self.slots.lock();
        let file = Arc::clone(&slots.get(from)?.file);
        let displaced = slots.put(at, Slot { file, close_on_exec });
        drop(slots);
        drop(displaced?);
        Ok(to)
    }

    /// Frees `fd`. EBADF. The open file, if this was its last reference, is closed with no lock held.
    pub fn close(&self, fd: i32) -> Result<()> {
        let taken = self.slots.lock().take(fd);
        taken.map(drop).ok_or(Errno::EBADF)
    }

    /// Whether `fd` is closed by exec. EBADF.
    pub fn close_on_exec(&self, fd: i32) -> Result<bool> {
        self.slots.lock().get(fd).map(|slot| slot.close_on_exec)
    }

    /// Says whether `fd` is to be closed by exec. EBADF.
    pub fn set_close_on_exec(&self, fd: i32, close: bool) -> Result<()> {
        let mut slots = self.slots.lock();
        let slot = usize::try_from(fd).ok().and_then(|at| slots.list.get_mut(at)).and_then(Option::as_mut);
        slot.ok_or(Errno::EBADF)?.close_on_exec = close;
        Ok(())
    }

    /// Closes, or with `mark` marks to be closed by exec, all descriptors from `first` to `last`.
    pub fn close_range(&self, first: u32, last: u32, mark: bool) {
        let end = self.slots.lock().list.len().min(last as usize + 1);
        for fd in first as usize..end {
            let fd = fd as i32;
            let _ = if mark { self.set_close_on_exec(fd, true) } else { self.close(fd) };
        }
    }

    /// All open descriptors in rising order.
    #[must_use]
    pub fn list(&self) -> Vec<i32> {
        let slots = self.slots.lock();
        let open = slots.list.iter().enumerate().filter(|(_, slot)| slot.is_some());
        open.map(|(fd, _)| fd as i32).collect()
    }

    /// A table of its own with the same descriptors (fork). ENOMEM.
    pub fn fork(&self) -> Result<Arc<DescriptorTable>> {
        self.copy(|_| true)
    }

    /// The table that an executed program gets: the same without what is marked to be closed. ENOMEM.
    pub fn for_exec(&self) -> Result<Arc<DescriptorTable>> {
        self.copy(|slot| !slot.close_on_exec)
    }

    fn copy(&self, wanted: impl Fn(&Slot) -> bool) -> Result<Arc<DescriptorTable>> {
        let slots = self.slots.lock();
        let mut list = Vec::new();
        list.try_reserve_exact(slots.list.len()).map_err(|_| Errno::ENOMEM)?;
        list.extend(slots.list.iter().map(|slot| slot.clone().filter(|slot| wanted(slot))));
        drop(slots);
        let lowest_free = list.iter().position(Option::is_none).unwrap_or(list.len());
        Ok(Arc::new(DescriptorTable { slots: SpinLock::new(Slots { list, lowest_free }) }))
    }
}
