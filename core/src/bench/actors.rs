//! Actors: the threads of one process that make calls drawn beforehand, on a machine whose seed decides who goes on. What
//! they do is noted in the order in which the kernel does it: it is not left between the note that a call begins and the
//! end of its first try. So a plain model can be led along the notes, and say how each call must end, or that it never does.

use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use halyard_abi::nr;

use super::{DATA, Script, run_on};
use crate::host::{Config, Label, Program};

/// CLONE_VM, _FS, _FILES, _SIGHAND, _THREAD, _SYSVSEM.
const THREAD: u64 = 0x5_0f00;
/// The threads' numbers: init and the first thread come before.
pub(crate) const FIRST_TID: u64 = 3;

/// What an actor does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// A system call.
    Call(usize, [u64; 6]),
    /// A store to one of the words.
    Store(u64, u64),
}

/// What was noted: which actor, and which of its deeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It begins.
    Begun(usize, usize),
    /// A call has returned.
    Ended(usize, usize, i64),
}

/// Chance that is told by its seed (xorshift).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// The address of a word that all actors share; 0 at the start.
pub(crate) const fn word(at: usize) -> u64 {
    DATA + at as u64 * 8
}

/// What happened.
pub(crate) struct Play {
    pub(crate) events: Vec<Event>,
    /// The words when nothing went on any more.
    pub(crate) words: Vec<u64>,
}

/// Has each actor do its deeds, until each is done or waits for ever. `prepare` runs first, in a thread that does nothing else;
/// the words hold what it leaves there.
pub(crate) fn play(
    seed: u64,
    words: usize,
    prepare: impl FnOnce(&mut Program),
    deeds: &[Vec<Deed>],
) -> Play {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let left = Arc::new(Mutex::new(Vec::new()));
    let config = Config {
        cpus: 1 + seed as usize % 4,
        seed,
        ..Config::default()
    };
    let code = run_on(config, |program| {
        // So that a store is never made twice.
        program.store(DATA, &vec![0; words]);
        prepare(program);
        let starts: Vec<Label> = deeds.iter().map(|_| Label::default()).collect();
        program.aside(|program| {
            for (actor, (deeds, start)) in deeds.iter().zip(&starts).enumerate() {
                program.place(start);
                write_actor(program, actor, deeds, &notes);
            }
        });
        for start in &starts {
            program.call(nr::CLONE, [THREAD, 0, 0, 0, 0]);
            program.jump_if_zero(start);
        }
        // Longer than all that they do.
        program.sleep(1_000_000_000);
        let left = Arc::clone(&left);
        program.step(move |cpu| {
            for at in 0..words {
                let value = cpu.load_u64(word(at))?;
                left.lock().unwrap().push(value);
            }
            Ok(())
        });
    });
    assert_eq!(code, 0, "seed {seed}");
    let (events, words) = (notes.lock().unwrap().clone(), left.lock().unwrap().clone());
    Play { events, words }
}

fn write_actor(
    program: &mut Program,
    actor: usize,
    deeds: &[Deed],
    notes: &Arc<Mutex<Vec<Event>>>,
) {
    for (at, deed) in deeds.iter().enumerate() {
        let (begun, ended, deed) = (Arc::clone(notes), Arc::clone(notes), *deed);
        program.step(move |cpu| {
            begun.lock().unwrap().push(Event::Begun(actor, at));
            match deed {
                Deed::Call(number, arguments) => cpu.syscall(number, &arguments),
                Deed::Store(address, value) => cpu.store_u64(address, value),
            }
        });
        if matches!(deed, Deed::Call(..)) {
            program.act(move |regs| {
                let result = regs.x[0].cast_signed();
                ended.lock().unwrap().push(Event::Ended(actor, at, result));
            });
        }
    }
    program.call(nr::EXIT, [0]);
}

/// Leads `begin` along the deeds in the order in which they began. It says which calls end by that, and how. Then what was noted
/// must be just that: no call ended otherwise, and none that should have ended waits.
pub(crate) fn judge(
    play: &Play,
    mut begin: impl FnMut(usize, usize) -> Vec<(usize, i64)>,
) -> Result<(), std::string::String> {
    let mut current = std::collections::BTreeMap::new();
    let mut expected = std::collections::BTreeMap::new();
    for event in &play.events {
        if let Event::Begun(actor, at) = *event {
            current.insert(actor, at);
            for (who, result) in begin(actor, at) {
                let Some(at) = current.get(&who) else {
                    return Err(std::format!("the model ends what {who} has not begun"));
                };
                expected.insert((who, *at), result);
            }
        }
    }
    let ended = play.events.iter().filter_map(|event| match *event {
        Event::Ended(actor, at, result) => Some(((actor, at), result)),
        Event::Begun(..) => None,
    });
    let ended: std::collections::BTreeMap<_, _> = ended.collect();
    if ended == expected {
        return Ok(());
    }
    Err(std::format!("ended {ended:?}\nmodel {expected:?}"))
}
