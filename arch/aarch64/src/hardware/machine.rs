//! [`Machine`] over hardware: where the core's wishes meet the modules that fulfil them.

use alloc::boxed::Box;

use halyard_core::log::Event;
use halyard_core::machine::{
    CpuId, Frame, Irq, Machine, OutOfMemory, PageTable, Shutdown, SpaceToken, Trap, UserContext,
};
use halyard_core::mm::FramePool;
use halyard_core::time::Instant;

use super::interrupts::Interrupts;
use super::once::Once;
use super::timer::Clock;
use super::user_table::UserTable;
use super::{barrier, console, cpu, entropy, heap, log_events, memory, power, trap};

/// The machine.
pub(crate) struct Aarch64 {
    pub(crate) clock: Clock,
    pub(crate) interrupts: Interrupts,
    pub(crate) frames: &'static FramePool,
}

static MACHINE: Once<Aarch64> = Once::new();

/// Makes `machine` the machine; None if there is one.
pub(crate) fn set(machine: Aarch64) -> Option<&'static Aarch64> {
    MACHINE.set(machine)
}

/// The machine, once there is one.
pub(crate) fn get() -> Option<&'static Aarch64> {
    MACHINE.get()
}

/// Kicks the other CPUs, which see that they are to stop: for a panic, which may come before there is a machine.
pub(crate) fn stop_others() {
    if let Some(machine) = MACHINE.get() {
        machine.interrupts.kick_others();
    }
}

impl Machine for Aarch64 {
    #[inline]
    fn cpu(&self) -> CpuId {
        cpu::this().id()
    }

    #[inline]
    fn now(&self) -> Instant {
        self.clock.now()
    }

    #[inline]
    fn set_alarm(&self, at: Instant) {
        self.clock.set_alarm(at);
    }

    #[inline]
    fn kick(&self, cpu: CpuId) {
        self.interrupts.kick(cpu);
    }

    fn idle(&self) -> Irq {
        // Interrupts stay masked: one that waits ends the sleep and is taken here.
        heap::settle();
        barrier::dsb_sy();
        aarch64_cpu::asm::wfi();
        self.interrupts.take()
    }

    fn poll_interrupt(&self) -> Irq {
        self.interrupts.take()
    }

    #[inline]
    fn run_user(&self, context: &mut UserContext, space: SpaceToken) -> Trap {
        trap::run_user(context, space, || Trap::Interrupt(self.interrupts.take()))
    }

    #[inline]
    fn release(&self, context: &mut UserContext) {
        trap::release(context);
    }

    #[inline]
    fn switch(&self, context: &mut UserContext, next: SpaceToken) {
        trap::switch(context, next);
    }

    fn sync_code(&self, frame: Frame) {
        memory::sync_code(frame);
    }

    #[inline]
    fn read_frame(&self, frame: Frame, offset: usize, dst: &mut [u8]) {
        memory::read_frame(frame, offset, dst);
    }

    #[inline]
    fn write_frame(&self, frame: Frame, offset: usize, src: &[u8]) {
        memory::write_frame(frame, offset, src);
    }

    #[inline]
    fn zero_frame(&self, frame: Frame) {
        memory::zero_frame(frame);
    }

    #[inline]
    fn copy_frame(&self, from: Frame, to: Frame) {
        memory::copy_frame(from, to);
    }

    #[inline]
    fn compare_exchange_u32(&self, frame: Frame, offset: usize, expected: u32, new: u32) -> u32 {
        memory::compare_exchange_u32(frame, offset, expected, new)
    }

    #[inline]
    fn load_u32(&self, frame: Frame, offset: usize) -> u32 {
        memory::load_u32(frame, offset)
    }

    fn new_page_table(&self) -> Result<Box<dyn PageTable>, OutOfMemory> {
        Ok(Box::new(UserTable::new(self.frames)?))
    }

    #[inline]
    fn heap_ready(&self) -> bool {
        heap::is_ready()
    }

    fn console_write(&self, text: &[u8]) {
        console::write(text);
    }

    fn log(&self, event: &Event<'_>) {
        log_events::put(event);
    }

    fn console_read(&self, into: &mut [u8]) -> usize {
        console::read(into)
    }

    fn entropy(&self, into: &mut [u8]) {
        entropy::fill(into);
    }

    fn shutdown(&self, how: Shutdown) -> ! {
        power::stop_others();
        match how {
            Shutdown::PowerOff(code) => power::off(code),
            Shutdown::Reboot => power::reboot(),
            Shutdown::Halt => power::halt(),
        }
    }
}
