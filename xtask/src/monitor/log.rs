//! The texts of the kernel's log records: they stand in its ELF file, and a record on the line only names one by number.
//!
//! The numbers are addresses within the section `.defmt`. The kernel is linked in the upper half and so is that section, while the
//! decoder wants it at 0; [`rebased`] moves it there in a copy of the file.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use defmt_decoder::Table;
use halyard_wire::frame::Record;
use object::elf::FileHeader64;
use object::read::elf::FileHeader;
use object::{LittleEndian, Object, ObjectSection};

/// The section with the texts.
const SECTION: &str = ".defmt";

/// The numbers are the low bits of addresses.
const NUMBERS: u64 = 0xffff;

/// Where the address stands in a section's header (`sh_addr`), and how long a header is. Source: elf(5).
const SECTION_ADDRESS: usize = 16;
const SECTION_HEADER: usize = 64;

/// Where section and value stand in a symbol (`st_shndx`, `st_value`), and how long a symbol is. Source: elf(5).
const SYMBOL_SECTION: usize = 6;
const SYMBOL_VALUE: usize = 8;
const SYMBOL: usize = 24;

/// The texts of one kernel.
pub(crate) struct Texts(Table);

impl Texts {
    /// Reads them. None: the kernel logs nothing. Error: the file is broken, or of another defmt than the decoder.
    pub(crate) fn read(elf: &[u8]) -> Result<Option<Self>> {
        let Some(file) = rebased(elf)? else {
            return Ok(None);
        };
        let table = Table::parse(&file).map_err(|error| anyhow::anyhow!("{error:#}"))?;
        Ok(table.map(Self))
    }

    /// A record as a line. Error: it names a text that there is not, or has other numbers than its text.
    pub(crate) fn line(&self, record: &Record<'_>) -> Result<String> {
        let (frame, used) = self.0.decode(record.defmt).context("it has no such text")?;
        anyhow::ensure!(
            used == record.defmt.len(),
            "more follows than its text says"
        );
        let mut line = String::new();
        if let Some(time) = frame.display_timestamp() {
            write!(line, "{time} ")?;
        }
        let level = frame.level().map_or("", |level| level.as_str());
        write!(
            line,
            "cpu{} {level:<5} {}",
            record.cpu,
            frame.display_message()
        )?;
        Ok(line)
    }
}

/// The file with the section of texts, and all symbols in it, moved down by a multiple of 64 KiB to where numbers are addresses.
/// None: it has no such section.
fn rebased(elf: &[u8]) -> Result<Option<Vec<u8>>> {
    let file = object::File::parse(elf).context("it is no ELF file")?;
    let Some(texts) = file.section_by_name(SECTION) else {
        return Ok(None);
    };
    let (index, base) = (texts.index().0, texts.address() & !NUMBERS);
    let header = FileHeader64::<LittleEndian>::parse(elf).context("it is no 64-bit ELF file")?;
    let headers = usize::try_from(header.e_shoff(LittleEndian))?;
    let mut moved = elf.to_vec();
    lower(
        &mut moved,
        headers + index * SECTION_HEADER + SECTION_ADDRESS,
        base,
    )?;
    let symbols = file
        .section_by_name(".symtab")
        .context("it has no symbols")?;
    let (at, size) = symbols.file_range().context("its symbols are not in it")?;
    let (at, size) = (usize::try_from(at)?, usize::try_from(size)?);
    for symbol in (at..at.saturating_add(size)).step_by(SYMBOL) {
        let section = elf.get(symbol + SYMBOL_SECTION..symbol + SYMBOL_SECTION + 2);
        let section = section.context("its symbols reach past its end")?;
        if usize::from(u16::from_le_bytes([section[0], section[1]])) == index {
            lower(&mut moved, symbol + SYMBOL_VALUE, base)?;
        }
    }
    Ok(Some(moved))
}

/// Takes `base` from the 64-bit word at `at`.
fn lower(file: &mut [u8], at: usize, base: u64) -> Result<()> {
    let word = file.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<8>);
    let word = word.context("it is cut short")?;
    *word = u64::from_le_bytes(*word).wrapping_sub(base).to_le_bytes();
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Where the kernel's linker script puts the section: on a 64 KiB boundary, high.
    const HIGH: u64 = 0xffff_ffff_8013_0000;

    /// The build id of [`elf`].
    pub(crate) const BUILD: [u8; 20] = [0xab; 20];

    /// Text number 1, with a u8 and a string.
    pub(crate) const NOTE: &str = "{=u8} drivers for {=str}";

    fn name(tag: &str, data: &str) -> String {
        format!(
            r#"{{"package":"p","tag":"defmt_{tag}","data":"{data}","disambiguator":"{data}","crate_name":"c"}}"#
        )
    }

    /// A name table, and where in it each name begins.
    fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> (Vec<u8>, Vec<u32>) {
        let (mut table, mut places) = (vec![0], Vec::new());
        for name in names {
            places.push(table.len() as u32);
            table.extend(name.bytes().chain([0]));
        }
        (table, places)
    }

    /// A kernel's ELF file with three texts, as the linker leaves them: [`NOTE`] as info, a plain warning, and the timestamp.
    pub(crate) fn elf() -> Vec<u8> {
        let own = [
            name("info", NOTE),
            name("warn", "nothing to do"),
            name("timestamp", "{=u64:us}"),
            "_defmt_version_ = 4".to_owned(),
            "_defmt_encoding_ = rzcobs".to_owned(),
        ];
        let (strings, places) = names(own.iter().map(String::as_str));
        let mut symbols = vec![0; SYMBOL];
        for (value, place) in (HIGH + 1..).zip(places) {
            symbols.extend(place.to_le_bytes());
            symbols.extend([0x11, 0, 1, 0]);
            symbols.extend(value.to_le_bytes());
            symbols.extend(1_u64.to_le_bytes());
        }
        let note = [&[4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0][..], b"GNU\0", &BUILD].concat();
        let titles = [
            SECTION,
            ".symtab",
            ".strtab",
            ".shstrtab",
            ".note.gnu.build-id",
        ];
        let (section_names, title_places) = names(titles);
        // Type, address, link, info, length of an entry.
        let kinds: [(u32, u64, u32, u32, u64); 5] = [
            (1, HIGH, 0, 0, 0),
            (2, 0, 3, 1, SYMBOL as u64),
            (3, 0, 0, 0, 0),
            (3, 0, 0, 0, 0),
            (7, 0, 0, 0, 0),
        ];
        let contents = [&[0; 6][..], &symbols, &strings, &section_names, &note];
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend([2, 0, 183, 0, 1, 0, 0, 0]);
        file.resize(SECTION_HEADER, 0);
        let mut headers = vec![0; SECTION_HEADER];
        for ((bytes, place), (kind, address, link, info, entry)) in
            contents.into_iter().zip(title_places).zip(kinds)
        {
            file.resize(file.len().next_multiple_of(8), 0);
            headers.extend(place.to_le_bytes());
            headers.extend(kind.to_le_bytes());
            for word in [0, address, file.len() as u64, bytes.len() as u64] {
                headers.extend(word.to_le_bytes());
            }
            headers.extend(link.to_le_bytes());
            headers.extend(info.to_le_bytes());
            for word in [4, entry] {
                headers.extend(word.to_le_bytes());
            }
            file.extend(bytes);
        }
        file.resize(file.len().next_multiple_of(8), 0);
        let at = file.len() as u64;
        file[40..48].copy_from_slice(&at.to_le_bytes());
        file[52..64].copy_from_slice(&[64, 0, 0, 0, 0, 0, 64, 0, 6, 0, 4, 0]);
        file.extend(headers);
        file
    }

    /// defmt's bytes of a record of [`NOTE`], 1.5 ms after the start.
    pub(crate) fn note(count: u8, what: &str) -> Vec<u8> {
        let mut bytes = vec![1, 0];
        bytes.extend(1500_u64.to_le_bytes());
        bytes.push(count);
        bytes.extend((what.len() as u32).to_le_bytes());
        bytes.extend(what.bytes());
        bytes
    }

    fn line(defmt: &[u8]) -> Result<String> {
        let texts = Texts::read(&elf())?.context("texts")?;
        let build = [BUILD[0], BUILD[1]];
        texts.line(&Record {
            build,
            cpu: 3,
            defmt,
        })
    }

    #[test]
    fn record_of_a_kernel_linked_high_is_read() {
        let text = line(&note(2, "uart")).expect("a line");
        assert_eq!(text, "0.001500 cpu3 info  2 drivers for uart");
        let bare = [&[2, 0][..], &[0; 8]].concat();
        assert_eq!(
            line(&bare).expect("a line"),
            "0.000000 cpu3 warn  nothing to do"
        );
    }

    #[test]
    fn record_that_does_not_fit_its_text_is_refused() {
        let whole = note(2, "uart");
        assert!(line(&[&whole[..], b"x"].concat()).is_err());
        assert!(line(&whole[..whole.len() - 1]).is_err());
        assert!(line(&[9, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(line(&[]).is_err());
    }

    #[test]
    fn file_without_texts_has_none_and_a_broken_one_is_refused() {
        let own = std::fs::read(std::env::current_exe().expect("this program")).expect("bytes");
        assert!(Texts::read(&own).expect("an ELF file").is_none());
        assert!(Texts::read(b"#!/bin/sh").is_err());
        let whole = elf();
        for length in (64..whole.len()).step_by(41) {
            // Whatever it is, it is no panic.
            let _ = Texts::read(&whole[..length]);
        }
    }
}
