//! One thread's part in an exchange: how it is completed by the peer, resumed, given up.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::{Channel, Queued};
use crate::fs::file::Special;
use crate::fs::open_file::FileRef;
use crate::machine::UserRegs;
use crate::process::thread::{Parking, Place, Thread};
use crate::sched::inherit::Member;
use crate::sched::task::Task;
use crate::{Errno, Result};

/// The most words of a message.
pub const WORDS: usize = 8;

/// The register of the first word.
pub(super) const FIRST_WORD: usize = 9;

/// The length of the `svc` instruction.
const SVC_BYTES: u64 = 4;

/// Where a thread's exchange stands, in its [`Place`].
pub enum Exchange {
    /// None, or it receives and nobody has called.
    None,
    /// It waits for a reply.
    Calling {
        /// Which of its calls.
        ticket: u64,
        /// Who serves it; None while it is queued.
        server: Option<Arc<Thread>>,
    },
    /// The peer has completed it, while the task was on its way to the place: the place's delivery says how.
    Done,
}

/// A message on its way.
pub(crate) struct Letter {
    pub(super) words: [u64; WORDS],
    pub(super) count: usize,
    pub(super) badge: u64,
    pub(super) file: Option<FileRef>,
}

/// How an exchange was completed.
pub(crate) struct Delivery {
    pub(super) letter: Result<Letter>,
    /// For who receives: whom it owes a reply.
    pub(super) owed: Option<Owed>,
    /// For a caller whose call nobody took: what it wanted to pass on. It may be the server's end of a channel where the same
    /// is so, and so on: each caller drops its own, for one drop within the other would need a stack as long as the chain.
    pub(super) unsent: Option<FileRef>,
}

/// The exchange that a task waits in.
pub(crate) struct Waiting {
    /// The end that it uses, held open.
    pub(super) end: FileRef,
    /// Whether it calls; else it receives.
    pub(crate) calls: bool,
    /// The peer's task, completed and in our hands, to be run next; the thread whose reply is awaited with it.
    pub(crate) partner: Option<Box<Task>>,
    pub(crate) server: Option<Arc<Thread>>,
}

/// The duty to reply. Dropping it makes the call fail with ECONNRESET.
pub(crate) struct Owed {
    pub(super) caller: Arc<Thread>,
    pub(super) ticket: u64,
    pub(super) paid: bool,
}

/// What became of a completed exchange.
pub(super) enum Outcome {
    /// The task is in our hands, its registers written.
    Task(Box<Task>, Option<Arc<Thread>>),
    /// The task finds it by itself.
    Left,
}

impl Letter {
    /// What `regs` say is to be sent.
    pub(super) fn of(regs: &UserRegs, count: usize, badge: u64, file: Option<FileRef>) -> Letter {
        let mut words = [0; WORDS];
        let source = regs.x.iter().skip(FIRST_WORD).take(count);
        words
            .iter_mut()
            .zip(source)
            .for_each(|(to, from)| *to = *from);
        Letter {
            words,
            count,
            badge,
            file,
        }
    }
}

/// Copies the words of a message between registers.
#[inline]
pub(super) fn copy_words(from: &UserRegs, to: &mut UserRegs, count: usize) {
    if count == 0 {
        return;
    }
    let source = from.x.iter().skip(FIRST_WORD).take(count);
    let target = to.x.iter_mut().skip(FIRST_WORD);
    target.zip(source).for_each(|(to, from)| *to = *from);
}

/// Writes what came with a message, but for its words: for a caller how many words and the descriptor, for a server the
/// badge between them.
#[inline]
pub(super) fn write_head(regs: &mut UserRegs, calls: bool, count: usize, badge: u64, fd: i64) {
    regs.x[0] = count as u64;
    if calls {
        regs.x[1] = fd as u64;
    } else {
        regs.x[1] = badge;
        regs.x[2] = fd as u64;
    }
}

/// Writes `letter` into the registers of `task`, which runs here; a descriptor that cannot be had is the negated error.
pub(super) fn accept(task: &mut Task, calls: bool, letter: Letter) {
    let fd = match letter.file {
        None => -1,
        Some(file) => {
            let limit = task.thread.descriptor_limit();
            match task.files.insert(Arc::clone(&file), 0, limit, true) {
                Ok(fd) => i64::from(fd),
                Err(errno) => errno.to_return() as i64,
            }
        }
    };
    let regs = &mut task.context.regs;
    write_head(regs, calls, letter.count, letter.badge, fd);
    let words = letter.words.iter().take(letter.count);
    let target = regs.x.iter_mut().skip(FIRST_WORD);
    target.zip(words).for_each(|(to, from)| *to = *from);
}

fn finish(task: &mut Task, calls: bool, delivery: Delivery) {
    if task.thread.schedule.standing.donates() {
        let thread = Arc::clone(&task.thread);
        thread.kernel().scheduler.end_donation(&thread);
    }
    task.owed = delivery.owed;
    drop(delivery.unsent);
    match delivery.letter {
        Ok(letter) => accept(task, calls, letter),
        Err(errno) => task.fail(errno),
    }
}

/// Completes the call `ticket` of `caller` from outside its CPU, and makes the caller runnable. ECANCELED: it waits no more.
pub(super) fn complete(
    caller: &Arc<Thread>,
    ticket: u64,
    letter: Result<Letter>,
) -> Result<Outcome> {
    let delivery = Delivery {
        letter,
        owed: None,
        unsent: None,
    };
    complete_with(caller, ticket, delivery)
}

/// As [`complete`], with all that there is to deliver.
pub(super) fn complete_with(
    caller: &Arc<Thread>,
    ticket: u64,
    delivery: Delivery,
) -> Result<Outcome> {
    let mut place = caller.place();
    if !place.exchange.is_call(ticket) {
        drop(place);
        return Err(Errno::ECANCELED);
    }
    let server = take_call(&mut place, Exchange::Done);
    place.delivery = Some(delivery);
    let task = place.call();
    drop(place);
    drop(server);
    if let Some(task) = task {
        let kernel = caller.kernel();
        kernel.scheduler.enqueue(kernel.machine, task);
    }
    Ok(Outcome::Left)
}

/// The call in `place` stands as `now` says; who served it.
#[inline]
pub(super) fn take_call(place: &mut Place, now: Exchange) -> Option<Arc<Thread>> {
    match core::mem::replace(&mut place.exchange, now) {
        Exchange::Calling { server, .. } => server,
        Exchange::None | Exchange::Done => None,
    }
}

impl Owed {
    /// Replies with what `regs` hold. ECANCELED: the caller waits no more.
    #[inline]
    pub(super) fn reply(
        mut self,
        regs: &UserRegs,
        count: usize,
        file: Option<FileRef>,
    ) -> Result<Outcome> {
        self.paid = true;
        if file.is_some() {
            let letter = Letter::of(regs, count, 0, file);
            return complete(&self.caller, self.ticket, Ok(letter));
        }
        let mut place = self.caller.place();
        if !place.exchange.is_call(self.ticket) {
            drop(place);
            return Err(Errno::ECANCELED);
        }
        match core::mem::replace(&mut place.parking, Parking::Away) {
            Parking::Here(mut task) => {
                let server = take_call(&mut place, Exchange::None);
                drop(place);
                if self.caller.schedule.standing.donates() {
                    self.caller.kernel().scheduler.end_donation(&self.caller);
                }
                drop(task.exchange.take());
                write_head(&mut task.context.regs, true, count, 0, -1);
                copy_words(regs, &mut task.context.regs, count);
                Ok(Outcome::Task(task, server))
            }
            other => {
                place.parking = other;
                drop(place);
                let letter = Letter::of(regs, count, 0, None);
                complete(&self.caller, self.ticket, Ok(letter))
            }
        }
    }
}

impl Drop for Owed {
    #[inline]
    fn drop(&mut self) {
        if !self.paid {
            let _: Result<Outcome> = complete(&self.caller, self.ticket, Err(Errno::ECONNRESET));
        }
    }
}

/// Whether the exchange that `task` waits in has been completed; then its registers say how.
pub(crate) fn settle(task: &mut Task) -> bool {
    let thread = Arc::clone(&task.thread);
    let mut place = thread.place();
    if !matches!(place.exchange, Exchange::Done) {
        drop(place);
        donate_late(&thread);
        return false;
    }
    place.exchange = Exchange::None;
    let delivery = place.delivery.take();
    drop(place);
    let calls = task.exchange.take().is_some_and(|waiting| waiting.calls);
    if let Some(delivery) = delivery {
        finish(task, calls, delivery);
    }
    true
}

/// `thread` may have been raised before anybody could see who serves its call.
fn donate_late(thread: &Arc<Thread>) {
    let standing = &thread.schedule.standing;
    if standing.effective().rank() > 0
        && !standing.donates()
        && let Some(server) = thread.server()
    {
        let mut world = thread.kernel().scheduler.world.lock();
        let before = world.donate(thread, &server);
        drop(world);
        drop((before, server));
    }
}

/// How a thread came out of an exchange that it gave up.
enum Withdrawn {
    /// It was completed before.
    Completed,
    /// Nobody had taken it: as if it had never begun.
    Undone,
    /// A server has it, whose reply will find nobody.
    Abandoned,
}

fn withdraw(task: &mut Task) -> Withdrawn {
    let Some(waiting) = task.exchange.take() else {
        return Withdrawn::Undone;
    };
    let thread = Arc::clone(&task.thread);
    let (mut queued, mut listed): (Option<Queued>, Option<Arc<Thread>>) = (None, None);
    let channel = channel_of(&waiting);
    let state = channel.map(|channel| channel.state.lock());
    if let Some(mut state) = state {
        if waiting.calls {
            queued = state.remove_call(&thread);
        } else {
            listed = state.remove_server(&thread);
        }
    }
    let undone = queued.is_some() || listed.is_some();
    let mut place = thread.place();
    let done = matches!(place.exchange, Exchange::Done);
    let server = take_call(&mut place, Exchange::None);
    let delivery = place.delivery.take();
    drop(place);
    drop((queued, listed, server));
    if let Some(delivery) = delivery.filter(|_| done) {
        finish(task, waiting.calls, delivery);
        return Withdrawn::Completed;
    }
    if thread.schedule.standing.donates() {
        thread.kernel().scheduler.end_donation(&thread);
    }
    if undone || !waiting.calls {
        Withdrawn::Undone
    } else {
        Withdrawn::Abandoned
    }
}

fn channel_of(waiting: &Waiting) -> Option<&Arc<Channel>> {
    match waiting.end.file().special() {
        Special::ChannelServer(end) => Some(&end.channel),
        Special::ChannelClient(end) => Some(&end.channel),
        _ => None,
    }
}

/// `task` ends: the exchange is given up.
pub(crate) fn abandon(task: &mut Task) {
    withdraw(task);
}

/// A signal's handler is about to run in the middle of the exchange. `restart`: it wants interrupted calls made again, which is
/// done if no server has taken the call; else EINTR.
pub(crate) fn interrupt(task: &mut Task, restart: bool) {
    match withdraw(task) {
        Withdrawn::Completed => {}
        Withdrawn::Undone if restart => {
            let regs = &mut task.context.regs;
            regs.x[0] = task.restart.x0;
            regs.pc = regs.pc.wrapping_sub(SVC_BYTES);
        }
        Withdrawn::Undone | Withdrawn::Abandoned => task.fail(Errno::EINTR),
    }
}
