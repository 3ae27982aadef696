//! A minimal kernel: threads with a box each, a run queue, parking. Programs are closures that make the next call.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::task::{Context, Poll, Waker};

use halyard_cell::{BoxQueue, Linked, SpinLock};

use super::{Call, Model, Thread};
use crate::Result;

/// What a program does with the result of its last call: the next one, or None at its end.
pub(super) type Program = Box<dyn FnMut(Result<usize>) -> Option<Call> + Send>;

/// A task and where it parks.
pub(super) struct Task<M: Model> {
    thread: Arc<Thread>,
    parking: Arc<Parking<M>>,
    waker: Waker,
    program: Program,
    call: M,
    next: Option<Box<Task<M>>>,
}

enum Place<M: Model> {
    Away,
    Called,
    Here(Box<Task<M>>),
}

struct Parking<M: Model> {
    place: SpinLock<Place<M>>,
    queue: Arc<RunQueue<M>>,
}

pub(super) struct RunQueue<M: Model>(SpinLock<BoxQueue<Task<M>>>);

impl<M: Model> Linked for Task<M> {
    fn link(&mut self) -> &mut Option<Box<Task<M>>> {
        &mut self.next
    }
}

impl<M: Model> Wake for Parking<M> {
    fn wake(self: Arc<Self>) {
        let mut place = self.place.lock();
        if let Place::Here(task) = core::mem::replace(&mut *place, Place::Called) {
            *place = Place::Away;
            drop(place);
            self.queue.0.lock().push_back(task);
        }
    }
}

impl<M: Model> RunQueue<M> {
    pub(super) fn new() -> Arc<RunQueue<M>> {
        Arc::new(RunQueue(SpinLock::new(BoxQueue::new())))
    }

    /// Adds a thread that runs `program`.
    pub(super) fn spawn(self: &Arc<Self>, program: Program) -> (Arc<Thread>, Waker) {
        let thread = Thread::new();
        let parking = Arc::new(Parking {
            place: SpinLock::new(Place::Away),
            queue: self.clone(),
        });
        let waker = Waker::from(parking.clone());
        let task = Task {
            thread: thread.clone(),
            parking,
            waker: waker.clone(),
            program,
            call: M::default(),
            next: None,
        };
        self.0.lock().push_back(Box::new(task));
        (thread, waker)
    }

    /// Runs until everybody waits or has ended.
    pub(super) fn run(&self) {
        loop {
            let next = self.0.lock().pop_front();
            let Some(task) = next else { return };
            run_task(task);
        }
    }
}

fn run_task<M: Model>(mut task: Box<Task<M>>) {
    let mut result = Ok(0);
    loop {
        if task.call.is_empty() {
            let Some(call) = (task.program)(result) else {
                return;
            };
            let started = task.call.start(call, &task.thread);
            if let Some(done) = started {
                result = done;
                continue;
            }
        }
        let Task {
            thread,
            waker,
            call,
            ..
        } = &mut *task;
        match call.poll(thread, &mut Context::from_waker(waker)) {
            Poll::Ready(done) => result = done,
            Poll::Pending => {
                let parking = task.parking.clone();
                let mut place = parking.place.lock();
                match *place {
                    Place::Called => *place = Place::Away,
                    Place::Away | Place::Here(_) => {
                        *place = Place::Here(task);
                        return;
                    }
                }
            }
        }
    }
}
