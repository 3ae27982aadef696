// Exception vectors and the way into a program and back. See trap.rs.

// A vector slot for what must not happen while the kernel runs: registers go to the CPU's fault frame, since the stack
// may be what is wrong. \kind names the slot.
.macro kernel_fault kind
    .balign 128
    msr     tpidrro_el0, x0         // the only free place; no program reads it, the kernel does not go on
    mrs     x0, tpidr_el1
    add     x0, x0, #{CPU_FAULT}
    str     x1, [x0, #8]
    mov     x1, #\kind
    b       save_fault
.endm

// A vector slot for an exception from a program: SP is at the start of its UserContext. \cause is 0 for a synchronous
// exception (then ESR_EL1 is the result), else a bit of the result above what ESR_EL1 has.
.macro from_program cause
    .balign 128
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x1, sp_el0
    stp     x30, x1, [sp, #240]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    mrs     x4, tpidr_el0
    mrs     x5, tpidr_el1
    stp     x2, x3, [sp, #{CTX_PC}]
    ldr     x6, [x5, #{CPU_KERNEL_SP}]
    mrs     x0, esr_el1
    str     x4, [sp, #{CTX_TPIDR}]
    mov     sp, x6
    .if \cause
    mov     x0, #\cause << 62
    .endif
    b       leave_program
.endm

.section .vectors, "ax"
.balign 2048
.global vectors
vectors:
    kernel_fault 0                  // current EL, SP_EL0: the kernel never uses it
    kernel_fault 1
    kernel_fault 2
    kernel_fault 3
    kernel_fault 4                  // current EL, SP_EL1
    kernel_fault 5
    kernel_fault 6
    kernel_fault 7
    from_program 0                  // lower EL, AArch64
    from_program 1
    from_program 1
    from_program 2
    kernel_fault 12                 // lower EL, AArch32: no program runs in it
    kernel_fault 13
    kernel_fault 14
    kernel_fault 15
    .balign 128

// u64 enter_program(UserContext *x0, PerCpu *x1): runs the program, comes back with why it trapped.
.section .text.enter_program, "ax"
.balign 64
.global enter_program
enter_program:
    stp     x29, x30, [sp, #-96]!
    mov     x29, sp
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    str     x29, [x1, #{CPU_KERNEL_SP}]
    ldp     x2, x3, [x0, #{CTX_PC}]
    ldr     x4, [x0, #{CTX_TPIDR}]
    ldp     x30, x5, [x0, #240]
    mov     sp, x0
    msr     elr_el1, x2
    msr     spsr_el1, x3
    msr     tpidr_el0, x4
    msr     sp_el0, x5
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp, #0]
    eret

leave_program:
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #96
    ret

// x0 = fault frame, its x1 stored already; x1 = slot; the program-visible scratch register holds x0.
save_fault:
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    mov     x2, sp
    stp     x30, x2, [x0, #240]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [x0, #256]
    mrs     x2, esr_el1
    mrs     x3, far_el1
    stp     x2, x3, [x0, #272]
    mrs     x2, tpidrro_el0
    str     x2, [x0]
    mrs     x3, tpidr_el1
    ldr     x3, [x3, #{CPU_EMERGENCY}]
    cbz     x3, 1f
    mov     sp, x3
1:  b       kernel_fault_entry
