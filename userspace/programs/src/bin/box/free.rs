//! Shows how much memory there is, is used and is free.

use crate::command::Outcome;
use halyard_rt::{prelude::*, system};

/// `free`
pub(crate) fn run(_: &[&'static str]) -> Outcome {
    let info = system::info()?;
    let unit = u64::from(info.unit.max(1));
    let kib = |units: u64| units.saturating_mul(unit) / 1024;
    println!("{:>14} {:>11} {:>11}", "total KiB", "used", "free");
    let used = info.total.saturating_sub(info.free);
    println!(
        "{:>14} {:>11} {:>11}",
        kib(info.total),
        kib(used),
        kib(info.free)
    );
    Ok(0)
}
