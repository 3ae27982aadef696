//! The Generic Interrupt Controller, version 2 (Arm IHI 0048B; GIC-400: Arm DDI 0471B).
//!
//! Drives the registers itself: `arm-gic` 0.10.0 writes priorities by the word over those of three neighbours, never
//! sets ITARGETSR, ends an SGI without its sender's number, and takes both register blocks for itself alone, where four
//! CPUs use theirs at once (docs/dependencies.md).
//!
//! The same writes serve a GIC without the Security Extensions, where all lines are in group 0, and the non-secure view
//! of one with them, where all that is seen is in group 1: bit 0 of both CTLR enables what we have (IHI 0048B 4.3.1,
//! 4.4.1).

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_bitfields;

use super::{Ack, CpuTarget, Error, Ipi, Line, Priority, Trigger};
use crate::mmio::{ReadOnly, ReadWrite, TooSmall, Window, WriteOnly, require};

/// Bytes of registers that the driver touches.
const DISTRIBUTOR_SIZE: usize = 0xf04;
const CPU_INTERFACE_SIZE: usize = 0x14;

register_bitfields![u32,
    /// Distributor and CPU interface control (4.3.1, 4.4.1).
    CTLR [Enable OFFSET(0) NUMBITS(1) []],
    /// Type (4.3.2).
    GICD_TYPER [
        ITLinesNumber OFFSET(0) NUMBITS(5) [],
        SecurityExtn OFFSET(10) NUMBITS(1) []
    ],
    /// Software generated interrupts (4.3.15).
    GICD_SGIR [
        SGIINTID OFFSET(0) NUMBITS(4) [],
        CPUTargetList OFFSET(16) NUMBITS(8) [],
        TargetListFilter OFFSET(24) NUMBITS(2) [List = 0, AllButSelf = 1]
    ],
    /// Priority mask (4.4.2).
    GICC_PMR [Priority OFFSET(0) NUMBITS(8) []],
    /// Interrupt acknowledge, and end (4.4.4, 4.4.5).
    GICC_IAR [
        InterruptID OFFSET(0) NUMBITS(10) [],
        /// Of an SGI's sender; to be given back at the end.
        CPUID OFFSET(10) NUMBITS(3) []
    ]
];

const GICD_CTLR: ReadWrite<u32, CTLR::Register> = ReadWrite::at(0x000);
const GICD_TYPER: ReadOnly<u32, GICD_TYPER::Register> = ReadOnly::at(0x004);
const GICD_IGROUPR: ReadWrite<u32> = ReadWrite::at(0x080);
const GICD_ISENABLER: ReadWrite<u32> = ReadWrite::at(0x100);
const GICD_ICENABLER: ReadWrite<u32> = ReadWrite::at(0x180);
const GICD_ICPENDR: ReadWrite<u32> = ReadWrite::at(0x280);
const GICD_ICACTIVER: ReadWrite<u32> = ReadWrite::at(0x380);
/// A byte a line (4.3.11); bytes may be written alone.
const GICD_IPRIORITYR: ReadWrite<u8> = ReadWrite::at(0x400);
/// A byte a line (4.3.12): a bit a CPU interface. Those of lines 0 to 31 read as the reading CPU's own bit.
const GICD_ITARGETSR: ReadWrite<u8> = ReadWrite::at(0x800);
const GICD_ICFGR: ReadWrite<u32> = ReadWrite::at(0xc00);
const GICD_SGIR: WriteOnly<u32, GICD_SGIR::Register> = WriteOnly::at(0xf00);

const GICC_CTLR: ReadWrite<u32, CTLR::Register> = ReadWrite::at(0x000);
const GICC_PMR: ReadWrite<u32, GICC_PMR::Register> = ReadWrite::at(0x004);
const GICC_IAR: ReadOnly<u32, GICC_IAR::Register> = ReadOnly::at(0x00c);
const GICC_EOIR: WriteOnly<u32, GICC_IAR::Register> = WriteOnly::at(0x010);

/// Lines 0 to 31 are each CPU's own: 16 SGIs, 16 PPIs.
const FIRST_SHARED: u32 = 32;
/// INTIDs from here on mean "none" (3.2.5).
const FIRST_SPECIAL: u32 = 1020;

/// The distributor, and each CPU's interface as far as it is configured.
#[derive(Debug)]
pub struct Distributor<W> {
    window: W,
    interface: CpuInterface<W>,
}

impl<W: Window> Distributor<W> {
    pub(super) fn new(window: W, interface: CpuInterface<W>) -> Self {
        Distributor { window, interface }
    }

    /// How many lines there are (4.3.2).
    fn lines(&self) -> u32 {
        let thirty_twos = self.window.at(GICD_TYPER).read(GICD_TYPER::ITLinesNumber);
        (32 * (thirty_twos + 1)).min(FIRST_SPECIAL)
    }

    pub(super) fn init(&mut self) {
        let window = &self.window;
        window.at(GICD_CTLR).write(CTLR::Enable::CLEAR);
        let lines = self.lines();
        for word in 1..lines.div_ceil(32) as usize {
            self.reset_word(word);
            window.at(GICD_ICFGR.nth(2 * word)).set(0);
            window.at(GICD_ICFGR.nth(2 * word + 1)).set(0);
        }
        for line in FIRST_SHARED..lines {
            self.set_priority(line, Priority::NORMAL);
        }
        window.at(GICD_CTLR).write(CTLR::Enable::SET);
    }

    /// Lines `32 * word` and up: disabled, not pending, not active, in the group that we see.
    fn reset_word(&self, word: usize) {
        let window = &self.window;
        window.at(GICD_ICENABLER.nth(word)).set(u32::MAX);
        window.at(GICD_ICPENDR.nth(word)).set(u32::MAX);
        window.at(GICD_ICACTIVER.nth(word)).set(u32::MAX);
        if !window.at(GICD_TYPER).is_set(GICD_TYPER::SecurityExtn) {
            window.at(GICD_IGROUPR.nth(word)).set(0);
        }
    }

    fn set_priority(&self, line: u32, Priority(priority): Priority) {
        let register = GICD_IPRIORITYR.nth(line as usize);
        self.window.at(register).set(priority);
    }

    pub(super) fn init_cpu(&mut self) -> CpuTarget {
        self.reset_word(0);
        for line in 0..FIRST_SHARED {
            self.set_priority(line, Priority::NORMAL);
        }
        // SGIs stay enabled on some implementations and not on others (4.3.5).
        self.window.at(GICD_ISENABLER).set(0x0000_ffff);
        self.interface.init();
        self.own_target()
    }

    /// The calling CPU's bit. A GIC for one CPU has no ITARGETSR, which then read as 0 (4.3.12).
    fn own_target(&self) -> CpuTarget {
        let own = (0..FIRST_SHARED as usize)
            .map(|line| self.window.at(GICD_ITARGETSR.nth(line)).get())
            .find(|&mask| mask != 0);
        CpuTarget(own.unwrap_or(1).into())
    }

    pub(super) fn enable(
        &mut self,
        line: Line,
        trigger: Option<Trigger>,
        priority: Priority,
        target: CpuTarget,
    ) -> Result<(), Error> {
        self.disable(line)?;
        let Line(number) = line;
        self.set_priority(number, priority);
        if let Some(trigger) = trigger {
            self.set_trigger(number, trigger);
        }
        if number >= FIRST_SHARED {
            let register = GICD_ITARGETSR.nth(number as usize);
            self.window.at(register).set(target.0 as u8);
        }
        let enabled = self.window.at(GICD_ISENABLER.nth(number as usize / 32));
        let bit = 1 << (number % 32);
        enabled.set(bit);
        // A line that is not wired up stays disabled (4.3.5).
        if enabled.get() & bit == 0 {
            return Err(Error::NoSuchLine(line));
        }
        Ok(())
    }

    /// Two bits a line, of which the upper says edge (4.3.13). Those of SGIs, and of PPIs on a GIC-400, cannot be
    /// changed.
    fn set_trigger(&self, line: u32, trigger: Trigger) {
        let register = self.window.at(GICD_ICFGR.nth(line as usize / 16));
        let edge = 2 << (2 * (line % 16));
        let others = register.get() & !edge;
        register.set(match trigger {
            Trigger::Edge => others | edge,
            Trigger::Level => others,
        });
    }

    pub(super) fn disable(&mut self, line: Line) -> Result<(), Error> {
        let Line(number) = line;
        if number >= self.lines() {
            return Err(Error::NoSuchLine(line));
        }
        let register = GICD_ICENABLER.nth(number as usize / 32);
        self.window.at(register).set(1 << (number % 32));
        Ok(())
    }
}

/// What a CPU needs at an interrupt. The window shows each CPU its own registers.
#[derive(Clone, Copy, Debug)]
pub struct CpuInterface<W> {
    distributor: W,
    window: W,
}

impl<W: Window> CpuInterface<W> {
    pub(super) fn new(distributor: W, window: W) -> Result<Self, TooSmall> {
        require(&distributor, DISTRIBUTOR_SIZE)?;
        require(&window, CPU_INTERFACE_SIZE)?;
        Ok(CpuInterface {
            distributor,
            window,
        })
    }

    /// All priorities let through, ends in one step (EOImode 0).
    fn init(&self) {
        self.window.at(GICC_PMR).write(GICC_PMR::Priority.val(0xff));
        self.window.at(GICC_CTLR).write(CTLR::Enable::SET);
    }

    #[inline]
    pub(super) fn acknowledge(&self) -> Option<Ack> {
        let taken = self.window.at(GICC_IAR).extract();
        if taken.read(GICC_IAR::InterruptID) >= FIRST_SPECIAL {
            return None;
        }
        let fields = GICC_IAR::InterruptID.mask | GICC_IAR::CPUID.mask << GICC_IAR::CPUID.shift;
        Some(Ack(taken.get() & fields))
    }

    #[inline]
    pub(super) fn end(&self, Ack(taken): Ack) {
        self.window.at(GICC_EOIR).set(taken);
    }

    #[inline]
    pub(super) fn send_ipi(&self, Ipi(ipi): Ipi, CpuTarget(target): CpuTarget) {
        self.distributor.at(GICD_SGIR).write(
            GICD_SGIR::SGIINTID.val(ipi.into())
                + GICD_SGIR::TargetListFilter::List
                + GICD_SGIR::CPUTargetList.val(target),
        );
    }

    #[inline]
    pub(super) fn send_ipi_to_others(&self, Ipi(ipi): Ipi) {
        self.distributor
            .at(GICD_SGIR)
            .write(GICD_SGIR::SGIINTID.val(ipi.into()) + GICD_SGIR::TargetListFilter::AllButSelf);
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::irq::{Controller, CpuInterface};
    use crate::mmio::fake::{Memory, Write};

    /// As much of a GIC as plain memory can be: 64 lines, this CPU's bit is 0x04.
    struct Gic {
        distributor: Memory,
        interface: Memory,
    }

    impl Gic {
        fn new() -> Self {
            let gic = Gic {
                distributor: Memory::new(0x1000),
                interface: Memory::new(0x2000),
            };
            gic.distributor.poke32(0x004, 1);
            for register in 0..8 {
                gic.distributor.poke32(0x800 + 4 * register, 0x0404_0404);
            }
            gic
        }

        fn halves(&self) -> (Controller<&Memory>, CpuInterface<&Memory>) {
            Controller::gicv2(&self.distributor, &self.interface).unwrap()
        }
    }

    const CPU: CpuTarget = CpuTarget(4);

    #[test]
    fn gicv2_over_windows_too_small_is_refused() {
        let (small, big) = (Memory::new(0x10), Memory::new(0x1000));
        assert!(Controller::gicv2(&small, &big).is_err());
        assert!(Controller::gicv2(&big, &small).is_err());
    }

    #[test]
    fn init_resets_the_shared_lines_and_none_else() {
        let gic = Gic::new();
        gic.halves().0.init();
        let writes = gic.distributor.take_writes();
        assert_eq!(writes.first(), Some(&Write::Word(0x000, 0)));
        assert_eq!(writes.last(), Some(&Write::Word(0x000, 1)));
        for register in [0x184, 0x284, 0x384] {
            assert!(writes.contains(&Write::Word(register, u32::MAX)));
        }
        let priorities: Vec<_> = (0x420..0x440).map(|at| Write::Byte(at, 0xa0)).collect();
        let bytes: Vec<_> = writes
            .iter()
            .copied()
            .filter(|write| matches!(write, Write::Byte(..)))
            .collect();
        assert_eq!(bytes, priorities);
    }

    #[test]
    fn init_leaves_the_groups_of_a_secure_gic_alone() {
        let gic = Gic::new();
        gic.distributor.poke32(0x004, 1 << 10 | 1);
        gic.halves().0.init();
        let group = |write: &Write| matches!(write, Write::Word(0x080..0x100, _));
        assert!(!gic.distributor.take_writes().iter().any(group));
    }

    #[test]
    fn init_cpu_enables_the_ipis_and_says_which_cpu_it_is() {
        let gic = Gic::new();
        assert_eq!(gic.halves().0.init_cpu(0x8000_0002), Ok(CPU));
        assert_eq!(gic.distributor.read32(0x100), 0xffff);
        assert_eq!(gic.distributor.read32(0x180), u32::MAX);
        let interface = gic.interface.take_writes();
        assert_eq!(interface, [Write::Word(4, 0xff), Write::Word(0, 1)]);
    }

    #[test]
    fn init_cpu_of_a_gic_for_one_cpu_names_it_the_first() {
        let gic = Gic::new();
        for register in 0..8 {
            gic.distributor.poke32(0x800 + 4 * register, 0);
        }
        assert_eq!(gic.halves().0.init_cpu(0), Ok(CpuTarget(1)));
    }

    #[test]
    fn enable_writes_priority_and_target_by_the_byte_before_it_enables() {
        let gic = Gic::new();
        let mut controller = gic.halves().0;
        let edge = Some(Trigger::Edge);
        let enabled = controller.enable(Line(33), edge, Priority(0x50), CPU);
        assert_eq!(enabled, Ok(()));
        let expected = vec![
            Write::Word(0x184, 2),
            Write::Byte(0x421, 0x50),
            Write::Word(0xc08, 8),
            Write::Byte(0x821, 4),
            Write::Word(0x104, 2),
        ];
        assert_eq!(gic.distributor.take_writes(), expected);
    }

    #[test]
    fn enable_keeps_the_neighbours_triggers() {
        let gic = Gic::new();
        gic.distributor.poke32(0xc08, 0xffff_ffff);
        let mut controller = gic.halves().0;
        let level = Some(Trigger::Level);
        assert_eq!(
            controller.enable(Line(34), level, Priority::NORMAL, CPU),
            Ok(())
        );
        assert_eq!(gic.distributor.read32(0xc08), 0xffff_ffdf);
    }

    #[test]
    fn enable_of_a_private_line_sets_no_target() {
        let gic = Gic::new();
        let mut controller = gic.halves().0;
        assert_eq!(
            controller.enable(Line(27), None, Priority::NORMAL, CPU),
            Ok(())
        );
        let writes = gic.distributor.take_writes();
        let target = |write: &Write| matches!(write, Write::Byte(0x800..0xc00, _));
        assert!(!writes.iter().any(target));
    }

    #[test]
    fn enable_of_a_line_that_is_not_there_is_an_error_and_writes_nothing() {
        let gic = Gic::new();
        let mut controller = gic.halves().0;
        for line in [64, 1019, 1020, 1023, u32::MAX].map(Line) {
            let enabled = controller.enable(line, None, Priority::NORMAL, CPU);
            assert_eq!(enabled, Err(Error::NoSuchLine(line)));
            assert_eq!(controller.disable(line, CPU), Err(Error::NoSuchLine(line)));
        }
        assert_eq!(gic.distributor.take_writes(), []);
    }

    #[test]
    fn lines_of_the_largest_gic_stop_before_the_special_ones() {
        let gic = Gic::new();
        gic.distributor.poke32(0x004, 31);
        let mut controller = gic.halves().0;
        let enable = |controller: &mut Controller<_>, line| {
            controller.enable(Line(line), None, Priority::NORMAL, CPU)
        };
        assert_eq!(enable(&mut controller, 1019), Ok(()));
        assert!(enable(&mut controller, 1020).is_err());
    }

    #[test]
    fn acknowledge_keeps_the_senders_number_for_the_end() {
        let gic = Gic::new();
        let interface = gic.halves().1;
        gic.interface.poke32(0x0c, 3 << 10 | 5);
        let ack = interface.acknowledge().unwrap();
        assert_eq!(ack.line(), Line(5));
        interface.end(ack);
        assert_eq!(
            gic.interface.take_writes(),
            [Write::Word(0x10, 3 << 10 | 5)]
        );
    }

    #[test]
    fn acknowledge_drops_what_the_manual_does_not_define() {
        let gic = Gic::new();
        let interface = gic.halves().1;
        gic.interface.poke32(0x0c, 0xffff_e000 | 40);
        let ack = interface.acknowledge().unwrap();
        assert_eq!(ack.line(), Line(40));
        interface.end(ack);
        assert_eq!(gic.interface.take_writes(), [Write::Word(0x10, 40)]);
    }

    #[test]
    fn acknowledge_of_a_special_number_is_none() {
        let gic = Gic::new();
        let interface = gic.halves().1;
        for special in [1020, 1022, 1023, 7 << 10 | 1023] {
            gic.interface.poke32(0x0c, special);
            assert_eq!(interface.acknowledge(), None);
        }
        assert_eq!(gic.interface.take_writes(), []);
    }

    #[test]
    fn send_ipi_goes_to_the_one_or_to_all_others() {
        let gic = Gic::new();
        let interface = gic.halves().1;
        let ipi = Ipi::new(2).unwrap();
        interface.send_ipi(ipi, CPU);
        interface.send_ipi_to_others(ipi);
        let expected = [
            Write::Word(0xf00, 0x0004_0002),
            Write::Word(0xf00, 0x0100_0002),
        ];
        assert_eq!(gic.distributor.take_writes(), expected);
    }

    #[test]
    fn send_ipi_to_odd_bits_stays_within_the_target_field() {
        let gic = Gic::new();
        let interface = gic.halves().1;
        let ipi = Ipi::new(0).unwrap();
        interface.send_ipi(ipi, CpuTarget::from_bits(u32::MAX));
        assert_eq!(
            gic.distributor.take_writes(),
            [Write::Word(0xf00, 0x00ff_0000)]
        );
    }
}
