//! The count of attaches through all that address spaces do, against the regions that are there.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::host::{Config, HostMachine};
use crate::ipc::sysv::testing::{by, header};
use crate::machine::{Access, UserAddr};
use crate::mm::{AddressSpace, Backing, Label, MapRequest, Move};

const PAGES: usize = 6;

/// Where test attaches go: far enough apart.
const fn slot(number: usize) -> UserAddr {
    UserAddr(0x100_0000 + number * 16 * PAGE_SIZE)
}

#[derive(Default)]
struct Counter {
    forgotten: AtomicUsize,
    released: AtomicUsize,
}

impl Keeper for Counter {
    fn stamp(&self) -> Stamp {
        by(9)
    }
    fn forget_segment(&self, _: i32) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }
    fn release_pages(&self, pages: usize) {
        self.released.fetch_add(pages, Ordering::Relaxed);
    }
}

fn attach(space: &Arc<AddressSpace>, segment: &Arc<Segment>, at: UserAddr) -> Result<()> {
    let request = MapRequest {
        backing: Backing::Shared(segment.object().clone(), 0),
        label: Label::Counted(segment.attach()?),
        ..MapRequest::anonymous(PAGES * PAGE_SIZE, Access::READ | Access::WRITE)
    };
    space.map(request.at(at)).map(drop)
}

fn regions(spaces: &[Arc<AddressSpace>]) -> usize {
    let mut count = 0;
    for space in spaces {
        space.for_each_region(&mut |region| {
            count += usize::from(matches!(region.label, Label::Counted(_)));
        });
    }
    count
}

#[derive(Clone, Debug)]
enum Step {
    Attach(usize, usize),
    Detach(usize, usize),
    Unmap(usize, usize, usize, usize),
    Protect(usize, usize, usize, usize),
    Move(usize, usize, usize),
    Fork(usize),
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (space, place, page) = (0..4_usize, 0..3_usize, 0..PAGES);
    prop_oneof![
        3 => (space.clone(), place.clone()).prop_map(|(a, b)| Step::Attach(a, b)),
        3 => (space.clone(), place.clone()).prop_map(|(a, b)| Step::Detach(a, b)),
        2 => (space.clone(), place.clone(), page.clone(), 1..3_usize)
            .prop_map(|(a, b, c, d)| Step::Unmap(a, b, c, d)),
        2 => (space.clone(), place.clone(), page, 1..3_usize)
            .prop_map(|(a, b, c, d)| Step::Protect(a, b, c, d)),
        1 => (space.clone(), place.clone(), place).prop_map(|(a, b, c)| Step::Move(a, b, c)),
        2 => space.clone().prop_map(Step::Fork),
        2 => space.prop_map(Step::End),
    ]
}

fn apply(spaces: &mut Vec<Arc<AddressSpace>>, segment: &Arc<Segment>, step: &Step) {
    let pick = |spaces: &[Arc<AddressSpace>], which: usize| spaces[which % spaces.len()].clone();
    let at = |place: usize, page: usize| UserAddr(slot(place).0 + page * PAGE_SIZE);
    // Most steps may fail, for what they are about need not be there.
    match *step {
        Step::Attach(which, place) => {
            let _ = attach(&pick(spaces, which), segment, slot(place));
        }
        Step::Detach(which, place) => {
            let _ = pick(spaces, which).detach(slot(place));
        }
        Step::Unmap(which, place, page, count) => {
            let _ = pick(spaces, which).unmap(at(place, page), count * PAGE_SIZE);
        }
        Step::Protect(which, place, page, count) => {
            let length = count * PAGE_SIZE;
            let _ = pick(spaces, which).protect(at(place, page), length, Access::READ);
        }
        Step::Move(which, from, to) => {
            let (length, moved) = (2 * PAGE_SIZE, Move::To(slot(to)));
            let _ = pick(spaces, which).resize(slot(from), length, length, moved);
        }
        Step::Fork(which) => spaces.extend(pick(spaces, which).fork()),
        Step::End(which) if spaces.len() > 1 => drop(spaces.remove(which % spaces.len())),
        Step::End(_) => {}
    }
}

fn run(steps: &[Step]) -> core::result::Result<(), TestCaseError> {
    let (_, memory) = HostMachine::new(Config {
        frames: 512,
        ..Config::default()
    });
    let keeper: &'static Counter = alloc::boxed::Box::leak(alloc::boxed::Box::default());
    let segment = Arc::new(Segment::new(header(), PAGES * PAGE_SIZE, memory, keeper));
    let mut spaces = Vec::from([AddressSpace::new(memory).unwrap()]);
    for step in steps {
        apply(&mut spaces, &segment, step);
        prop_assert_eq!(segment.status().attached, regions(&spaces), "{:?}", step);
    }
    prop_assert_eq!(keeper.forgotten.load(Ordering::Relaxed), 0);
    let unused = segment.doom();
    prop_assert_eq!(unused, regions(&spaces) == 0);
    drop(spaces);
    prop_assert_eq!(segment.status().attached, 0);
    prop_assert_eq!(
        keeper.forgotten.load(Ordering::Relaxed),
        usize::from(!unused)
    );
    prop_assert_eq!(segment.attach().err(), Some(Errno::EIDRM));
    drop(segment);
    prop_assert_eq!(keeper.released.load(Ordering::Relaxed), PAGES);
    prop_assert_eq!(memory.frames.free(), memory.frames.total());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn segment_counts_its_regions_whatever_spaces_do(steps in prop::collection::vec(step(), 1..40)) {
        run(&steps)?;
    }
}
