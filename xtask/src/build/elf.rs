//! Reads ELF files as far as loading them goes: program headers.

use anyhow::{Context, Result, bail, ensure};
use object::elf::{EM_AARCH64, FileHeader64, PT_LOAD, SHN_UNDEF};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, U16, U64};

/// A little-endian 64-bit ELF header.
type Header = FileHeader64<LittleEndian>;

/// A `PT_LOAD` segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    /// Where it is loaded.
    pub(crate) physical: u64,
    /// Where it runs.
    pub(crate) address: u64,
    /// How many bytes it takes in memory.
    pub(crate) memory: u64,
    /// Its flags: 1 execute, 2 write, 4 read.
    pub(crate) flags: u32,
    /// What the file holds of it; the rest is zero.
    pub(crate) data: &'a [u8],
}

/// The loadable segments of an arm64 ELF file, as they stand in it. Error: it is none, or it is broken.
pub(crate) fn segments(file: &[u8]) -> Result<Vec<Segment<'_>>> {
    let header = header(file)?;
    let headers = header
        .program_headers(LittleEndian, file)
        .context("its program headers are out of bounds")?;
    let loads = headers
        .iter()
        .filter(|header| header.p_type(LittleEndian) == PT_LOAD);
    loads
        .map(|header| {
            let data = header
                .data(LittleEndian, file)
                .ok()
                .context("a segment reaches past the end of the file")?;
            Ok(Segment {
                physical: header.p_paddr(LittleEndian),
                address: header.p_vaddr(LittleEndian),
                memory: header.p_memsz(LittleEndian),
                flags: header.p_flags(LittleEndian).0,
                data,
            })
        })
        .collect()
}

fn header(file: &[u8]) -> Result<&Header> {
    let header = Header::parse(file).context("it is no 64-bit ELF file")?;
    ensure!(header.is_little_endian(), "it is a big-endian file");
    ensure!(
        header.e_machine(LittleEndian) == EM_AARCH64,
        "it is for another machine than arm64"
    );
    Ok(header)
}

/// The file without what only a debugger reads: symbols, debug information, section headers. Everything that the program
/// headers name stays where it is.
pub(crate) fn strip(file: &[u8]) -> Result<Vec<u8>> {
    let parsed = header(file)?;
    let headers = parsed
        .program_headers(LittleEndian, file)
        .context("its program headers are out of bounds")?;
    let table = parsed.e_phoff(LittleEndian)
        + headers.len() as u64 * size_of::<object::elf::ProgramHeader64<LittleEndian>>() as u64;
    let ends = headers
        .iter()
        .map(|header| header.p_offset(LittleEndian) + header.p_filesz(LittleEndian));
    let end = ends.max().unwrap_or(0).max(table);
    let Some(kept) = usize::try_from(end).ok().and_then(|end| file.get(..end)) else {
        bail!("a segment reaches past the end of the file");
    };
    let mut stripped = kept.to_vec();
    let (header, _) = object::pod::from_bytes_mut::<Header>(&mut stripped)
        .ok()
        .context("its header is cut short")?;
    header.e_shoff = U64::new(LittleEndian, 0);
    header.e_shnum = U16::new(LittleEndian, 0);
    header.e_shstrndx = U16::new(LittleEndian, SHN_UNDEF);
    Ok(stripped)
}

/// Small ELF files for tests.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ELF file with `(physical address, memory size, bytes)` segments and some rubbish behind them.
    pub(crate) fn elf(segments: &[(u64, u64, &[u8])]) -> Vec<u8> {
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend([2, 0, 183, 0, 1, 0, 0, 0]);
        for word in [0u64, 64, 0xdead] {
            file.extend(word.to_le_bytes());
        }
        file.extend(0u32.to_le_bytes());
        for half in [64, 56, segments.len() as u16, 64, 9, 8] {
            file.extend(half.to_le_bytes());
        }
        let mut offset = 64 + 56 * segments.len() as u64;
        for (physical, memory, bytes) in segments {
            file.extend(1u32.to_le_bytes());
            file.extend(5u32.to_le_bytes());
            let high = physical + 0xffff_0000_0000_0000;
            for word in [offset, high, *physical, bytes.len() as u64, *memory, 8] {
                file.extend(word.to_le_bytes());
            }
            offset += bytes.len() as u64;
        }
        for (_, _, bytes) in segments {
            file.extend(*bytes);
        }
        file.extend(b"symbols and the like");
        file
    }

    #[test]
    fn segments_are_read_with_their_data() {
        let file = elf(&[(0x4000_0000, 8, b"abcd")]);
        let segments = segments(&file).expect("an ELF file");
        assert_eq!(segments[0].data, b"abcd");
        assert_eq!((segments[0].physical, segments[0].memory), (0x4000_0000, 8));
    }

    #[test]
    fn segments_past_the_end_are_refused() {
        let mut file = elf(&[(0, 4, b"abcd")]);
        file.truncate(64 + 56 + 2);
        assert!(segments(&file).is_err());
    }

    #[test]
    fn file_for_another_machine_is_refused() {
        let mut file = elf(&[(0, 4, b"abcd")]);
        file[18] = 62;
        assert!(
            segments(&file)
                .expect_err("x86")
                .to_string()
                .contains("arm64")
        );
        assert!(segments(b"#!/bin/sh\n").is_err());
    }

    #[test]
    fn strip_keeps_segments_and_drops_the_rest() {
        let file = elf(&[(0, 4, b"abcd"), (0x1000, 4, b"efgh")]);
        let stripped = strip(&file).expect("an ELF file");
        assert!(!stripped.windows(7).any(|window| window == b"symbols"));
        assert_eq!(segments(&stripped).expect("still one").len(), 2);
        assert_eq!(stripped.len(), 64 + 2 * 56 + 8);
        assert_eq!(&stripped[40..48], [0; 8]);
    }
}
