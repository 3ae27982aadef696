// From the loader's jump to Rust, and from Rust into the kernel. MMU and data cache are off and stay so.

.section .head, "ax"
.global _head
// Linux arm64 boot header (Documentation/arch/arm64/booting.rst).
_head:
    b       entry
    .word   0
    .quad   0                       // text_offset: none asked for
    .quad   __image_size
    .quad   0xa                     // little-endian, 4 KiB pages, anywhere in memory
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .word   0

.section .text.entry, "ax"

// x0 = physical address of the device tree.
entry:
    msr     daifset, #0xf
    mov     x19, x0
    ic      iallu
    dsb     nsh
    isb
    // Code comes through the instruction cache, or each instruction costs a memory access.
    mrs     x0, currentel
    cmp     x0, #(2 << 2)
    b.ne    1f
    mrs     x0, sctlr_el2
    orr     x0, x0, #(1 << 12)
    msr     sctlr_el2, x0
    b       2f
1:  mrs     x0, sctlr_el1
    orr     x0, x0, #(1 << 12)
    msr     sctlr_el1, x0
2:  isb

    adrp    x0, __stack_top
    mov     sp, x0
    adrp    x0, __bss_start
    add     x0, x0, :lo12:__bss_start
    adrp    x1, __bss_end
    add     x1, x1, :lo12:__bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b

    // Addresses within data count from 0 until now (ELF for the Arm 64-bit Architecture, R_AARCH64_RELATIVE).
2:  adrp    x0, _head
    adrp    x1, __rela_start
    add     x1, x1, :lo12:__rela_start
    adrp    x2, __rela_end
    add     x2, x2, :lo12:__rela_end
1:  cmp     x1, x2
    b.hs    2f
    ldp     x3, x4, [x1], #16       // place, kind
    ldr     x5, [x1], #8            // what it points to
    cmp     w4, #1027
    b.ne    1b
    add     x5, x5, x0
    str     x5, [x0, x3]
    b       1b
2:  dsb     sy
    mov     x0, x19
    mov     x29, xzr
    mov     x30, xzr
    bl      bare_main
    b       .

.section .text.jump, "ax"
.global bare_jump
// x0 = device tree, x1 = kernel.
bare_jump:
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    mov     x4, x1
    mov     x1, xzr
    mov     x2, xzr
    mov     x3, xzr
    br      x4
