//! How the firmware is called to start CPUs and to power off (Arm DEN 0022; binding arm/psci.yaml).
//!
//! Reads the tree; the call itself is an instruction, and arch's.

use crate::dt::{Error, Tree};

/// The instruction that reaches the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc`: the firmware is at EL2.
    Hvc,
    /// `smc`: the firmware is at EL3.
    Smc,
}

/// The firmware's PSCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Psci {
    /// How to call it.
    pub conduit: Conduit,
    /// CPU_ON's function number.
    pub cpu_on: u32,
    /// Whether SYSTEM_OFF and SYSTEM_RESET are there: from version 0.2 on.
    pub has_system_calls: bool,
}

/// CPU_ON with 64-bit arguments, from version 0.2 on (DEN 0022 5.1).
const CPU_ON_64: u32 = 0xc400_0003;

impl Psci {
    /// Its bindings.
    pub const COMPATIBLE: &[&str] = &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"];

    /// The PSCI that the tree tells of; None if it tells of none.
    pub fn find(tree: &Tree<'_>) -> Result<Option<Self>, Error> {
        let standard = &["arm,psci-1.0", "arm,psci-0.2"];
        let first = &["arm,psci"];
        let (node, has_system_calls) = match tree.compatible(standard).next() {
            Some(node) => (node, true),
            None => match tree.compatible(first).next() {
                Some(node) => (node, false),
                None => return Ok(None),
            },
        };
        let conduit = match node.string("method") {
            Some("hvc") => Conduit::Hvc,
            Some("smc") => Conduit::Smc,
            Some(_) => return Err(Error::BadProperty("method")),
            None => return Err(Error::Missing("method")),
        };
        // Version 0.1 had no fixed numbers: the tree gives them.
        let cpu_on = if has_system_calls {
            CPU_ON_64
        } else {
            node.u32("cpu_on")?.ok_or(Error::Missing("cpu_on"))?
        };
        Ok(Some(Psci {
            conduit,
            cpu_on,
            has_system_calls,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dt::test_trees::build;

    fn find(
        compatible: &str,
        method: Option<&str>,
        cpu_on: Option<u32>,
    ) -> Result<Option<Psci>, Error> {
        let bytes = build(|tree| {
            let root = tree.begin_node("")?;
            let node = tree.begin_node("psci")?;
            tree.property_string("compatible", compatible)?;
            if let Some(method) = method {
                tree.property_string("method", method)?;
            }
            if let Some(cpu_on) = cpu_on {
                tree.property_u32("cpu_on", cpu_on)?;
            }
            tree.end_node(node)?;
            tree.end_node(root)
        });
        Psci::find(&Tree::new(&bytes)?)
    }

    #[test]
    fn find_of_a_standard_version_uses_the_standard_number() {
        let psci = find("arm,psci-1.0", Some("hvc"), Some(5)).unwrap().unwrap();
        assert_eq!((psci.conduit, psci.cpu_on), (Conduit::Hvc, 0xc400_0003));
        assert!(psci.has_system_calls);
        let psci = find("arm,psci-0.2", Some("smc"), None).unwrap().unwrap();
        assert_eq!(psci.conduit, Conduit::Smc);
    }

    #[test]
    fn find_of_the_first_version_uses_the_trees_number() {
        let psci = find("arm,psci", Some("smc"), Some(5)).unwrap().unwrap();
        assert_eq!((psci.cpu_on, psci.has_system_calls), (5, false));
        let none = find("arm,psci", Some("smc"), None);
        assert_eq!(none, Err(Error::Missing("cpu_on")));
    }

    #[test]
    fn find_without_a_method_that_it_knows_is_an_error() {
        let unknown = find("arm,psci-1.0", Some("call"), None);
        assert_eq!(unknown, Err(Error::BadProperty("method")));
        assert_eq!(
            find("arm,psci-1.0", None, None),
            Err(Error::Missing("method"))
        );
    }

    #[test]
    fn find_where_there_is_none_is_none() {
        assert_eq!(find("arm,other", None, None), Ok(None));
    }
}
