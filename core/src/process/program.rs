//! An ELF file as execve maps it: the program itself, and the interpreter that a program may ask for (its dynamic linker).
//!
//! Segments are mapped from the file and shared with it until written; nothing is copied but the page in which the zeros
//! behind a segment's data begin.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::elf::{self, Head, Plan, Segment};
use crate::machine::{Access, PAGE_SIZE, UserAddr};
use crate::mm::{AddressSpace, Label, MemoryObject};
use crate::{Errno, Result};

/// A file that was checked and can be mapped.
pub(super) struct Program {
    file: Arc<MemoryObject>,
    /// What its first bytes say.
    pub(super) head: Head,
    /// What its program headers say.
    pub(super) plan: Plan,
}

impl Program {
    /// Checks `file`, whose first bytes are `first`. ENOEXEC, ENOMEM.
    pub(super) fn read(file: Arc<MemoryObject>, first: &[u8]) -> Result<Program> {
        let head = elf::head(first)?;
        let mut bytes = Vec::new();
        let length = head.segments * elf::SEGMENT_BYTES;
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(length, 0);
        let got = file.read_at(&mut bytes.as_mut_slice(), head.segments_at)?;
        if got < length {
            return Err(Errno::ENOEXEC);
        }
        let plan = Plan::new(&head, &bytes)?;
        Ok(Program { file, head, plan })
    }

    /// The path of the interpreter that it asks for, if it does. ENOEXEC: it is not a string; ENOMEM.
    pub(super) fn interpreter(&self) -> Result<Option<Vec<u8>>> {
        let Some((offset, length)) = self.plan.interpreter else {
            return Ok(None);
        };
        let mut path = Vec::new();
        path.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        path.resize(length, 0);
        let got = self.file.read_at(&mut path.as_mut_slice(), offset)?;
        let is_string = got == length && path.pop() == Some(0);
        if !is_string || path.is_empty() || path.contains(&0) {
            return Err(Errno::ENOEXEC);
        }
        Ok(Some(path))
    }

    /// Maps its segments, `base` added to the addresses that the file has. EINVAL, ENOMEM.
    pub(super) fn map(&self, space: &Arc<AddressSpace>, base: usize) -> Result<()> {
        self.plan
            .segments()
            .try_for_each(|segment| map_segment(space, &self.file, base, &segment))
    }
}

/// Maps what the file has of a segment, zeros behind it on its last page, and memory for the rest.
fn map_segment(
    space: &Arc<AddressSpace>,
    file: &Arc<MemoryObject>,
    base: usize,
    segment: &Segment,
) -> Result<()> {
    let start = base + (segment.address & !(PAGE_SIZE - 1));
    let data_end = base + segment.address + segment.file_bytes;
    let file_end = data_end.next_multiple_of(PAGE_SIZE);
    let end = (base + segment.end()).next_multiple_of(PAGE_SIZE);
    if segment.file_bytes > 0 {
        let offset = segment.offset & !(PAGE_SIZE as u64 - 1);
        space.map_private(
            UserAddr(start),
            file_end - start,
            segment.access,
            file,
            offset,
        )?;
        // To the end of the page, though the segment may end before it: dynamic linkers take what is behind it for memory.
        if segment.memory_bytes > segment.file_bytes && segment.access.contains(Access::WRITE) {
            space.zero(UserAddr(data_end), file_end - data_end)?;
        }
    }
    let from = if segment.file_bytes > 0 {
        file_end
    } else {
        start
    };
    if end > from {
        space.map_anonymous(UserAddr(from), end - from, segment.access, Label::None)?;
    }
    Ok(())
}
