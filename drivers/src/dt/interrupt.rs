//! Which interrupts a device raises, and at which controller (Devicetree Specification 2.4).

use super::cells::{Cells, one_cell};
use super::error::Error;
use super::node::Node;
use super::tree::find_phandle;

/// The most cells of an interrupt specifier that are read. A GIC's has three or four, a bcm2836's two, a plain one's
/// one.
pub const MAX_INTERRUPT_CELLS: usize = 4;

/// One interrupt of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt<'a> {
    /// Where it arrives. An `interrupt-controller`, or a nexus with an `interrupt-map`, which is left to the caller.
    pub controller: Node<'a>,
    cells: [u32; MAX_INTERRUPT_CELLS],
    count: usize,
}

impl Interrupt<'_> {
    /// The specifier: 1 to [`MAX_INTERRUPT_CELLS`] cells, whose meaning is the controller's binding.
    #[must_use]
    pub fn specifier(&self) -> &[u32] {
        self.cells.get(..self.count).unwrap_or_default()
    }

    fn read<'a>(controller: Node<'a>, cells: &mut Cells<'_>) -> Result<Interrupt<'a>, Error> {
        let count = interrupt_cells(&controller)?;
        let mut interrupt = Interrupt {
            controller,
            cells: [0; MAX_INTERRUPT_CELLS],
            count,
        };
        for cell in interrupt.cells.iter_mut().take(count) {
            *cell = cells.cell().ok_or(Error::BadProperty("interrupts"))?;
        }
        Ok(interrupt)
    }
}

fn interrupt_cells(controller: &Node<'_>) -> Result<usize, Error> {
    let name = "#interrupt-cells";
    let count = controller.u32(name)?.ok_or(Error::Missing(name))? as usize;
    if (1..=MAX_INTERRUPT_CELLS).contains(&count) {
        Ok(count)
    } else {
        Err(Error::BadProperty(name))
    }
}

/// A device's interrupts, in the tree's order. Ends after the first error.
#[derive(Clone)]
pub struct Interrupts<'a> {
    cells: Cells<'a>,
    source: Source<'a>,
}

#[derive(Clone)]
enum Source<'a> {
    /// `interrupts`: all at one controller.
    One(Node<'a>),
    /// `interrupts-extended`: each with its own; this is the root to find them from.
    Many(Node<'a>),
}

impl<'a> Iterator for Interrupts<'a> {
    type Item = Result<Interrupt<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cells.0.is_empty() {
            return None;
        }
        let interrupt = self.read();
        if interrupt.is_err() {
            self.cells.0 = &[];
        }
        Some(interrupt)
    }
}

impl<'a> Interrupts<'a> {
    fn read(&mut self) -> Result<Interrupt<'a>, Error> {
        let controller = match &self.source {
            Source::One(controller) => *controller,
            Source::Many(root) => {
                let phandle = self.cells.cell();
                let phandle = phandle.ok_or(Error::BadProperty("interrupts-extended"))?;
                find_phandle(*root, phandle).ok_or(Error::NoSuchPhandle(phandle))?
            }
        };
        Interrupt::read(controller, &mut self.cells)
    }
}

impl<'a> Node<'a> {
    /// The interrupts that the device raises; none if it has neither `interrupts-extended` (which counts first) nor
    /// `interrupts`. The controller of `interrupts` is found by [`Node::interrupt_parent`].
    pub fn interrupts(&self) -> Result<Interrupts<'a>, Error> {
        if let Some(value) = self.property("interrupts-extended") {
            return Ok(Interrupts {
                cells: Cells(value),
                source: Source::Many(self.root()),
            });
        }
        let value = self.property("interrupts").unwrap_or_default();
        let controller = if value.is_empty() {
            *self
        } else {
            self.interrupt_parent()?
        };
        Ok(Interrupts {
            cells: Cells(value),
            source: Source::One(controller),
        })
    }

    /// Interrupt `index` of the device.
    pub fn interrupt(&self, index: usize) -> Result<Interrupt<'a>, Error> {
        self.interrupts()?
            .nth(index)
            .ok_or(Error::Missing("interrupts"))
            .flatten()
    }

    /// The index of the name in `interrupt-names`, where a binding names its interrupts.
    #[must_use]
    pub fn interrupt_index(&self, name: &str) -> Option<usize> {
        self.strings("interrupt-names")
            .position(|text| text == name)
    }

    /// Where the node's `interrupts` arrive: at the node that the nearest `interrupt-parent` names, its own or one
    /// above it; else at the nearest node above that has `#interrupt-cells`.
    pub fn interrupt_parent(&self) -> Result<Node<'a>, Error> {
        let missing = Error::Missing("interrupt-parent");
        let mut node = *self;
        // Parents that name each other in a circle, or that are no controllers, do not keep us for ever.
        for _ in 0..super::MAX_DEPTH {
            node = match node.property("interrupt-parent") {
                Some(value) => {
                    let phandle = one_cell(value).ok_or(Error::BadProperty("interrupt-parent"))?;
                    find_phandle(self.root(), phandle).ok_or(Error::NoSuchPhandle(phandle))?
                }
                None => node.parent().ok_or(missing)?,
            };
            if node.property("#interrupt-cells").is_some() {
                return Ok(node);
            }
        }
        Err(missing)
    }

    /// The root of the node's tree.
    #[must_use]
    pub fn root(&self) -> Node<'a> {
        Node { depth: 1, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::test_trees::board;
    use super::super::{Error, Tree};

    #[test]
    fn interrupts_use_the_parent_that_the_root_names() {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        let interrupt = tree.find("serial0").unwrap().interrupt(0).unwrap();
        assert!(interrupt.controller.is_compatible("arm,gic-400"));
        assert_eq!(interrupt.specifier(), [0, 121, 4]);
    }

    #[test]
    fn interrupts_extended_has_a_controller_for_each() {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        let device = tree.find("/soc/bus/device@40").unwrap();
        let interrupts: Vec<_> = device.interrupts().unwrap().map(Result::unwrap).collect();
        assert_eq!(interrupts.len(), 2);
        assert_eq!(interrupts[0].controller.base_name(), "local");
        assert_eq!(interrupts[0].specifier(), [8, 1]);
        assert_eq!(interrupts[1].specifier(), [1, 9, 4]);
        let far = device.interrupt_index("far").unwrap();
        assert_eq!(device.interrupt(far), Ok(interrupts[1]));
        assert_eq!(device.interrupt_index("near"), None);
    }

    #[test]
    fn interrupts_of_a_device_without_any_are_none() {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        let soc = tree.find("/soc").unwrap();
        assert_eq!(soc.interrupts().unwrap().count(), 0);
        assert_eq!(soc.interrupt(0), Err(Error::Missing("interrupts")));
    }

    #[test]
    fn interrupts_of_one_to_four_cells_are_read_and_of_five_refused() {
        for cells in 1..=5_u32 {
            let bytes = super::super::test_trees::build(|tree| {
                let root = tree.begin_node("")?;
                tree.property_u32("#interrupt-cells", cells)?;
                let node = tree.begin_node("a")?;
                tree.property_array_u32("interrupts", &[1, 2, 3, 4, 5][..cells as usize])?;
                tree.end_node(node)?;
                tree.end_node(root)
            });
            let tree = Tree::new(&bytes).unwrap();
            let interrupt = tree.find("/a").unwrap().interrupt(0);
            if cells <= 4 {
                let interrupt = interrupt.unwrap();
                assert_eq!(interrupt.specifier(), &[1, 2, 3, 4][..cells as usize]);
            } else {
                assert_eq!(interrupt, Err(Error::BadProperty("#interrupt-cells")));
            }
        }
    }
}
