//! `/chosen`: what the loader says to the kernel (Devicetree Specification 3.6;
//! Documentation/devicetree/bindings/chosen.txt and dt-schema's chosen.yaml).

use super::Tree;
use super::address::Region;
use super::error::Error;
use super::node::Node;

/// The node `/chosen`.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a>(Node<'a>);

/// Where the console is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stdout<'a> {
    /// The device.
    pub node: Node<'a>,
    /// What follows the colon, `115200n8`; empty if nothing does.
    pub options: &'a str,
}

impl Stdout<'_> {
    /// The bits per second that the options ask for.
    #[must_use]
    pub fn baud(&self) -> Option<u32> {
        let digits = self.options.bytes().take_while(u8::is_ascii_digit).count();
        self.options
            .get(..digits)?
            .parse()
            .ok()
            .filter(|&baud| baud > 0)
    }
}

impl<'a> Chosen<'a> {
    /// The command line; empty if there is none or it is no text.
    #[must_use]
    pub fn bootargs(&self) -> &'a str {
        self.0.string("bootargs").unwrap_or_default()
    }

    /// The initial RAM disk, as physical addresses. None if there is none or it is empty; an error if it ends before it
    /// starts, or one of its two properties is missing.
    pub fn initrd(&self) -> Result<Option<Region>, Error> {
        let (start_name, end_name) = ("linux,initrd-start", "linux,initrd-end");
        let (start, end) = (self.0.u64(start_name)?, self.0.u64(end_name)?);
        let (start, end) = match (start, end) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(Error::Missing(end_name)),
            (None, Some(_)) => return Err(Error::Missing(start_name)),
            (Some(start), Some(end)) => (start, end),
        };
        let size = end.checked_sub(start);
        let size = size.ok_or(Error::BadProperty(end_name))?;
        let region = Region {
            address: start,
            size,
        };
        Ok((size > 0).then_some(region))
    }

    /// Random bytes from the loader, for the random number generator; empty if there are none.
    #[must_use]
    pub fn rng_seed(&self) -> &'a [u8] {
        self.0.property("rng-seed").unwrap_or_default()
    }

    /// Random bits from the loader, for the layout of the kernel's addresses. 0 counts as none: a kernel that has used
    /// the seed overwrites it so.
    #[must_use]
    pub fn kaslr_seed(&self) -> Option<u64> {
        self.0.u64("kaslr-seed").ok()?.filter(|&seed| seed != 0)
    }

    /// The node, for what is not here.
    #[must_use]
    pub fn node(&self) -> Node<'a> {
        self.0
    }
}

impl<'a> Tree<'a> {
    /// `/chosen`, if there is one.
    #[must_use]
    pub fn chosen(&self) -> Option<Chosen<'a>> {
        self.root().child("chosen").map(Chosen)
    }

    /// The console that `/chosen` asks for by path or alias, with options. None if it asks for none or for a node that
    /// is not there.
    #[must_use]
    pub fn stdout(&self) -> Option<Stdout<'a>> {
        let chosen = self.root().child("chosen")?;
        let text = chosen
            .string("stdout-path")
            .or_else(|| chosen.string("linux,stdout-path"))?;
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        Some(Stdout {
            node: self.find(path)?,
            options,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_trees::{board, build};
    use super::*;

    #[test]
    fn stdout_follows_the_alias_and_keeps_the_options() {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        let stdout = tree.stdout().unwrap();
        assert_eq!(stdout.node, tree.find("/soc/serial@7e201000").unwrap());
        assert_eq!(stdout.options, "115200n8");
        assert_eq!(stdout.baud(), Some(115_200));
    }

    #[test]
    fn chosen_has_what_the_loader_wrote() {
        let bytes = board();
        let chosen = Tree::new(&bytes).unwrap().chosen().unwrap();
        assert_eq!(chosen.bootargs(), "console=ttyAMA0 quiet");
        assert_eq!(chosen.initrd(), Ok(Region::new(0x0800_0000, 0x4321)));
        assert_eq!(chosen.kaslr_seed(), Some(0x1234_5678_9abc_def0));
        assert_eq!(chosen.rng_seed(), [7; 32]);
    }

    fn initrd(start: Option<u32>, end: Option<u64>) -> Result<Option<Region>, Error> {
        let bytes = build(|tree| {
            let root = tree.begin_node("")?;
            let chosen = tree.begin_node("chosen")?;
            if let Some(start) = start {
                tree.property_u32("linux,initrd-start", start)?;
            }
            if let Some(end) = end {
                tree.property_u64("linux,initrd-end", end)?;
            }
            tree.end_node(chosen)?;
            tree.end_node(root)
        });
        Tree::new(&bytes)?.chosen().unwrap().initrd()
    }

    #[test]
    fn initrd_is_read_in_either_width_and_checked() {
        assert_eq!(initrd(None, None), Ok(None));
        assert_eq!(initrd(Some(16), Some(16)), Ok(None));
        assert_eq!(initrd(Some(16), Some(20)), Ok(Region::new(16, 4)));
        let reversed = Error::BadProperty("linux,initrd-end");
        assert_eq!(initrd(Some(16), Some(15)), Err(reversed));
        assert_eq!(
            initrd(Some(16), None),
            Err(Error::Missing("linux,initrd-end"))
        );
        assert_eq!(
            initrd(None, Some(1)),
            Err(Error::Missing("linux,initrd-start"))
        );
    }

    #[test]
    fn baud_of_odd_options_is_none() {
        let bytes = board();
        let node = Tree::new(&bytes).unwrap().root();
        for options in ["", "n8", "0", "99999999999", "-1"] {
            assert_eq!(Stdout { node, options }.baud(), None, "{options}");
        }
    }
}
