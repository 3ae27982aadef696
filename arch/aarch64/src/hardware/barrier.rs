//! Barriers and TLB maintenance with the names of the manual (Arm ARM B2.3, D8.17). Safe: each orders or forgets, none
//! changes what memory holds.

use core::arch::asm;

/// Completes page-table stores before anything later (DSB ISHST).
#[inline(always)]
pub(crate) fn dsb_ishst() {
    // SAFETY: a barrier; as a compiler barrier too, since memory is not declared untouched.
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) }
}

/// Completes all accesses and TLB maintenance in the inner shareable domain (DSB ISH).
#[inline(always)]
pub(crate) fn dsb_ish() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) }
}

/// Completes everything, for the whole system (DSB SY).
#[inline(always)]
pub(crate) fn dsb_sy() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) }
}

/// What follows sees the effect of all before, system registers included (ISB).
#[inline(always)]
pub(crate) fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) }
}

/// Forgets all translations on all CPUs, and waits until it is done.
pub(crate) fn flush_all() {
    dsb_ishst();
    // SAFETY: forgetting translations that tables in memory still hold costs time only.
    unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) }
    dsb_ish();
    isb();
}
