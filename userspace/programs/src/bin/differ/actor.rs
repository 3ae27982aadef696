//! One process of a program: its slots, its buffer, the log of its signal handler.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use halyard_rt::process::Pid;
use halyard_rt::signal::{Context, Info};
use halyard_rt::{nr, prelude::*, wild};

use crate::op::{Args, Op, Told};
use crate::plan::{ACTORS, SLOTS};

/// The longest read or write.
pub(crate) const BUFFER: usize = 70_000;

/// An actor, from within.
pub(crate) struct Actor {
    /// Its descriptors; -1 where there is none.
    pub(crate) slots: [i32; SLOTS],
    /// Its ids of System V; -1 where there is none.
    pub(crate) ids: [i32; SLOTS],
    /// What it made that outlives it: the call, and the id.
    pub(crate) made: Vec<(usize, usize)>,
    /// Where it has shared memory; 0: nowhere. And whether it may write there.
    pub(crate) attached: usize,
    pub(crate) writable: bool,
    /// Bytes for calls.
    pub(crate) buffer: Vec<u8>,
    /// The step it is at: what it writes tells where it comes from.
    pub(crate) step: usize,
    /// Everybody's process number.
    pub(crate) pids: [Pid; ACTORS],
    /// Who it is.
    pub(crate) number: usize,
    /// The program's number: names are made of it.
    pub(crate) program: u64,
}

impl Actor {
    /// One with nothing.
    pub(crate) fn new(program: u64) -> Self {
        Self {
            slots: [-1; SLOTS],
            ids: [-1; SLOTS],
            made: Vec::new(),
            attached: 0,
            writable: false,
            buffer: vec![0; BUFFER],
            step: 0,
            pids: [0; ACTORS],
            number: 0,
            program,
        }
    }

    /// The descriptor in a slot.
    pub(crate) fn at(&self, slot: i64) -> usize {
        self.slots.get(slot as usize).copied().unwrap_or(-1) as usize
    }

    /// The id in a slot.
    pub(crate) fn id(&self, slot: i64) -> usize {
        self.ids.get(slot as usize).copied().unwrap_or(-1) as usize
    }

    /// Puts a descriptor into a slot; one that it pushes out is closed.
    pub(crate) fn put(&mut self, slot: i64, value: i32) {
        if let Some(held) = self.slots.get_mut(slot as usize) {
            let old = core::mem::replace(held, value);
            if old >= 0 {
                let _ = halyard_rt::fd::close(old);
            }
        }
    }

    /// Makes a call that gives a descriptor for a slot.
    pub(crate) fn make<const N: usize>(&mut self, slot: i64, nr: usize, args: [usize; N]) -> Told {
        let result = call(nr, args);
        if let Ok(value) = result {
            self.put(slot, value as i32);
        }
        result.into()
    }

    /// Puts its own bytes into the buffer and gives its address.
    pub(crate) fn fill(&mut self, length: usize) -> usize {
        let first = self.step as u8;
        let bytes = self.buffer.iter_mut().take(length).enumerate();
        bytes.for_each(|(index, byte)| *byte = first.wrapping_mul(37).wrapping_add(index as u8));
        self.buffer.as_mut_ptr() as usize
    }

    /// The buffer, empty, for a call to write into.
    pub(crate) fn room(&mut self) -> usize {
        self.buffer.iter_mut().take(64).for_each(|byte| *byte = 0);
        self.buffer.as_mut_ptr() as usize
    }

    /// The first bytes of the buffer in few letters.
    pub(crate) fn digest(&self, length: usize) -> String {
        let bytes = self.buffer.get(..length).unwrap_or(&[]);
        format!("#{:08x}", hash(bytes) as u32)
    }

    /// A number in the buffer.
    pub(crate) fn number<const N: usize>(&self, at: usize) -> u64 {
        let bytes = self.buffer.get(at..at + N).unwrap_or(&[]);
        bytes
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    }

    /// Does a step and tells of it.
    pub(crate) fn perform(&mut self, op: &Op, args: Args) -> String {
        let told = (op.run)(self, args);
        let mut text = match told.result {
            Ok(value) => format!("{value}"),
            Err(errno) => errno
                .name()
                .map_or_else(|| format!("{errno:?}"), str::to_owned),
        };
        if !told.note.is_empty() {
            text.push(' ');
            text.push_str(&told.note);
        }
        text.push_str(&caught());
        text
    }
}

/// A call with the arguments given and the rest zero.
pub(crate) fn call<const N: usize>(nr: usize, args: [usize; N]) -> Result<usize> {
    let mut all = [0; 6];
    all.iter_mut().zip(args).for_each(|(all, arg)| *all = arg);
    wild::call(nr, all)
}

/// FNV-1a.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Signals that the handler took, oldest first.
static CAUGHT: [AtomicU64; 32] = [const { AtomicU64::new(0) }; 32];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The one handler: notes number, code and value.
pub(crate) extern "C" fn handler(_: i32, info: &Info, _: &mut Context) {
    let index = COUNT.fetch_add(1, Ordering::Relaxed);
    let value = if info.code == -1 { info.status() } else { 0 };
    let note = u64::from(info.signal as u8)
        | u64::from(info.code as u16) << 8
        | u64::from(value as u32) << 32;
    if let Some(place) = CAUGHT.get(index) {
        place.store(note, Ordering::Relaxed);
    }
}

/// What the handler took since the last time, in words.
fn caught() -> String {
    let count = COUNT.swap(0, Ordering::Relaxed).min(CAUGHT.len());
    let mut text = String::new();
    for place in CAUGHT.iter().take(count) {
        let note = place.load(Ordering::Relaxed);
        let (signal, code, value) = (note as u8, (note >> 8) as u16 as i16, (note >> 32) as u32);
        text.push_str(&format!(" caught {signal}/{code}/{value}"));
    }
    text
}

/// Closes what is in a slot.
pub(crate) fn close(actor: &mut Actor, args: Args) -> Told {
    let fd = actor.at(args[0]);
    if let Some(held) = actor.slots.get_mut(args[0] as usize) {
        *held = -1;
    }
    call(nr::CLOSE, [fd]).into()
}
