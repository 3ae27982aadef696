//! Ends the machine, or starts it anew: at once, without a word to the programs that run.

use crate::command::Outcome;
use halyard_rt::system;

/// `poweroff`
pub(crate) fn off(_: &[&'static str]) -> Outcome {
    system::sync();
    system::power_off()?;
    Ok(0)
}

/// `reboot`
pub(crate) fn reboot(_: &[&'static str]) -> Outcome {
    system::sync();
    system::reboot()?;
    Ok(0)
}
