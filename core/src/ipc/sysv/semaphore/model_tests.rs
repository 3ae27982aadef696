//! The set against a plain model, with sleepers that are killed and processes that end with something to undo: after every step those who can go
//! on have gone on, in the order in which they came, and nobody else. proptest prints the seed and the shortest sequence that fails.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::ipc::sysv::testing::{Actor, NoKernel, by, header};
use crate::ipc::sysv::undo::UndoList;
use crate::wait::testing::TestSleeper;

const SEMAPHORES: usize = 3;
const PROCESSES: usize = 3;
const NOWAIT: u16 = 0o4000;
const UNDO: u16 = 0x1000;

#[derive(Clone, Debug)]
enum Step {
    Operate {
        process: usize,
        operations: Vec<Operation>,
    },
    SetValue(usize, u16),
    SetValues([u16; SEMAPHORES]),
    Kill(usize),
    /// A process ends, and another takes its place.
    End(usize),
    Remove,
}

fn operation() -> impl Strategy<Value = Operation> {
    let change = prop_oneof![8 => -3..4_i16, 1 => Just(32_767), 1 => Just(-32_767)];
    let flags = prop_oneof![4 => Just(0), 1 => Just(NOWAIT), 2 => Just(UNDO)];
    (0..SEMAPHORES as u16, change, flags).prop_map(|(number, change, flags)| Operation {
        number,
        change,
        flags,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![4 => 0..4_u16, 1 => Just(SEMVMX)];
    prop_oneof![
        20 => (0..PROCESSES, prop::collection::vec(operation(), 1..6))
            .prop_map(|(process, operations)| Step::Operate { process, operations }),
        2 => (0..SEMAPHORES, value.clone()).prop_map(|(at, value)| Step::SetValue(at, value)),
        1 => [value.clone(), value.clone(), value].prop_map(Step::SetValues),
        3 => (0..9_usize).prop_map(Step::Kill),
        2 => (0..PROCESSES).prop_map(Step::End),
        1 => Just(Step::Remove),
    ]
}

struct Sleeping {
    who: usize,
    process: usize,
    operations: Vec<Operation>,
    by: Operation,
}

struct Model {
    values: [i32; SEMAPHORES],
    undo: [[i32; SEMAPHORES]; PROCESSES],
    sleeping: Vec<Sleeping>,
    removed: bool,
    came: Vec<(usize, Result<()>)>,
}

impl Model {
    /// Tried on a copy, which is kept if all of it works.
    fn attempt(&mut self, process: usize, operations: &[Operation]) -> Result<Option<Operation>> {
        let (mut values, mut undo) = (self.values, self.undo[process]);
        for operation in operations {
            let number = usize::from(operation.number);
            let change = i32::from(operation.change);
            let new = values[number] + change;
            if new < 0 || change == 0 && new != 0 {
                return Ok(Some(*operation));
            }
            if new > 32_767 {
                return Err(Errno::ERANGE);
            }
            values[number] = new;
            if operation.flags & UNDO != 0 {
                undo[number] -= change;
                if !(-32_768..=32_767).contains(&undo[number]) {
                    return Err(Errno::ERANGE);
                }
            }
        }
        (self.values, self.undo[process]) = (values, undo);
        Ok(None)
    }

    fn operate(
        &mut self,
        who: usize,
        process: usize,
        operations: Vec<Operation>,
    ) -> Option<Result<()>> {
        if self.removed {
            return Some(Err(Errno::EIDRM));
        }
        match self.attempt(process, &operations) {
            Err(errno) => Some(Err(errno)),
            Ok(None) => {
                self.update();
                Some(Ok(()))
            }
            Ok(Some(by)) if by.flags & NOWAIT != 0 => Some(Err(Errno::EAGAIN)),
            Ok(Some(by)) => {
                self.sleeping.push(Sleeping {
                    who,
                    process,
                    operations,
                    by,
                });
                None
            }
        }
    }

    /// Again and again the first who can go on does.
    fn update(&mut self) {
        let mut at = 0;
        while at < self.sleeping.len() {
            let (who, process) = (self.sleeping[at].who, self.sleeping[at].process);
            let operations = self.sleeping[at].operations.clone();
            match self.attempt(process, &operations) {
                Ok(Some(by)) if by.flags & NOWAIT == 0 => {
                    self.sleeping[at].by = by;
                    at += 1;
                    continue;
                }
                Ok(Some(_)) => self.came.push((who, Err(Errno::EAGAIN))),
                Ok(None) => self.came.push((who, Ok(()))),
                Err(errno) => self.came.push((who, Err(errno))),
            }
            self.sleeping.remove(at);
            at = 0;
        }
    }

    fn end(&mut self, process: usize) {
        let undo = core::mem::take(&mut self.undo[process]);
        if self.removed {
            return;
        }
        for (value, change) in self.values.iter_mut().zip(undo) {
            *value = (*value + change).clamp(0, 32_767);
        }
        self.update();
    }
}

static NO_KERNEL: NoKernel = NoKernel;

async fn operate(
    set: Arc<SemaphoreSet>,
    list: Arc<UndoList>,
    operations: Vec<Operation>,
) -> Result<()> {
    let operations = Operations::with(operations.len(), |into| {
        into.copy_from_slice(&operations);
        Ok(())
    })?;
    list.note(&set)?;
    match set.operate(&operations, list.number(), by(1))? {
        None => Ok(()),
        Some(mut place) => place
            .wait(&TestSleeper::new(), None)
            .await
            .map_err(|why| why.errno())?,
    }
}

type Actors = Vec<(usize, usize, Actor<Result<()>>)>;

/// Runs `steps` on a set and on the model.
fn compare(steps: Vec<Step>) -> core::result::Result<(), TestCaseError> {
    let Ok(set) = SemaphoreSet::new(header(), SEMAPHORES, None, 0) else {
        return Err(TestCaseError::fail("no set"));
    };
    let set = Arc::new(set);
    let mut lists: Vec<_> = (0..PROCESSES).map(|_| UndoList::new(&NO_KERNEL)).collect();
    let mut model = Model {
        values: [0; SEMAPHORES],
        undo: [[0; SEMAPHORES]; PROCESSES],
        sleeping: vec![],
        removed: false,
        came: vec![],
    };
    let mut actors: Actors = vec![];
    for (who, step) in steps.into_iter().enumerate() {
        match step {
            Step::Operate {
                process,
                operations,
            } => {
                let list = lists[process].clone();
                let mut actor = Actor::new(operate(set.clone(), list, operations.clone()));
                let came = actor.run();
                prop_assert_eq!(came, model.operate(who, process, operations));
                if came.is_none() {
                    actors.push((who, process, actor));
                }
            }
            Step::SetValue(at, value) => {
                let done = set.set_value(at, value, by(2));
                prop_assert_eq!(done.is_ok(), !model.removed);
                if !model.removed {
                    model.values[at] = i32::from(value);
                    model.undo.iter_mut().for_each(|undo| undo[at] = 0);
                    model.update();
                }
            }
            Step::SetValues(values) => {
                prop_assert_eq!(set.set_values(&values, by(2)).is_ok(), !model.removed);
                if !model.removed {
                    model.values = values.map(i32::from);
                    model.undo = Default::default();
                    model.update();
                }
            }
            Step::Kill(which) => {
                if !actors.is_empty() {
                    let (who, _, actor) = actors.remove(which % actors.len());
                    drop(actor);
                    model.sleeping.retain(|sleeping| sleeping.who != who);
                }
            }
            Step::End(process) => {
                actors.retain(|actor| actor.1 != process);
                model
                    .sleeping
                    .retain(|sleeping| sleeping.process != process);
                lists[process] = UndoList::new(&NO_KERNEL);
                model.end(process);
            }
            Step::Remove => {
                set.remove();
                model.removed = true;
                model.undo = Default::default();
                for sleeping in model.sleeping.drain(..) {
                    model.came.push((sleeping.who, Err(Errno::EIDRM)));
                }
            }
        }
        settle(&mut actors, &mut model)?;
        check(&set, &lists, &model)?;
    }
    Ok(())
}

/// All who were called have a turn; what they came to is what the model says.
fn settle(actors: &mut Actors, model: &mut Model) -> core::result::Result<(), TestCaseError> {
    let mut came = vec![];
    actors.retain_mut(|(who, _, actor)| match actor.run() {
        Some(result) => {
            came.push((*who, result));
            false
        }
        None => true,
    });
    let mut expected = core::mem::take(&mut model.came);
    expected.sort_by_key(|came| came.0);
    prop_assert_eq!(came, expected);
    prop_assert_eq!(actors.len(), model.sleeping.len());
    Ok(())
}

/// Values, sums to be undone and counts of sleepers are the model's.
fn check(
    set: &SemaphoreSet,
    lists: &[Arc<UndoList>],
    model: &Model,
) -> core::result::Result<(), TestCaseError> {
    if model.removed {
        prop_assert_eq!(set.values(&mut [0]), Err(Errno::EIDRM));
        return Ok(());
    }
    for at in 0..SEMAPHORES {
        let value = set
            .semaphore(at)
            .map(|semaphore| i32::from(semaphore.value));
        prop_assert_eq!(value, Ok(model.values[at]));
        for zero in [false, true] {
            let stopped = model.sleeping.iter().filter(|sleeping| {
                usize::from(sleeping.by.number) == at && (sleeping.by.change == 0) == zero
            });
            prop_assert_eq!(set.sleepers(at, zero), Ok(stopped.count()));
        }
        for (list, undo) in lists.iter().zip(&model.undo) {
            prop_assert_eq!(i32::from(set.adjustment(list.number(), at)), undo[at]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn semaphores_agree_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        compare(steps)?;
    }
}
