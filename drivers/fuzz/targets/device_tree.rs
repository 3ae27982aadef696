//! Any bytes as a device tree: they are refused, or all that can be asked of the tree has an answer.
#![no_main]

#[path = "../../src/dt/read_everything.rs"]
mod read_everything;

use halyard_drivers::dt::Tree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tree) = Tree::new(bytes) {
        read_everything::read_everything(&tree);
    }
});
