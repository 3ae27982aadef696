//! Descriptor tables: small numbers for open files. Lock level 2.
//!
//! An open file is never dropped with the table's lock held.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

    /// `heir`, which [`DescriptorTable::for_exec`] made, takes the place of this table. `shared`: other processes go on with
    /// this one, which then keeps its number.
    pub fn succeed(&self, heir: &DescriptorTable, shared: bool) {
        if shared {
            heir.owner.store(next_owner(), Ordering::Relaxed);
            return;
        }
        self.succeeded.store(true, Ordering::Relaxed);
        self.close_those(0, u32::MAX, |slot| slot.close_on_exec);
    }

    fn with(slots: Slots, owner: u64) -> DescriptorTable {
        DescriptorTable {
            slots: SpinLock::new(slots),
            owner: AtomicU64::new(owner),
            succeeded: AtomicBool::new(false),
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
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::file::File;
    use super::super::open_file::OpenFlags;
    use super::*;

    struct Nothing;
    impl File for Nothing {}

    fn open() -> Arc<OpenFile> {
        OpenFile::new(Arc::new(Nothing), OpenFlags::empty()).unwrap()
    }

    #[test]
    fn insert_beyond_the_limit_is_emfile_and_closes_the_file() {
        let table = DescriptorTable::new();
        let file = open();
        assert_eq!(table.insert(Arc::clone(&file), 0, 1, false), Ok(0));
        assert_eq!(
            table.insert(Arc::clone(&file), 0, 1, false),
            Err(Errno::EMFILE)
        );
        assert_eq!(
            table.insert_pair([open(), open()], 2, false),
            Err(Errno::EMFILE)
        );
        assert_eq!(Arc::strong_count(&file), 2);
        assert_eq!(table.insert(open(), 0, usize::MAX, false), Ok(1));
    }

    #[test]
    fn negative_descriptors_are_ebadf_everywhere() {
        let table = DescriptorTable::new();
        table.insert(open(), 0, 10, false).unwrap();
        for fd in [-1, i32::MIN, 1, 4096, i32::MAX] {
            assert_eq!(table.get(fd).err(), Some(Errno::EBADF));
            assert_eq!(table.close(fd), Err(Errno::EBADF));
            assert_eq!(table.close_on_exec(fd), Err(Errno::EBADF));
            assert_eq!(table.replace(fd, 3, 10, false), Err(Errno::EBADF));
        }
        assert_eq!(table.replace(0, -1, 10, false), Err(Errno::EBADF));
        assert_eq!(table.replace(0, 10, 10, false), Err(Errno::EBADF));
    }

    #[test]
    fn exec_closes_what_is_marked_and_fork_keeps_it() {
        let table = DescriptorTable::new();
        table.insert_pair([open(), open()], 10, true).unwrap();
        table.insert(open(), 0, 10, false).unwrap();
        assert_eq!(table.fork().unwrap().close_on_exec(0), Ok(true));
        let executed = table.for_exec().unwrap();
        assert_eq!(executed.next_from(0).map(|(fd, _)| fd), Some(2));
        assert_eq!(executed.insert(open(), 0, 10, false), Ok(0));
    }

    #[test]
    fn table_full_has_no_free_descriptor() {
        let table = DescriptorTable::new();
        let file = open();
        for fd in 0..DESCRIPTORS_MAX {
            assert_eq!(
                table.insert(Arc::clone(&file), 0, usize::MAX, false),
                Ok(fd as i32)
            );
        }
        assert_eq!(
            table.insert(Arc::clone(&file), 0, usize::MAX, false),
            Err(Errno::EMFILE)
        );
        table.close(4095).unwrap();
        assert_eq!(
            table.insert(Arc::clone(&file), 77, usize::MAX, false),
            Ok(4095)
        );
        table.close_range(0, u32::MAX);
        assert_eq!(Arc::strong_count(&file), 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize, bool),
        Pair(bool),
        Replace(i32, i32, bool),
        Close(i32),
        CloseRange(u32, u32, bool),
        Exec,
    }

    fn step() -> impl Strategy<Value = Step> {
        let fd = || prop_oneof![0..12i32, 60..70i32, 126..131i32];
        prop_oneof![
            4 => (prop_oneof![0..3usize, 60..70usize], any::<bool>()).prop_map(|(least, mark)| Step::Insert(least, mark)),
            2 => any::<bool>().prop_map(Step::Pair),
            3 => (fd(), fd(), any::<bool>()).prop_map(|(from, to, mark)| Step::Replace(from, to, mark)),
            3 => fd().prop_map(Step::Close),
            1 => (fd(), fd(), any::<bool>()).prop_map(|(first, last, mark)| Step::CloseRange(first as u32, last as u32, mark)),
            1 => Just(Step::Exec),
        ]
    }

    const LIMIT: usize = 130;

    #[derive(Default)]
    struct Model(BTreeMap<i32, (*const OpenFile, bool)>);

    impl Model {
        fn free(&self, least: usize) -> Option<i32> {
            (least as i32..LIMIT as i32).find(|fd| !self.0.contains_key(fd))
        }

        fn insert(&mut self, file: &Arc<OpenFile>, least: usize, mark: bool) -> Option<i32> {
            let fd = self.free(least)?;
            self.0.insert(fd, (Arc::as_ptr(file), mark));
            Some(fd)
        }
    }

    fn apply(table: &mut Arc<DescriptorTable>, model: &mut Model, step: Step) {
        match step {
            Step::Insert(least, mark) => {
                let file = open();
                let expected = model.insert(&file, least, mark);
                assert_eq!(table.insert(file, least, LIMIT, mark).ok(), expected);
            }
            Step::Pair(mark) => {
                let files = [open(), open()];
                let first = model.insert(&files[0], 0, mark);
                let second = model.insert(&files[1], 0, mark);
                if let (Some(first), None) = (first, second) {
                    model.0.remove(&first);
                }
                assert_eq!(
                    table.insert_pair(files, LIMIT, mark).ok(),
                    first.zip(second).map(Into::into)
                );
            }
            Step::Replace(from, to, mark) => {
                let known = model
                    .0
                    .get(&from)
                    .filter(|_| (to as usize) < LIMIT)
                    .copied();
                assert_eq!(
                    table.replace(from, to, LIMIT, mark).is_ok(),
                    known.is_some()
                );
                known.map(|(file, _)| model.0.insert(to, (file, mark)));
            }
            Step::Close(fd) => assert_eq!(table.close(fd).is_ok(), model.0.remove(&fd).is_some()),
            Step::CloseRange(first, last, mark) => {
                if mark {
                    table.mark_range(first, last);
                } else {
                    table.close_range(first, last);
                }
                let within = |fd: &i32| (first..=last).contains(&(*fd as u32));
                model
                    .0
                    .iter_mut()
                    .filter(|(fd, _)| mark && within(fd))
                    .for_each(|(_, (_, marked))| *marked = true);
                model.0.retain(|fd, _| mark || !within(fd));
            }
            Step::Exec => {
                *table = table.for_exec().unwrap();
                model.0.retain(|_, (_, mark)| !*mark);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn table_does_what_a_map_does(steps in prop::collection::vec(step(), 1..200)) {
            let (mut table, mut model) = (Arc::new(DescriptorTable::new()), Model::default());
            for step in steps {
                apply(&mut table, &mut model, step);
                let mut listed = Vec::new();
                let mut from = 0;
                while let Some((fd, file)) = table.next_from(from) {
                    listed.push((fd, (Arc::as_ptr(&file), table.close_on_exec(fd).unwrap())));
                    from = fd + 1;
                }
                prop_assert_eq!(&listed, &model.0.iter().map(|(fd, slot)| (*fd, *slot)).collect::<Vec<_>>());
            }
        }
    }
}
