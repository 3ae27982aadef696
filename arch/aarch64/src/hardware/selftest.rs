use alloc::boxed::Box;
use core::sync::atomic::{AtomicUsize, Ordering};
use halyard_core::machine::*;
use halyard_core::time::Instant;
use super::console::println;
use super::machine::Aarch64;
use super::user_table::UserTable;

core::arch::global_asm!(
    ".section .rodata.ut, \"a\"",
    ".balign 4096",
    ".global ut_start", "ut_start:",
    // 0: syscalls for ever
    "1: svc #0", "b 1b",
    ".balign 64", // 64: load from x0
    "ldr x1, [x0]", "svc #0", "b .",
    ".balign 64", // 128: store
    "str x1, [x0]", "svc #0", "b .",
    ".balign 64", // 192: spin
    "b .",
    ".balign 64", // 256: fp: v0 <- x0; svc; x1 <- v0; svc
    ".arch_extension fp", ".arch_extension simd",
    "fmov d8, x0", "svc #0", "1: fmov x1, d8", "svc #0", "b 1b",
    ".arch_extension nosimd", ".arch_extension nofp",
    ".balign 64", // 320: msr
    "msr vbar_el1, x0", "svc #0",
    ".balign 64", // 384
    "brk #1",
    ".balign 64", // 448
    "mrs x0, cntvct_el0", "mov x1, #3", "msr tpidr_el0, x1", "svc #0",
    ".global ut_end", "ut_end:", ".previous");
unsafe extern "C" { static ut_start: u8; static ut_end: u8; }

static UP: AtomicUsize = AtomicUsize::new(0);
static TEST: super::once::Once<&'static Aarch64> = super::once::Once::new();
static KICKED: AtomicUsize = AtomicUsize::new(0);

fn space(m: &'static Aarch64, data: u64) -> Box<UserTable> {
    let mut t = Box::new(UserTable::new(m.frames).ok().unwrap());
    let code = m.frames.allocate().ok().unwrap();
    let len = (&raw const ut_end).addr() - (&raw const ut_start).addr();
    m.write_frame(code, 0, unsafe { core::slice::from_raw_parts(&raw const ut_start, len) });
    m.sync_code(code);
    t.map(UserAddr(0x400000), Mapping { frame: code, access: Access::READ | Access::EXECUTE }).ok().unwrap();
    let f = m.frames.allocate().ok().unwrap();
    m.zero_frame(f);
    m.write_frame(f, 8, &data.to_le_bytes());
    t.map(UserAddr(0x7fff_ffff_e000), Mapping { frame: f, access: Access::READ | Access::WRITE }).ok().unwrap();
    t
}
fn ctx(off: u64, x0: u64) -> Box<UserContext> {
    let mut c: Box<UserContext> = Box::default();
    c.regs.pc = 0x400000 + off;
    c.regs.x[0] = x0;
    c
}
fn suite(m: &'static Aarch64, n: u64) {
    let mut a = space(m, 100 + n);
    let b = space(m, 200 + n);
    let d = 0x7fff_ffff_e008;
    let mut c = ctx(0, 5);
    assert_eq!(m.run_user(&mut c, a.token()), Trap::Syscall);
    assert_eq!(c.regs.pc, 0x400004);
    let t0 = m.now();
    for _ in 0..1000 { let _ = m.run_user(&mut c, a.token()); }
    let t = m.now().since(t0);
    if n == 0 { println!("1000 null calls: {t} ns"); }
    m.release(&mut c);
    for (t, v) in [(&a, 100 + n), (&b, 200 + n), (&a, 100 + n)] {
        let mut c = ctx(64, d);
        assert_eq!(m.run_user(&mut c, t.token()), Trap::Syscall);
        assert_eq!(c.regs.x[1], v);
        m.release(&mut c);
    }
    // faults
    let f = |off, x0, want: FaultKind, at: usize, t: &UserTable| {
        let mut c = ctx(off, x0);
        match m.run_user(&mut c, t.token()) {
            Trap::Fault { kind, address, .. } => assert_eq!((kind, address.0), (want, at)),
            other => panic!("{other:?}"),
        }
        m.release(&mut c);
    };
    f(64, 0x123450, FaultKind::Page(Access::READ), 0x123450, &a);
    f(128, 0x123450, FaultKind::Page(Access::WRITE), 0x123450, &a);
    f(128, 0x400000, FaultKind::Page(Access::WRITE), 0x400000, &a);
    f(64, 0xffff_ffff_8000_0000, FaultKind::Page(Access::READ), 0xffff_ffff_8000_0000, &a);
    f(64, 0x0021_0000_0000_1000 , FaultKind::Page(Access::READ), 0x0021_0000_0000_1000, &a);
    f(320, 0, FaultKind::Undefined, 0x400000 + 320, &a);
    f(384, 0, FaultKind::Breakpoint, 0x400000 + 384, &a);
    f(2, 0, FaultKind::Alignment, 0x400002, &a);
    f(0x2000, 0, FaultKind::Page(Access::EXECUTE), 0x402000, &a);
    f((d - 0x400000) as u64 + 0, 0, FaultKind::Page(Access::EXECUTE), d as usize, &a);
    // protect, unmap
    a.protect(UserAddr(0x7fff_ffff_e000), Access::READ);
    f(128, d, FaultKind::Page(Access::WRITE), d as usize, &a);
    assert_eq!(a.lookup(UserAddr(0x7fff_ffff_e000)).unwrap().access, Access::READ);
    let mut seen = 0;
    a.update_range(UserAddr(0), UserAddr(USER_END), &mut |p, m| { seen += 1; assert!(p.0 == 0x400000 || p.0 == 0x7fff_ffff_e000); Some(m) });
    assert_eq!(seen, 2);
    a.unmap(UserAddr(0x7fff_ffff_e000)).unwrap();
    f(64, d, FaultKind::Page(Access::READ), d as usize, &a);
    // tls
    let mut c = ctx(448, 0);
    assert_eq!(m.run_user(&mut c, a.token()), Trap::Syscall);
    assert_eq!(c.tpidr, 3);
    m.release(&mut c);
    // FP
    let mut p = ctx(256, 0x1111 + n);
    let mut q = ctx(256, 0x2222 + n);
    assert_eq!(m.run_user(&mut p, a.token()), Trap::Syscall);
    m.release(&mut p);
    assert_eq!(m.run_user(&mut q, b.token()), Trap::Syscall);
    m.release(&mut q);
    for _ in 0..3 {
        assert_eq!(m.run_user(&mut p, a.token()), Trap::Syscall);
        assert_eq!(p.regs.x[1], 0x1111 + n);
        m.release(&mut p);
        assert_eq!(m.run_user(&mut q, b.token()), Trap::Syscall);
        assert_eq!(q.regs.x[1], 0x2222 + n);
        assert_eq!(m.run_user(&mut q, b.token()), Trap::Syscall);
        m.release(&mut q);
    }
    assert_eq!(p.fp.v[8], 0x1111 + n as u128);
    // timer
    let mut s = ctx(192, 0);
    let t0 = m.now();
    m.set_alarm(t0.after(1_000_000));
    loop {
        match m.run_user(&mut s, b.token()) {
            Trap::Interrupt(Irq::Timer) => break,
            Trap::Interrupt(_) => {}
            o => panic!("{o:?}"),
        }
    }
    let t = m.now();
    assert!(t.since(t0) >= 1_000_000, "{t:?} {t0:?}");
    if n == 0 { println!("timer rang after {} ns", t.since(t0)); }
    m.release(&mut s);
    let t0 = m.now();
    m.set_alarm(t0.after(2_000_000));
    while m.idle() != Irq::Timer {}
    assert!(m.now().since(t0) >= 2_000_000);
    m.set_alarm(Instant::NEVER);
}
pub(crate) fn secondary() -> ! {
    let m = loop { if let Some(m) = TEST.get() { break *m; } core::hint::spin_loop(); };
    m.interrupts.init_cpu().unwrap();
    let n = u64::from(m.cpu().0);
    suite(m, n);
    UP.fetch_add(1, Ordering::SeqCst);
    m.kick(CpuId(0));
    loop {
        if m.idle() == Irq::Kick { KICKED.fetch_add(1, Ordering::SeqCst); m.kick(CpuId(0)); }
    }
}
pub(crate) fn run(m: &'static Aarch64, others: usize, line: &str) -> ! {
    let free = m.frames.free();
    TEST.set(m);
    suite(m, 0);
    while UP.load(Ordering::SeqCst) < others { m.idle(); }
    println!("all {} CPUs through the suite; frames before {free}, after {}", others + 1, m.frames.free());
    for i in 1..=others { m.kick(CpuId(i as u8)); }
    while KICKED.load(Ordering::SeqCst) < others { m.idle(); }
    println!("kicked {others}; heap ready {}", m.heap_ready());
    let mut e = [0; 16]; m.entropy(&mut e); println!("entropy {e:02x?}");
    // heap storm
    let mut v: alloc::vec::Vec<alloc::vec::Vec<u8>> = alloc::vec::Vec::new();
    let mut got = 0usize;
    loop {
        let mut x = alloc::vec::Vec::new();
        if v.try_reserve(1).is_err() || x.try_reserve_exact(3000).is_err() { break; }
        got += 3000; v.push(x);
    }
    println!("heap gave {} KiB; ready {}; free {}", got / 1024, m.heap_ready(), m.frames.free());
    drop(v);
    println!("after: ready {}; free {}", m.heap_ready(), m.frames.free());
    if line.contains("echo") {
        println!("type");
        loop { if m.idle() == Irq::Console { let mut b = [0; 16]; let n = m.console_read(&mut b); println!("got {:?}", &b[..n]); if b[..n].contains(&b'q') { break; } } }
    }
    if line.contains("fault") { unsafe { core::ptr::read_volatile(0x1234 as *const u8) }; }
    if line.contains("overflow") { println!("{}", recurse(1)); }
    if line.contains("wx") { unsafe { core::ptr::write_volatile((&raw const ut_start).cast_mut(), 1) }; }
    if line.contains("panic") { panic!("as you wish"); }
    m.shutdown(Shutdown::PowerOff(7))
}
#[inline(never)]
fn recurse(n: u64) -> u64 { let mut a = [n; 64]; a[(n % 64) as usize] = core::hint::black_box(n); if n == 0 { 0 } else { recurse(n + 1) + a[3] } }
