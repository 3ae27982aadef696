//! Signalfd: signals that are read instead of handled (signalfd(2)).
//!
//! Owns a mask and a queue; the signals stay where they pend, with the process and its threads. A read takes what pends for
//! the thread that reads, whoever made the descriptor; poll says what that thread would find. Who has looked is told of
//! what comes later: its process notes the descriptor ([`SignalWatch`]). Nothing here waits.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use halyard_cell::SpinLock;
use zerocopy::{Immutable, IntoBytes};

use crate::counters::{Kind, Live};
use crate::fs::file::{File, Readiness, Side, Special};
use crate::io::Sink;
use crate::kernel::Kernel;
use crate::process::signal::{self, Signal, SignalInfo, SignalSet};
use crate::process::thread::Thread;
use crate::wait::WaitQueue;
use crate::{Errno, Result};

/// Signals behind a descriptor.
pub struct SignalFd {
    kernel: &'static Kernel,
    shared: Arc<Shared>,
    _live: Live,
}

/// What the processes hold that have looked.
struct Shared {
    mask: AtomicU64,
    queue: WaitQueue,
}

/// The signalfds that threads of a process have looked at. Lock level 2, below the signal state.
#[derive(Default)]
pub struct SignalWatch {
    /// Whether there ever was one: read without the lock.
    any: AtomicBool,
    watchers: SpinLock<Vec<Weak<Shared>>>,
}

/// `struct signalfd_siginfo` (signalfd(2)).
#[repr(C)]
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
struct Record {
    signo: u32,
    errno: i32,
    code: i32,
    pid: u32,
    uid: u32,
    fd: i32,
    tid: u32,
    band: u32,
    overrun: u32,
    trapno: u32,
    status: i32,
    int: i32,
    ptr: u64,
    utime: u64,
    stime: u64,
    addr: u64,
    addr_lsb: u16,
    pad: [u16; 23],
}

const RECORD_BYTES: usize = size_of::<Record>();
const _: () = assert!(RECORD_BYTES == 128);

impl SignalFd {
    /// A descriptor for the signals of `mask`, but SIGKILL and SIGSTOP.
    #[must_use]
    pub fn new(kernel: &'static Kernel, mask: SignalSet) -> SignalFd {
        let shared = Shared {
            mask: AtomicU64::new(mask.minus(SignalSet::UNBLOCKABLE).0),
            queue: WaitQueue::new(),
        };
        SignalFd {
            kernel,
            shared: Arc::new(shared),
            _live: Live::new(Kind::SignalFd),
        }
    }

    /// Changes the mask.
    pub fn set_mask(&self, mask: SignalSet) {
        let mask = mask.minus(SignalSet::UNBLOCKABLE);
        self.shared.mask.store(mask.0, Ordering::SeqCst);
        self.shared.queue.wake_all();
    }

    fn mask(&self) -> SignalSet {
        SignalSet(self.shared.mask.load(Ordering::SeqCst))
    }

    /// The thread that makes the call, after its process has been told to tell of what comes. ENOMEM.
    fn reader(&self) -> Result<Arc<Thread>> {
        let thread = self.kernel.current_thread().ok_or(Errno::ESRCH)?;
        thread.process.signal_watch.add(&self.shared)?;
        Ok(thread)
    }
}

impl SignalWatch {
    /// Before the caller looks at what pends. ENOMEM.
    fn add(&self, shared: &Arc<Shared>) -> Result<()> {
        let mut watchers = self.watchers.lock();
        let is_it = |other: &Weak<Shared>| core::ptr::eq(other.as_ptr(), Arc::as_ptr(shared));
        if watchers.iter().any(is_it) {
            return Ok(());
        }
        if watchers.len() == watchers.capacity() {
            watchers.retain(|watcher| watcher.strong_count() > 0);
        }
        watchers.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        watchers.push(Arc::downgrade(shared));
        self.any.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// `signal` pends for the process or one of its threads. After it has been added.
    #[inline]
    pub fn tell(&self, signal: Signal) {
        if self.any.load(Ordering::SeqCst) {
            self.tell_all(signal);
        }
    }

    #[cold]
    fn tell_all(&self, signal: Signal) {
        let mut next = 0;
        loop {
            let watchers = self.watchers.lock();
            let Some(watcher) = watchers.get(next).map(Weak::upgrade) else {
                return;
            };
            drop(watchers);
            next += 1;
            let Some(shared) = watcher else { continue };
            if SignalSet(shared.mask.load(Ordering::SeqCst)).contains(signal) {
                // Each reader may be another thread: only some of them can take it.
                shared.queue.wake_all();
            }
        }
    }
}

impl File for SignalFd {
    /// As many records as fit of what pends for the reading thread. EINVAL: room for none.
    fn try_read(&self, sink: &mut dyn Sink, _at: u64) -> Result<usize> {
        if sink.remaining() < RECORD_BYTES {
            return Err(Errno::EINVAL);
        }
        let (reader, mask) = (self.reader()?, self.mask());
        let mut done = 0;
        while sink.remaining() >= RECORD_BYTES {
            if signal::pending(&reader).intersection(mask).is_empty() {
                break;
            }
            if let Err(fault) = sink.prepare(RECORD_BYTES) {
                return if done > 0 { Ok(done) } else { Err(fault) };
            }
            let Some((signal, info)) = signal::take_awaited(&reader, mask) else {
                break;
            };
            sink.put(record(signal, &info).as_bytes())?;
            done += RECORD_BYTES;
        }
        if done > 0 {
            Ok(done)
        } else {
            Err(Errno::EAGAIN)
        }
    }

    fn poll(&self) -> Readiness {
        let ready = self.reader().is_ok_and(|reader| {
            !signal::pending(&reader)
                .intersection(self.mask())
                .is_empty()
        });
        if ready {
            Readiness::IN | Readiness::RDNORM
        } else {
            Readiness::empty()
        }
    }

    fn wait_queue(&self, side: Side) -> Option<&WaitQueue> {
        (side == Side::Read).then_some(&self.shared.queue)
    }

    fn special(&self) -> Special<'_> {
        Special::SignalFd(self)
    }
}

/// The two halves of a word of a siginfo.
const fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// What a program reads of a signal. Which of a siginfo's fields mean something follows from signal and code.
fn record(signal: Signal, info: &SignalInfo) -> Record {
    use signal::info::{SI_KERNEL, SI_TIMER};
    let [first, second, third, fourth] = info.fields;
    let mut record = Record {
        signo: u32::from(signal.number()),
        errno: info.errno,
        code: info.code,
        pid: 0,
        uid: 0,
        fd: 0,
        tid: 0,
        band: 0,
        overrun: 0,
        trapno: 0,
        status: 0,
        int: 0,
        ptr: 0,
        utime: 0,
        stime: 0,
        addr: 0,
        addr_lsb: 0,
        pad: [0; 23],
    };
    let faults = SignalSet::SYNCHRONOUS.contains(signal);
    match info.code {
        SI_TIMER => (record.tid, record.overrun) = halves(first),
        code if code > 0 && code != SI_KERNEL && faults => record.addr = first,
        _ => (record.pid, record.uid) = halves(first),
    }
    match info.code {
        code if code > 0 && code != SI_KERNEL && signal == Signal::CHLD => {
            record.status = halves(second).0.cast_signed();
            (record.utime, record.stime) = (third, fourth);
        }
        code if code < 0 => {
            record.int = halves(second).0.cast_signed();
            record.ptr = second;
        }
        _ => {}
    }
    record
}
