// Entry of every CPU, from the loader to Rust. See boot.rs for what it promises. MMU and caches may be off: no exclusives,
// no unaligned access, and nothing read but code until the MMU is on.

.section .head, "ax"
.global _head
// Linux arm64 boot header (Documentation/arch/arm64/booting.rst).
_head:
    b       primary_entry
    .word   0
    .quad   0                       // text_offset: none asked for
    .quad   __image_size            // what it occupies, zeroed parts too
    .quad   0xa                     // little-endian, 4 KiB pages, anywhere in memory
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .word   0

.section .boot, "ax"

// x0 = physical address of the device tree.
primary_entry:
    mov     x19, x0
    bl      enter_el1
    bl      invalidate_tables
    adrp    x0, __tables_start
    adrp    x1, __tables_end
1:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    1b

    adrp    x20, _head              // physical base of the image
    adrp    x21, KERNEL_L3
    adrp    x0, _head
    adrp    x1, __rodata_start
    ldr     x2, ={TEXT}
    bl      map_pages
    adrp    x1, __data_start
    ldr     x2, ={RODATA}
    bl      map_pages
    adrp    x1, __emergency_guard
    ldr     x2, ={DATA}
    bl      map_pages
    adrp    x0, __emergency_bottom
    adrp    x1, __stack_guard
    bl      map_pages
    adrp    x0, __stack_bottom
    adrp    x1, __kernel_end
    bl      map_pages

    // Kernel half: root -> L1 -> L2 -> two L3 tables.
    ldr     x9, =__kernel_base
    adrp    x0, KERNEL_ROOT
    adrp    x1, KERNEL_L1
    ubfx    x2, x9, #39, #9
    orr     x3, x1, #{TABLE}
    str     x3, [x0, x2, lsl #3]
    adrp    x0, KERNEL_L2
    ubfx    x2, x9, #30, #9
    orr     x3, x0, #{TABLE}
    str     x3, [x1, x2, lsl #3]
    orr     x3, x21, #{TABLE}
    ubfx    x2, x9, #21, #9
    add     x0, x0, x2, lsl #3
    str     x3, [x0]
    add     x3, x3, #4096
    str     x3, [x0, #8]

    // Identity: the 2 MiB in which this code runs, for the moment when the MMU goes on.
    adrp    x0, IDENTITY_ROOT
    adrp    x1, IDENTITY_L1
    orr     x3, x1, #{TABLE}
    ubfx    x2, x20, #39, #9
    str     x3, [x0, x2, lsl #3]
    adrp    x0, IDENTITY_L2
    orr     x3, x0, #{TABLE}
    ubfx    x2, x20, #30, #9
    str     x3, [x1, x2, lsl #3]
    ldr     x3, ={IDENTITY_BLOCK}
    lsr     x4, x20, #21
    lsl     x4, x4, #21
    orr     x3, x3, x4
    ubfx    x2, x20, #21, #9
    str     x3, [x0, x2, lsl #3]

    bl      invalidate_tables
    ldr     x8, =primary_upper
    b       enable_mmu

// Writes descriptors for physical pages x0 up to x1 with attributes x2 into the tables at x21; leaves x0 = x1.
map_pages:
1:  cmp     x0, x1
    b.hs    2f
    sub     x3, x0, x20
    lsr     x3, x3, #12
    orr     x4, x0, x2
    str     x4, [x21, x3, lsl #3]
    add     x0, x0, #4096
    b       1b
2:  ret

// Throws away what caches may hold of the tables: they are written past the caches, and walked through them.
invalidate_tables:
    adrp    x0, __tables_start
    adrp    x1, __tables_end
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4
    mov     x3, #4
    lsl     x2, x3, x2              // bytes in the smallest data cache line
    dsb     sy
1:  dc      ivac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

.global secondary_entry
// Where PSCI or a spin-table sends the other CPUs.
secondary_entry:
    bl      enter_el1
    ldr     x8, =secondary_upper
    b       enable_mmu

// Leaves EL2 if this CPU is there, and gives every control register of EL1 a known value. Uses x0 to x3.
enter_el1:
    msr     daifset, #0xf
    mrs     x0, currentel
    cmp     x0, #(2 << 2)
    b.ne    2f
    ldr     x0, =0x80000000         // HCR_EL2.RW: EL1 is AArch64; nothing is trapped, nothing translated, no VHE
    msr     hcr_el2, x0
    isb
    ldr     x0, ={SCTLR_EL2}
    msr     sctlr_el2, x0
    mov     x0, #3                  // EL1 uses counter and timer
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mov     x0, #0x33ff             // CPTR_EL2: RES1 bits, no traps
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    mrs     x0, id_aa64dfr0_el1
    ubfx    x1, x0, #8, #4          // PMUVer
    mov     x2, xzr
    cbz     x1, 1f
    cmp     x1, #15
    b.eq    1f
    mrs     x2, pmcr_el0
    ubfx    x2, x2, #11, #5         // all event counters belong to EL1
1:  msr     mdcr_el2, x2
    mrs     x0, id_aa64mmfr0_el1
    ubfx    x0, x0, #56, #4         // FGT: no fine-grained traps
    cbz     x0, 1f
    msr     S3_4_C1_C1_4, xzr       // HFGRTR_EL2
    msr     S3_4_C1_C1_5, xzr       // HFGWTR_EL2
    msr     S3_4_C1_C1_6, xzr       // HFGITR_EL2
    msr     S3_4_C3_C1_4, xzr       // HDFGRTR_EL2
    msr     S3_4_C3_C1_5, xzr       // HDFGWTR_EL2
1:  mrs     x0, id_aa64mmfr1_el1
    ubfx    x0, x0, #40, #4         // HCX
    cbz     x0, 1f
    msr     S3_4_C1_C2_2, xzr       // HCRX_EL2
1:  mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4         // GIC system registers
    cbz     x0, 1f
    mrs     x0, S3_4_C12_C9_5       // ICC_SRE_EL2
    mov     x1, #9                  // SRE, and EL1 may use them
    orr     x0, x0, x1
    msr     S3_4_C12_C9_5, x0
    isb
    msr     S3_4_C12_C11_0, xzr     // ICH_HCR_EL2
1:  mov     x0, #0x3c5              // EL1 with its own stack pointer, all masked
    msr     spsr_el2, x0
    msr     elr_el2, x30
    ldr     x0, ={SCTLR_OFF}
    msr     sctlr_el1, x0
    isb
    eret
2:  ldr     x0, ={SCTLR_OFF}
    msr     sctlr_el1, x0
    isb
    msr     spsel, #1
    ret

// Switches the MMU on and goes to x8. Uses x0 to x3.
enable_mmu:
    ldr     x0, ={MAIR}
    msr     mair_el1, x0
    ldr     x0, ={TCR}
    mrs     x1, id_aa64mmfr0_el1
    and     x2, x1, #0xf            // PARange; more than 48 bits need another format
    cmp     x2, #5
    b.ls    1f
    mov     x2, #5
1:  bfi     x0, x2, #32, #3
    ubfx    x2, x1, #4, #4          // ASIDBits: 2 says 16
    lsr     x2, x2, #1
    bfi     x0, x2, #36, #1
    msr     tcr_el1, x0
    adrp    x0, IDENTITY_ROOT
    msr     ttbr0_el1, x0
    adrp    x0, KERNEL_ROOT
    msr     ttbr1_el1, x0
    msr     cpacr_el1, xzr          // FP traps until a program uses it
    msr     mdscr_el1, xzr
    msr     contextidr_el1, xzr
    msr     tpidr_el0, xzr
    msr     tpidrro_el0, xzr
    msr     cntkctl_el1, xzr
    msr     cntv_ctl_el0, xzr
    msr     cntp_ctl_el0, xzr
    mrs     x1, id_aa64dfr0_el1
    ubfx    x1, x1, #8, #4
    cbz     x1, 1f
    cmp     x1, #15
    b.eq    1f
    msr     pmuserenr_el0, xzr
1:  ic      iallu
    tlbi    vmalle1
    dsb     nsh
    isb
    ldr     x0, ={SCTLR_ON}
    mrs     x1, id_aa64mmfr1_el1
    ubfx    x1, x1, #20, #4         // PAN: set on every entry to EL1
    cbz     x1, 1f
    bic     x0, x0, #(1 << 23)
1:  msr     sctlr_el1, x0
    isb
    cbz     x1, 1f
    .inst   0xd500419f              // msr pan, #1
1:  br      x8

// From here on at the addresses that the kernel is linked for.
primary_upper:
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    adrp    x0, __stack_top
    mov     sp, x0
    adrp    x0, PER_CPU
    add     x0, x0, :lo12:PER_CPU
    msr     tpidr_el1, x0
    adrp    x0, __bss_start
    add     x0, x0, :lo12:__bss_start
    adrp    x1, __bss_end
    add     x1, x1, :lo12:__bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b
2:  adrp    x0, KERNEL_PHYS
    str     x20, [x0, :lo12:KERNEL_PHYS]
    mov     x0, x19
    mov     x29, xzr
    mov     x30, xzr
    bl      board_main
    b       .

// Another CPU finds its own data by its MPIDR, then its stack.
secondary_upper:
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    mrs     x1, mpidr_el1
    ldr     x2, =0xff00ffffff       // affinity fields
    and     x1, x1, x2
    adrp    x0, PER_CPU
    add     x0, x0, :lo12:PER_CPU
    mov     x3, #{MAX_CPUS}
1:  ldr     x2, [x0, #{CPU_MPIDR}]
    cmp     x1, x2
    b.eq    2f
    add     x0, x0, #{CPU_SIZE}
    subs    x3, x3, #1
    b.ne    1b
3:  wfi                             // not one of ours
    b       3b
2:  msr     tpidr_el1, x0
    ldr     x1, [x0, #{CPU_STACK}]
    cbz     x1, 3b
    mov     sp, x1
    mov     x29, xzr
    mov     x30, xzr
    bl      secondary_main
    b       .
