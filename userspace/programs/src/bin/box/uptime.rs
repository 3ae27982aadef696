//! Says for how long the machine has been up.

use crate::command::Outcome;
use halyard_rt::{prelude::*, system};

/// `uptime`
pub(crate) fn run(_: &[&'static str]) -> Outcome {
    let up = time::uptime();
    let seconds = up.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let threads = system::info()?.processes;
    println!(
        "up {hours}:{minutes:02}:{:02}.{:03}, {threads} processes",
        seconds % 60,
        up.subsec_millis()
    );
    Ok(0)
}
