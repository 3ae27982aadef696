//! What a boot takes from a device tree: read in one go, before any device is touched.
//!
//! A [`Plan`] says which console, timer, interrupt controller and firmware calls there are, [`memory`] which RAM, [`devices`] what a
//! driver is started over. The kernel boots by it, and `cargo xtask dtb` prints it: there is no other reading of the tree. Whatever
//! the tree says, the answer is a part of the plan or a value that tells in words why there is none. Nothing here allocates, blocks
//! or panics; the time it takes is bounded by the tree's size.

pub mod memory;
mod range_set;

#[cfg(test)]
mod hostile_tests;

use core::fmt;

pub use range_set::{CAPACITY, Full, RangeSet};

use crate::dt::{Error, Node, Region, Tree};
use crate::irq::{
    self, BCM2836_DEVICES_COMPATIBLE, BCM2836_LOCAL_COMPATIBLE, GICV2_COMPATIBLE, GICV3_COMPATIBLE,
    Line, Trigger,
};
use crate::psci::Psci;
use crate::serial::{self, Model, NoUart};

/// First physical address that has no place in the kernel's maps.
pub const PHYSICAL_END: u64 = 1 << 39;

/// Bytes of registers that a device may have: a tree that says more is wrong, and mapping it would take all tables there are.
const MOST_REGISTERS: u64 = 256 << 20;

/// Bytes of registers that a UART may have. One that seems to have more is not where the tree says, and whoever spoke there would not
/// be heard.
const MOST_OF_A_UART: u64 = 1 << 20;

/// Bindings of the timer (bindings/timer/arm,arch_timer.yaml).
pub const TIMER_COMPATIBLE: &[&str] = &["arm,armv8-timer", "arm,armv7-timer"];

/// Bindings of interrupt controllers.
pub const CONTROLLERS: &[&[&str]] = &[
    GICV3_COMPATIBLE,
    GICV2_COMPATIBLE,
    &[BCM2836_LOCAL_COMPATIBLE, BCM2836_DEVICES_COMPATIBLE],
];

/// Alignment and least size of a GICv3's blocks: a distributor's frame, and a redistributor's two (IHI 0069H 12.10).
const GICV3_FRAME: u64 = 64 << 10;
const GICV3_REDISTRIBUTOR: u64 = 128 << 10;

/// Where a device's interrupt arrives, and its trigger where the tree gives one.
pub type Wire = (Line, Option<Trigger>);

/// What the tree has for a boot.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// What the loader says; empty if it says nothing.
    pub command_line: &'a str,
    /// How to call the firmware; None if the tree tells of none.
    pub psci: Result<Option<Psci>, Error>,
    /// The console: its node, and what is to be known of it or why it cannot be used; None if no UART of the tree is driven.
    pub console: Option<(Node<'a>, Result<Console, NoUart>)>,
    /// The timer.
    pub timer: Result<Timer, NoTimer>,
    /// The interrupt controller.
    pub controller: Result<Controller<'a>, NoController>,
}

impl<'a> Plan<'a> {
    /// The plan that `tree` gives.
    #[must_use]
    pub fn of(tree: &Tree<'a>) -> Self {
        let command_line = tree.chosen().map_or("", |chosen| chosen.bootargs());
        let console = find_console(tree, command_line);
        Plan {
            command_line,
            psci: Psci::find(tree),
            console: console.map(|node| (node, Console::of(&node))),
            timer: Timer::find(tree),
            controller: Controller::find(tree),
        }
    }
}

/// The kernel's words of the command line.
pub fn words(command_line: &str) -> impl Iterator<Item = &str> {
    let words = command_line.split_ascii_whitespace();
    words.take_while(|&word| word != "--")
}

/// Entry `index` of the node's `reg`, if it can be registers: on a word's boundary, of a size that a device has, and where the kernel
/// can map it.
pub fn registers(node: &Node<'_>, index: usize) -> Result<Region, Error> {
    let region = node.region(index)?;
    let fits = region.address.is_multiple_of(4)
        && (1..=MOST_REGISTERS).contains(&region.size)
        && region.end() <= PHYSICAL_END;
    fits.then_some(region).ok_or(Error::BadProperty("reg"))
}

/// What a driver of these bindings is started over: the nodes that follow one and are switched on, each with the first entry of its
/// `reg`.
pub fn devices<'a, 'b>(
    tree: &Tree<'a>,
    bindings: &'b [&'b str],
) -> impl Iterator<Item = (Node<'a>, Result<Region, Error>)> + use<'a, 'b> {
    let nodes = tree.compatible(bindings);
    nodes.map(|node| (node, registers(&node, 0)))
}

/// The number that the tree gives to `node` among its `kind` ("i2c") by its aliases.
#[must_use]
pub fn number(tree: &Tree<'_>, node: &Node<'_>, kind: &str) -> Option<u32> {
    let aliases = tree.find("/aliases")?;
    aliases.properties().find_map(|alias| {
        let number = alias.name.strip_prefix(kind)?.parse().ok()?;
        let path = aliases.string(alias.name)?;
        (tree.find(path)? == *node).then_some(number)
    })
}

/// The UART to talk over; the command line may name it (`console=serial0`).
fn find_console<'a>(tree: &Tree<'a>, command_line: &str) -> Option<Node<'a>> {
    let wanted = words(command_line).find_map(|word| word.strip_prefix("console="));
    serial::console(tree, wanted)
}

/// A UART, and where it interrupts.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    /// Which it is.
    pub model: Model,
    /// Its registers, as many as the model has at least.
    pub registers: Region,
    /// Where its interrupt arrives. Error: it sends and does not receive.
    pub wire: Result<Wire, NoWire>,
}

impl Console {
    /// What the tree says of that UART.
    ///
    /// # Errors
    /// There is no driver, or the registers are not those of such a UART.
    pub fn of(node: &Node<'_>) -> Result<Self, NoUart> {
        let registers = registers(node, 0).map_err(NoUart::Tree)?;
        if registers.size > MOST_OF_A_UART {
            return Err(NoUart::Tree(Error::BadProperty("reg")));
        }
        let model = Model::of(node)?;
        model.check_size(registers.size as usize)?;
        Ok(Console {
            model,
            registers,
            wire: wire(node, 0),
        })
    }
}

/// Why an interrupt arrives nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWire {
    /// The tree does not say where.
    Tree(Error),
    /// The controller has no such line.
    Line(irq::Error),
}

impl fmt::Display for NoWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoWire::Tree(error) => error.fmt(f),
            NoWire::Line(error) => error.fmt(f),
        }
    }
}

fn wire(node: &Node<'_>, index: usize) -> Result<Wire, NoWire> {
    let interrupt = node.interrupt(index).map_err(NoWire::Tree)?;
    irq::line(&interrupt).map_err(NoWire::Line)
}

/// The generic timer as EL1 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Its line, which each CPU has for itself.
    pub wire: Wire,
    /// Its frequency, in trees of machines whose firmware leaves CNTFRQ_EL0 empty.
    pub hertz: Option<u64>,
}

/// Why there is no timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTimer {
    /// The tree has none.
    None,
    /// It interrupts nobody.
    Wire(NoWire),
    /// Its line is one that all CPUs share.
    Shared(Line),
    /// Its frequency makes no sense.
    Tree(Error),
}

impl fmt::Display for NoTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoTimer::None => f.write_str("the device tree has none"),
            NoTimer::Wire(error) => error.fmt(f),
            NoTimer::Shared(Line(line)) => {
                write!(f, "its line {line} is no CPU's own")
            }
            NoTimer::Tree(error) => error.fmt(f),
        }
    }
}

impl Timer {
    fn find(tree: &Tree<'_>) -> Result<Self, NoTimer> {
        let node = tree.compatible(TIMER_COMPATIBLE).next();
        let node = node.ok_or(NoTimer::None)?;
        // Named, or in the order: secure, physical, virtual.
        let index = node.interrupt_index("virt").unwrap_or(2);
        let wire = wire(&node, index).map_err(NoTimer::Wire)?;
        if !irq::is_private(wire.0) {
            return Err(NoTimer::Shared(wire.0));
        }
        let hertz = node.u32("clock-frequency").map_err(NoTimer::Tree)?;
        let hertz = hertz.map(u64::from);
        Ok(Timer { wire, hertz })
    }
}

/// An interrupt controller, and where its registers are.
#[derive(Clone, Copy, Debug)]
pub enum Controller<'a> {
    /// A GICv2.
    GicV2 {
        /// Its node.
        node: Node<'a>,
        /// The distributor's registers.
        distributor: Region,
        /// The CPU interface's.
        interface: Region,
    },
    /// A GICv3.
    GicV3 {
        /// Its node.
        node: Node<'a>,
        /// The distributor's registers, aligned and whole.
        distributor: Region,
        /// All redistributors', aligned, one at least.
        redistributors: Region,
    },
    /// A Raspberry Pi 2's or 3's two.
    Bcm2836 {
        /// The cores' own: its node.
        node: Node<'a>,
        /// Its registers.
        local: Region,
        /// Registers of the devices' one.
        devices: Region,
    },
}

/// Why there is no interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoController {
    /// The tree has none that is driven.
    None,
    /// It does not say where the registers are.
    Tree(Error),
}

impl fmt::Display for NoController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoController::None => f.write_str("none that is driven here is in the device tree"),
            NoController::Tree(error) => error.fmt(f),
        }
    }
}

impl<'a> Controller<'a> {
    fn find(tree: &Tree<'a>) -> Result<Self, NoController> {
        let first = |bindings: &[&str]| tree.compatible(bindings).next();
        let block = |node: &Node<'_>, index| registers(node, index).map_err(NoController::Tree);
        if let Some(node) = first(GICV3_COMPATIBLE) {
            return Ok(Controller::GicV3 {
                node,
                distributor: gicv3_block(&node, 0, GICV3_FRAME)?,
                redistributors: gicv3_block(&node, 1, GICV3_REDISTRIBUTOR)?,
            });
        }
        if let Some(node) = first(GICV2_COMPATIBLE) {
            return Ok(Controller::GicV2 {
                node,
                distributor: block(&node, 0)?,
                interface: block(&node, 1)?,
            });
        }
        let node = first(&[BCM2836_LOCAL_COMPATIBLE]).ok_or(NoController::None)?;
        let devices = first(&[BCM2836_DEVICES_COMPATIBLE]).ok_or(NoController::None)?;
        Ok(Controller::Bcm2836 {
            node,
            local: block(&node, 0)?,
            devices: block(&devices, 0)?,
        })
    }
}

/// Whoever drives a GICv3 relies upon where its blocks begin and how long they are at least.
fn gicv3_block(node: &Node<'_>, index: usize, least: u64) -> Result<Region, NoController> {
    let region = registers(node, index).map_err(NoController::Tree)?;
    let fits = region.address.is_multiple_of(GICV3_FRAME) && region.size >= least;
    let wrong = NoController::Tree(Error::BadProperty("reg"));
    fits.then_some(region).ok_or(wrong)
}
