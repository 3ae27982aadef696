//! What a signal tells about its cause: `siginfo_t` (sigaction(2), asm-generic/siginfo.h), kept without its unused tail.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::number::Signal;
use crate::machine::UserAddr;
use crate::process::Pid;

/// `si_code`: sent by kill(2).
pub const SI_USER: i32 = 0;
/// `si_code`: sent by the kernel.
pub const SI_KERNEL: i32 = 0x80;
/// `si_code`: sent by sigqueue(3).
pub const SI_QUEUE: i32 = -1;
/// `si_code`: a timer of timer_create(2).
pub const SI_TIMER: i32 = -2;
/// `si_code`: a message arrived in an empty queue (mq_notify(3)).
pub const SI_MESGQ: i32 = -3;
/// `si_code`: sent by tkill(2) or tgkill(2).
pub const SI_TKILL: i32 = -6;

/// What a signal tells about its cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalInfo {
    /// `si_code`.
    pub code: i32,
    /// `si_errno`: 0 unless a program set it.
    pub errno: i32,
    /// The rest, as it stands in `siginfo_t` behind the first 16 bytes.
    pub fields: [u64; 4],
}

/// `siginfo_t` as a program sees it.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct RawInfo {
    /// `si_signo`.
    pub signo: i32,
    /// `si_errno`.
    pub errno: i32,
    /// `si_code`.
    pub code: i32,
    pad: i32,
    fields: [u64; 4],
    rest: [u64; 10],
}

const _: () = assert!(size_of::<RawInfo>() == 128);

/// Two 32-bit fields that lie side by side.
const fn pair(first: u32, second: u32) -> u64 {
    first as u64 | (second as u64) << 32
}

impl SignalInfo {
    /// From the kernel, for no reason that a program could be told.
    #[must_use]
    pub const fn kernel() -> SignalInfo {
        SignalInfo {
            code: SI_KERNEL,
            errno: 0,
            fields: [0; 4],
        }
    }

    /// Sent by process `pid` of user `uid`; `code` says by which call.
    #[must_use]
    pub const fn sent(code: i32, pid: Pid, uid: u32) -> SignalInfo {
        SignalInfo {
            code,
            errno: 0,
            fields: [pair(pid, uid), 0, 0, 0],
        }
    }

    /// Sent with a value (`si_value`).
    #[must_use]
    pub const fn with_value(code: i32, pid: Pid, uid: u32, value: u64) -> SignalInfo {
        SignalInfo {
            code,
            errno: 0,
            fields: [pair(pid, uid), value, 0, 0],
        }
    }

    /// A timer ran out (`si_timerid`, `si_overrun`, `si_value`).
    #[must_use]
    pub const fn timer(id: u32, overrun: u32, value: u64) -> SignalInfo {
        SignalInfo {
            code: SI_TIMER,
            errno: 0,
            fields: [pair(id, overrun), value, 0, 0],
        }
    }

    /// `si_timerid`.
    #[must_use]
    pub const fn timer_id(&self) -> i32 {
        self.pid().cast_signed()
    }

    /// Sets `si_overrun`.
    pub const fn set_overrun(&mut self, overrun: u32) {
        self.fields[0] = pair(self.pid(), overrun);
    }

    /// Caused by an access to, or the instruction at, `address` (`si_addr`).
    #[must_use]
    pub const fn fault(code: i32, address: UserAddr) -> SignalInfo {
        SignalInfo {
            code,
            errno: 0,
            fields: [address.0 as u64, 0, 0, 0],
        }
    }

    /// A child changed state (`si_pid`, `si_uid`, `si_status`, `si_utime`, `si_stime`; times in 1/100 s).
    #[must_use]
    pub const fn child(code: i32, pid: Pid, uid: u32, status: i32, ticks: u64) -> SignalInfo {
        SignalInfo {
            code,
            errno: 0,
            fields: [pair(pid, uid), pair(status as u32, 0), ticks, 0],
        }
    }

    /// As the program sees it.
    #[must_use]
    pub const fn to_raw(&self, signal: Signal) -> RawInfo {
        RawInfo {
            signo: signal.number() as i32,
            errno: self.errno,
            code: self.code,
            pad: 0,
            fields: self.fields,
            rest: [0; 10],
        }
    }

    /// As a program gave it to rt_sigqueueinfo(2): its `si_signo` does not count.
    #[must_use]
    pub const fn from_raw(raw: &RawInfo) -> SignalInfo {
        SignalInfo {
            code: raw.code,
            errno: raw.errno,
            fields: raw.fields,
        }
    }

    /// `si_pid` of a signal that somebody sent.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        let [first, ..] = self.fields;
        first as u32
    }

    /// `si_uid` of a signal that somebody sent.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        let [first, ..] = self.fields;
        (first >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets of asm-generic/siginfo.h on a 64-bit machine.
    #[test]
    fn raw_fields_stand_where_programs_look() {
        let word =
            |bytes: &[u8], at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let long =
            |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let child = SignalInfo::child(1, 42, 1000, 3, 7).to_raw(Signal::CHLD);
        let bytes = child.as_bytes();
        assert_eq!([word(bytes, 0), word(bytes, 4), word(bytes, 8)], [17, 0, 1]);
        assert_eq!(
            [word(bytes, 16), word(bytes, 20), word(bytes, 24)],
            [42, 1000, 3]
        );
        assert_eq!([long(bytes, 32), long(bytes, 40)], [7, 0]);
        let queued = SignalInfo::with_value(SI_QUEUE, 5, 6, 0x1234_5678_9abc).to_raw(Signal::USR1);
        assert_eq!(long(queued.as_bytes(), 24), 0x1234_5678_9abc);
        let fault = SignalInfo::fault(1, UserAddr(0xdead_beef_0000)).to_raw(Signal::SEGV);
        assert_eq!(long(fault.as_bytes(), 16), 0xdead_beef_0000);
    }

    #[test]
    fn raw_and_back_keeps_what_a_program_queued() {
        let info = SignalInfo::with_value(SI_QUEUE, 5, 6, u64::MAX);
        assert_eq!(SignalInfo::from_raw(&info.to_raw(Signal::USR2)), info);
        assert_eq!((info.pid(), info.uid()), (5, 6));
    }
}
