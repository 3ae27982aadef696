//! The Raspberry Pi 3's interrupt controllers: the local one of the four cores (BCM2836 "QA7_rev3.4"; binding
//! interrupt-controller/brcm,bcm2836-l1-intc.txt), and below it the one of the VideoCore's devices (BCM2835 ARM
//! Peripherals 7; binding interrupt-controller/brcm,bcm2835-armctrl-ic.yaml). Also the Pi 2's.
//!
//! Lines are numbered here: 0 to 7 IPIs, from 16 the local controller's own, from 32 the devices' banks of 32. There is
//! nothing to acknowledge but an IPI, no priority, no edge, and no end: a line interrupts until its device is quiet.
//! All device lines go to one core.

use tock_registers::interfaces::{Readable, Writeable};

use super::{Ack, CpuTarget, Error, Ipi, Line};
use crate::dt;
use crate::mmio::{ReadOnly, ReadWrite, TooSmall, Window, WriteOnly, require};

/// `compatible` of the local controller.
pub const LOCAL_COMPATIBLE: &str = "brcm,bcm2836-l1-intc";
/// `compatible` of the devices' controller.
pub const DEVICES_COMPATIBLE: &str = "brcm,bcm2836-armctrl-ic";

/// Bytes of registers that the driver touches.
const LOCAL_SIZE: usize = 0x100;
const DEVICES_SIZE: usize = 0x28;

const CORES: u32 = 4;

/// To which core the devices' lines go (QA7 4.4).
const GPU_ROUTING: ReadWrite<u32> = ReadWrite::at(0x0c);
/// Performance monitors, a bit a core (QA7 4.5).
const PMU_ROUTING_SET: WriteOnly<u32> = WriteOnly::at(0x10);
const PMU_ROUTING_CLEAR: WriteOnly<u32> = WriteOnly::at(0x14);
/// A word a core: bit n lets timer n interrupt it (QA7 4.6).
const TIMER_CONTROL: ReadWrite<u32> = ReadWrite::at(0x40);
/// A word a core: bit n lets mailbox n interrupt it (QA7 4.7).
const MAILBOX_CONTROL: ReadWrite<u32> = ReadWrite::at(0x50);
/// A word a core: a bit a local line that interrupts it (QA7 4.10).
const IRQ_SOURCE: ReadOnly<u32> = ReadOnly::at(0x60);
/// Four mailboxes a core; a bit that is written is set (QA7 4.8).
const MAILBOX_SET: WriteOnly<u32> = WriteOnly::at(0x80);
/// The same; a bit that is written is cleared.
const MAILBOX_CLEAR: ReadWrite<u32> = ReadWrite::at(0xc0);

/// Bits 0 to 7: bank 0. Above: something waits in bank 1 or 2 (BCM2835 7.5).
const BASIC_PENDING: ReadOnly<u32> = ReadOnly::at(0x00);
/// Banks 1 and 2.
const PENDING: ReadOnly<u32> = ReadOnly::at(0x04);
/// Banks 1 and 2; a bit that is written is enabled. Bank 0 stands behind them.
const ENABLE: ReadWrite<u32> = ReadWrite::at(0x10);
/// The same for disabling.
const DISABLE: ReadWrite<u32> = ReadWrite::at(0x1c);

/// Lines of the local controller, counted from [`FIRST_LOCAL`]: bits of IRQ_SOURCE.
const TIMERS: core::ops::Range<u32> = 0..4;
const MAILBOX_0: u32 = 4;
const DEVICES: u32 = 8;
const PMU: u32 = 9;

const FIRST_LOCAL: u32 = 16;
const FIRST_DEVICE: u32 = 32;
/// Bank 0 has eight lines.
const BANK_0: u32 = 8;

/// What a line's number means.
enum Kind {
    Timer(u32),
    Pmu,
    /// Bank and bit.
    Device(usize, u32),
}

fn kind(line: Line) -> Result<Kind, Error> {
    let unknown = Error::NoSuchLine(line);
    let Line(number) = line;
    if let Some(device) = number.checked_sub(FIRST_DEVICE) {
        let (bank, bit) = (device / 32, device % 32);
        return match bank {
            0 if bit >= BANK_0 => Err(unknown),
            0..=2 => Ok(Kind::Device(bank as usize, bit)),
            _ => Err(unknown),
        };
    }
    match number.checked_sub(FIRST_LOCAL).ok_or(unknown)? {
        local if TIMERS.contains(&local) => Ok(Kind::Timer(local)),
        PMU => Ok(Kind::Pmu),
        _ => Err(unknown),
    }
}

/// The line of a device's interrupt at either controller. Specifier: bank and bit; or bit and flags.
pub(super) fn line(interrupt: &dt::Interrupt<'_>) -> Result<Line, Error> {
    let line = match *interrupt.specifier() {
        [bank @ 0..=2, bit @ 0..32] if interrupt.controller.is_compatible(DEVICES_COMPATIBLE) => {
            Line(FIRST_DEVICE + 32 * bank + bit)
        }
        [local @ 0..16, ..] if interrupt.controller.is_compatible(LOCAL_COMPATIBLE) => {
            Line(FIRST_LOCAL + local)
        }
        _ => return Err(Error::BadSpecifier),
    };
    kind(line).map(|_| line)
}

fn core_of(CpuTarget(core): CpuTarget) -> usize {
    (core % CORES) as usize
}

/// Both controllers.
#[derive(Debug)]
pub struct Controllers<W> {
    local: W,
    devices: W,
}

impl<W: Window> Controllers<W> {
    pub(super) fn new(local: W, devices: W) -> Result<Self, TooSmall> {
        require(&local, LOCAL_SIZE)?;
        require(&devices, DEVICES_SIZE)?;
        Ok(Controllers { local, devices })
    }

    pub(super) fn init(&mut self) {
        for bank in 0..3 {
            self.devices.at(DISABLE.nth(bank)).set(u32::MAX);
        }
        self.local.at(GPU_ROUTING).set(0);
        self.local.at(PMU_ROUTING_CLEAR).set(u32::MAX);
    }

    /// A core's number is its affinity level 0.
    pub(super) fn init_cpu(&mut self, mpidr: u64) -> Result<CpuTarget, Error> {
        let affinity = mpidr & 0xff_00ff_ffff;
        // The cores' cluster number differs from Pi to Pi.
        let core = match mpidr & 0xff {
            core if core < CORES.into() => core as usize,
            _ => return Err(Error::NoSuchCpu(affinity)),
        };
        self.local.at(TIMER_CONTROL.nth(core)).set(0);
        self.local.at(MAILBOX_CLEAR.nth(4 * core)).set(u32::MAX);
        self.local.at(MAILBOX_CONTROL.nth(core)).set(1);
        Ok(CpuTarget(core as u32))
    }

    pub(super) fn enable(&mut self, line: Line, target: CpuTarget) -> Result<(), Error> {
        let core = core_of(target);
        match kind(line)? {
            Kind::Timer(timer) => self.set_timer(core, timer, true),
            Kind::Pmu => self.local.at(PMU_ROUTING_SET).set(1 << core),
            Kind::Device(bank, bit) => self.devices.at(bank_register(ENABLE, bank)).set(1 << bit),
        }
        Ok(())
    }

    pub(super) fn disable(&mut self, line: Line, target: CpuTarget) -> Result<(), Error> {
        let core = core_of(target);
        match kind(line)? {
            Kind::Timer(timer) => self.set_timer(core, timer, false),
            Kind::Pmu => self.local.at(PMU_ROUTING_CLEAR).set(1 << core),
            Kind::Device(bank, bit) => self.devices.at(bank_register(DISABLE, bank)).set(1 << bit),
        }
        Ok(())
    }

    fn set_timer(&self, core: usize, timer: u32, on: bool) {
        let control = self.local.at(TIMER_CONTROL.nth(core));
        let others = control.get() & !(1 << timer);
        control.set(others | u32::from(on) << timer);
    }
}

/// Banks 1 and 2 come before bank 0.
fn bank_register(first: ReadWrite<u32>, bank: usize) -> ReadWrite<u32> {
    first.nth((bank + 2) % 3)
}

/// What one core needs at an interrupt.
#[derive(Clone, Copy, Debug)]
pub struct CpuInterface<W> {
    local: W,
    devices: W,
    core: usize,
}

impl<W: Window> CpuInterface<W> {
    /// The boot CPU's.
    pub(super) fn new(local: W, devices: W) -> Self {
        CpuInterface {
            local,
            devices,
            core: 0,
        }
    }

    pub(super) fn of_cpu(self, target: CpuTarget) -> Self {
        CpuInterface {
            core: core_of(target),
            ..self
        }
    }

    pub(super) fn acknowledge(&self) -> Option<Ack> {
        let source = self.local.at(IRQ_SOURCE.nth(self.core)).get();
        if source & 1 << MAILBOX_0 != 0
            && let Some(ipi) = self.take_ipi()
        {
            return Some(Ack(ipi));
        }
        if source & 1 << DEVICES != 0
            && let Some(device) = self.pending_device()
        {
            return Some(Ack(FIRST_DEVICE + device));
        }
        let own = source & (0xf | 1 << PMU);
        lowest(own).map(|bit| Ack(FIRST_LOCAL + bit))
    }

    /// Clears the IPI that it takes: another of the same number from here on is a new one.
    fn take_ipi(&self) -> Option<u32> {
        let mailbox = self.local.at(MAILBOX_CLEAR.nth(4 * self.core));
        let ipi = lowest(mailbox.get() & 0xff)?;
        mailbox.set(1 << ipi);
        Some(ipi)
    }

    /// Counted from the first bit of bank 0.
    fn pending_device(&self) -> Option<u32> {
        let basic = self.devices.at(BASIC_PENDING).get();
        if let Some(bit) = lowest(basic & 0xff) {
            return Some(bit);
        }
        (1..3).find_map(|bank| {
            let pending = self.devices.at(PENDING.nth(bank - 1)).get();
            lowest(pending).map(|bit| 32 * bank as u32 + bit)
        })
    }

    pub(super) fn send_ipi(&self, Ipi(ipi): Ipi, target: CpuTarget) {
        let mailbox = MAILBOX_SET.nth(4 * core_of(target));
        self.local.at(mailbox).set(1 << ipi);
    }

    pub(super) fn send_ipi_to_others(&self, ipi: Ipi) {
        for core in (0..CORES).filter(|&core| core as usize != self.core) {
            self.send_ipi(ipi, CpuTarget(core));
        }
    }
}

fn lowest(bits: u32) -> Option<u32> {
    (bits != 0).then(|| bits.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irq::{Controller, CpuInterface, Priority, Trigger};
    use crate::mmio::fake::{Memory, Write};

    struct Pi {
        local: Memory,
        devices: Memory,
    }

    impl Pi {
        fn new() -> Self {
            Pi {
                local: Memory::new(0x100),
                devices: Memory::new(0x200),
            }
        }

        fn halves(&self) -> (Controller<&Memory>, CpuInterface<&Memory>) {
            Controller::bcm2836(&self.local, &self.devices).unwrap()
        }
    }

    fn enable(pi: &Pi, line: u32, core: u32) -> Result<(), Error> {
        let level = Some(Trigger::Level);
        pi.halves()
            .0
            .enable(Line(line), level, Priority::NORMAL, CpuTarget(core))
    }

    #[test]
    fn enable_of_a_timer_is_for_one_core_and_keeps_the_others() {
        let pi = Pi::new();
        pi.local.poke32(0x48, 2);
        assert_eq!(enable(&pi, 19, 2), Ok(()));
        assert_eq!(pi.local.take_writes(), [Write::Word(0x48, 0xa)]);
        let disabled = pi.halves().0.disable(Line(17), CpuTarget(2));
        assert_eq!(disabled, Ok(()));
        assert_eq!(pi.local.read32(0x48), 8);
    }

    #[test]
    fn enable_of_device_lines_finds_their_banks_register() {
        let pi = Pi::new();
        for line in [32 + 1, 64 + 29, 96 + 25] {
            assert_eq!(enable(&pi, line, 0), Ok(()));
        }
        assert_eq!(
            pi.devices.take_writes(),
            [
                Write::Word(0x18, 1 << 1),
                Write::Word(0x10, 1 << 29),
                Write::Word(0x14, 1 << 25)
            ]
        );
        let disabled = pi.halves().0.disable(Line(96 + 25), CpuTarget(0));
        assert_eq!(disabled, Ok(()));
        assert_eq!(pi.devices.take_writes(), [Write::Word(0x20, 1 << 25)]);
    }

    #[test]
    fn enable_of_a_line_that_is_not_there_is_an_error() {
        let pi = Pi::new();
        for line in [0, 15, 20, 24, 26, 31, 40, 63, 128, u32::MAX] {
            assert_eq!(enable(&pi, line, 0), Err(Error::NoSuchLine(Line(line))));
        }
        assert_eq!(pi.local.take_writes(), []);
    }

    #[test]
    fn init_cpu_opens_the_cores_mailbox() {
        let pi = Pi::new();
        let mut controller = pi.halves().0;
        assert_eq!(controller.init_cpu(0x8000_0003), Ok(CpuTarget(3)));
        assert_eq!(
            pi.local.take_writes(),
            [
                Write::Word(0x4c, 0),
                Write::Word(0xf0, u32::MAX),
                Write::Word(0x5c, 1)
            ]
        );
        assert!(controller.init_cpu(4).is_err());
    }

    #[test]
    fn acknowledge_takes_ipis_before_devices_before_timers() {
        let pi = Pi::new();
        let interface = pi.halves().1.of_cpu(CpuTarget(1));
        let line = || interface.acknowledge().map(|ack| ack.line());
        pi.local.poke32(0x64, 1 << 4 | 1 << 8 | 1 << 3);
        pi.local.poke32(0xd0, 0x04);
        assert_eq!(line(), Some(Line(2)));
        assert_eq!(pi.local.take_writes(), [Write::Word(0xd0, 4)]);
        pi.local.poke32(0xd0, 0);
        pi.devices.poke32(0x00, 1 << 9);
        pi.devices.poke32(0x08, 1 << 25);
        assert_eq!(line(), Some(Line(96 + 25)));
        pi.devices.poke32(0x00, 1 << 19);
        pi.devices.poke32(0x04, 1 << 29);
        assert_eq!(line(), Some(Line(64 + 29)));
        pi.devices.poke32(0x00, 0x42);
        assert_eq!(line(), Some(Line(32 + 1)));
        pi.local.poke32(0x64, 1 << 3);
        assert_eq!(line(), Some(Line(19)));
        pi.local.poke32(0x64, 0);
        assert_eq!(line(), None);
    }

    #[test]
    fn acknowledge_of_a_source_that_has_gone_is_none() {
        let pi = Pi::new();
        let interface = pi.halves().1;
        pi.local.poke32(0x60, 1 << 4 | 1 << 8);
        assert_eq!(interface.acknowledge(), None);
    }

    #[test]
    fn send_ipi_sets_the_bit_in_the_targets_mailbox() {
        let pi = Pi::new();
        let interface = pi.halves().1.of_cpu(CpuTarget(1));
        let ipi = Ipi::new(3).unwrap();
        interface.send_ipi(ipi, CpuTarget(2));
        assert_eq!(pi.local.take_writes(), [Write::Word(0xa0, 8)]);
        interface.send_ipi_to_others(ipi);
        let others = [0x80, 0xa0, 0xb0].map(|at| Write::Word(at, 8));
        assert_eq!(pi.local.take_writes(), others);
        interface.send_ipi(ipi, CpuTarget::from_bits(u32::MAX));
    }
}
