//! `cargo xtask dtb`: what the kernel would take from a device tree.
//!
//! Read by the plan that the kernel boots by (`drivers/src/plan`), with the drivers that the board's image says it has. The tree is a
//! file, or what QEMU's machine would hand over.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use halyard_drivers::dt::{EnableMethod, Error, Node, Region, Tree};
use halyard_drivers::irq::{Line, Trigger};
use halyard_drivers::plan::memory::{self, Loaded};
use halyard_drivers::plan::{self, Controller, Plan, Wire};
use halyard_drivers::psci::{Conduit, Psci};
use halyard_drivers::serial;
use halyard_hil::board::QemuBoard;
use halyard_hil::qemu;

use object::{Object, ObjectSection};

use crate::build::{self, Products};
use crate::cli::DtbArgs;
use crate::machine;
use crate::process;
use crate::run;
use crate::setup::{Consent, Need};
use crate::ui::Ui;
use crate::workspace::Workspace;

/// The section in which the image lists the bindings of its drivers.
const BINDINGS: &str = ".bindings";

/// What a tree has, line by line: what it is about, and what is taken.
type Lines = Vec<(&'static str, String)>;

/// Prints the plan. The exit code is 1 if there is none.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &DtbArgs,
) -> Result<ExitCode> {
    let needs: &[Need] = if args.file.is_some() {
        &[]
    } else {
        &[Need::Qemu]
    };
    let products = build::build(workspace, ui, consent, &args.build, needs)?;
    let bytes = match &args.file {
        Some(file) => fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => {
            let board = run::qemu_board(workspace, &args.build.board)?;
            let file = workspace
                .products(&args.build.board)?
                .join("handed-over.dtb");
            hand_over(workspace, ui, consent, board, &products, &file)?;
            fs::read(&file).with_context(|| format!("QEMU left no {}", file.display()))?
        }
    };
    let bindings = bindings(&products.elf)?;
    let bindings: Vec<&str> = bindings.iter().map(String::as_str).collect();
    let tree = match Tree::new(&bytes) {
        Ok(tree) => tree,
        Err(error) => bail!("the kernel cannot boot with this device tree: it {error}"),
    };
    let mut last = "";
    for (about, text) in describe(&tree, &bindings) {
        println!("{:14}{text}", if about == last { "" } else { about });
        last = about;
    }
    Ok(ExitCode::SUCCESS)
}

/// Has QEMU write the tree that its machine would hand over.
fn hand_over(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    board: &QemuBoard,
    products: &Products,
    file: &Path,
) -> Result<()> {
    // What a boot before this one left is no answer.
    let _ = fs::remove_file(file);
    let options = machine::options(workspace, ui, consent, board)?;
    let boot = run::boot(products, board, &[], &[]);
    let command = dump(board, file, |board| qemu::command(board, &boot, &options));
    let step = ui.step("asking QEMU for the device tree");
    process::run(ui, &step, command).context("QEMU makes no device tree")?;
    step.done();
    Ok(())
}

/// The command, with the tree written to a file instead of anything being started.
pub(crate) fn dump(
    board: &QemuBoard,
    file: &Path,
    command: impl FnOnce(&QemuBoard) -> Command,
) -> Command {
    command(&QemuBoard {
        machine: format!("{},dumpdtb={}", board.machine, file.display()),
        ..board.clone()
    })
}

/// The bindings that the drivers of a kernel follow, as its ELF file lists them.
fn bindings(elf: &Path) -> Result<Vec<String>> {
    let file = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let parsed = object::File::parse(&*file).context("the kernel's file is broken")?;
    let section = parsed.section_by_name(BINDINGS);
    let section = section.context("the kernel does not list the bindings of its drivers")?;
    let texts = section
        .data()?
        .split(|&byte| byte == 0)
        .filter(|text| !text.is_empty());
    Ok(texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect())
}

/// What a kernel whose drivers follow `bindings` takes from the tree.
fn describe(tree: &Tree<'_>, bindings: &[&str]) -> Lines {
    let plan = Plan::of(tree);
    let mut lines = Lines::new();
    let size = format!(
        "{} bytes, of which {} mean something",
        tree.size(),
        tree.used()
    );
    lines.push(("tree", size));
    lines.push(("model", tree.model().unwrap_or("unknown").into()));
    lines.push(("command line", plan.command_line.into()));
    lines.push(("console", console(&plan)));
    lines.push(("firmware", firmware(plan.psci)));
    memory_lines(tree, &mut lines);
    lines.extend(tree.cpus().map(|cpu| ("CPU", told(cpu.map(how_started)))));
    lines.push(("timer", told(plan.timer.map(|timer| line(timer.wire)))));
    lines.push(("interrupts", told(plan.controller.map(controller))));
    for (node, region) in plan::devices(tree, bindings) {
        lines.push(("driver", device(&node, region)));
    }
    let left = tree.nodes().filter(|node| is_left(node, &plan, bindings));
    lines.extend(left.map(|node| ("no driver", named(&node))));
    lines
}

/// The part, or why there is none.
fn told<E: Display>(part: Result<String, E>) -> String {
    part.unwrap_or_else(|error| format!("none: {error}"))
}

/// The node, and the bindings that it follows.
fn named(node: &Node<'_>) -> String {
    let bindings: Vec<&str> = node.strings("compatible").collect();
    format!("{node} ({})", bindings.join(", "))
}

fn place(region: Region) -> String {
    format!("{:#x}..{:#x}", region.address, region.end())
}

fn device(node: &Node<'_>, region: Result<Region, Error>) -> String {
    match region {
        Ok(region) => format!("{} at {}", named(node), place(region)),
        Err(error) => format!("{}: left out: {error}", named(node)),
    }
}

fn line((Line(line), trigger): Wire) -> String {
    let trigger = match trigger {
        Some(Trigger::Edge) => ", by edge",
        Some(Trigger::Level) => ", by level",
        None => "",
    };
    format!("line {line}{trigger}")
}

fn console(plan: &Plan<'_>) -> String {
    let Some((node, console)) = &plan.console else {
        return "none: the early one stays, without input".into();
    };
    match console {
        Ok(console) => {
            let input = console
                .wire
                .map_or_else(|why| format!("no input: {why}"), line);
            format!("{} at {}, {input}", named(node), place(console.registers))
        }
        Err(error) => format!("none: {node}: {error}"),
    }
}

fn firmware(psci: Result<Option<Psci>, Error>) -> String {
    match psci {
        Ok(None) => "none that is called".into(),
        Ok(Some(psci)) => {
            let by = match psci.conduit {
                Conduit::Hvc => "hvc",
                Conduit::Smc => "smc",
            };
            let less = if psci.has_system_calls {
                ""
            } else {
                ", without reset and power-off"
            };
            format!("PSCI by {by}{less}")
        }
        Err(error) => format!("none: PSCI: {error}"),
    }
}

fn how_started(cpu: halyard_drivers::dt::Cpu<'_>) -> String {
    let how = match cpu.enable_method {
        EnableMethod::None => "started by nothing".into(),
        EnableMethod::Psci => "started by PSCI".into(),
        EnableMethod::SpinTable { release } => format!("started by the word at {release:#x}"),
        EnableMethod::Other(other) => format!("started by {other}, which is not known"),
    };
    format!("{:#x} {how}", cpu.mpidr)
}

fn controller(controller: Controller<'_>) -> String {
    match controller {
        Controller::GicV2 {
            node,
            distributor,
            interface,
        } => format!(
            "GICv2 {}: distributor at {}, CPU interface at {}",
            named(&node),
            place(distributor),
            place(interface)
        ),
        Controller::GicV3 {
            node,
            distributor,
            redistributors,
        } => format!(
            "GICv3 {}: distributor at {}, redistributors at {}",
            named(&node),
            place(distributor),
            place(redistributors)
        ),
        Controller::Bcm2836 {
            node,
            local,
            devices,
        } => format!(
            "BCM2836 {}: the cores' at {}, the devices' at {}",
            named(&node),
            place(local),
            place(devices)
        ),
    }
}

/// Memory as the kernel shares it out; where it will lie itself, and the tree, is not known here.
fn memory_lines(tree: &Tree<'_>, lines: &mut Lines) {
    for bank in tree.memory() {
        lines.push(("memory", told(bank.map(place))));
    }
    for reserved in tree.reserved() {
        let text = reserved.map(|it| {
            let unmapped = if it.no_map { ", not to be mapped" } else { "" };
            format!("{}{unmapped}", place(it.region))
        });
        lines.push(("reserved", told(text)));
    }
    let loaded = Loaded {
        image: 0..0,
        tree: 0..0,
        tree_end: 0,
    };
    let shares =
        memory::banks(tree).and_then(|banks| memory::share_out(tree, &banks.ranges, &loaded));
    match shares {
        Ok(shares) => {
            let initrd = shares.initrd.map(|it| match it {
                Some(range) => format!(
                    "{:#x}..{:#x}, {} bytes",
                    range.start,
                    range.end,
                    range.len()
                ),
                None => "none".into(),
            });
            lines.push(("initrd", told(initrd)));
            let free = shares.free.bytes() >> 10;
            lines.push(("free", format!("{free} KiB, less the kernel and the tree")));
        }
        Err(error) => lines.push(("free", format!("none: {error}"))),
    }
}

/// Whether the node is a device that is switched on and that the kernel takes nothing from.
fn is_left(node: &Node<'_>, plan: &Plan<'_>, bindings: &[&str]) -> bool {
    let follows = |known: &[&str]| node.strings("compatible").any(|it| known.contains(&it));
    let is_console = plan
        .console
        .as_ref()
        .is_some_and(|(console, _)| console == node);
    let is_taken = is_console
        || follows(bindings)
        || follows(plan::TIMER_COMPATIBLE)
        || plan::CONTROLLERS.iter().any(|known| follows(known))
        || follows(Psci::COMPATIBLE)
        || node.string("device_type").is_some();
    let is_device = node.parent().is_some() && node.strings("compatible").next().is_some();
    let is_bus = follows(&["simple-bus", "simple-mfd"]) && !serial::is_driven(node);
    is_device && node.is_okay() && !is_taken && !is_bus
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a real tree in the cache; None, and a word about it, if it is not there.
    fn described(name: &str, bindings: &[&str]) -> Option<Lines> {
        let workspace = Workspace::find().expect("workspace");
        let file = workspace.root.join(".cache/dtb").join(name);
        let Ok(bytes) = fs::read(file) else {
            println!("skipped: no {name} in the cache");
            return None;
        };
        let tree = Tree::new(&bytes).expect("a tree");
        Some(describe(&tree, bindings))
    }

    fn all(lines: &Lines, about: &str) -> Vec<String> {
        let lines = lines.iter().filter(|(it, _)| *it == about);
        lines.map(|(_, text)| text.clone()).collect()
    }

    #[test]
    fn pi3s_tree_gives_what_the_board_boots_by() {
        let Some(lines) = described("bcm2837-rpi-3-b.dtb", &["brcm,bcm2835-pm"]) else {
            return;
        };
        assert_eq!(all(&lines, "CPU").len(), 4);
        assert_eq!(all(&lines, "CPU")[1], "0x1 started by the word at 0xe0");
        assert!(all(&lines, "console")[0].contains("brcm,bcm2835-aux-uart) at 0x3f215040"));
        assert!(all(&lines, "interrupts")[0].starts_with("BCM2836 "));
        assert_eq!(all(&lines, "firmware"), ["none that is called"]);
        assert!(all(&lines, "driver")[0].contains("watchdog@7e100000"));
        let left = all(&lines, "no driver");
        assert!(left.iter().any(|line| line.contains("brcm,bcm2835-i2c")));
        assert!(!left.iter().any(|line| line.contains("bcm2835-pm")));
    }

    #[test]
    fn pi4s_tree_gives_what_the_board_boots_by() {
        let Some(lines) = described("bcm2711-rpi-4-b.dtb", &["brcm,bcm2711-rng200"]) else {
            return;
        };
        assert!(all(&lines, "interrupts")[0].contains("distributor at 0xff841000"));
        assert!(all(&lines, "driver")[0].contains("0xfe104000"));
        assert_eq!(all(&lines, "timer"), ["line 27, by level"]);
        // The firmware fills the memory in.
        assert_eq!(
            all(&lines, "free"),
            ["none: 0 KiB of memory are free, too little"]
        );
    }

    #[test]
    fn pine64s_tree_gives_what_the_board_boots_by() {
        let name = "sun50i-a64-pine64-plus.dtb";
        let Some(lines) = described(name, &["allwinner,sun6i-a31-wdt"]) else {
            return;
        };
        assert_eq!(all(&lines, "firmware"), ["PSCI by smc"]);
        assert_eq!(all(&lines, "CPU")[3], "0x3 started by PSCI");
        assert!(all(&lines, "console")[0].contains("at 0x1c28000..0x1c28400, line 32, by level"));
        assert!(all(&lines, "driver")[0].contains("watchdog@1c20ca0"));
    }
}
