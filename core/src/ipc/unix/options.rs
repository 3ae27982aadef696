//! What setsockopt(2) changes and nothing else does (socket(7)).

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::Socket;
use super::link::DEFAULT_LIMIT;
use crate::time::{Instant, NANOS_PER_SECOND};

/// The most that SO_SNDBUF and SO_RCVBUF take without privilege, before it is doubled (net.core.wmem_max).
const BUFFER_MAX: u32 = DEFAULT_LIMIT as u32;
/// The least of a send buffer (SOCK_MIN_SNDBUF).
const SEND_MIN: u32 = 4608;
/// The least of a receive buffer (SOCK_MIN_RCVBUF).
const RECEIVE_MIN: u32 = 2304;
/// No time-out.
const NEVER: u64 = u64::MAX;

/// What setsockopt(2) changes and nothing else does.
pub struct Options {
    /// Options that are only remembered: a bit for each number below 32.
    remembered: AtomicU32,
    receive_buffer: AtomicU32,
    least: AtomicU32,
    receive_timeout: AtomicU64,
    send_timeout: AtomicU64,
}

impl Options {
    pub(super) const fn new() -> Options {
        Options {
            remembered: AtomicU32::new(0),
            receive_buffer: AtomicU32::new(BUFFER_MAX),
            least: AtomicU32::new(1),
            receive_timeout: AtomicU64::new(NEVER),
            send_timeout: AtomicU64::new(NEVER),
        }
    }

    /// Whether option `number`, which means nothing here, was switched on.
    #[must_use]
    pub fn remembered(&self, number: u32) -> bool {
        self.remembered.load(Ordering::Relaxed) >> (number & 31) & 1 != 0
    }

    /// Remembers an option that means nothing here.
    pub fn remember(&self, number: u32, on: bool) {
        let bit = 1 << (number & 31);
        if on {
            self.remembered.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.remembered.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// SO_RCVBUF. It bounds nothing: what is on the way counts for its sender.
    #[must_use]
    pub fn receive_buffer(&self) -> u32 {
        self.receive_buffer.load(Ordering::Relaxed)
    }

    /// Sets SO_RCVBUF; `force`: beyond the maximum too.
    pub fn set_receive_buffer(&self, bytes: u32, force: bool) {
        let bytes = doubled(bytes, force).max(RECEIVE_MIN);
        self.receive_buffer.store(bytes, Ordering::Relaxed);
    }

    /// SO_RCVLOWAT: how many bytes a blocking receive waits for, if it has room for them.
    #[inline]
    #[must_use]
    pub fn least(&self) -> usize {
        self.least.load(Ordering::Relaxed) as usize
    }

    /// Sets SO_RCVLOWAT; below zero is no bound.
    pub fn set_least(&self, bytes: i32) {
        let bytes = u32::try_from(bytes).unwrap_or(i32::MAX as u32).max(1);
        self.least.store(bytes, Ordering::Relaxed);
    }

    /// SO_RCVTIMEO in nanoseconds.
    #[inline]
    #[must_use]
    pub fn receive_timeout(&self) -> Option<u64> {
        Some(self.receive_timeout.load(Ordering::Relaxed)).filter(|time| *time != NEVER)
    }

    /// SO_SNDTIMEO in nanoseconds.
    #[inline]
    #[must_use]
    pub fn send_timeout(&self) -> Option<u64> {
        Some(self.send_timeout.load(Ordering::Relaxed)).filter(|time| *time != NEVER)
    }

    /// Sets SO_RCVTIMEO.
    pub fn set_receive_timeout(&self, nanos: Option<u64>) {
        self.receive_timeout
            .store(nanos.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// Sets SO_SNDTIMEO.
    pub fn set_send_timeout(&self, nanos: Option<u64>) {
        self.send_timeout
            .store(nanos.unwrap_or(NEVER), Ordering::Relaxed);
    }
}

/// The end of a time-out that begins now.
#[must_use]
pub fn deadline(now: Instant, timeout: Option<u64>) -> Option<Instant> {
    timeout.map(|nanos| now.after(nanos))
}

/// A `struct timeval` as SO_RCVTIMEO and SO_SNDTIMEO take it, in nanoseconds. Zero is no time-out; a negative time is over at
/// once. None: the microseconds are none.
#[must_use]
pub fn timeout([seconds, micros]: [i64; 2]) -> Option<Option<u64>> {
    if !(0..1_000_000).contains(&micros) {
        return None;
    }
    Some(match (u64::try_from(seconds), micros as u64) {
        (Err(_), _) => Some(0),
        (Ok(0), 0) => None,
        (Ok(seconds), micros) => {
            let nanos = seconds
                .saturating_mul(NANOS_PER_SECOND)
                .saturating_add(micros * 1000);
            Some(nanos.min(NEVER - 1))
        }
    })
}

/// The same as getsockopt(2) reports it.
#[must_use]
pub const fn timeval(nanos: Option<u64>) -> [i64; 2] {
    match nanos {
        None => [0, 0],
        Some(nanos) => [
            (nanos / NANOS_PER_SECOND) as i64,
            (nanos % NANOS_PER_SECOND / 1000) as i64,
        ],
    }
}

/// Linux doubles what it is asked for, and so do what programs read back.
fn doubled(bytes: u32, force: bool) -> u32 {
    let most = i32::MAX as u32 / 2;
    bytes.min(if force { most } else { BUFFER_MAX }).min(most) * 2
}

impl Socket {
    /// SO_SNDBUF: how many bytes may be on the way.
    #[must_use]
    pub fn send_buffer(&self) -> u32 {
        u32::try_from(self.outbox().half.lock().limit).unwrap_or(u32::MAX)
    }

    /// Sets SO_SNDBUF; `force`: beyond the maximum too.
    pub fn set_send_buffer(&self, bytes: u32, force: bool) {
        self.outbox().half.lock().limit = doubled(bytes, force).max(SEND_MIN) as usize;
        self.outbox().writers.wake_all();
    }

    /// Whether it wants to know who sent (SO_PASSCRED).
    #[must_use]
    pub fn passcred(&self) -> bool {
        self.inbox().passcred.load(Ordering::Relaxed)
    }

    /// Sets SO_PASSCRED.
    pub fn set_passcred(&self, on: bool) {
        self.inbox().passcred.store(on, Ordering::Relaxed);
    }
}
