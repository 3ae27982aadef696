//! Plays a program: lets its actors step in turn, and writes down what each step gave.
//!
//! A step that does not finish has its actor blocked, which is seen in `/proc/PID/stat` and is itself a result; later steps
//! may let it go on. So a trace tells of blocking and waking without a clock in it. After each step everybody is waited for
//! until he rests again: waits for his next step, blocks, is stopped, or is dead.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::process::{Pid, Status};
use halyard_rt::raw::general::WNOHANG;
use halyard_rt::thread::{futex_wait_shared, futex_wake_shared};
use halyard_rt::{prelude::*, signal};

use crate::actor::Actor;
use crate::plan::{ACTORS, Plan, Step};

/// A program that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// What coordinator and actors share: per actor a page with words and a text.
struct Board(&'static Mapping);

/// Words of an actor's page: the last step it was given, began, finished; the length of the text.
const GIVEN: usize = 0;
const BEGUN: usize = 4;
const DONE: usize = 8;
const LENGTH: usize = 12;
const TEXT: usize = 64;
/// Of the last page, which is everybody's: how many notes there are.
const NOTES: usize = 32;

impl Board {
    fn word(&self, actor: usize, word: usize) -> &'static AtomicU32 {
        self.0.atomic(actor * PAGE + word)
    }

    fn get(&self, actor: usize, word: usize) -> u32 {
        self.word(actor, word).load(Ordering::SeqCst)
    }

    fn set(&self, actor: usize, word: usize, value: u32) {
        self.word(actor, word).store(value, Ordering::SeqCst);
    }

    /// Notes something that must be removed in the end.
    fn note(&self, nr: usize, id: usize) {
        let index = self.word(ACTORS, NOTES).fetch_add(1, Ordering::SeqCst) as usize;
        if TEXT + index * 8 + 8 <= PAGE {
            self.set(ACTORS, TEXT + index * 8, nr as u32);
            self.set(ACTORS, TEXT + index * 8 + 4, id as u32);
        }
    }

    /// What was noted.
    fn notes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let count = self.get(ACTORS, NOTES) as usize;
        let places = (0..count.min((PAGE - TEXT) / 8)).map(|index| TEXT + index * 8);
        places.map(|at| {
            (
                self.get(ACTORS, at) as usize,
                self.get(ACTORS, at + 4) as usize,
            )
        })
    }

    fn write(&self, actor: usize, text: &str) {
        let bytes = text.as_bytes();
        let length = bytes.len().min(PAGE - TEXT);
        for (index, &byte) in bytes.iter().take(length).enumerate() {
            self.0.store(actor * PAGE + TEXT + index, byte);
        }
        self.set(actor, LENGTH, length as u32);
    }

    fn read(&self, actor: usize) -> String {
        let length = (self.get(actor, LENGTH) as usize).min(PAGE - TEXT);
        let bytes = (0..length).map(|index| self.0.load(actor * PAGE + TEXT + index));
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    }
}

/// How an actor is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It waits for its next step.
    Idle,
    /// It is within a step.
    Busy,
    /// It waits within a step.
    Blocked,
    /// A signal stopped it.
    Stopped,
    /// It has ended.
    Dead,
}

struct Stage {
    board: Board,
    pids: [Pid; ACTORS],
    states: [State; ACTORS],
    /// What each actor does or did last.
    acts: [String; ACTORS],
    trace: String,
    end: Duration,
}

/// Plays a program without the steps whose bits are not in `mask`; gives its trace.
///
/// # Errors
/// What this needs for itself failed.
pub(crate) fn play(plan: &Plan, number: u64, mask: u64) -> Result<String> {
    let length = (ACTORS + 1) * PAGE;
    let mapping = Mapping::anonymous(length, PROT_READ | PROT_WRITE, Sharing::Shared)?;
    let mut stage = Stage {
        board: Board(mapping.leak()),
        pids: [0; ACTORS],
        states: [State::Dead; ACTORS],
        acts: [const { String::new() }; ACTORS],
        trace: String::new(),
        end: time::uptime() + LIMIT,
    };
    let mut ancestor = Actor::new(number);
    crate::calls::clean_up(&ancestor);
    let chosen = |index: usize| mask >> index & 1 == 1;
    for (index, step) in plan
        .prologue
        .iter()
        .enumerate()
        .filter(|(index, _)| chosen(*index))
    {
        ancestor.step = index;
        let text = ancestor.perform(step.op, step.args);
        stage.line(index, &format!("all: {} = {text}", name(step)));
    }
    for (nr, id) in ancestor.made.drain(..) {
        stage.board.note(nr, id);
    }
    stage.start(plan, &mut ancestor)?;
    for (at, step) in plan.steps.iter().enumerate() {
        let index = plan.prologue.len() + at;
        if chosen(index) && !stage.step(index, at as u32 + 1, step) {
            break;
        }
    }
    stage.finish(plan);
    for (nr, id) in stage.board.notes() {
        crate::calls::remove(nr, id);
    }
    crate::calls::clean_up(&ancestor);
    Ok(stage.trace)
}

/// A step as it stands in a trace.
fn name(step: &Step) -> String {
    let mut text = step.op.name.to_owned();
    let given = step.op.args.iter().zip(step.args);
    for (_, arg) in given.filter(|(domain, _)| !matches!(domain, crate::op::Domain::None)) {
        text.push_str(&format!(" {arg}"));
    }
    text
}

impl Stage {
    fn line(&mut self, index: usize, text: &str) {
        self.trace.push_str(&format!("  {index:2} {text}\n"));
    }

    /// Forks the actors. Each learns everybody's number with its first step, from the board's last page.
    fn start(&mut self, plan: &Plan, ancestor: &mut Actor) -> Result<()> {
        for actor in 0..plan.actors {
            let board = &self.board;
            let pid = process::spawn(|| {
                ancestor.number = actor;
                live(board, actor, plan, ancestor)
            })?;
            self.board.set(ACTORS, actor * 4, pid as u32);
            self.pids[actor] = pid;
            self.states[actor] = State::Idle;
        }
        // Everybody must wait for his first step before the first one is made.
        for actor in 0..plan.actors {
            self.board.set(actor, GIVEN, u32::MAX);
            let _ = futex_wake_shared(self.board.word(actor, GIVEN), 1);
            while self.board.get(actor, DONE) != u32::MAX && time::uptime() < self.end {
                process::yield_now();
            }
        }
        Ok(())
    }

    /// Gives a step to its actor. False: the program ends here.
    fn step(&mut self, index: usize, number: u32, step: &Step) -> bool {
        let actor = step.actor;
        let what = name(step);
        let why = match self.states[actor] {
            State::Idle => None,
            State::Busy | State::Blocked => Some("busy"),
            State::Stopped => Some("stopped"),
            State::Dead => Some("dead"),
        };
        if let Some(why) = why {
            self.line(index, &format!("{actor}: {what} ({why})"));
            return true;
        }
        self.acts[actor] = what;
        self.states[actor] = State::Busy;
        self.board.set(actor, GIVEN, number);
        let _ = futex_wake_shared(self.board.word(actor, GIVEN), 1);
        self.settle(index, actor);
        // Of two who wait for the same thing, who gets it is chance.
        let waiting = self.states.iter().filter(|&&state| state == State::Blocked);
        if waiting.count() > 1 {
            self.line(index, "two wait: enough");
            return false;
        }
        if time::uptime() >= self.end {
            self.line(index, "it hangs");
            return false;
        }
        true
    }

    /// Waits until everybody rests; writes down what that brought, the one who was given a step first.
    fn settle(&mut self, index: usize, first: usize) {
        let mut seen = self.look();
        // Who was seen to wait may have been let go by another who was looked at later.
        loop {
            let again = self.look();
            if again == seen || time::uptime() >= self.end {
                break;
            }
            seen = again;
        }
        let others = (0..ACTORS).filter(|&actor| actor != first);
        for actor in core::iter::once(first).chain(others) {
            let (before, (after, _)) = (self.states[actor], seen[actor]);
            self.states[actor] = after;
            if before != State::Dead {
                self.tell(index, actor, before, after);
            }
        }
    }

    /// How everybody rests, one after the other, and the last step that each finished.
    fn look(&self) -> [(State, u32); ACTORS] {
        core::array::from_fn(|actor| match self.states[actor] {
            State::Dead => (State::Dead, 0),
            _ => (self.rest(actor), self.board.get(actor, DONE)),
        })
    }

    /// Writes down what became of an actor.
    fn tell(&mut self, index: usize, actor: usize, before: State, after: State) {
        let what = self.acts[actor].clone();
        let within = matches!(before, State::Busy | State::Blocked) || !what.is_empty();
        let text = match (before, after) {
            (_, State::Idle) if within && !what.is_empty() => {
                self.acts[actor].clear();
                format!("{actor}: {what} = {}", self.board.read(actor))
            }
            (_, State::Dead) => format!("{actor}: {}", self.epitaph(actor)),
            (State::Blocked, State::Blocked) => return,
            (_, State::Blocked) => format!("{actor}: {what} blocks"),
            (State::Stopped, State::Stopped) => return,
            (_, State::Stopped) => format!("{actor}: stops"),
            (State::Stopped, _) => format!("{actor}: continues"),
            _ => return,
        };
        self.line(index, &text);
    }

    /// How an actor ended.
    fn epitaph(&mut self, actor: usize) -> String {
        match process::wait_pid(self.pids[actor]) {
            Ok(Status::Signaled(number)) => format!("dies of {number}"),
            Ok(status) => format!("{status:?}"),
            Err(errno) => format!("{errno:?}"),
        }
    }

    /// Waits until an actor rests, and says how.
    fn rest(&self, actor: usize) -> State {
        let mut seen = 0;
        while time::uptime() < self.end {
            let (given, done) = (self.board.get(actor, GIVEN), self.board.get(actor, DONE));
            let begun = self.board.get(actor, BEGUN);
            let idle = done == given;
            match letter(self.pids[actor]) {
                b'Z' | b'X' | b'?' => return State::Dead,
                b'T' => return State::Stopped,
                // Asleep, and it was so before: not on its way from one to the other.
                b'S' if idle || begun == given => {
                    seen += 1;
                    let same = self.board.get(actor, DONE) == done;
                    if seen > 1 && same {
                        return if idle { State::Idle } else { State::Blocked };
                    }
                }
                _ => seen = 0,
            }
            if !idle && begun != given {
                let _ = futex_wait_shared(
                    self.board.word(actor, DONE),
                    done,
                    Some(Duration::from_micros(500)),
                );
            } else {
                process::yield_now();
            }
        }
        State::Blocked
    }

    /// Ends everybody.
    fn finish(&mut self, plan: &Plan) {
        for actor in 0..plan.actors {
            if self.states[actor] != State::Dead {
                let _ = process::kill(self.pids[actor], signal::SIGKILL);
                let _ = process::wait_pid(self.pids[actor]);
            }
        }
        while let Ok(Some(_)) = process::wait_for(-1, WNOHANG) {}
    }
}

/// A process's state as `/proc` has it; `?` if there is no such process.
fn letter(pid: Pid) -> u8 {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return b'?';
    };
    let after = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    after.bytes().next().unwrap_or(b'?')
}

/// An actor's life: waits for a step, does it, says what it gave.
fn live(board: &Board, number: usize, plan: &Plan, actor: &mut Actor) -> i32 {
    let _ = process::set_group(0, 0);
    let mut last = 0;
    loop {
        let given = board.get(number, GIVEN);
        if given == last {
            let _ = futex_wait_shared(board.word(number, GIVEN), last, None);
            continue;
        }
        last = given;
        board.set(number, BEGUN, given);
        if given == u32::MAX {
            for (index, pid) in actor.pids.iter_mut().enumerate() {
                *pid = board.get(ACTORS, index * 4) as Pid;
            }
        } else if let Some(step) = plan.steps.get(given as usize - 1) {
            actor.step = plan.prologue.len() + given as usize - 1;
            let text = actor.perform(step.op, step.args);
            board.write(number, &text);
            for (nr, id) in actor.made.drain(..) {
                board.note(nr, id);
            }
        }
        board.set(number, DONE, given);
        let _ = futex_wake_shared(board.word(number, DONE), 1);
    }
}
