//! What execve needs of an ELF file (System V gABI; ELF for the Arm 64-bit architecture): a check of everything that will be
//! relied on, and the segments to load. The file is foreign: whatever it holds, the outcome is a plan or ENOEXEC.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::fs::path::PATH_MAX;
use crate::machine::{Access, PAGE_SIZE, USER_END};
use crate::{Errno, Result};

/// Bytes of the ELF header.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a program header.
pub const SEGMENT_BYTES: usize = 56;
/// The most program headers: a page full, as Linux has it.
pub const SEGMENTS_MAX: usize = PAGE_SIZE / SEGMENT_BYTES;

const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;

/// Where a position-independent program is put, before the random offset.
pub const DYNAMIC_BASE: usize = 0x5555_0000_0000;

/// `Elf64_Ehdr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
struct Header {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    segments_at: u64,
    sections_at: u64,
    flags: u32,
    header_bytes: u16,
    segment_bytes: u16,
    segments: u16,
    section_bytes: u16,
    sections: u16,
    names: u16,
}

/// `Elf64_Phdr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_bytes: u64,
    memory_bytes: u64,
    alignment: u64,
}

/// The head of an executable: what its first 64 bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whether it may be put anywhere.
    pub relocatable: bool,
    /// Where it starts, before relocation.
    pub entry: usize,
    /// Where in the file the program headers are.
    pub segments_at: u64,
    /// How many there are.
    pub segments: usize,
}

/// One segment to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first address, before relocation.
    pub address: usize,
    /// Where its bytes are in the file.
    pub offset: u64,
    /// How many bytes the file has.
    pub file_bytes: usize,
    /// How many it has in memory; the rest are zeros.
    pub memory_bytes: usize,
    /// What the program may do with it.
    pub access: Access,
}

impl Segment {
    /// One past its last address.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.address + self.memory_bytes
    }
}

/// Checks the first bytes of a file. ENOEXEC: not a 64-bit little-endian Arm executable.
pub fn head(bytes: &[u8]) -> Result<Head> {
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| Errno::ENOEXEC)?;
    let known =
        header.ident.starts_with(MAGIC) && header.machine == EM_AARCH64 && header.version == 1;
    let sized = usize::from(header.segment_bytes) == SEGMENT_BYTES
        && (1..=SEGMENTS_MAX).contains(&usize::from(header.segments));
    let relocatable = match header.kind {
        ET_EXEC => false,
        ET_DYN => true,
        _ => return Err(Errno::ENOEXEC),
    };
    if !known || !sized {
        return Err(Errno::ENOEXEC);
    }
    let entry = address(header.entry)?;
    Ok(Head {
        relocatable,
        entry,
        segments_at: header.segments_at,
        segments: header.segments.into(),
    })
}

/// An address that a program may have. ENOEXEC.
fn address(value: u64) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|address| *address < USER_END)
        .ok_or(Errno::ENOEXEC)
}

/// What the program headers say.
#[derive(Debug)]
pub struct Plan {
    loads: [Option<Segment>; SEGMENTS_MAX],
    count: usize,
    /// Where the program headers are in memory, before relocation, if a PT_PHDR says so or a segment holds them.
    pub headers: Option<usize>,
    /// Where in the file the path of the interpreter is, and how long with its NUL, if it wants one (PT_INTERP).
    pub interpreter: Option<(u64, usize)>,
}

impl Plan {
    /// Checks program headers: `bytes` are those of `head`. ENOEXEC: a segment is out of range, misaligned or out of order,
    /// or the path of an interpreter is too long. Of several interpreters the first counts, as with Linux.
    pub fn new(head: &Head, bytes: &[u8]) -> Result<Plan> {
        let mut plan = Plan {
            loads: [None; SEGMENTS_MAX],
            count: 0,
            headers: None,
            interpreter: None,
        };
        let mut at = bytes;
        for _ in 0..head.segments {
            let (header, rest) = ProgramHeader::read_from_prefix(at).map_err(|_| Errno::ENOEXEC)?;
            at = rest;
            match header.kind {
                PT_LOAD if header.memory_bytes > 0 => plan.push(segment(&header)?)?,
                PT_INTERP if plan.interpreter.is_none() => {
                    plan.interpreter = Some(interpreter(&header)?);
                }
                PT_PHDR => plan.headers = Some(address(header.address)?),
                _ => {}
            }
        }
        if plan.count == 0 {
            return Err(Errno::ENOEXEC);
        }
        let holder = plan.segments().find(|it| {
            it.offset <= head.segments_at
                && head.segments_at - it.offset + bytes.len() as u64 <= it.file_bytes as u64
        });
        if let (None, Some(holder)) = (plan.headers, holder) {
            plan.headers = Some(holder.address + (head.segments_at - holder.offset) as usize);
        }
        Ok(plan)
    }

    fn push(&mut self, segment: Segment) -> Result<()> {
        let before = self.segments().last();
        if before.is_some_and(|before| {
            before.end().next_multiple_of(PAGE_SIZE) > page_of(segment.address)
        }) {
            return Err(Errno::ENOEXEC);
        }
        *self.loads.get_mut(self.count).ok_or(Errno::ENOEXEC)? = Some(segment);
        self.count += 1;
        Ok(())
    }

    /// The segments to load, in rising order of address, on pages of their own.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        self.loads.iter().take(self.count).flatten().copied()
    }

    /// The first and one past the last address, in whole pages.
    #[must_use]
    pub fn span(&self) -> (usize, usize) {
        let first = self.segments().next().map_or(0, |it| page_of(it.address));
        let last = self
            .segments()
            .last()
            .map_or(0, |it| it.end().next_multiple_of(PAGE_SIZE));
        (first, last)
    }
}

const fn page_of(address: usize) -> usize {
    address & !(PAGE_SIZE - 1)
}

/// Where the path of an interpreter is, and how long with its NUL. ENOEXEC: too short or too long for a path, or nowhere.
fn interpreter(header: &ProgramHeader) -> Result<(u64, usize)> {
    let length = usize::try_from(header.file_bytes).map_err(|_| Errno::ENOEXEC)?;
    let end = header.offset.checked_add(header.file_bytes);
    let in_reach = end.is_some_and(|end| i64::try_from(end).is_ok());
    if !(2..=PATH_MAX).contains(&length) || !in_reach {
        return Err(Errno::ENOEXEC);
    }
    Ok((header.offset, length))
}

fn segment(header: &ProgramHeader) -> Result<Segment> {
    let start = address(header.address)?;
    let memory_bytes = usize::try_from(header.memory_bytes).map_err(|_| Errno::ENOEXEC)?;
    let file_bytes = usize::try_from(header.file_bytes).map_err(|_| Errno::ENOEXEC)?;
    let end = start
        .checked_add(memory_bytes)
        .filter(|end| *end < USER_END - PAGE_SIZE)
        .ok_or(Errno::ENOEXEC)?;
    let congruent = header.offset % PAGE_SIZE as u64 == (start % PAGE_SIZE) as u64;
    let file_end = header
        .offset
        .checked_add(header.file_bytes)
        .filter(|end| i64::try_from(*end).is_ok());
    if file_bytes > memory_bytes || !congruent || file_end.is_none() || end <= start {
        return Err(Errno::ENOEXEC);
    }
    let mut access = Access::empty();
    access.set(Access::READ, header.flags & 4 != 0);
    access.set(Access::WRITE, header.flags & 2 != 0);
    access.set(Access::EXECUTE, header.flags & 1 != 0);
    Ok(Segment {
        address: start,
        offset: header.offset,
        file_bytes,
        memory_bytes,
        access,
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn executable(segments: &[[u64; 5]]) -> Vec<u8> {
        let mut file = Vec::from(MAGIC);
        file.resize(16, 0);
        for half in [ET_EXEC, EM_AARCH64] {
            file.extend(half.to_le_bytes());
        }
        file.extend(1u32.to_le_bytes());
        for word in [0x40_0100u64, 64, 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend(0u32.to_le_bytes());
        for half in [64u16, 56, segments.len() as u16, 0, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        for [flags, offset, address, file_bytes, memory_bytes] in segments {
            file.extend(PT_LOAD.to_le_bytes());
            file.extend((*flags as u32).to_le_bytes());
            for word in [offset, address, address, file_bytes, memory_bytes, &0x1000] {
                file.extend(word.to_le_bytes());
            }
        }
        file
    }

    fn plan(file: &[u8]) -> Result<Plan> {
        let head = head(file)?;
        let start = usize::try_from(head.segments_at).map_err(|_| Errno::ENOEXEC)?;
        Plan::new(&head, file.get(start..).ok_or(Errno::ENOEXEC)?)
    }

    const TEXT: [u64; 5] = [5, 0, 0x40_0000, 0x1000, 0x1000];
    const DATA: [u64; 5] = [6, 0x1010, 0x40_2010, 0x20, 0x3000];

    #[test]
    fn plan_of_a_plain_program_has_its_segments() {
        let plan = plan(&executable(&[TEXT, DATA])).unwrap();
        assert_eq!(plan.segments().count(), 2);
        assert_eq!(plan.span(), (0x40_0000, 0x40_6000));
        assert_eq!(plan.headers, Some(0x40_0040));
    }

    #[test]
    fn segment_in_a_page_of_the_one_before_is_enoexec() {
        assert_eq!(
            plan(&executable(&[TEXT, [6, 0x10, 0x40_0010, 1, 1]])).unwrap_err(),
            Errno::ENOEXEC
        );
    }

    #[test]
    fn segment_with_more_file_than_memory_is_enoexec() {
        assert_eq!(
            plan(&executable(&[[5, 0, 0x40_0000, 0x2000, 0x1000]])).unwrap_err(),
            Errno::ENOEXEC
        );
    }

    #[test]
    fn segment_not_congruent_to_its_offset_is_enoexec() {
        assert_eq!(
            plan(&executable(&[[5, 0x10, 0x40_0000, 1, 1]])).unwrap_err(),
            Errno::ENOEXEC
        );
    }

    #[test]
    fn segment_beyond_user_memory_is_enoexec() {
        for address in [u64::MAX - 0xfff, USER_END as u64, USER_END as u64 - 0x1000] {
            assert_eq!(
                plan(&executable(&[[5, 0, address & !0xfff, 1, 1]])).unwrap_err(),
                Errno::ENOEXEC
            );
        }
    }

    #[test]
    fn file_without_segments_is_enoexec() {
        assert_eq!(plan(&executable(&[])).unwrap_err(), Errno::ENOEXEC);
    }

    proptest! {
        #[test]
        fn broken_files_give_a_sane_plan_or_enoexec(flips in prop::collection::vec((0usize..232, any::<u8>()), 0..6), cut in 0usize..233) {
            let mut file = executable(&[TEXT, DATA]);
            for (at, byte) in flips {
                if let Some(place) = file.get_mut(at) {
                    *place ^= byte;
                }
            }
            file.truncate(cut);
            if let Ok(plan) = plan(&file) {
                let mut last = 0;
                for segment in plan.segments() {
                    prop_assert!(segment.address >= last && segment.end() < USER_END);
                    prop_assert!(segment.file_bytes <= segment.memory_bytes);
                    last = segment.end();
                }
            }
        }
    }
}
