//! Waits.

use core::time::Duration;

use crate::command::{Outcome, number, usage};
use halyard_rt::prelude::*;

/// `sleep SECONDS`: with a fraction if need be.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let &[text] = args else {
        return usage("one number is needed");
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = if whole.is_empty() { 0 } else { number(whole)? };
    // Nine digits, whatever was given.
    let digits: String = fraction
        .chars()
        .chain(core::iter::repeat('0'))
        .take(9)
        .collect();
    time::sleep(Duration::new(seconds, number(&digits)?));
    Ok(0)
}
