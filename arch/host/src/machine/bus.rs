//! The emulated machine as `core` sees it.

use std::boxed::Box;

use halyard_core::machine::{
    CpuId, Frame, Irq, Machine, OutOfMemory, PAGE_SIZE, PageTable, Shutdown, SpaceToken, Trap,
    UserContext,
};
use halyard_core::time::Instant;

use super::{HostMachine, locked};

impl Machine for HostMachine {
    fn cpu(&self) -> CpuId {
        self.cpus.current()
    }

    fn now(&self) -> Instant {
        self.cpus.now()
    }

    fn set_alarm(&self, at: Instant) {
        self.cpus.set_alarm(at);
    }

    fn kick(&self, cpu: CpuId) {
        self.cpus.kick(cpu);
    }

    fn idle(&self) -> Irq {
        self.cpus.idle()
    }

    fn run_user(&self, context: &mut UserContext, space: SpaceToken) -> Trap {
        self.cpus.give_way();
        self.run_steps(context, space)
    }

    fn release(&self, context: &mut UserContext) {
        context.fp_live = 0;
    }

    fn sync_code(&self, frame: Frame) {
        self.ram.with(frame, 0, PAGE_SIZE, |_| ());
    }

    fn read_frame(&self, frame: Frame, offset: usize, dst: &mut [u8]) {
        self.ram
            .with(frame, offset, dst.len(), |bytes| dst.copy_from_slice(bytes));
    }

    fn write_frame(&self, frame: Frame, offset: usize, src: &[u8]) {
        self.ram
            .with(frame, offset, src.len(), |bytes| bytes.copy_from_slice(src));
    }

    fn zero_frame(&self, frame: Frame) {
        self.ram.with(frame, 0, PAGE_SIZE, |bytes| bytes.fill(0));
    }

    fn copy_frame(&self, from: Frame, to: Frame) {
        self.ram.copy(from, to);
    }

    fn compare_exchange_u32(&self, frame: Frame, offset: usize, expected: u32, new: u32) -> u32 {
        self.ram.compare_exchange(frame, offset, expected, new)
    }

    fn load_u32(&self, frame: Frame, offset: usize) -> u32 {
        self.ram.compare_exchange(frame, offset, 0, 0)
    }

    fn new_page_table(&self) -> Result<Box<dyn PageTable>, OutOfMemory> {
        self.tables.create(self.pool)
    }

    fn heap_ready(&self) -> bool {
        true
    }

    fn console_write(&self, text: &[u8]) {
        locked(&self.console).written.extend_from_slice(text);
    }

    fn console_read(&self, into: &mut [u8]) -> usize {
        let typed = &mut locked(&self.console).typed;
        let count = typed.len().min(into.len());
        into.iter_mut()
            .zip(typed.drain(..count))
            .for_each(|(to, from)| *to = from);
        count
    }

    fn entropy(&self, into: &mut [u8]) {
        let mut chance = locked(&self.chance);
        into.iter_mut().for_each(|byte| *byte = chance.next() as u8);
    }

    fn shutdown(&self, how: Shutdown) -> ! {
        self.cpus.shutdown(how)
    }
}
