//! Makes a program from a number: who does what, in which order.
//!
//! A rough model of what is in which slot makes most steps meaningful; a share of them is not, on purpose.

use halyard_rt::prelude::*;

use crate::chance::Chance;
use crate::op::{ARGS, Args, Domain, Family, Op};

/// Slots of an actor.
pub(crate) const SLOTS: usize = 8;
/// Actors of a program, at most.
pub(crate) const ACTORS: usize = 3;
/// Steps before the actors part: what these make, all of them have.
const PROLOGUE: usize = 4;

/// A step.
pub(crate) struct Step {
    /// Who.
    pub(crate) actor: usize,
    /// What.
    pub(crate) op: &'static Op,
    /// With what.
    pub(crate) args: Args,
}

/// A program.
pub(crate) struct Plan {
    /// Steps of everybody's ancestor.
    pub(crate) prologue: Vec<Step>,
    /// Steps of the actors.
    pub(crate) steps: Vec<Step>,
    /// How many actors.
    pub(crate) actors: usize,
}

/// What an actor has in its slots, as far as can be told.
type Model = [u32; SLOTS];

impl Plan {
    /// The program of that number. Two or so families a program: things must meet to differ.
    pub(crate) fn new(seed: u64, number: u64, families: &[&'static Family]) -> Self {
        let mut chance = Chance::new(seed, number);
        let ops = choose_ops(&mut chance, families);
        let actors = 1 + chance.below(ACTORS);
        let mut models = [[0; SLOTS]; ACTORS];
        let mut prologue = Vec::new();
        for _ in 0..1 + chance.below(PROLOGUE) {
            if let Some(op) = maker(&mut chance, &ops) {
                let args = arguments(&mut chance, op, &mut models[0], actors);
                prologue.push(Step { actor: 0, op, args });
            }
        }
        models = [models[0]; ACTORS];
        let mut steps = Vec::new();
        for _ in 0..4 + chance.below(14) {
            let actor = chance.below(actors);
            if let (Some(op), Some(model)) = (weighted(&mut chance, &ops), models.get_mut(actor)) {
                let args = arguments(&mut chance, op, model, actors);
                steps.push(Step { actor, op, args });
            }
        }
        Self {
            prologue,
            steps,
            actors,
        }
    }

    /// How many steps, with those of the prologue.
    pub(crate) fn length(&self) -> usize {
        self.prologue.len() + self.steps.len()
    }
}

fn choose_ops(chance: &mut Chance, families: &[&'static Family]) -> Vec<&'static Op> {
    let mut ops = Vec::new();
    for _ in 0..1 + chance.below(3) {
        if let Some(family) = families.get(chance.below(families.len())) {
            ops.extend(family.ops.iter());
        }
    }
    ops
}

/// A call that makes something.
fn maker(chance: &mut Chance, ops: &[&'static Op]) -> Option<&'static Op> {
    let makes = |op: &&&'static Op| op.args.iter().any(|arg| matches!(arg, Domain::Makes(_)));
    let makers: Vec<&'static Op> = ops.iter().filter(makes).copied().collect();
    makers.get(chance.below(makers.len())).copied()
}

fn weighted(chance: &mut Chance, ops: &[&'static Op]) -> Option<&'static Op> {
    let total = ops.iter().map(|op| usize::from(op.weight)).sum();
    let mut at = chance.below(total);
    for op in ops {
        match at.checked_sub(usize::from(op.weight)) {
            Some(rest) => at = rest,
            None => return Some(op),
        }
    }
    None
}

fn arguments(chance: &mut Chance, op: &Op, model: &mut Model, actors: usize) -> Args {
    let mut args = [0; ARGS];
    for (arg, domain) in args.iter_mut().zip(op.args) {
        *arg = match domain {
            Domain::None => 0,
            Domain::Of(list) => chance.of(list),
            Domain::Actor => chance.below(actors) as i64,
            Domain::Slot(kinds) => slot(chance, model, |held| held & kinds != 0),
            Domain::Makes(kind) => {
                let slot = slot(chance, model, |held| held == 0);
                if let Some(held) = model.get_mut(slot as usize) {
                    *held = kind;
                }
                slot
            }
        };
    }
    args
}

/// Most likely a slot with such contents; now and then any.
fn slot(chance: &mut Chance, model: &Model, wanted: impl Fn(u32) -> bool) -> i64 {
    let fitting: Vec<usize> = (0..SLOTS).filter(|&slot| wanted(model[slot])).collect();
    if fitting.is_empty() || chance.percent(6) {
        return chance.below(SLOTS) as i64;
    }
    chance.of(&fitting) as i64
}
