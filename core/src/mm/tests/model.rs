//! Random steps on a tree of address spaces, against what a page is in words: a map from pages to values, and files whose
//! values everybody sees.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Bench, RW, get, page, put};
use crate::machine::{Access, PAGE_SIZE, UserAddr};
use crate::mm::{AddressSpace, Backing, MapRequest, MemoryObject, Move, Placement};

/// Pages that steps work on.
const PAGES: usize = 24;
/// Pages of a file.
const FILE_PAGES: usize = 8;
/// What each page of a file begins with at first.
const FILE_VALUE: u64 = 0xf11e_0000;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Anonymous,
    Private,
    Shared,
}

#[derive(Clone, Debug)]
enum Step {
    Map(Kind, usize, usize, u8, usize),
    Unmap(usize, usize),
    Protect(usize, usize, u8),
    Store(usize, u64),
    Load(usize),
    Move(usize, usize, usize, usize),
    Discard(usize, usize),
    Cut(usize),
    StoreFile(usize, u64),
    Fork,
    Switch(usize),
    Exit(usize),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Anonymous),
        Just(Kind::Private),
        Just(Kind::Shared)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (at, length) = (0..PAGES, 1..8_usize);
    prop_oneof![
        4 => (kind(), at.clone(), length.clone(), 0..8_u8, 0..FILE_PAGES)
            .prop_map(|(kind, at, length, access, from)| Step::Map(kind, at, length, access, from)),
        2 => (at.clone(), length.clone()).prop_map(|(at, length)| Step::Unmap(at, length)),
        3 => (at.clone(), length.clone(), 0..8_u8).prop_map(|(at, length, access)| Step::Protect(at, length, access)),
        8 => (at.clone(), 1..u64::MAX).prop_map(|(at, value)| Step::Store(at, value)),
        6 => at.clone().prop_map(Step::Load),
        2 => (at.clone(), length.clone(), length.clone(), at.clone())
            .prop_map(|(at, old, new, to)| Step::Move(at, old, new, to)),
        1 => (at.clone(), length).prop_map(|(at, length)| Step::Discard(at, length)),
        1 => (0..=FILE_PAGES).prop_map(Step::Cut),
        1 => (0..FILE_PAGES, any::<u64>()).prop_map(|(at, value)| Step::StoreFile(at, value)),
        2 => Just(Step::Fork),
        2 => any::<usize>().prop_map(Step::Switch),
        1 => any::<usize>().prop_map(Step::Exit),
    ]
}

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behind {
    /// Its own value.
    Own(u64),
    /// Not stored to yet: what the file has at that page.
    File(usize),
    /// What the file has at that page, stores too.
    Shared(usize),
}

#[derive(Clone, Copy, Debug)]
struct Page {
    access: Access,
    behind: Behind,
    /// What it is when its contents are given back.
    first: Behind,
}

type Model = BTreeMap<usize, Page>;

/// One process of the tree and what it should have.
struct Process {
    space: Arc<AddressSpace>,
    model: Model,
}

struct World {
    file: Arc<MemoryObject>,
    /// What the file's pages begin with.
    contents: Vec<u64>,
    processes: Vec<Process>,
    current: usize,
}

/// What the hardware lets a program do that may do `access`.
fn may(access: Access, wanted: Access) -> bool {
    access.contains(wanted) || (wanted == Access::READ && access.contains(Access::WRITE))
}

impl World {
    fn new(bench: &Bench) -> World {
        let file = MemoryObject::new(bench.memory, 0);
        let contents: Vec<u64> = (0..FILE_PAGES as u64).map(|n| FILE_VALUE + n).collect();
        for (n, value) in contents.iter().enumerate() {
            let mut bytes = [0; PAGE_SIZE];
            bytes[..8].copy_from_slice(&value.to_le_bytes());
            file.write_at(&mut &bytes[..], (n * PAGE_SIZE) as u64)
                .unwrap();
        }
        let first = Process {
            space: bench.space(),
            model: Model::new(),
        };
        World {
            file,
            contents,
            processes: vec![first],
            current: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Map(kind, at, length, access, from) => self.map(kind, at, length, access, from),
            Step::Unmap(at, length) => {
                let Process { space, model } = self.current();
                space.unmap(page(at), length * PAGE_SIZE).unwrap();
                (at..at + length).for_each(|n| {
                    model.remove(&n);
                });
            }
            Step::Protect(at, length, access) => self.protect(at, length, access),
            Step::Store(at, value) => self.store(at, value),
            Step::Load(at) => self.load(at),
            Step::Move(at, old, new, to) => self.relocate(at, old, new, to),
            Step::Discard(at, length) => {
                let Process { space, model } = self.current();
                let whole = (at..at + length).all(|n| model.contains_key(&n));
                assert_eq!(space.discard(page(at), length * PAGE_SIZE).is_ok(), whole);
                for (_, page) in model.range_mut(at..at + length) {
                    page.behind = page.first;
                }
            }
            Step::Cut(pages) => self.cut(pages),
            Step::StoreFile(at, value) => {
                if let Some(place) = self.contents.get_mut(at) {
                    let bytes = value.to_le_bytes();
                    self.file
                        .write_at(&mut &bytes[..], (at * PAGE_SIZE) as u64)
                        .unwrap();
                    *place = value;
                }
            }
            Step::Fork => self.fork(),
            Step::Switch(n) => self.current = n % self.processes.len(),
            Step::Exit(n) => {
                if self.processes.len() > 1 {
                    self.processes.remove(n % self.processes.len());
                    self.current %= self.processes.len();
                }
            }
        }
    }

    fn current(&mut self) -> &mut Process {
        &mut self.processes[self.current]
    }

    fn map(&mut self, kind: Kind, at: usize, length: usize, access: u8, from: usize) {
        let access = Access::from_bits_truncate(access);
        let file = Arc::clone(&self.file);
        let backing = match kind {
            Kind::Anonymous => Backing::Anonymous,
            Kind::Private => Backing::Private(file, from as u64),
            Kind::Shared => Backing::Shared(file, from as u64),
        };
        let request = MapRequest {
            placement: Placement::Fixed(page(at)),
            backing,
            ..MapRequest::anonymous(length * PAGE_SIZE, access)
        };
        let Process { space, model } = self.current();
        assert_eq!(space.map(request), Ok(page(at)));
        for n in 0..length {
            let first = match kind {
                Kind::Anonymous => Behind::Own(0),
                Kind::Private => Behind::File(from + n),
                Kind::Shared => Behind::Shared(from + n),
            };
            model.insert(
                at + n,
                Page {
                    access,
                    behind: first,
                    first,
                },
            );
        }
    }

    fn protect(&mut self, at: usize, length: usize, access: u8) {
        let access = Access::from_bits_truncate(access);
        let Process { space, model } = self.current();
        let whole = (at..at + length).all(|n| model.contains_key(&n));
        assert_eq!(
            space.protect(page(at), length * PAGE_SIZE, access).is_ok(),
            whole
        );
        if whole {
            for (_, page) in model.range_mut(at..at + length) {
                page.access = access;
            }
        }
    }

    fn store(&mut self, at: usize, value: u64) {
        let size = self.contents.len();
        let Process { space, model } = &mut self.processes[self.current];
        let stored = put(space, page(at), value).is_ok();
        let Some(page) = model.get_mut(&at) else {
            assert!(!stored);
            return;
        };
        let there = match page.behind {
            Behind::Own(_) => true,
            Behind::File(n) | Behind::Shared(n) => n < size,
        };
        assert_eq!(
            stored,
            there && may(page.access, Access::WRITE),
            "store to {at}"
        );
        match page.behind {
            Behind::Shared(n) if stored => self.contents[n] = value,
            _ if stored => page.behind = Behind::Own(value),
            _ => {}
        }
    }

    fn load(&mut self, at: usize) {
        let Process { space, model } = &self.processes[self.current];
        let expected = model
            .get(&at)
            .filter(|page| may(page.access, Access::READ))
            .and_then(|page| match page.behind {
                Behind::Own(value) => Some(value),
                Behind::File(n) | Behind::Shared(n) => self.contents.get(n).copied(),
            });
        assert_eq!(get(space, page(at)).ok(), expected, "load of {at}");
    }

    /// mremap: within one mapping only; the model does not know where one ends, so it follows what the space did.
    fn relocate(&mut self, at: usize, old: usize, new: usize, to: usize) {
        let Process { space, model } = self.current();
        let bytes = |pages: usize| pages * PAGE_SIZE;
        // Some way off, so that nothing but moves comes there.
        let target = page(PAGES * 4 + to * 8);
        let moved = space.resize(page(at), bytes(old), bytes(new), Move::To(target));
        if moved.is_err() {
            return;
        }
        // And back, over what is there: the pages keep what they had.
        let back = space.resize(target, bytes(new), bytes(new), Move::To(page(at)));
        assert_eq!(back, Ok(page(at)));
        let last = model[&(at + old - 1)];
        for n in old.min(new)..old {
            model.remove(&(at + n));
        }
        for n in old..new {
            let first = match last.first {
                Behind::Own(_) => Behind::Own(0),
                Behind::File(at) => Behind::File(at + n + 1 - old),
                Behind::Shared(at) => Behind::Shared(at + n + 1 - old),
            };
            model.insert(
                at + n,
                Page {
                    access: last.access,
                    behind: first,
                    first,
                },
            );
        }
    }

    fn cut(&mut self, pages: usize) {
        self.file.set_size((pages * PAGE_SIZE) as u64).unwrap();
        self.contents.resize(pages, 0);
        // Private copies behind the end go too.
        for process in &mut self.processes {
            for page in process.model.values_mut() {
                if let Behind::File(n) = page.first
                    && n >= pages
                {
                    page.behind = page.first;
                }
            }
        }
    }

    fn fork(&mut self) {
        if self.processes.len() < 6 {
            let Process { space, model } = self.current();
            let child = Process {
                space: space.fork().unwrap(),
                model: model.clone(),
            };
            self.processes.push(child);
        }
    }

    /// All that can be read, everywhere, and the accounts.
    fn check(&mut self) {
        for current in 0..self.processes.len() {
            self.current = current;
            (0..PAGES + 8).for_each(|at| self.load(at));
            let Process { space, model } = &self.processes[current];
            let footprint = space.footprint();
            assert_eq!(footprint.mapped, model.len());
            let mut mapped = 0;
            let mut end = 0;
            space.for_each_region(&mut |region| {
                assert!(region.start >= end && region.start < region.end);
                end = region.end;
                mapped += region.length() / PAGE_SIZE;
            });
            assert_eq!(mapped, model.len());
            assert!(footprint.present <= mapped);
        }
    }
}

/// A copy is private to the model's eye only once it was stored to, but a read of a private page may also pin its value (a hole
/// is filled with zeros of the region's own). Files here have no holes but behind a cut and regrown end, which is not done.
#[test]
fn spaces_any_steps_agree_with_the_model() {
    let config = ProptestConfig {
        failure_persistence: None,
        cases: 200,
        ..ProptestConfig::default()
    };
    let steps = prop::collection::vec(step(), 1..120);
    proptest!(config, |(steps in steps)| {
        let bench = Bench::new(600);
        let mut world = World::new(&bench);
        let mut least = FILE_PAGES;
        for step in &steps {
            // A file only shrinks: see above.
            match step {
                Step::Cut(pages) if *pages > least => continue,
                Step::Cut(pages) => least = *pages,
                _ => {}
            }
            world.step(step);
        }
        world.check();
    });
}

#[test]
fn mapping_without_a_place_never_overlaps() {
    let config = ProptestConfig {
        failure_persistence: None,
        cases: 100,
        ..ProptestConfig::default()
    };
    let steps = prop::collection::vec((any::<bool>(), 1..9_usize, any::<usize>()), 1..80);
    proptest!(config, |(steps in steps)| {
        let bench = Bench::new(64);
        let space = bench.space();
        // A small world, so that gaps are short.
        let top = 0x1000 + 64 * PAGE_SIZE;
        space.set_top(UserAddr(top));
        let mut mapped: BTreeMap<usize, usize> = BTreeMap::new();
        for (map, pages, which) in steps {
            if map {
                let at = space.map(MapRequest::anonymous(pages * PAGE_SIZE, RW)).unwrap().0;
                let fits = gaps(&mapped, top).any(|gap| gap >= pages * PAGE_SIZE);
                prop_assert_eq!(at < top, fits, "a gap below the top is used if there is one");
                let end = at + pages * PAGE_SIZE;
                let before = mapped.range(..end).next_back();
                prop_assert!(before.is_none_or(|(_, end)| *end <= at));
                mapped.insert(at, end);
            } else if let Some((at, end)) = mapped.iter().nth(which % mapped.len().max(1)).map(|(a, e)| (*a, *e)) {
                space.unmap(UserAddr(at), end - at).unwrap();
                mapped.remove(&at);
            }
        }
    });
}

/// The lengths of the gaps below `top`.
fn gaps(mapped: &BTreeMap<usize, usize>, top: usize) -> impl Iterator<Item = usize> {
    let mut end = 0x1000;
    let mut all = Vec::new();
    for (at, behind) in mapped.range(..top) {
        all.push(at - end);
        end = *behind;
    }
    all.push(top.saturating_sub(end));
    all.into_iter()
}
