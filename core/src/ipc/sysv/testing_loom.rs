//! What the models of System V objects have in common.

use super::Stamp;
use super::table::Header;
use crate::process::credentials::Credentials;

/// The header of an object of root's, without a key.
pub(crate) fn header() -> Header {
    Header::new(0, 0o600, &Credentials::root())
}

/// Process `pid` at time `pid`.
pub(crate) fn by(pid: u32) -> Stamp {
    Stamp {
        pid,
        time: u64::from(pid),
    }
}

/// Checks `body` under every interleaving with up to so many preemptions.
pub(crate) fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}
