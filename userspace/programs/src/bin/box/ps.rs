//! Lists the processes, from `/proc`.

use crate::command::{On, Outcome};
use halyard_rt::{mm, prelude::*};

/// `ps`: number, parent, state, resident KiB, what it waits for, name.
pub(crate) fn run(_: &[&'static str]) -> Outcome {
    let mut numbers: Vec<u32> = fs::read_dir("/proc")
        .on("/proc")?
        .iter()
        .filter_map(|entry| core::str::from_utf8(&entry.name).ok()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    println!(
        "{:>5} {:>5} S {:>8} {:<16} COMMAND",
        "PID", "PPID", "RSS KiB", "WAITS FOR"
    );
    for number in numbers {
        // One that ended since the listing has no line.
        if let Some(line) = describe(number) {
            println!("{line}");
        }
    }
    Ok(0)
}

/// One line, from `/proc/N/stat` as proc_pid_stat(5) has it: number, (name), state, parent, ...
fn describe(number: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name may hold blanks and brackets itself: it ends at the last one.
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let (state, parent) = (fields.first()?, fields.get(1)?);
    let pages: usize = fields
        .get(21)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let resident = pages * mm::PAGE / 1024;
    let waits = fs::read_to_string(format!("/proc/{number}/wchan")).unwrap_or_default();
    let waits = match waits.trim() {
        "" | "0" => "-",
        reason => reason,
    };
    Some(format!(
        "{number:5} {parent:>5} {state} {resident:8} {waits:<16} {name}"
    ))
}
