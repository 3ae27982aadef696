//! Interrupt controllers, under one face for arch.
//!
//! A controller has two halves, as the hardware has. [`Controller`] configures: which line goes where, how urgent it
//! is. It is used rarely, from any CPU, under its owner's lock (`&mut self`). [`CpuInterface`] is what each CPU uses at
//! each interrupt, and for interrupting another: without a lock, a few loads and stores or system registers, on the
//! calling CPU's own state.
//!
//! Order on a starting CPU: [`Controller::init`] once, on the boot CPU; [`Controller::init_cpu`] on every CPU, the boot
//! CPU too; then [`Controller::enable`]. Nothing here blocks, allocates or panics, whatever a tree or a caller asks
//! for. Memory order is the caller's: it issues the barrier between what an IPI is about and
//! [`CpuInterface::send_ipi`].

mod bcm2836;
mod gicv2;
mod gicv3;

use core::fmt;

pub use self::bcm2836::{
    DEVICES_COMPATIBLE as BCM2836_DEVICES_COMPATIBLE, LOCAL_COMPATIBLE as BCM2836_LOCAL_COMPATIBLE,
};
pub use self::gicv3::{MAX_AFFINITY_0, Redistributors};
use crate::dt;
use crate::mmio::{TooSmall, Window};

/// `compatible` of controllers that [`Controller::gicv2`] drives (bindings/interrupt-controller/arm,gic.yaml).
pub const GICV2_COMPATIBLE: &[&str] = &["arm,gic-400", "arm,cortex-a15-gic"];
/// `compatible` of controllers that [`Controller::gicv3`] drives (bindings/interrupt-controller/arm,gic-v3.yaml).
pub const GICV3_COMPATIBLE: &[&str] = &["arm,gic-v3"];

/// An interrupt line. Of a GIC its INTID (IHI 0048B 2.2.1); of the others a number of the driver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(pub u32);

/// When a line interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Once at each edge.
    Edge,
    /// As long as the device holds it.
    Level,
}

/// An interrupt that one CPU sends to another: 0 to 7. (A GIC has 16; firmware keeps 8 to 15, IHI 0048B 2.2.1.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipi(u8);

impl Ipi {
    /// IPI `number`; None from 8 on.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 8 { Some(Ipi(number)) } else { None }
    }

    /// The line that it arrives on.
    #[must_use]
    pub const fn line(self) -> Line {
        Line(self.0 as u32)
    }
}

/// How a controller names a CPU. A CPU learns its own from [`Controller::init_cpu`]; others keep it, as bits if they
/// like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTarget(u32);

impl CpuTarget {
    /// For keeping in an atomic.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// What [`CpuTarget::to_bits`] gave. Other bits name a CPU that there may not be: what is sent there is lost.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        CpuTarget(bits)
    }
}

/// How urgent a line is: lower is more urgent (IHI 0048B 3.3). Of no effect among lines while a CPU takes no interrupt
/// within another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority(pub u8);

impl Priority {
    /// For everything that has no reason to be otherwise; every implementation tells it from its neighbours.
    pub const NORMAL: Self = Priority(0xa0);
}

/// An interrupt that this CPU has taken and must end: exactly once, on the same CPU.
#[must_use = "an interrupt that is not ended blocks all others on its CPU"]
#[derive(Debug, PartialEq, Eq)]
pub struct Ack(u32);

impl Ack {
    /// The line that interrupted.
    #[must_use]
    pub fn line(&self) -> Line {
        Line(self.0 & 0x3ff)
    }
}

/// Why a line or a CPU cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The controller has no such line.
    NoSuchLine(Line),
    /// The device tree's specifier makes no sense to this controller.
    BadSpecifier,
    /// No part of the controller belongs to the CPU with this affinity.
    NoSuchCpu(u64),
    /// The controller's registers make no sense.
    BadController,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchLine(Line(line)) => write!(f, "the controller has no line {line}"),
            Error::BadSpecifier => f.write_str("the interrupt specifier makes no sense"),
            Error::NoSuchCpu(mpidr) => {
                write!(f, "the controller does not serve CPU {mpidr:#x}")
            }
            Error::BadController => f.write_str("the controller's registers make no sense"),
        }
    }
}

impl core::error::Error for Error {}

/// The line of a device's interrupt at a GIC, and its trigger where the tree gives one. Specifier: kind (0 shared, 1
/// private), number, flags (bindings/interrupt-controller/arm,gic.yaml, arm,gic-v3.yaml;
/// include/dt-bindings/interrupt-controller/irq.h).
pub fn gic_line(interrupt: &dt::Interrupt<'_>) -> Result<(Line, Option<Trigger>), Error> {
    let &[kind, number, flags, ..] = interrupt.specifier() else {
        return Err(Error::BadSpecifier);
    };
    let line = match kind {
        0 if number < 988 => 32 + number,
        1 if number < 16 => 16 + number,
        _ => return Err(Error::BadSpecifier),
    };
    let trigger = match flags & 0xf {
        0 => None,
        1..=3 => Some(Trigger::Edge),
        4 | 8 => Some(Trigger::Level),
        _ => return Err(Error::BadSpecifier),
    };
    Ok((Line(line), trigger))
}

/// The line of a device's interrupt at whichever controller it arrives, and its trigger where the tree gives one.
pub fn line(interrupt: &dt::Interrupt<'_>) -> Result<(Line, Option<Trigger>), Error> {
    let is = |compatible: &str| interrupt.controller.is_compatible(compatible);
    if GICV2_COMPATIBLE
        .iter()
        .chain(GICV3_COMPATIBLE)
        .any(|&it| is(it))
    {
        gic_line(interrupt)
    } else {
        bcm2836::line(interrupt).map(|line| (line, None))
    }
}

/// Whether each CPU has a line of that number for itself: PPIs of a GIC (IHI 0048B 2.2.1), timers of a bcm2836.
#[must_use]
pub fn is_private(Line(line): Line) -> bool {
    (16..32).contains(&line)
}

/// The configuring half.
#[derive(Debug)]
pub enum Controller<W> {
    /// A GIC of version 2, or 1.
    GicV2(gicv2::Distributor<W>),
    /// A GIC of version 3, or 4 without its extras.
    GicV3(gicv3::Distributor),
    /// A Raspberry Pi 2's or 3's two controllers.
    Bcm2836(bcm2836::Controllers<W>),
}

/// The half that each CPU uses: each its own copy, from [`CpuInterface::of_cpu`]. A GIC's may be shared by all, for its
/// registers know who asks.
#[derive(Clone, Copy, Debug)]
pub enum CpuInterface<W> {
    /// A GIC of version 2, or 1.
    GicV2(gicv2::CpuInterface<W>),
    /// A GIC of version 3, or 4.
    GicV3(gicv3::CpuInterface),
    /// A Raspberry Pi 2's or 3's.
    Bcm2836(bcm2836::CpuInterface<W>),
}

impl<W: Window + Clone> Controller<W> {
    /// A GICv2: `distributor` and `cpu_interface` are the first and second entry of its `reg`. Touches nothing.
    pub fn gicv2(
        distributor: W,
        cpu_interface: W,
    ) -> Result<(Controller<W>, CpuInterface<W>), TooSmall> {
        let interface = gicv2::CpuInterface::new(distributor.clone(), cpu_interface)?;
        let distributor = gicv2::Distributor::new(distributor, interface.clone());
        Ok((
            Controller::GicV2(distributor),
            CpuInterface::GicV2(interface),
        ))
    }

    /// A GICv3 over what crate `arm-gic` drives: see [`Redistributors`] for how to make one.
    #[must_use]
    pub fn gicv3(gic: Redistributors) -> (Controller<W>, CpuInterface<W>) {
        (
            Controller::GicV3(gicv3::Distributor::new(gic)),
            CpuInterface::GicV3(gicv3::CpuInterface),
        )
    }

    /// A Raspberry Pi 2's or 3's controllers: the cores' own, and that of the devices below it. Touches nothing.
    pub fn bcm2836(local: W, devices: W) -> Result<(Controller<W>, CpuInterface<W>), TooSmall> {
        let interface = bcm2836::CpuInterface::new(local.clone(), devices.clone());
        let controllers = bcm2836::Controllers::new(local, devices)?;
        Ok((
            Controller::Bcm2836(controllers),
            CpuInterface::Bcm2836(interface),
        ))
    }

    /// Brings the shared part to a known state: all lines disabled, none pending or active, level-triggered, of normal
    /// priority; and switches it on. Once, on the boot CPU.
    pub fn init(&mut self) {
        match self {
            Controller::GicV2(gic) => gic.init(),
            Controller::GicV3(gic) => gic.init(),
            Controller::Bcm2836(bcm) => bcm.init(),
        }
    }

    /// Brings the calling CPU's part to a known state and switches it on, its IPIs too; returns how others name this
    /// CPU. `mpidr` is the CPU's MPIDR_EL1. With a GICv3 the caller has set SRE in ICC_SRE_EL1 (and in ICC_SRE_EL2,
    /// with Enable, if it came through EL2) and synchronised.
    pub fn init_cpu(&mut self, mpidr: u64) -> Result<CpuTarget, Error> {
        match self {
            Controller::GicV2(gic) => Ok(gic.init_cpu()),
            Controller::GicV3(gic) => gic.init_cpu(mpidr),
            Controller::Bcm2836(bcm) => bcm.init_cpu(mpidr),
        }
    }

    /// Lets `line` interrupt `target`. A private line (below 32) is the calling CPU's own, and `target` must be that
    /// CPU. None for `trigger` leaves it as it is.
    pub fn enable(
        &mut self,
        line: Line,
        trigger: Option<Trigger>,
        priority: Priority,
        target: CpuTarget,
    ) -> Result<(), Error> {
        match self {
            Controller::GicV2(gic) => gic.enable(line, trigger, priority, target),
            Controller::GicV3(gic) => gic.enable(line, trigger, priority, target),
            Controller::Bcm2836(bcm) => bcm.enable(line, target),
        }
    }

    /// Keeps `line` from interrupting; a private line only on the calling CPU, which must be `target`.
    pub fn disable(&mut self, line: Line, target: CpuTarget) -> Result<(), Error> {
        match self {
            Controller::GicV2(gic) => gic.disable(line),
            Controller::GicV3(gic) => gic.disable(line, target),
            Controller::Bcm2836(bcm) => bcm.disable(line, target),
        }
    }
}

impl<W: Window> CpuInterface<W> {
    /// The interface of the CPU that [`Controller::init_cpu`] has named `target`. What the constructors give is the
    /// boot CPU's.
    #[must_use]
    pub fn of_cpu(self, target: CpuTarget) -> Self {
        match self {
            CpuInterface::Bcm2836(bcm) => CpuInterface::Bcm2836(bcm.of_cpu(target)),
            gic => gic,
        }
    }

    /// Takes the most urgent interrupt that waits for this CPU; None if there is none (any more).
    #[inline]
    #[must_use]
    pub fn acknowledge(&self) -> Option<Ack> {
        match self {
            CpuInterface::GicV2(gic) => gic.acknowledge(),
            CpuInterface::GicV3(gic) => gic.acknowledge(),
            CpuInterface::Bcm2836(bcm) => bcm.acknowledge(),
        }
    }

    /// The interrupt has been dealt with.
    #[inline]
    pub fn end(&self, ack: Ack) {
        match self {
            CpuInterface::GicV2(gic) => gic.end(ack),
            CpuInterface::GicV3(gic) => gic.end(ack),
            // The device is quiet by now, and that is all there is to it.
            CpuInterface::Bcm2836(_) => drop(ack),
        }
    }

    /// Interrupts the CPU `target`, which may be the calling one.
    #[inline]
    pub fn send_ipi(&self, ipi: Ipi, target: CpuTarget) {
        match self {
            CpuInterface::GicV2(gic) => gic.send_ipi(ipi, target),
            CpuInterface::GicV3(gic) => gic.send_ipi(ipi, target),
            CpuInterface::Bcm2836(bcm) => bcm.send_ipi(ipi, target),
        }
    }

    /// Interrupts all CPUs but the calling one.
    #[inline]
    pub fn send_ipi_to_others(&self, ipi: Ipi) {
        match self {
            CpuInterface::GicV2(gic) => gic.send_ipi_to_others(ipi),
            CpuInterface::GicV3(gic) => gic.send_ipi_to_others(ipi),
            CpuInterface::Bcm2836(bcm) => bcm.send_ipi_to_others(ipi),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dt::Tree;
    use crate::dt::test_trees::build;

    fn line(cells: &[u32]) -> Result<(Line, Option<Trigger>), Error> {
        let bytes = build(|tree| {
            let root = tree.begin_node("")?;
            tree.property_u32("#interrupt-cells", cells.len() as u32)?;
            let node = tree.begin_node("device")?;
            tree.property_array_u32("interrupts", cells)?;
            tree.end_node(node)?;
            tree.end_node(root)
        });
        let tree = Tree::new(&bytes).unwrap();
        let device = tree.find("/device").unwrap();
        gic_line(&device.interrupt(0).unwrap())
    }

    #[test]
    fn gic_line_counts_shared_and_private_lines_from_their_first() {
        assert_eq!(line(&[0, 1, 4]), Ok((Line(33), Some(Trigger::Level))));
        assert_eq!(line(&[0, 987, 1]), Ok((Line(1019), Some(Trigger::Edge))));
        // The timer's, with the CPU mask in bits 15:8.
        assert_eq!(line(&[1, 11, 0xf08]), Ok((Line(27), Some(Trigger::Level))));
        assert_eq!(line(&[1, 15, 0]), Ok((Line(31), None)));
    }

    #[test]
    fn gic_line_of_a_fourth_cell_leaves_it_out() {
        assert_eq!(line(&[1, 7, 4, 9]), Ok((Line(23), Some(Trigger::Level))));
    }

    #[test]
    fn gic_line_that_makes_no_sense_is_an_error() {
        for cells in [
            [0, 988, 4].as_slice(),
            &[0, u32::MAX, 4],
            &[1, 16, 4],
            &[2, 0, 4],
            &[0, 0, 5],
            &[0, 0, 12],
            &[0, 1],
        ] {
            assert_eq!(line(cells), Err(Error::BadSpecifier), "{cells:?}");
        }
    }

    #[test]
    fn ipi_numbers_that_are_the_firmwares_are_refused() {
        assert_eq!(Ipi::new(7).map(Ipi::line), Some(Line(7)));
        assert_eq!(Ipi::new(8), None);
    }
}
