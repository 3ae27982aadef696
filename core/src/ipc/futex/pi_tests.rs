//! The table of futexes that inherit priority, against a plain model.

use std::cell::Cell;
use std::rc::Rc;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::sched::inherit::Standing;
use crate::sched::run_queue::Policy;

const THREADS: usize = 5;
const KEY: Key = Key::Private(0x1000, 0x40);

struct Inner {
    tid: u32,
    standing: Standing<Fake>,
    left: Cell<bool>,
    claims: Cell<i32>,
}

#[derive(Clone)]
struct Fake(Rc<Inner>);

impl Member for Fake {
    fn standing(&self) -> &Standing<Fake> {
        &self.0.standing
    }
    fn is(&self, other: &Fake) -> bool {
        self.0.tid == other.0.tid
    }
    fn changed(&self, _: Policy) {}
    fn server(&self) -> Option<Fake> {
        None
    }
}

impl Owner for Fake {
    fn tid(&self) -> u32 {
        self.0.tid
    }
    fn has_left(&self) -> bool {
        self.0.left.get()
    }
    fn count(&self, more: bool) {
        self.0
            .claims
            .set(self.0.claims.get() + if more { 1 } else { -1 });
    }
}

#[derive(Clone, Default)]
struct FakeWord(Rc<Cell<u32>>);

impl Word for FakeWord {
    fn load(&self) -> Result<u32> {
        Ok(self.0.get())
    }
    fn compare_exchange(&self, expected: u32, new: u32) -> Result<u32> {
        let found = self.0.get();
        if found == expected {
            self.0.set(new);
        }
        Ok(found)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Lock(usize),
    Try(usize),
    Unlock(usize),
    GiveUp(usize),
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let thread = || 0..THREADS;
    prop_oneof![
        6 => thread().prop_map(Step::Lock),
        1 => thread().prop_map(Step::Try),
        4 => thread().prop_map(Step::Unlock),
        2 => thread().prop_map(Step::GiveUp),
        1 => thread().prop_map(Step::End),
    ]
}

struct Bench {
    table: PiTable<Fake, FakeWord>,
    world: SpinLock<World<Fake>>,
    word: FakeWord,
    threads: Vec<Fake>,
    waiters: Vec<Option<Arc<Waiter>>>,
    /// The model: who has it, who waits in order, who has ended, whether an owner ended.
    owner: Option<usize>,
    queue: Vec<usize>,
    ended: [bool; THREADS],
    marked: bool,
}

impl Bench {
    fn new() -> Bench {
        let threads = (0..THREADS).map(|id| {
            Fake(Rc::new(Inner {
                tid: id as u32 + 100,
                standing: Standing::new(Policy::Fair(0)),
                left: Cell::new(false),
                claims: Cell::new(0),
            }))
        });
        Bench {
            table: PiTable::new(),
            world: SpinLock::new(World::new()),
            word: FakeWord::default(),
            threads: threads.collect(),
            waiters: (0..THREADS).map(|_| None).collect(),
            owner: None,
            queue: Vec::new(),
            ended: [false; THREADS],
            marked: false,
        }
    }

    fn apply(&mut self, id: usize, try_only: bool) -> Result<Attempt> {
        let waiter = Arc::new(Waiter::new(0));
        self.waiters[id] = Some(Arc::clone(&waiter));
        let applicant = Applicant {
            thread: self.threads[id].clone(),
            waiter,
            word: self.word.clone(),
        };
        let tid = self.word.0.get() & TID_MASK;
        let owner = self.threads.iter().find(|it| it.tid() == tid);
        self.table.lock().apply(
            &self.world,
            &KEY,
            applicant,
            (tid, owner),
            (try_only, false),
        )
    }

    fn lock(&mut self, id: usize, try_only: bool) {
        if self.ended[id] || self.queue.contains(&id) {
            return;
        }
        let expected = match self.owner {
            Some(owner) if owner == id => Err(Errno::EDEADLK),
            Some(_) if try_only => Err(Errno::EAGAIN),
            Some(_) => Ok(Attempt::Waits),
            None => Ok(Attempt::Owned),
        };
        assert_eq!(self.apply(id, try_only), expected);
        match expected {
            Ok(Attempt::Owned) => self.owner = Some(id),
            Ok(_) => self.queue.push(id),
            Err(_) => {}
        }
    }

    fn pass_on(&mut self) {
        self.owner = (!self.queue.is_empty()).then(|| self.queue.remove(0));
        if let Some(owner) = self.owner {
            assert!(self.waiters[owner].as_ref().is_some_and(|it| it.is_woken()));
        }
    }

    fn unlock(&mut self, id: usize) {
        if self.ended[id] || self.queue.contains(&id) {
            return;
        }
        let (thread, word) = (self.threads[id].clone(), self.word.clone());
        let result = self.table.lock().release(&self.world, &KEY, &thread, &word);
        if self.owner == Some(id) {
            if let Ok(Some(handed)) = result {
                handed.finish();
            }
            // Giving it up as its owner clears the mark.
            self.marked = false;
            self.pass_on();
        } else {
            assert_eq!(result.err(), Some(Errno::EPERM));
        }
    }

    fn give_up(&mut self, id: usize) {
        let Some(waiter) = self.waiters[id].clone() else {
            return;
        };
        let remains = self.table.lock().withdraw(&self.world, &KEY, &waiter);
        assert_eq!(remains.is_some(), self.queue.contains(&id));
        self.queue.retain(|it| *it != id);
    }

    fn end(&mut self, id: usize) {
        if self.ended[id] || self.queue.contains(&id) {
            return;
        }
        let thread = self.threads[id].clone();
        thread.0.left.set(true);
        self.ended[id] = true;
        let handed = self.table.lock().abandon_one(&self.world, &thread);
        assert_eq!(
            handed.is_some(),
            self.owner == Some(id) && !self.queue.is_empty()
        );
        if let Some(handed) = handed {
            handed.finish();
        }
        if self.owner == Some(id) {
            self.marked = true;
            if self.queue.is_empty() {
                // What the robust list does.
                self.word.0.set(OWNER_DIED);
            }
            self.pass_on();
        }
    }

    fn check(&self) {
        let word = self.word.0.get();
        let tid = self.owner.map_or(0, |owner| self.threads[owner].tid());
        assert_eq!(word & TID_MASK, tid);
        assert_eq!(word & OWNER_DIED != 0, self.marked);
        assert!(self.queue.is_empty() || word & WAITERS != 0);
        for (id, thread) in self.threads.iter().enumerate() {
            let awaited = self.owner == Some(id) && !self.queue.is_empty();
            assert_eq!(thread.0.claims.get(), i32::from(awaited));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn pi_table_random_use_agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut bench = Bench::new();
        for step in steps {
            match step {
                Step::Lock(id) => bench.lock(id, false),
                Step::Try(id) => bench.lock(id, true),
                Step::Unlock(id) => bench.unlock(id),
                Step::GiveUp(id) => bench.give_up(id),
                Step::End(id) => bench.end(id),
            }
            bench.check();
        }
    }
}
