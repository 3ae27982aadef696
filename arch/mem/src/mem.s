// x0 destination, x1 source or byte, x2 length; x0 comes back. Nothing but x1 to x15 is changed, and no stack is used.
//
// Up to 64 bytes everything is loaded before anything is stored, from both ends towards the middle, so ranges may overlap
// there. Beyond that, blocks of 64 from the front, and the last 64 counted from the end.

    .macro function name
    .section .text.\name, "ax", %progbits
    .balign 16
    .global \name
    .type \name, %function
\name:
    .endm

    .macro load64 base, offset
    ldp     x6, x7, [\base, #\offset]
    ldp     x8, x9, [\base, #\offset + 16]
    ldp     x10, x11, [\base, #\offset + 32]
    ldp     x12, x13, [\base, #\offset + 48]
    .endm

    .macro store64 base, offset
    stp     x6, x7, [\base, #\offset]
    stp     x8, x9, [\base, #\offset + 16]
    stp     x10, x11, [\base, #\offset + 32]
    stp     x12, x13, [\base, #\offset + 48]
    .endm

    function memcpy
    add     x4, x1, x2                  // the ends
    add     x5, x0, x2
    cmp     x2, #16
    b.lo    3f
    cmp     x2, #32
    b.hi    1f
    ldp     x6, x7, [x1]
    ldp     x8, x9, [x4, #-16]
    stp     x6, x7, [x0]
    stp     x8, x9, [x5, #-16]
    ret
1:  cmp     x2, #64
    b.hi    2f
    ldp     x6, x7, [x1]
    ldp     x8, x9, [x1, #16]
    ldp     x10, x11, [x4, #-32]
    ldp     x12, x13, [x4, #-16]
    stp     x6, x7, [x0]
    stp     x8, x9, [x0, #16]
    stp     x10, x11, [x5, #-32]
    stp     x12, x13, [x5, #-16]
    ret
2:  mov     x3, x0
    sub     x2, x2, #64                 // what the loop must reach; the rest comes from the end
1:  load64  x1, 0
    add     x1, x1, #64
    store64 x3, 0
    add     x3, x3, #64
    subs    x2, x2, #64
    b.hi    1b
    load64  x4, -64
    store64 x5, -64
    ret
3:  tbz     x2, #3, 4f                  // 8 to 15
    ldr     x6, [x1]
    ldr     x7, [x4, #-8]
    str     x6, [x0]
    str     x7, [x5, #-8]
    ret
4:  tbz     x2, #2, 5f                  // 4 to 7
    ldr     w6, [x1]
    ldr     w7, [x4, #-4]
    str     w6, [x0]
    str     w7, [x5, #-4]
    ret
5:  cbz     x2, 6f                      // 1 to 3: first, middle, last
    lsr     x3, x2, #1
    ldrb    w6, [x1]
    ldrb    w7, [x1, x3]
    ldrb    w8, [x4, #-1]
    strb    w6, [x0]
    strb    w7, [x0, x3]
    strb    w8, [x5, #-1]
6:  ret
    .size   memcpy, . - memcpy

    function memmove
    cmp     x2, #64
    b.ls    memcpy
    sub     x3, x0, x1
    cmp     x3, x2
    b.lo    2f
    neg     x3, x3
    cmp     x3, x2
    b.hs    memcpy                      // apart
    mov     x14, x0                     // the destination begins below the source: upwards
    mov     x15, x30
1:  load64  x1, 0
    add     x1, x1, #64
    store64 x0, 0
    add     x0, x0, #64
    sub     x2, x2, #64
    cmp     x2, #64
    b.hi    1b
    bl      memcpy                      // up to 64 bytes are left
    mov     x0, x14
    ret     x15
2:  add     x4, x1, x2                  // the destination begins within the source: downwards
    add     x5, x0, x2
1:  load64  x4, -64
    sub     x4, x4, #64
    store64 x5, -64
    sub     x5, x5, #64
    sub     x2, x2, #64
    cmp     x2, #64
    b.hi    1b
    b       memcpy
    .size   memmove, . - memmove

    function memset
    and     x1, x1, #0xff
    orr     x1, x1, x1, lsl #8
    orr     x1, x1, x1, lsl #16
    orr     x1, x1, x1, lsl #32
    add     x5, x0, x2
    cmp     x2, #16
    b.lo    3f
    stp     x1, x1, [x0]
    stp     x1, x1, [x5, #-16]
    cmp     x2, #32
    b.ls    2f
    stp     x1, x1, [x0, #16]
    stp     x1, x1, [x5, #-32]
    cmp     x2, #64
    b.ls    2f
    stp     x1, x1, [x5, #-48]
    stp     x1, x1, [x5, #-64]
    add     x3, x0, #32                 // 32 bytes stand at the front, 64 at the end
    sub     x4, x5, #64
    cmp     x3, x4
    b.hs    2f
1:  stp     x1, x1, [x3]
    stp     x1, x1, [x3, #16]
    stp     x1, x1, [x3, #32]
    stp     x1, x1, [x3, #48]
    add     x3, x3, #64
    cmp     x3, x4
    b.lo    1b
2:  ret
3:  tbz     x2, #3, 4f                  // 8 to 15
    str     x1, [x0]
    str     x1, [x5, #-8]
    ret
4:  tbz     x2, #2, 5f                  // 4 to 7
    str     w1, [x0]
    str     w1, [x5, #-4]
    ret
5:  cbz     x2, 6f                      // 1 to 3
    lsr     x3, x2, #1
    strb    w1, [x0]
    strb    w1, [x0, x3]
    strb    w1, [x5, #-1]
6:  ret
    .size   memset, . - memset

    function memcmp
    .global bcmp
    .type   bcmp, %function
bcmp:
    cmp     x2, #8
    b.lo    3f
    sub     x5, x2, #8                  // where the last eight begin; they may overlap what was equal
    mov     x6, #0
1:  ldr     x3, [x0, x6]
    ldr     x4, [x1, x6]
    cmp     x3, x4
    b.ne    2f
    add     x6, x6, #8
    cmp     x6, x5
    b.lo    1b
    ldr     x3, [x0, x5]
    ldr     x4, [x1, x5]
    cmp     x3, x4
    b.ne    2f
    mov     w0, #0
    ret
2:  rev     x3, x3                      // the byte that comes first counts most
    rev     x4, x4
    cmp     x3, x4
    cset    w0, ne
    cneg    w0, w0, lo
    ret
3:  mov     w5, #0
    cbz     x2, 2f
1:  ldrb    w3, [x0], #1
    ldrb    w4, [x1], #1
    subs    w5, w3, w4
    b.ne    2f
    subs    x2, x2, #1
    b.ne    1b
2:  mov     w0, w5
    ret
    .size   memcmp, . - memcmp
