//! Trees for tests: made here, dumped by QEMU, or found in the cache of real ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;
use std::{format, fs, println, vec};

use vm_fdt::{FdtReserveEntry, FdtWriter};

/// A tree with all that the reader reads, in the shape of a Raspberry Pi's: a bus whose addresses are not the CPU's,
/// inherited interrupt parents, aliases, options after the console's path, spin tables, memory reservations of both
/// kinds.
pub(super) fn board() -> Vec<u8> {
    build(|tree| {
        let root = tree.begin_node("")?;
        tree.property_u32("#address-cells", 2)?;
        tree.property_u32("#size-cells", 1)?;
        tree.property_u32("interrupt-parent", 1)?;
        tree.property_string("model", "Test board")?;
        tree.property_string_list("compatible", strings(&["test,board", "test,family"]))?;
        small_nodes(tree)?;
        cpus(tree)?;
        soc(tree)?;
        tree.end_node(root)
    })
}

pub(crate) type Written = vm_fdt::FdtWriterResult<()>;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.into()).collect()
}

/// Finishes what `write` has begun, with one entry in the reservation block.
pub(crate) fn build(write: impl FnOnce(&mut FdtWriter) -> Written) -> Vec<u8> {
    let spin_table = FdtReserveEntry::new(0, 0x1000).expect("an entry");
    let mut tree = FdtWriter::new_with_mem_reserv(&[spin_table]).expect("a writer");
    write(&mut tree).expect("a tree");
    tree.finish().expect("a tree")
}

fn small_nodes(tree: &mut FdtWriter) -> Written {
    let aliases = tree.begin_node("aliases")?;
    tree.property_string("serial0", "/soc/serial@7e201000")?;
    tree.property_string("bus", "/soc")?;
    tree.end_node(aliases)?;
    let chosen = tree.begin_node("chosen")?;
    tree.property_string("stdout-path", "serial0:115200n8")?;
    tree.property_string("bootargs", "console=ttyAMA0 quiet")?;
    tree.property_u32("linux,initrd-start", 0x0800_0000)?;
    tree.property_u64("linux,initrd-end", 0x0800_4321)?;
    tree.property_u64("kaslr-seed", 0x1234_5678_9abc_def0)?;
    tree.property("rng-seed", &[7; 32])?;
    tree.end_node(chosen)?;
    let memory = tree.begin_node("memory@0")?;
    tree.property_string("device_type", "memory")?;
    tree.property_array_u32(
        "reg",
        &[0, 0, 0x3c00_0000, 0, 0x4000_0000, 0, 1, 0, 0x8000_0000],
    )?;
    tree.end_node(memory)?;
    let reserved = tree.begin_node("reserved-memory")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 1)?;
    tree.property_null("ranges")?;
    let firmware = tree.begin_node("firmware@3b000000")?;
    tree.property_array_u32("reg", &[0, 0x3b00_0000, 0x10_0000])?;
    tree.property_null("no-map")?;
    tree.end_node(firmware)?;
    let anywhere = tree.begin_node("linux,cma")?;
    tree.property_u32("size", 0x40_0000)?;
    tree.end_node(anywhere)?;
    tree.end_node(reserved)
}

fn cpus(tree: &mut FdtWriter) -> Written {
    let cpus = tree.begin_node("cpus")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 0)?;
    for number in 0..3 {
        let cpu = tree.begin_node(&format!("cpu@{number}"))?;
        tree.property_string("device_type", "cpu")?;
        tree.property_u32("reg", number)?;
        match number {
            0 => {
                tree.property_string("enable-method", "spin-table")?;
                tree.property_u64("cpu-release-addr", 0xd8)?;
            }
            1 => tree.property_string("enable-method", "psci")?,
            _ => tree.property_string("status", "fail-dead")?,
        }
        tree.end_node(cpu)?;
    }
    tree.end_node(cpus)
}

fn soc(tree: &mut FdtWriter) -> Written {
    let soc = tree.begin_node("soc")?;
    tree.property_string("compatible", "simple-bus")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 1)?;
    tree.property_array_u32(
        "ranges",
        &[
            0x7e00_0000,
            0,
            0xfe00_0000,
            0x0180_0000, //
            0x4000_0000,
            0,
            0xff80_0000,
            0x0080_0000,
        ],
    )?;
    interrupt_controllers(tree)?;
    let uart = tree.begin_node("serial@7e201000")?;
    tree.property_string_list("compatible", strings(&["arm,pl011", "arm,primecell"]))?;
    tree.property_array_u32("reg", &[0x7e20_1000, 0x200])?;
    tree.property_array_u32("interrupts", &[0, 121, 4])?;
    tree.end_node(uart)?;
    let off = tree.begin_node("serial@7e201400")?;
    tree.property_string("compatible", "arm,pl011")?;
    tree.property_string("status", "disabled")?;
    tree.end_node(off)?;
    inner_bus(tree)?;
    tree.end_node(soc)
}

fn interrupt_controllers(tree: &mut FdtWriter) -> Written {
    let gic = tree.begin_node("interrupt-controller@40041000")?;
    tree.property_string("compatible", "arm,gic-400")?;
    tree.property_null("interrupt-controller")?;
    tree.property_u32("#interrupt-cells", 3)?;
    tree.property_array_u32("reg", &[0x4004_1000, 0x1000, 0x4004_2000, 0x2000])?;
    tree.property_phandle(1)?;
    tree.end_node(gic)?;
    let local = tree.begin_node("local@40000000")?;
    tree.property_null("interrupt-controller")?;
    tree.property_u32("#interrupt-cells", 2)?;
    tree.property_phandle(2)?;
    tree.end_node(local)
}

/// Two levels below the root, with an interrupt at each of two controllers.
fn inner_bus(tree: &mut FdtWriter) -> Written {
    let bus = tree.begin_node("bus@7e100000")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 1)?;
    tree.property_array_u32("ranges", &[0, 0x7e10_0000, 0x1_0000])?;
    let device = tree.begin_node("device@40")?;
    tree.property_string("compatible", "test,device")?;
    tree.property_array_u32("reg", &[0x40, 0x10])?;
    tree.property_array_u32("interrupts-extended", &[2, 8, 1, 1, 1, 9, 4])?;
    tree.property_string_list("interrupt-names", strings(&["local", "far"]))?;
    tree.end_node(device)?;
    let beyond = tree.begin_node("device@10000")?;
    tree.property_array_u32("reg", &[0x1_0000, 4])?;
    tree.end_node(beyond)?;
    tree.end_node(bus)
}

/// The tree that QEMU's virt machine hands over; None without QEMU.
pub(super) fn qemu_virt(machine: &str, cpus: u32) -> Option<Vec<u8>> {
    let cpus = format!("{cpus}");
    dump(
        machine,
        &[
            "-cpu",
            "cortex-a53",
            "-m",
            "512",
            "-smp",
            &cpus,
            "-nic",
            "none",
        ],
    )
}

/// A board's tree as QEMU's model of the board edits it before it hands it over; None without QEMU or without the tree.
pub(crate) fn qemu_board(machine: &str, tree: &str) -> Option<Vec<u8>> {
    let given = temporary(tree);
    fs::write(&given, real(tree)?).ok()?;
    let bytes = qemu_boot(machine, &["-dtb", given.to_str()?]);
    fs::remove_file(&given).ok()?;
    bytes
}

/// The tree of a machine that boots: with command line and initial RAM disk. None without QEMU.
pub(crate) fn qemu_boot(machine: &str, more: &[&str]) -> Option<Vec<u8>> {
    // A kernel that does nothing, for QEMU reads the tree only with one: no more than the header of an arm64 Image
    // (Documentation/arch/arm64/booting.rst).
    let image = temporary("Image");
    let mut header = [0; 4096];
    header[8..10].copy_from_slice(&[0, 8]);
    header[17] = 16;
    header[56..60].copy_from_slice(b"ARM\x64");
    fs::write(&image, header).ok()?;
    let initrd = temporary("initrd");
    fs::write(&initrd, [0; 0x1_2345]).ok()?;
    let mut arguments = vec!["-display", "none", "-serial", "none"];
    arguments.extend(["-append", "console=serial0 quiet -- -c true"]);
    arguments.extend(["-kernel", image.to_str()?, "-initrd", initrd.to_str()?]);
    arguments.extend(more);
    let bytes = dump(machine, &arguments);
    fs::remove_file(&image).ok()?;
    fs::remove_file(&initrd).ok()?;
    bytes
}

/// Has QEMU write its tree to a file, and reads that.
fn dump(machine: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let file = temporary("dumped.dtb");
    let own =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/qemu-pine64/qemu-system-aarch64");
    let program = match machine {
        "pine64" => own.as_path(),
        _ => Path::new("qemu-system-aarch64"),
    };
    let status = Command::new(program)
        .args(arguments)
        .arg("-M")
        .arg(format!("{machine},dumpdtb={}", file.display()))
        .stderr(std::process::Stdio::null())
        .status()
        .ok()?;
    let bytes = fs::read(&file).ok()?;
    fs::remove_file(&file).ok()?;
    status.success().then_some(bytes)
}

/// A path that no other test uses.
fn temporary(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    std::env::temp_dir().join(format!("halyard-{process}-{count}-{name}"))
}

/// A board's tree out of Debian's kernel package, from `.cache/dtb` of the workspace or from HALYARD_DTB_DIR; None, and
/// a word about it, if it is not there.
pub(crate) fn real(name: &str) -> Option<Vec<u8>> {
    let directory = std::env::var_os("HALYARD_DTB_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/dtb"),
        PathBuf::from,
    );
    let bytes = fs::read(directory.join(name)).ok();
    if bytes.is_none() {
        println!("skipped: no {name} in {}", directory.display());
    }
    bytes
}

/// Numbers for random tests: xorshift64* (Vigna 2016), so that a seed says it all.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
