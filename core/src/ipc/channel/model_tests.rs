//! Channels under random use: several servers and clients, some of which are killed, on one to four CPUs. What each of
//! them saw is noted, and the notes must be those of a channel.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use halyard_abi::ipc_call::IPC_CALL;
use halyard_abi::nr;

use crate::Errno;
use crate::bench::{DATA, Script, run_on};
use crate::host::{Config, HostCpu, Program};

const CLIENT: u64 = 0xc01;
const CALL: u64 = 0xc02;
const RECEIVE: u64 = 0xc03;
const REPLY: u64 = 0xc04;
const REPLY_RECEIVE: u64 = 0xc05;

/// With the count of words: a descriptor comes with them.
const PASSING: u64 = 0x100;

const O_NONBLOCK: u64 = 0x800;
const SIGKILL: u64 = 9;
const SCHED_FIFO: u64 = 1;

/// Registers that the programs keep things in: the server's end, a client's, the call that is served.
const SERVER_FD: usize = 21;
const CLIENT_FD: usize = 22;
const SERVED: usize = 20;
/// The descriptor that came with it, and both ends of the pipe of which clients pass the writing one.
const PASSED_FD: usize = 17;
const READER_FD: usize = 18;
const WRITER_FD: usize = 19;
/// The first of the registers with the children's numbers.
const CHILDREN: usize = 24;
const FIRST_WORD: usize = 9;

const SEQUENCES: u64 = 1000;

/// What somebody saw. Calls have numbers: a client's badge times 100 and a count.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The client's call ended: how many words came, and the first; or the error.
    Ended(u64, i64, u64),
    /// A server took a call.
    Taken { call: u64, badge: u64, words: i64 },
    /// A server is about to reply.
    Replying(u64),
    /// Its reply ended so; one that receives in the same call is not told.
    Replied(u64, i64),
    /// A server received again, or ended, without a reply.
    Dropped(u64),
    /// Something else than the test knows.
    #[expect(dead_code, reason = "it is shown when a sequence fails")]
    Strange(&'static str, i64),
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Event>>>);

impl Notes {
    fn note(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// A plain generator (xorshift), so that a sequence is told by its number.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Deed {
    Reply,
    ReplyReceive,
    /// Receives without a reply to what was received before.
    ReceiveAgain,
}

/// How many words the call `number` sends; the first is the number, the others follow it.
const fn words_of(number: u64) -> u64 {
    1 + number % 8
}

/// Whether it passes a descriptor.
const fn passes(number: u64) -> bool {
    number.is_multiple_of(3)
}

/// What is answered to a call.
const fn answer_to(number: u64) -> u64 {
    number * 2 + 1
}

/// Takes a real-time policy for itself.
fn raise(program: &mut Program, priority: u64) {
    program.store(DATA, &[priority]);
    program
        .call(nr::SCHED_SETSCHEDULER, [0, SCHED_FIFO, DATA])
        .expect("sched_setscheduler", 0);
}

/// A step that notes that `number` words or an error came with a receive.
fn note_taken(cpu: &mut HostCpu<'_>, notes: &Notes) {
    let x = cpu.regs().x;
    let (words, call) = (x[0].cast_signed(), x[FIRST_WORD]);
    if words < 0 {
        notes.note(Event::Strange("receive", words));
        return;
    }
    let badge = x[1];
    notes.note(Event::Taken { call, badge, words });
    for (at, word) in x.iter().skip(FIRST_WORD).take(words as usize).enumerate() {
        if *word != call + at as u64 {
            notes.note(Event::Strange("word", *word as i64));
        }
    }
    cpu.regs().x[SERVED] = call;
    cpu.regs().x[PASSED_FD] = x[2];
}

/// Lets go of what came with a call; it must be there just if it was passed.
fn close_passed(program: &mut Program, notes: &Notes) {
    let notes = notes.clone();
    program
        .call_with(nr::CLOSE, |cpu| vec![cpu.regs().x[PASSED_FD]])
        .act(move |regs| {
            let closed = regs.x[0] == 0;
            if closed != passes(regs.x[SERVED]) {
                notes.note(Event::Strange("close", regs.x[0].cast_signed()));
            }
        });
}

fn write_server(program: &mut Program, notes: &Notes, deeds: &[Deed], keeps: bool) {
    for end in [READER_FD, WRITER_FD] {
        program
            .call_with(nr::CLOSE, move |cpu| vec![cpu.regs().x[end]])
            .expect("close", 0);
    }
    let receive = |program: &mut Program| {
        let taken = notes.clone();
        program
            .call_with(IPC_CALL, |cpu| vec![RECEIVE, cpu.regs().x[SERVER_FD]])
            .step(move |cpu| {
                note_taken(cpu, &taken);
                Ok(())
            });
    };
    receive(program);
    for deed in deeds {
        let (before, after) = (notes.clone(), notes.clone());
        if !keeps {
            close_passed(program, notes);
        }
        match deed {
            Deed::Reply => {
                program
                    .act(move |regs| {
                        before.note(Event::Replying(regs.x[SERVED]));
                        regs.x[FIRST_WORD] = answer_to(regs.x[SERVED]);
                    })
                    .call(IPC_CALL, [REPLY, 0, 1])
                    .act(move |regs| {
                        after.note(Event::Replied(regs.x[SERVED], regs.x[0].cast_signed()));
                    });
                receive(program);
            }
            Deed::ReplyReceive => {
                program
                    .act(move |regs| {
                        before.note(Event::Replying(regs.x[SERVED]));
                        regs.x[FIRST_WORD] = answer_to(regs.x[SERVED]);
                    })
                    .call_with(IPC_CALL, |cpu| {
                        vec![REPLY_RECEIVE, cpu.regs().x[SERVER_FD], 1]
                    })
                    .step(move |cpu| {
                        note_taken(cpu, &after);
                        Ok(())
                    });
            }
            Deed::ReceiveAgain => {
                program.act(move |regs| before.note(Event::Dropped(regs.x[SERVED])));
                receive(program);
            }
        }
    }
    let notes = notes.clone();
    program.act(move |regs| notes.note(Event::Dropped(regs.x[SERVED])));
}

fn write_client(program: &mut Program, notes: &Notes, badge: u64, calls: u64) {
    program.call_with(IPC_CALL, move |cpu| {
        vec![CLIENT, cpu.regs().x[SERVER_FD], badge, 0]
    });
    program
        .act(|regs| regs.x[CLIENT_FD] = regs.x[0])
        .call_with(nr::CLOSE, |cpu| vec![cpu.regs().x[SERVER_FD]])
        .expect("close", 0);
    for count in 0..calls {
        let number = badge * 100 + count;
        let notes = notes.clone();
        program
            .act(move |regs| {
                let words = regs.x.iter_mut().skip(FIRST_WORD).take(8);
                words.zip(number..).for_each(|(to, word)| *to = word);
            })
            .call_with(IPC_CALL, move |cpu| {
                let (words, writer) = (words_of(number), cpu.regs().x[WRITER_FD]);
                let with = if passes(number) { PASSING } else { 0 };
                vec![CALL, cpu.regs().x[CLIENT_FD], words | with, writer]
            })
            .act(move |regs| {
                let (result, word) = (regs.x[0].cast_signed(), regs.x[FIRST_WORD]);
                notes.note(Event::Ended(number, result, word));
            });
    }
}

/// Who there is in a sequence, and what they do.
struct Plan {
    servers: Vec<Vec<Deed>>,
    /// Whether servers keep what is passed to them.
    keep: bool,
    /// Each client's calls and, if it is one of real time, its priority.
    clients: Vec<(u64, Option<u64>)>,
    /// Which child is killed after how many turns of the parent.
    kill: Option<(usize, u64)>,
}

impl Plan {
    fn draw(chance: &mut Chance) -> Plan {
        let deed = |chance: &mut Chance| match chance.below(6) {
            0 => Deed::ReceiveAgain,
            1 | 2 => Deed::Reply,
            _ => Deed::ReplyReceive,
        };
        let servers: Vec<Vec<Deed>> = (0..1 + chance.below(2))
            .map(|_| (0..chance.below(8)).map(|_| deed(chance)).collect())
            .collect();
        let clients: Vec<_> = (0..1 + chance.below(3))
            .map(|_| {
                let priority = (chance.below(3) == 0).then(|| 1 + chance.below(90));
                (1 + chance.below(6), priority)
            })
            .collect();
        let children = (servers.len() + clients.len()) as u64;
        let kill =
            (chance.below(3) == 0).then(|| (chance.below(children) as usize, chance.below(12)));
        Plan {
            servers,
            keep: chance.below(2) == 0,
            clients,
            kill,
        }
    }

    fn write(&self, program: &mut Program, notes: &Notes) {
        program
            .call(nr::PIPE2, [DATA, O_NONBLOCK])
            .expect("pipe2", 0)
            .step(|cpu| {
                let ends = cpu.load_u64(DATA)?;
                cpu.regs().x[READER_FD] = ends & 0xffff_ffff;
                cpu.regs().x[WRITER_FD] = ends >> 32;
                Ok(())
            });
        program
            .call(IPC_CALL, [0xc00, 0])
            .act(|regs| regs.x[SERVER_FD] = regs.x[0]);
        for (at, deeds) in self.servers.iter().enumerate() {
            program.fork(CHILDREN + at, |program| {
                write_server(program, notes, deeds, self.keep);
            });
        }
        for (at, (calls, priority)) in self.clients.iter().enumerate() {
            program.fork(CHILDREN + self.servers.len() + at, |program| {
                if let Some(priority) = priority {
                    raise(program, *priority);
                }
                write_client(program, notes, at as u64 + 1, *calls);
            });
        }
        program
            .call_with(nr::CLOSE, |cpu| vec![cpu.regs().x[SERVER_FD]])
            .expect("close", 0);
        program
            .call_with(nr::CLOSE, |cpu| vec![cpu.regs().x[WRITER_FD]])
            .expect("close", 0);
        if let Some((victim, turns)) = self.kill {
            for _ in 0..turns {
                program.call(nr::SCHED_YIELD, []);
            }
            kill(program, CHILDREN + victim);
        }
        let (servers, all) = (self.servers.len(), self.servers.len() + self.clients.len());
        for child in servers..all {
            reap(program, CHILDREN + child);
        }
        for child in 0..servers {
            kill(program, CHILDREN + child);
            reap(program, CHILDREN + child);
        }
        // Whoever had the writing end, or had it on the way to him, is gone.
        program
            .call_with(nr::READ, |cpu| vec![cpu.regs().x[READER_FD], DATA, 1])
            .expect("the end of the pipe", 0);
    }
}

fn kill(program: &mut Program, child: usize) {
    program
        .call_with(nr::KILL, move |cpu| vec![cpu.regs().x[child], SIGKILL])
        .expect("kill", 0);
}

fn reap(program: &mut Program, child: usize) {
    program
        .call_with(nr::WAIT4, move |cpu| vec![cpu.regs().x[child], 0, 0, 0])
        .act(move |regs| assert_eq!(regs.x[0], regs.x[child], "wait4"));
}

/// What the servers did with a call.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    taken: u32,
    dropped: bool,
    replying: bool,
    /// What the server was told of its reply.
    told: Option<i64>,
}

/// Holds the notes against what a channel promises.
fn judge(plan: &Plan, events: &[Event]) -> Result<(), std::string::String> {
    let mut fates: BTreeMap<u64, Fate> = BTreeMap::new();
    for event in events {
        match *event {
            Event::Taken { call, badge, words } => {
                let fate = fates.entry(call).or_default();
                fate.taken += 1;
                if badge != call / 100 || words as u64 != words_of(call) || fate.taken > 1 {
                    return Err(std::format!("{event:?}"));
                }
            }
            Event::Replying(call) => fates.entry(call).or_default().replying = true,
            Event::Replied(call, told) => fates.entry(call).or_default().told = Some(told),
            Event::Dropped(call) => fates.entry(call).or_default().dropped = true,
            Event::Ended(..) => {}
            Event::Strange(..) => return Err(std::format!("{event:?}")),
        }
    }
    let killed = plan.kill.map(|(victim, _)| victim);
    let server_killed = killed.is_some_and(|victim| victim < plan.servers.len());
    let mut ended = BTreeMap::new();
    for event in events {
        let Event::Ended(call, result, word) = *event else {
            continue;
        };
        ended.insert(call, result);
        let fate = fates.get(&call).copied().unwrap_or_default();
        let right = if result == 1 {
            fate.taken == 1 && fate.replying && !fate.dropped && word == answer_to(call)
        } else if result == Errno::ECONNRESET.to_return() as i64 {
            // A server that is killed may have taken it without a note, or noted a reply that it did not come to make.
            server_killed || (fate.taken == 1 && !fate.replying)
        } else {
            result == Errno::EPIPE.to_return() as i64 && fate.taken == 0
        };
        if !right {
            return Err(std::format!("{event:?} and {fate:?}"));
        }
    }
    for (at, (calls, _)) in plan.clients.iter().enumerate() {
        if killed == Some(plan.servers.len() + at) {
            continue;
        }
        let badge = at as u64 + 1;
        for call in (0..*calls).map(|count| badge * 100 + count) {
            if !ended.contains_key(&call) {
                return Err(std::format!("call {call} never ended"));
            }
            let told = fates.get(&call).and_then(|fate| fate.told);
            if told.is_some_and(|told| told != 0) {
                return Err(std::format!("the reply to {call} was told {told:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn channel_random_servers_and_clients_see_what_a_channel_promises() {
    for seed in 1..=SEQUENCES {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let plan = Plan::draw(&mut chance);
        let notes = Notes::default();
        let config = Config {
            cpus: 1 + seed as usize % 4,
            seed,
            ..Config::default()
        };
        let code = run_on(config, |program| plan.write(program, &notes));
        let events = notes.0.lock().unwrap().clone();
        let verdict = judge(&plan, &events);
        assert!(
            code == 0 && verdict.is_ok(),
            "sequence {seed}: exit code {code}, {verdict:?}\n{events:#?}"
        );
    }
}
