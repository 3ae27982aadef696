//! `memcpy`, `memmove`, `memset`, `memcmp` and `bcmp`, which the compiler calls by these names (C11 7.24), for AArch64
//! without FP registers.
//!
//! The compiler's own are written for every machine and move eight bytes in four instructions, unaligned ones in twenty;
//! these move sixty-four in ten. They make unaligned accesses, so they want the MMU on and normal memory: the kernel's
//! entry code, which has neither, is assembler and calls none of them.
//!
//! A program or kernel that links this crate (`use halyard_mem as _;`) gets them; elsewhere it is empty. Tests:
//! `userspace/tests/src/bytes.rs`, at every length and alignment that takes another way.
#![no_std]

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
core::arch::global_asm!(include_str!("mem.s"));
