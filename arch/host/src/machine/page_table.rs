//! Emulated page tables: a map from pages to mappings, one frame of the pool taken for every 512 pages that ever held one
//! (so that running out of memory strikes here as it does on hardware).

use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::vec::Vec;

use halyard_core::machine::{
    Access, Frame, Mapping, OutOfMemory, PAGE_SIZE, PageTable, SpaceToken, USER_END, UserAddr,
};
use halyard_core::mm::FramePool;

use super::locked;

/// Pages of one intermediate table.
const TABLE_PAGES: usize = 512;

type Entries = BTreeMap<usize, Mapping>;

/// All tables of a machine, by token.
#[derive(Default)]
pub(super) struct Tables {
    known: Mutex<TablesInner>,
}

#[derive(Default)]
struct TablesInner {
    next: u64,
    by_token: BTreeMap<u64, Weak<Mutex<Entries>>>,
}

impl Tables {
    pub(super) fn create(
        &self,
        pool: &'static FramePool,
    ) -> Result<Box<dyn PageTable>, OutOfMemory> {
        let root = pool.allocate()?;
        let mut known = locked(&self.known);
        known.by_token.retain(|_, table| table.strong_count() > 0);
        known.next += 1;
        let entries = Arc::new(Mutex::new(Entries::new()));
        let token = known.next;
        known.by_token.insert(token, Arc::downgrade(&entries));
        Ok(Box::new(HostTable {
            pool,
            entries,
            token,
            tables: BTreeMap::new(),
            root,
        }))
    }

    /// What is at `address` in the space that `token` names. A token of a space that is gone ends the test.
    pub(super) fn translate(&self, token: SpaceToken, address: usize) -> Option<Mapping> {
        let entries = locked(&self.known)
            .by_token
            .get(&token.0)
            .and_then(Weak::upgrade);
        match entries {
            Some(entries) => locked(&entries).get(&(address / PAGE_SIZE)).copied(),
            None => panic!("the address space {token:?} is gone"),
        }
    }
}

struct HostTable {
    pool: &'static FramePool,
    entries: Arc<Mutex<Entries>>,
    token: u64,
    tables: BTreeMap<usize, Frame>,
    root: Frame,
}

fn number(page: UserAddr) -> usize {
    assert!(
        page.0.is_multiple_of(PAGE_SIZE) && page.0 < USER_END,
        "{page:?} is not a page"
    );
    page.0 / PAGE_SIZE
}

impl PageTable for HostTable {
    fn map(&mut self, page: UserAddr, mapping: Mapping) -> Result<(), OutOfMemory> {
        let page = number(page);
        assert!(self.pool.contains(mapping.frame), "{mapping:?} is not RAM");
        if let std::collections::btree_map::Entry::Vacant(entry) =
            self.tables.entry(page / TABLE_PAGES)
        {
            entry.insert(self.pool.allocate()?);
        }
        locked(&self.entries).insert(page, mapping);
        Ok(())
    }

    fn unmap(&mut self, page: UserAddr) -> Option<Mapping> {
        locked(&self.entries).remove(&number(page))
    }

    fn protect(&mut self, page: UserAddr, access: Access) {
        if let Some(mapping) = locked(&self.entries).get_mut(&number(page)) {
            mapping.access = access;
        }
    }

    fn lookup(&self, page: UserAddr) -> Option<Mapping> {
        locked(&self.entries).get(&number(page)).copied()
    }

    fn update_range(
        &mut self,
        start: UserAddr,
        end: UserAddr,
        visit: &mut dyn FnMut(UserAddr, Mapping) -> Option<Mapping>,
    ) {
        let range = start.0 / PAGE_SIZE..end.0.div_ceil(PAGE_SIZE);
        if range.is_empty() {
            return;
        }
        let present: Vec<_> = locked(&self.entries)
            .range(range)
            .map(|(page, mapping)| (*page, *mapping))
            .collect();
        for (page, mapping) in present {
            let update = visit(UserAddr(page * PAGE_SIZE), mapping);
            let mut entries = locked(&self.entries);
            match update {
                Some(mapping) => entries.insert(page, mapping),
                None => entries.remove(&page),
            };
        }
    }

    fn first_present(&self, start: UserAddr, end: UserAddr) -> Option<UserAddr> {
        let range = start.0 / PAGE_SIZE..end.0.div_ceil(PAGE_SIZE).max(start.0 / PAGE_SIZE);
        let entries = locked(&self.entries);
        let first = entries.range(range).next();
        first.map(|(page, _)| UserAddr(page * PAGE_SIZE))
    }

    fn token(&self) -> SpaceToken {
        SpaceToken(self.token)
    }
}

impl Drop for HostTable {
    fn drop(&mut self) {
        assert!(
            std::thread::panicking() || locked(&self.entries).is_empty(),
            "a page table is dropped with frames still mapped"
        );
        for frame in self.tables.values() {
            self.pool.release(*frame);
        }
        self.pool.release(self.root);
    }
}
