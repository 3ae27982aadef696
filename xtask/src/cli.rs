//! What can be asked of xtask, as clap reads it.

use clap::{Args, Parser, Subcommand};

const AFTER: &str = "\
Examples:
  cargo xtask run                        boot QEMU's virt board to a prompt (^A x quits)
  cargo xtask run -- -c 'ls / | wc'      run one command; its exit code is xtask's
  cargo xtask test                       host tests, then the tests on the target
  cargo xtask test --target pipe         only tests on the target with 'pipe' in their name
  cargo xtask test --on linux pipe       the same tests, the same binaries, on Debian's Linux
  cargo xtask doctor                     what is here, what is missing, how it would be got

A verb that needs something this machine lacks asks before it installs it as root; --yes, or
CI=true in the environment, answers for you. Boards are described in boards.toml.";

/// Build, run, test and look after Halyard.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = AFTER, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) verb: Verb,

    /// Install what is missing without asking
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,

    /// Show every command that is run
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build a board's kernel image and its initramfs
    Build(BuildArgs),
    /// Boot a board in QEMU: to a prompt, or to run one command
    Run(RunArgs),
    /// Run the tests: on the host, model-checked, and on the target in QEMU
    Test(TestArgs),
    /// Play random IPC programs on this kernel and on Debian's Linux, and compare what they give
    Differ(DifferArgs),
    /// Boot a board in QEMU under gdb, stopped before its first instruction
    Debug(DebugArgs),
    /// Say how large the kernel is, by segment and by section
    Size(BuildArgs),
    /// Make the image of a memory card that a board starts from
    Image(crate::image::ImageVerbArgs),
    /// Put kernel and initramfs on a board's memory card, or write the card whole
    Flash(crate::flash::FlashArgs),
    /// Test on hardware: the suites on every board of a rig, or on QEMU machines in their stead
    Hil(crate::hil::HilArgs),
    /// Talk to a board over its serial line; backtraces get files and lines
    Monitor(crate::monitor::MonitorArgs),
    /// Say what the kernel would take from a device tree
    Dtb(DtbArgs),
    /// Check the rules of the house: who uses whom, where unsafe stands, rustfmt, clippy
    Tidy,
    /// Say what is present, what is missing and how it would be got; changes nothing
    Doctor,
    /// Install what building, running and testing need
    Setup,
    /// Build the QEMU that plays the Pine64; takes some minutes, once
    #[command(name = "qemu-pine64")]
    QemuPine64,
}

/// What to build.
#[derive(Debug, Clone, Args)]
pub(crate) struct BuildArgs {
    /// The board, by its name in boards.toml
    #[arg(long, short, default_value = "virt", value_name = "NAME")]
    pub(crate) board: String,

    /// Build without optimisation, for single-stepping
    #[arg(long)]
    pub(crate) debug: bool,
}

/// Which tree to read.
#[derive(Debug, Clone, Args)]
pub(crate) struct DtbArgs {
    /// Whose drivers count; and without FILE, whose tree: as QEMU's machine hands it over
    #[command(flatten)]
    pub(crate) build: BuildArgs,

    /// A device tree
    #[arg(value_name = "FILE.dtb")]
    pub(crate) file: Option<std::path::PathBuf>,
}

/// How to boot.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) build: BuildArgs,

    /// Number of CPUs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) smp: Option<u32>,

    /// Memory, as QEMU's -m takes it: 64M, 1G
    #[arg(long, value_name = "SIZE")]
    pub(crate) mem: Option<String>,

    /// Deterministic time: one instruction takes one nanosecond of the machine's time
    #[arg(long)]
    pub(crate) icount: bool,

    /// A further word for the kernel's command line; may be given more than once
    #[arg(long = "append", value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,

    /// Give up after so many seconds, with exit code 124
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,

    /// Arguments for init: `-c CMD` runs one command, prints its output only and ends with its exit code
    #[arg(last = true, value_name = "INIT ARGS")]
    pub(crate) init: Vec<String>,
}

/// What to test.
#[derive(Debug, Clone, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) build: BuildArgs,

    /// Only tests on the host
    #[arg(long, conflicts_with_all = ["target", "on"])]
    pub(crate) host: bool,

    /// Only tests on the target
    #[arg(long)]
    pub(crate) target: bool,

    /// Only tests on the target, under that kernel: the same binaries hold on both
    #[arg(long, value_name = "KERNEL", conflicts_with = "target")]
    pub(crate) on: Option<Kernel>,

    /// Only the boards besides the one of --board: that they boot, and every suite
    #[arg(long, conflicts_with_all = ["host", "target", "on", "filter"])]
    pub(crate) boards: bool,

    /// Number of CPUs of the target
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) smp: Option<u32>,

    /// Only tests with this in their names
    pub(crate) filter: Option<String>,
}

/// What to compare.
#[derive(Debug, Clone, Args)]
pub(crate) struct DifferArgs {
    #[command(flatten)]
    pub(crate) build: BuildArgs,

    /// How many programs [default: 300]
    #[arg(long, value_name = "N")]
    pub(crate) programs: Option<u64>,

    /// Many: 10,000 programs
    #[arg(long, conflicts_with = "programs")]
    pub(crate) long: bool,

    /// The seed that the programs are made from
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Number of CPUs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) smp: Option<u32>,

    /// Only programs over these mechanisms: pipe, fifo, signal, event...
    #[arg(value_name = "MECHANISM")]
    pub(crate) families: Vec<String>,
}

/// A kernel that the tests can be run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kernel {
    /// This one
    Halyard,
    /// Debian's Linux for arm64, which is fetched
    Linux,
}

/// How to debug.
#[derive(Debug, Clone, Args)]
pub(crate) struct DebugArgs {
    #[command(flatten)]
    pub(crate) build: BuildArgs,

    /// Number of CPUs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) smp: Option<u32>,

    /// Keep this terminal for the machine's console, and wait for a debugger from another one
    #[arg(long)]
    pub(crate) console: bool,

    /// A command for gdb to begin with, such as 'hbreak board_main'; may be given more than once
    #[arg(long = "ex", value_name = "COMMAND", conflicts_with = "console")]
    pub(crate) gdb: Vec<String>,

    /// Arguments for init
    #[arg(last = true, value_name = "INIT ARGS")]
    pub(crate) init: Vec<String>,
}
