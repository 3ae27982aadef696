//! The flattened device tree, checked before it is trusted (Devicetree Specification 0.4).
//!
//! [`Tree::new`] walks the whole blob once and says what is wrong with it, if anything is. After that a walk cannot
//! leave the blob; what a property *means* is checked where it is read, and a property that makes no sense is an
//! [`Error`] with its name. Nothing here allocates, blocks or panics. Crate `fdt` reads the header and the memory
//! reservation block; the structure block has a token walker of its own, because `fdt` 0.1.5 panics on trees with NOP
//! tokens, and QEMU's raspi4b makes such trees (docs/dependencies.md).

mod address;
mod cells;
mod chosen;
mod cpu;
mod error;
mod header;
mod interrupt;
mod memory;
mod node;
mod tell;
mod token;
mod tree;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod read_everything;
#[cfg(test)]
mod real_tree_tests;
#[cfg(test)]
pub(crate) mod test_trees;

pub use address::{Region, Regions};
pub use chosen::{Chosen, Stdout};
pub use cpu::{Cpu, EnableMethod};
pub use error::{Block, Error};
pub use header::{MAX_SIZE, total_size};
pub use interrupt::{Interrupt, Interrupts, MAX_INTERRUPT_CELLS};
pub use memory::Reserved;
pub use node::{MAX_DEPTH, Node, Property, Strings};
pub use tell::Told;
pub use tree::{Nodes, Tree};
