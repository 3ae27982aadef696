//! What can be wrong with a device tree, as a value that a person can read.

use core::fmt;

/// The blocks of a flattened tree (Devicetree Specification 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Memory reservations.
    Reservations,
    /// Nodes and properties.
    Structure,
    /// Property names.
    Strings,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Block::Reservations => "memory reservation block",
            Block::Structure => "structure block",
            Block::Strings => "strings block",
        })
    }
}

/// Why a device tree, or a property of it, cannot be used. Offsets are in bytes into the structure block unless they
/// say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Fewer bytes than a header has.
    NoHeader {
        /// How many bytes there are.
        available: usize,
    },
    /// The first word is not 0xd00dfeed.
    BadMagic(u32),
    /// A format that this reader does not know: it reads version 17.
    BadVersion {
        /// The tree's version.
        version: u32,
        /// The oldest version that the tree says it is compatible with.
        last_compatible: u32,
    },
    /// `totalsize` is more than there is, or more than [`super::MAX_SIZE`].
    BadTotalSize {
        /// `totalsize` in bytes.
        claimed: usize,
        /// What there is, or may be, in bytes.
        available: usize,
    },
    /// A block does not lie within the tree, or not at the alignment that it must have.
    BadBlock {
        /// Which.
        block: Block,
        /// Where the header says it starts, in bytes into the tree.
        offset: usize,
        /// How long the header says it is.
        size: usize,
    },
    /// The reservation block runs to the end of the tree without its terminating entry.
    ReservationsUnterminated,
    /// A property name is not terminated, or has bytes that are not ASCII.
    BadStrings,
    /// The structure block ends within a token.
    Truncated {
        /// Where the token starts.
        offset: usize,
    },
    /// A word that is no token.
    BadToken {
        /// Where.
        offset: usize,
        /// The word.
        token: u32,
    },
    /// A node name is not terminated, or has bytes that are not ASCII.
    BadNodeName {
        /// Where the node starts.
        offset: usize,
    },
    /// A property's name lies outside the strings block.
    BadPropertyName {
        /// Where the property starts.
        offset: usize,
        /// Where its name is said to be, in bytes into the strings block.
        name_offset: usize,
    },
    /// Nodes are nested deeper than [`super::MAX_DEPTH`].
    TooDeep {
        /// Where the node starts.
        offset: usize,
    },
    /// A property outside a node or after a child of its node, an end without a begin, a second root, or no root.
    BadNesting {
        /// Where the token starts.
        offset: usize,
    },
    /// A property is absent that the binding demands.
    Missing(&'static str),
    /// A property's value has a length or a content that its binding does not allow.
    BadProperty(&'static str),
    /// A phandle that no node has.
    NoSuchPhandle(u32),
    /// An address that the `ranges` of a bus above it do not map, so that the CPU cannot reach it.
    Unreachable {
        /// The address as the last bus that could be followed has it.
        address: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::NoHeader { available } => {
                write!(f, "{available} bytes are too few for a header")
            }
            Error::BadMagic(magic) => write!(f, "starts with {magic:#010x}, not 0xd00dfeed"),
            Error::BadVersion {
                version,
                last_compatible,
            } => write!(
                f,
                "format version {version} (compatible back to {last_compatible}), not 17"
            ),
            Error::BadTotalSize { claimed, available } => {
                write!(f, "claims {claimed} bytes where {available} are possible")
            }
            Error::BadBlock {
                block,
                offset,
                size,
            } => write!(
                f,
                "the {block}, {size} bytes at {offset:#x}, does not lie within the tree"
            ),
            Error::ReservationsUnterminated => {
                f.write_str("the memory reservation block has no end")
            }
            Error::BadStrings => {
                f.write_str("the strings block is not terminated or not ASCII text")
            }
            Error::Truncated { offset } => {
                write!(
                    f,
                    "the structure block ends within the token at {offset:#x}"
                )
            }
            Error::BadToken { offset, token } => {
                write!(
                    f,
                    "{token:#x} at {offset:#x} of the structure block is no token"
                )
            }
            Error::BadNodeName { offset } => {
                write!(
                    f,
                    "the name of the node at {offset:#x} is not terminated ASCII text"
                )
            }
            Error::BadPropertyName {
                offset,
                name_offset,
            } => write!(
                f,
                "the name of the property at {offset:#x} is outside the strings block, at {name_offset:#x}"
            ),
            Error::TooDeep { offset } => write!(f, "the node at {offset:#x} is nested too deep"),
            Error::BadNesting { offset } => {
                write!(f, "the token at {offset:#x} is out of place")
            }
            Error::Missing(name) => write!(f, "property {name} is missing"),
            Error::BadProperty(name) => write!(f, "property {name} makes no sense"),
            Error::NoSuchPhandle(phandle) => write!(f, "no node has phandle {phandle:#x}"),
            Error::Unreachable { address } => {
                write!(f, "no ranges lead from {address:#x} to the CPU")
            }
        }
    }
}

impl core::error::Error for Error {}
