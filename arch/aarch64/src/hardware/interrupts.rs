//! Interrupts: which controller there is, and what arrives where.
//!
//! The kernel runs with interrupts masked; they are taken when a program is interrupted or a CPU idles, and then
//! acknowledged, served and ended here before the core hears of them.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use aarch64_cpu::registers::MPIDR_EL1;
use aarch64_cpu::registers::Readable;
use arm_gic::UniqueMmioPointer;
use arm_gic::gicv3::GicV3;
use halyard_cell::SpinLock;
use halyard_core::machine::{CpuId, Irq, MAX_CPUS};
use halyard_drivers::dt::Region;
use halyard_drivers::irq::{Controller, CpuInterface, CpuTarget, Error, Ipi, Priority};
use halyard_drivers::plan::{self, Plan, Wire};

use super::kernel_map::MapError;
use super::registers::Registers;
use super::{barrier, console, cpu, panic, power, timer};

/// Bytes that one CPU's redistributor takes (IHI 0069H 12.10): of a GICv3; a GICv4's is longer and not supported.
const REDISTRIBUTOR: usize = 128 << 10;

/// Why there is no interrupt controller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoController {
    /// The tree has none, or not where.
    Plan(plan::NoController),
    /// Its registers cannot be had.
    Map(MapError),
    /// It makes no sense.
    Broken(Error),
}

impl fmt::Display for NoController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoController::Plan(error) => error.fmt(f),
            NoController::Map(error) => error.fmt(f),
            NoController::Broken(error) => error.fmt(f),
        }
    }
}

/// The interrupt controller and what is wired to it.
pub(crate) struct Interrupts {
    controller: SpinLock<Controller<Registers>>,
    interface: CpuInterface<Registers>,
    /// How to send to each CPU, once it is up.
    targets: [AtomicU32; MAX_CPUS],
    timer: Wire,
    console: Option<Wire>,
}

/// The IPI of `Machine::kick`, and of a panic.
const KICK: Option<Ipi> = Ipi::new(0);

fn block(region: Region) -> Result<Registers, NoController> {
    Registers::of(region).map_err(NoController::Map)
}

fn gicv3(distributor: Region, redistributors: Region) -> Result<GicV3<'static>, NoController> {
    let size = redistributors.size as usize;
    let broken = NoController::Broken(Error::BadController);
    let distributor = NonNull::new(block(distributor)?.address() as *mut _);
    let redistributors = NonNull::new(block(redistributors)?.address() as *mut _);
    let (Some(distributor), Some(redistributors)) = (distributor, redistributors) else {
        return Err(broken);
    };
    // SAFETY: both blocks are mapped as device memory, for ever, aligned and as long as the plan has checked, and this is the only
    // driver for them.
    unsafe {
        GicV3::new(
            UniqueMmioPointer::new(distributor),
            redistributors,
            size / REDISTRIBUTOR,
        )
    }
    .map_err(|_| broken)
}

/// The controller that the plan has, in its two halves.
fn open(plan: &Plan<'_>) -> Result<Halves, NoController> {
    let halves = match plan.controller.map_err(NoController::Plan)? {
        plan::Controller::GicV3 {
            distributor,
            redistributors,
            ..
        } => {
            enable_system_registers();
            return Ok(Controller::gicv3(gicv3(distributor, redistributors)?));
        }
        plan::Controller::GicV2 {
            distributor,
            interface,
            ..
        } => Controller::gicv2(block(distributor)?, block(interface)?),
        plan::Controller::Bcm2836 { local, devices, .. } => {
            Controller::bcm2836(block(local)?, block(devices)?)
        }
    };
    halves.map_err(|_| NoController::Broken(Error::BadController))
}

type Halves = (Controller<Registers>, CpuInterface<Registers>);

impl Interrupts {
    /// Brings the plan's controller to a known state, and wires up timer and console.
    pub(crate) fn open(
        plan: &Plan<'_>,
        timer: Wire,
        console: Option<Wire>,
    ) -> Result<Self, NoController> {
        let (mut controller, interface) = open(plan)?;
        controller.init();
        Ok(Self {
            controller: SpinLock::new(controller),
            interface,
            targets: [const { AtomicU32::new(0) }; MAX_CPUS],
            timer,
            console,
        })
    }

    /// Switches on this CPU's part.
    pub(crate) fn init_cpu(&self) -> Result<(), Error> {
        let mut controller = self.controller.lock();
        if matches!(*controller, Controller::GicV3(_)) {
            enable_system_registers();
        }
        let target = controller.init_cpu(MPIDR_EL1.get())?;
        let CpuId(id) = cpu::this().id();
        if let Some(entry) = self.targets.get(usize::from(id)) {
            entry.store(target.to_bits(), Ordering::Release);
        }
        let (line, trigger) = self.timer;
        controller.enable(line, trigger, Priority::NORMAL, target)
    }

    /// Lets the console interrupt this CPU.
    pub(crate) fn enable_console(&self) -> Result<(), Error> {
        let Some((line, trigger)) = self.console else {
            return Ok(());
        };
        let CpuId(id) = cpu::this().id();
        let target = self.target(CpuId(id));
        self.controller
            .lock()
            .enable(line, trigger, Priority::NORMAL, target)
    }

    fn target(&self, CpuId(id): CpuId) -> CpuTarget {
        let bits = self.targets.get(usize::from(id));
        CpuTarget::from_bits(bits.map_or(0, |bits| bits.load(Ordering::Acquire)))
    }

    /// This CPU's own half: a GIC's is the same for all.
    #[inline]
    fn interface(&self) -> CpuInterface<Registers> {
        match self.interface {
            CpuInterface::Bcm2836(_) => self.interface.of_cpu(self.target(cpu::this().id())),
            gic => gic,
        }
    }

    /// Interrupts `cpu` for nothing but that it looks around.
    #[inline]
    pub(crate) fn kick(&self, cpu: CpuId) {
        if let Some(kick) = KICK {
            // What the other CPU is to see goes before.
            barrier::dsb_ishst();
            self.interface().send_ipi(kick, self.target(cpu));
        }
    }

    /// Interrupts all other CPUs.
    pub(crate) fn kick_others(&self) {
        if let Some(kick) = KICK {
            barrier::dsb_ishst();
            self.interface().send_ipi_to_others(kick);
        }
    }

    /// Acknowledges, serves and ends the interrupt that waits for this CPU.
    #[inline]
    pub(crate) fn take(&self) -> Irq {
        let interface = self.interface();
        let Some(taken) = interface.acknowledge() else {
            return Irq::Spurious;
        };
        let line = taken.line();
        let irq = if line == self.timer.0 {
            timer::stop_alarm();
            Irq::Timer
        } else if KICK.is_some_and(|kick| kick.line() == line) {
            Irq::Kick
        } else if self.console.is_some_and(|(console, _)| console == line) {
            console::receive();
            Irq::Console
        } else {
            Irq::Spurious
        };
        interface.end(taken);
        if irq == Irq::Kick && (panic::is_panicking() || power::is_stopping()) {
            power::stop_cpu();
        }
        irq
    }
}

/// Lets EL1 reach a GICv3 by system registers (ICC_SRE_EL1.SRE).
fn enable_system_registers() {
    // SAFETY: switches the interface from memory to system registers, before either was used.
    unsafe {
        core::arch::asm!("mrs {v}, S3_0_C12_C12_5", "orr {v}, {v}, #1", "msr S3_0_C12_C12_5, {v}", "isb",
            v = out(reg) _, options(nostack, preserves_flags));
    }
}
