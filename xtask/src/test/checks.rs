//! What the kernel must show besides its suites: that it boots to a prompt, and that it keeps its budgets.

use std::time::Instant;

use halyard_hil::qemu::Options;
use halyard_hil::rig::Boot;
use halyard_hil::verdict::{Case, Verdict};

use super::boards;
use super::chainloader;
use super::commands;
use super::devices;
use super::log;
use super::readme;
use super::report::Report;
use super::session::{Failure, Session};
use super::target::Bench;
use super::trees;
use crate::ui::Ui;

/// The flat image, in bytes.
const IMAGE_BUDGET: u64 = 1 << 20;

/// From reset to the first instruction of init, with one CPU.
const BOOT_BUDGET: u64 = 10_000_000;

/// Memory in use when init begins, in KiB, on a small machine and on a large one.
const MEMORY_BUDGET: u64 = 4096;

/// What the shell shows when it waits for a line.
pub(crate) const PROMPT: &str = "halyard:/$ ";

/// A check: its name and what it does. It gives the figure it found, or fails.
type Check = (&'static str, fn(&Bench<'_>) -> Result<String, Failure>);

/// Every check, in the order they are run.
const CHECKS: [Check; 12] = [
    ("image_size_under_1_mib", image_size),
    ("boot_reaches_prompt_and_exit_ends_it", prompt),
    ("readme_session_is_what_the_board_answers", readme::check),
    ("boot_brings_up_all_cpus", boards::all_cpus),
    ("boot_command_exit_code_is_the_machines", exit_code),
    ("reboot_starts_anew_and_poweroff_ends_it", boards::reboot),
    ("boot_to_init_keeps_its_budgets", budgets),
    ("log_has_its_levels_and_leaves_the_text_whole", log::check),
    (
        "hostile_trees_boot_without_the_device_or_are_refused_in_words",
        trees::named,
    ),
    (
        "trees_with_flipped_bits_never_leave_the_console_silent",
        trees::flipped,
    ),
    (
        "chainloader_takes_a_kernel_over_a_bad_line",
        chainloader::board_first,
    ),
    (
        "chainloader_called_before_it_is_there_takes_a_kernel",
        chainloader::desk_first,
    ),
];

/// Checks of devices, on the boards that have them.
const DEVICES: [Check; 3] = [
    (
        "line_that_a_program_blinks_is_seen_from_outside",
        devices::blink,
    ),
    (
        "watchdog_file_resets_the_board_when_nobody_writes",
        devices::watchdog,
    ),
    ("sensor_is_read_by_a_driver_from_elsewhere", devices::sensor),
];

/// Runs the checks whose names have `filter` in them, then the commands.
pub(crate) fn run(ui: &Ui, bench: &Bench<'_>, report: &mut Report, filter: Option<&str>) {
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    let checks = CHECKS.into_iter().chain(DEVICES);
    for (name, check) in checks.filter(|(name, _)| wanted(name)) {
        tell(ui, report, name, || check(bench));
    }
    for command in commands::ALL.iter().filter(|command| wanted(command.name)) {
        tell(ui, report, command.name, || command.check(bench));
    }
}

/// Runs what any board must show: it boots to the prompt, all its CPUs run, a program's exit code leaves it, it resets itself and
/// goes off, its chainloader starts a kernel, and the exercise runs.
pub(crate) fn smoke(ui: &Ui, bench: &Bench<'_>, report: &mut Report) {
    let checks: [Check; 7] = [
        ("boot_reaches_prompt_and_exit_ends_it", prompt),
        ("boot_brings_up_all_cpus", boards::all_cpus),
        ("boot_command_exit_code_is_the_machines", exit_code),
        ("reboot_starts_anew_and_poweroff_ends_it", boards::reboot),
        ("log_has_its_levels_and_leaves_the_text_whole", log::check),
        ("watchdog_resets_where_psci_is_missing", trees::watchdog),
        (
            "chainloader_called_before_it_is_there_takes_a_kernel",
            chainloader::desk_first,
        ),
    ];
    for (name, check) in checks.into_iter().chain(DEVICES) {
        tell(ui, report, name, || check(bench));
    }
    let exercise = commands::ALL
        .iter()
        .filter(|command| command.name.starts_with("handbook_"));
    for command in exercise {
        tell(ui, report, command.name, || command.check(bench));
    }
}

/// Makes a check and says how it went.
fn tell(ui: &Ui, report: &mut Report, name: &str, check: impl FnOnce() -> Result<String, Failure>) {
    let step = ui.step(name);
    let result = check();
    step.done();
    match result {
        Ok(figure) => report.figure(name, &figure),
        Err(failure) => {
            let (verdict, notes) = (failure.verdict, failure.console);
            report.case(&Case {
                name: name.into(),
                verdict,
                notes,
            });
        }
    }
}

/// The image is small.
fn image_size(bench: &Bench<'_>) -> Result<String, Failure> {
    let data = std::fs::metadata(&bench.products.image).map_err(|error| error.to_string())?;
    let size = data.len();
    if size < IMAGE_BUDGET {
        Ok(format!("{size} bytes"))
    } else {
        Err(format!("{size} bytes").into())
    }
}

/// An interactive boot reaches the prompt, runs a pipeline, and ends with the shell's exit code.
fn prompt(bench: &Bench<'_>) -> Result<String, Failure> {
    let started = Instant::now();
    let mut session = Session::start(bench, bench.options.clone(), &bench.ordinary_boot(&[], &[]))?;
    session.expect(PROMPT)?;
    let taken = started.elapsed();
    session.send("echo pipe works | cat\n")?;
    session.expect("\npipe works")?;
    session.expect(PROMPT)?;
    session.send("exit\n")?;
    session.leave(0)?;
    Ok(format!("prompt after {:.2} s", taken.as_secs_f32()))
}

/// A command's exit code is QEMU's.
fn exit_code(bench: &Bench<'_>) -> Result<String, Failure> {
    let boot = bench.boot(&["quiet"], &["-c", r#"echo "a  b" 'c"d'; exit 7"#]);
    let mut session = Session::start(bench, bench.options.clone(), &boot)?;
    let line = session.line()?;
    if line != r#"a  b c"d"# {
        return Err(session.fail(&format!("the first line is '{line}'")));
    }
    session.leave(7)?;
    Ok("exit code 7, quotes intact, nothing else printed".into())
}

/// Instructions and memory up to init, as the kernel says on request: with one CPU, and with four and much memory to
/// keep account of.
fn budgets(bench: &Bench<'_>) -> Result<String, Failure> {
    if bench.board.dtb.is_some() {
        let why = "the machine's CPUs and memory are what they are".into();
        return Err(Failure {
            verdict: Verdict::Skip(why),
            console: Vec::new(),
        });
    }
    let ordinary = bench.ordinary_boot(&["boot-report"], &["-c", "true"]);
    let testing = bench.boot(&["boot-report"], &["-c", "true"]);
    let one = boot_report(bench, &ordinary, 1, "512M")?;
    let four = boot_report(bench, &ordinary, 4, "1G")?;
    let tests = boot_report(bench, &testing, 4, "1G")?;
    let figure = format!(
        "{} instructions, {} KiB; with 4 CPUs and 1 GiB {} KiB, and with the tests' initramfs {} KiB",
        one.instructions, one.memory_kib, four.memory_kib, tests.memory_kib
    );
    let memory = one.memory_kib.max(four.memory_kib);
    if one.instructions < BOOT_BUDGET && memory < MEMORY_BUDGET {
        return Ok(figure);
    }
    Err(format!("{figure}; the budget is {BOOT_BUDGET} and {MEMORY_BUDGET} KiB").into())
}

/// What the kernel says of a boot on such a machine.
fn boot_report(
    bench: &Bench<'_>,
    boot: &Boot,
    cpus: u32,
    memory: &str,
) -> Result<BootReport, Failure> {
    let options = Options {
        cpus: Some(cpus),
        memory: Some(memory.into()),
        icount: true,
        ..bench.options.clone()
    };
    let mut session = Session::start(bench, options, boot)?;
    loop {
        let line = session.line()?;
        if let Some(report) = BootReport::parse(&line) {
            return Ok(report);
        }
    }
}

/// What the kernel says with the word `boot-report`: `boot: init starts after NS ns, KIB KiB in use`.
#[derive(Debug, PartialEq, Eq)]
struct BootReport {
    /// Nanoseconds since reset, which are instructions where one takes one.
    instructions: u64,
    memory_kib: u64,
}

impl BootReport {
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("boot: init starts after ")?;
        let (time, rest) = rest.split_once(" ns, ")?;
        let memory = rest.split_once(" KiB")?.0;
        Some(Self {
            instructions: time.parse().ok()?,
            memory_kib: memory.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_report_is_read_behind_a_time_stamp() {
        let line = "[    0.004] boot: init starts after 4123456 ns, 1812 KiB in use";
        assert_eq!(
            BootReport::parse(line),
            Some(BootReport {
                instructions: 4_123_456,
                memory_kib: 1812
            })
        );
        assert_eq!(
            BootReport::parse("boot: init starts after x ns, 1 KiB"),
            None
        );
    }
}
