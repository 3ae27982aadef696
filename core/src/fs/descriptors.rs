//! Descriptor tables: small numbers for open files. Lock level 2.
//!
//! An open file is never dropped with the table's lock held.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use halyard_cell::SpinLock;

use super::open_file::{FileRef, OpenFile};
use crate::ipc::unix;
use crate::{Errno, Result};

/// The most descriptors that any limit allows; the table is bounded by it.
pub const DESCRIPTORS_MAX: usize = 4096;

const WORD: usize = u64::BITS as usize;
const WORDS: usize = DESCRIPTORS_MAX / WORD;
const _: () = assert!(WORDS == WORD, "one word says which words are full");

/// One descriptor.
#[derive(Clone)]
struct Slot {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

/// The descriptors of a process, or of several that share them (CLONE_FILES).
pub struct DescriptorTable {
    slots: SpinLock<Slots>,
    /// Under which number files know who holds what of them; see [`DescriptorTable::owner`].
    owner: AtomicU64,
    /// Another table has taken its place and its number: it goes without a word to its files.
    succeeded: AtomicBool,
    /// How many [`TableUse`]s there are.
    users: AtomicUsize,
}

/// A process's use of a descriptor table. Tasks and readers of /proc hold tables too; they are no users of them.
pub struct TableUse(Arc<DescriptorTable>);

impl TableUse {
    /// One more process uses `table`.
    #[must_use]
    pub fn new(table: Arc<DescriptorTable>) -> TableUse {
        table.users.fetch_add(1, Ordering::Relaxed);
        TableUse(table)
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Arc<DescriptorTable> {
        &self.0
    }

    /// The process goes on with `heir`, which [`DescriptorTable::for_exec`] made, in the place of this table: under its number,
    /// unless other processes go on with this one.
    pub fn succeed(self, heir: &DescriptorTable) {
        let table = &self.0;
        if table.users.load(Ordering::Relaxed) > 1 {
            heir.owner.store(next_owner(), Ordering::Relaxed);
            return;
        }
        table.succeeded.store(true, Ordering::Relaxed);
        table.close_those(0, u32::MAX, |slot| slot.close_on_exec);
    }
}

impl Drop for TableUse {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for DescriptorTable {
    fn default() -> DescriptorTable {
        DescriptorTable::with(Slots::default(), next_owner())
    }
}

/// A number that no other table has.
fn next_owner() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Which descriptors are in use: the lowest free one is two scans of a word away.
#[derive(Clone)]
struct InUse {
    words: [u64; WORDS],
    /// Bit n is set if all of word n is.
    full: u64,
}

impl Default for InUse {
    fn default() -> Self {
        InUse {
            words: [0; WORDS],
            full: 0,
        }
    }
}

impl InUse {
    fn set(&mut self, at: usize, used: bool) {
        let (index, bit) = (at / WORD, 1 << (at % WORD));
        let Some(word) = self.words.get_mut(index) else {
            return;
        };
        *word = if used { *word | bit } else { *word & !bit };
        let full = 1 << index;
        self.full = if *word == u64::MAX {
            self.full | full
        } else {
            self.full & !full
        };
    }

    /// The lowest free place from `least` on; [`DESCRIPTORS_MAX`] if there is none.
    fn lowest_free(&self, least: usize) -> usize {
        let index = least / WORD;
        let Some(word) = self.words.get(index) else {
            return DESCRIPTORS_MAX;
        };
        let below = (1 << (least % WORD)) - 1;
        let free = !(word | below);
        if free != 0 {
            return index * WORD + free.trailing_zeros() as usize;
        }
        let passed = u64::MAX >> (WORD - 1 - index);
        let index = (!(self.full | passed)).trailing_zeros() as usize;
        match self.words.get(index) {
            Some(word) => index * WORD + (!word).trailing_zeros() as usize,
            None => DESCRIPTORS_MAX,
        }
    }
}

#[derive(Default)]
struct Slots {
    list: Vec<Option<Slot>>,
    in_use: InUse,
}

impl Slots {
    #[inline]
    fn get(&self, fd: i32) -> Result<&Slot> {
        // A negative number becomes one beyond every table.
        self.list
            .get(fd as u32 as usize)
            .and_then(Option::as_ref)
            .ok_or(Errno::EBADF)
    }

    fn get_mut(&mut self, fd: i32) -> Result<&mut Slot> {
        self.list
            .get_mut(fd as u32 as usize)
            .and_then(Option::as_mut)
            .ok_or(Errno::EBADF)
    }

    /// The lowest free descriptor from `least` on, and room for it. EMFILE: it is not below `limit`. ENOMEM.
    fn reserve_from(&mut self, least: usize, limit: usize) -> Result<usize> {
        let at = self.in_use.lowest_free(least);
        if at >= limit.min(DESCRIPTORS_MAX) {
            return Err(Errno::EMFILE);
        }
        self.reserve(at)?;
        Ok(at)
    }

    /// Makes the list long enough for `at`, which is below [`DESCRIPTORS_MAX`]. ENOMEM.
    fn reserve(&mut self, at: usize) -> Result<()> {
        if at >= self.list.len() {
            let length = (at + 1).next_power_of_two().max(8);
            self.list
                .try_reserve_exact(length - self.list.len())
                .map_err(|_| Errno::ENOMEM)?;
            self.list.resize_with(length, || None);
        }
        Ok(())
    }

    /// Puts `slot` at `at`, for which there is room; gives back what was there.
    fn put(&mut self, at: usize, slot: Slot) -> Option<Slot> {
        self.in_use.set(at, true);
        self.list.get_mut(at).and_then(|place| place.replace(slot))
    }

    /// The places there are from `first` to `last`.
    fn range(&self, first: u32, last: u32) -> Range<usize> {
        let end = self.list.len().min((last as usize).saturating_add(1));
        first as usize..end.max(first as usize)
    }

    fn take(&mut self, fd: i32) -> Option<Slot> {
        let at = fd as u32 as usize;
        let slot = self.list.get_mut(at)?.take()?;
        self.in_use.set(at, false);
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
    pub fn get(&self, fd: i32) -> Result<FileRef> {
        let slots = self.slots.lock();
        slots.get(fd).map(|slot| Arc::clone(&slot.file).into())
    }

    /// Gives `file` the lowest free descriptor that is at least `least`. EMFILE: none below `limit`. ENOMEM.
    pub fn insert(
        &self,
        file: Arc<OpenFile>,
        least: usize,
        limit: usize,
        close_on_exec: bool,
    ) -> Result<i32> {
        let mut slots = self.slots.lock();
        match slots.reserve_from(least, limit) {
            Ok(at) => {
                let slot = Slot {
                    file,
                    close_on_exec,
                };
                slots.put(at, slot);
                Ok(at as i32)
            }
            Err(errno) => {
                drop(slots);
                // It may have come out of a message.
                unix::let_go(file);
                Err(errno)
            }
        }
    }

    /// Whether there is a free descriptor below `limit`.
    #[must_use]
    pub fn has_room(&self, limit: usize) -> bool {
        self.slots.lock().in_use.lowest_free(0) < limit.min(DESCRIPTORS_MAX)
    }

    /// Gives two files the two lowest free descriptors, or neither. EMFILE, ENOMEM.
    pub fn insert_pair(
        &self,
        files: [Arc<OpenFile>; 2],
        limit: usize,
        close_on_exec: bool,
    ) -> Result<[i32; 2]> {
        let mut slots = self.slots.lock();
        let first = slots.reserve_from(0, limit);
        let pair = first.and_then(|first| Ok((first, slots.reserve_from(first + 1, limit)?)));
        if let Ok((first, second)) = pair {
            for (at, file) in [first, second].into_iter().zip(files) {
                slots.put(
                    at,
                    Slot {
                        file,
                        close_on_exec,
                    },
                );
            }
        }
        drop(slots);
        pair.map(|(first, second)| [first as i32, second as i32])
    }

    /// Makes `to` refer to the open file of `from`, closing what it was. EBADF: `from` is not open or `to` beyond `limit`.
    /// ENOMEM.
    pub fn replace(&self, from: i32, to: i32, limit: usize, close_on_exec: bool) -> Result<i32> {
        let at = to as u32 as usize;
        if at >= limit.min(DESCRIPTORS_MAX) {
            return Err(Errno::EBADF);
        }
        let mut slots = self.slots.lock();
        let file = Arc::clone(&slots.get(from)?.file);
        // On failure `file` is dropped under the lock, but `from` holds it still.
        slots.reserve(at)?;
        let displaced = slots.put(
            at,
            Slot {
                file,
                close_on_exec,
            },
        );
        drop(slots);
        if let Some(displaced) = displaced {
            self.closed(displaced);
        }
        Ok(to)
    }

    /// Frees `fd`. EBADF. The open file, if this was its last reference, is closed with no lock held.
    pub fn close(&self, fd: i32) -> Result<()> {
        let taken = self.slots.lock().take(fd);
        self.closed(taken.ok_or(Errno::EBADF)?);
        Ok(())
    }

    /// Tells the file of a descriptor that was closed, if it wants to know, and lets go of it.
    #[inline]
    fn closed(&self, slot: Slot) {
        self.tell_of_close(&slot.file);
        unix::let_go(slot.file);
    }

    #[inline]
    fn tell_of_close(&self, file: &OpenFile) {
        if file.flushes() {
            file.file().flush(self.owner());
        }
    }

    /// Its number: what a process holds of a file by its descriptors (record locks, a registration for messages) is held
    /// under it, and given up when a descriptor of that file is closed here. It stays over exec.
    #[must_use]
    pub fn owner(&self) -> u64 {
        self.owner.load(Ordering::Relaxed)
    }

    /// Whether `fd` is closed by exec. EBADF.
    pub fn close_on_exec(&self, fd: i32) -> Result<bool> {
        self.slots.lock().get(fd).map(|slot| slot.close_on_exec)
    }

    /// Says whether `fd` is to be closed by exec. EBADF.
    pub fn set_close_on_exec(&self, fd: i32, close: bool) -> Result<()> {
        self.slots.lock().get_mut(fd)?.close_on_exec = close;
        Ok(())
    }

    /// Closes all descriptors from `first` to `last`.
    pub fn close_range(&self, first: u32, last: u32) {
        self.close_those(first, last, |_| true);
    }

    /// Marks all descriptors from `first` to `last` to be closed by exec.
    pub fn mark_range(&self, first: u32, last: u32) {
        let mut slots = self.slots.lock();
        let range = slots.range(first, last);
        let places = slots.list.get_mut(range).unwrap_or_default();
        for slot in places.iter_mut().flatten() {
            slot.close_on_exec = true;
        }
    }

    fn close_those(&self, first: u32, last: u32, which: impl Fn(&Slot) -> bool) {
        let range = self.slots.lock().range(first, last);
        let mut leaving = unix::Leaving::default();
        for fd in range {
            let mut slots = self.slots.lock();
            let wanted = slots.get(fd as i32).is_ok_and(&which);
            let taken = wanted.then(|| slots.take(fd as i32)).flatten();
            drop(slots);
            if let Some(slot) = taken {
                self.tell_of_close(&slot.file);
                leaving.let_go(slot.file);
            }
        }
    }

    /// The lowest open descriptor that is at least `least`, and what it refers to.
    #[must_use]
    pub fn next_from(&self, least: i32) -> Option<(i32, FileRef)> {
        let slots = self.slots.lock();
        let mut open = slots
            .list
            .iter()
            .enumerate()
            .skip(usize::try_from(least).ok()?);
        open.find_map(|(fd, slot)| {
            slot.as_ref()
                .map(|slot| (fd as i32, Arc::clone(&slot.file).into()))
        })
    }

    /// How many descriptors there is room for now (FDSize of /proc/PID/status).
    #[must_use]
    pub fn room(&self) -> usize {
        self.slots.lock().list.len()
    }

    /// A table of its own with the same descriptors (fork). ENOMEM.
    pub fn fork(&self) -> Result<Arc<DescriptorTable>> {
        self.copy(next_owner(), |_| true)
    }

    /// The table that an executed program gets: the same without what is marked to be closed. ENOMEM.
    pub fn for_exec(&self) -> Result<Arc<DescriptorTable>> {
        self.copy(self.owner(), |slot| !slot.close_on_exec)
    }

    fn with(slots: Slots, owner: u64) -> DescriptorTable {
        DescriptorTable {
            slots: SpinLock::new(slots),
            owner: AtomicU64::new(owner),
            succeeded: AtomicBool::new(false),
            users: AtomicUsize::new(0),
        }
    }

    fn copy(&self, owner: u64, wanted: impl Fn(&Slot) -> bool) -> Result<Arc<DescriptorTable>> {
        let mut copy = Slots::default();
        let slots = self.slots.lock();
        copy.list
            .try_reserve_exact(slots.list.len())
            .map_err(|_| Errno::ENOMEM)?;
        for (at, slot) in slots.list.iter().enumerate() {
            let slot = slot.as_ref().filter(|slot| wanted(slot)).cloned();
            if slot.is_some() {
                copy.in_use.set(at, true);
            }
            copy.list.push(slot);
        }
        drop(slots);
        Ok(Arc::new(DescriptorTable::with(copy, owner)))
    }
}

impl Drop for DescriptorTable {
    fn drop(&mut self) {
        let succeeded = self.succeeded.load(Ordering::Relaxed);
        let slots = core::mem::take(self.slots.get_mut());
        let mut leaving = unix::Leaving::default();
        for slot in slots.list.into_iter().flatten() {
            if !succeeded {
                self.tell_of_close(&slot.file);
            }
            leaving.let_go(slot.file);
        }
    }
}

#[cfg(test)]
#[path = "descriptors_tests.rs"]
mod tests;
