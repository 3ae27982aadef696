//! The generic timer (Arm ARM D12): the virtual counter as the clock, the virtual timer as each CPU's one alarm.
//!
//! At EL1 under any hypervisor or none the virtual timer is ours; the entry code set its offset to 0 where it could.

use core::arch::asm;

use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTKCTL_EL1, CNTV_CTL_EL0, CNTV_CVAL_EL0, Readable, Writeable,
};
use halyard_core::time::Instant;

use super::barrier;
use crate::clock::Rate;

/// Time since boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    rate: Rate,
    /// The counter at boot.
    boot: u64,
}

impl Clock {
    /// The clock that was 0 when the counter was `boot`. `hertz` overrides what the firmware wrote into CNTFRQ_EL0, for boards
    /// where that is nothing.
    pub(crate) fn new(hertz: Option<u64>, boot: u64) -> Option<Self> {
        let rate = Rate::new(hertz.unwrap_or_else(|| CNTFRQ_EL0.get()))?;
        Some(Self { rate, boot })
    }

    #[inline]
    pub(crate) fn now(&self) -> Instant {
        Instant(self.rate.ns(counter().wrapping_sub(self.boot)))
    }

    #[inline]
    pub(crate) fn set_alarm(&self, at: Instant) {
        if at == Instant::NEVER {
            stop_alarm();
            return;
        }
        CNTV_CVAL_EL0.set(self.boot.saturating_add(self.rate.ticks(at.0)));
        CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
    }
}

/// CNTVCT_EL0, not read before what comes before it.
#[inline]
pub(crate) fn counter() -> u64 {
    let ticks: u64;
    // SAFETY: reads a register. The barrier keeps the CPU from reading it early (Arm ARM D12.2.1).
    unsafe {
        asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags))
    };
    ticks
}

/// Switches this CPU's alarm off, and its interrupt line with it.
#[inline]
pub(crate) fn stop_alarm() {
    CNTV_CTL_EL0.set(0);
}

/// On each CPU: no alarm; programs may read the virtual counter.
pub(crate) fn init_cpu() {
    stop_alarm();
    CNTKCTL_EL1.write(CNTKCTL_EL1::EL0VCTEN::SET);
    barrier::isb();
}
