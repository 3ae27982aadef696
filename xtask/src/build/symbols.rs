//! Fills the symbol table that the kernel reserves for its backtraces: only a linked kernel knows its addresses.
//!
//! The layout is the kernel's, `arch/aarch64/src/symbols.rs`: the word "HSYM", a count; that many offsets of functions from the
//! image's first byte, rising; then the names in the same order, a length byte and text. Between count and offsets stand pairs of
//! bytes by which the names are packed ([`super::pairs`]).

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

use super::elf;
use super::pairs::Pairs;

/// The section the kernel reserves.
const SECTION: &str = ".symbols";

/// "HSYM", little-endian.
const MAGIC: u32 = 0x4d59_5348;

/// How long names may be, tried in turn until the table fits.
const NAME_LIMITS: [usize; 11] = [200, 120, 80, 60, 48, 40, 36, 32, 28, 24, 20];

/// The file with its table filled. A kernel that reserves none is given back as it is. Error: the room does not do.
pub(crate) fn fill(file: &[u8]) -> Result<Vec<u8>> {
    let parsed = object::File::parse(file).context("it is no ELF file")?;
    let mut filled = file.to_vec();
    let Some((at, room)) = parsed
        .section_by_name(SECTION)
        .and_then(|section| section.file_range())
    else {
        return Ok(filled);
    };
    let base = elf::segments(file)?
        .iter()
        .map(|segment| segment.address)
        .min()
        .unwrap_or_default();
    let functions = functions(&parsed, base);
    let (at, room) = (usize::try_from(at)?, usize::try_from(room)?);
    let pairs = Pairs::of(functions.iter().map(|(_, name)| name.as_bytes()));
    let mut tables = NAME_LIMITS
        .into_iter()
        .map(|limit| table(&functions, &pairs, limit));
    let Some(table) = tables.find(|table| table.len() <= room) else {
        bail!(
            "{} functions do not fit the {room} bytes of {SECTION}; the linker script must reserve more",
            functions.len()
        );
    };
    let Some(reserved) = filled.get_mut(at..at + table.len()) else {
        bail!("the section {SECTION} reaches past the end of the file");
    };
    reserved.copy_from_slice(&table);
    Ok(filled)
}

/// Offsets and names of the functions, by offset; of several at one place, the first name.
fn functions(file: &object::File<'_>, base: u64) -> Vec<(u32, String)> {
    let in_code = |index| {
        file.section_by_index(index)
            .is_ok_and(|section| section.kind() == SectionKind::Text)
    };
    let symbols = file.symbols().filter(|symbol| {
        let kind = matches!(symbol.kind(), SymbolKind::Text)
            || (symbol.is_global() && symbol.kind() == SymbolKind::Unknown);
        kind && symbol.section_index().is_some_and(in_code)
    });
    let mut functions: Vec<(u32, String)> = symbols
        .filter_map(|symbol| {
            let offset = u32::try_from(symbol.address().checked_sub(base)?).ok()?;
            let name = symbol
                .name()
                .ok()
                .filter(|name| !name.is_empty() && !name.starts_with('$'))?;
            let name = format!("{:#}", rustc_demangle::demangle(name));
            Some((offset, ascii(&short(&name))))
        })
        .collect();
    functions.sort();
    functions.dedup_by_key(|(offset, _)| *offset);
    functions
}

/// A name without what a reader of a backtrace can do without: generic arguments after `::`, and the crates' common prefix.
fn short(name: &str) -> String {
    let mut short = String::new();
    let mut rest = name;
    while let Some(at) = rest.find("::<") {
        let (before, arguments) = rest.split_at(at);
        short.push_str(before);
        rest = after_arguments(&arguments[2..]);
    }
    short.push_str(rest);
    short.replace("halyard_", "")
}

/// The name with a question mark for each character beyond ASCII: their bytes mean pairs.
fn ascii(name: &str) -> String {
    let plain = |character: char| if character.is_ascii() { character } else { '?' };
    name.chars().map(plain).collect()
}

/// What follows the angle brackets that `text` begins with.
fn after_arguments(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut last = ' ';
    for (at, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            // Not the arrow of a function's type.
            '>' if last != '-' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return &text[at + character.len_utf8()..];
        }
        last = character;
    }
    ""
}

/// The table with names of at most `limit` characters. A name too long keeps its end, which says more than its beginning.
fn table(functions: &[(u32, String)], pairs: &Pairs, limit: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut names = Vec::new();
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend((functions.len() as u32).to_le_bytes());
    bytes.extend(pairs.bytes());
    for (offset, name) in functions {
        let packed = pairs.pack(&name.as_bytes()[name.len().saturating_sub(limit)..]);
        bytes.extend(offset.to_le_bytes());
        names.push(packed.len() as u8);
        names.extend(packed);
    }
    bytes.extend(names);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::elf;
    use super::*;

    #[test]
    fn short_name_has_no_generic_arguments_and_no_common_prefix() {
        for (name, wanted) in [
            ("halyard_core::boot::boot", "core::boot::boot"),
            (
                "<halyard_core::kernel::Kernel>::each::<fn(u8) -> halyard_abi::A<B>, C>::{closure#0}",
                "<core::kernel::Kernel>::each::{closure#0}",
            ),
            ("a::<b", "a"),
            (
                "<[u8] as core::fmt::Debug>::fmt",
                "<[u8] as core::fmt::Debug>::fmt",
            ),
        ] {
            assert_eq!(short(name), wanted);
        }
    }

    /// The table of these without its pairs.
    fn plain_table(functions: &[(u32, String)], limit: usize) -> Vec<u8> {
        let mut table = table(functions, &Pairs::of([].into_iter()), limit);
        table.drain(8..8 + 256);
        table
    }

    #[test]
    fn table_has_offsets_then_names() {
        let table = plain_table(&[(0x10, "a".into()), (0x20, "core::b".into())], 200);
        assert_eq!(&table[..8], b"HSYM\x02\0\0\0");
        assert_eq!(&table[8..16], [0x10, 0, 0, 0, 0x20, 0, 0, 0]);
        assert_eq!(&table[16..], b"\x01a\x07core::b");
    }

    #[test]
    fn table_cuts_long_names_at_their_beginning() {
        let table = plain_table(&[(0, ascii("módulo::f"))], 8);
        assert_eq!(&table[12..], b"\x08?dulo::f");
    }

    #[test]
    fn fill_leaves_a_kernel_without_table_as_it_is() {
        let mut file = elf(&[(0, 4, b"abcd")]);
        // No section headers at all: a file as `strip` leaves it.
        file[40..48].fill(0);
        file[60..64].fill(0);
        assert_eq!(fill(&file).expect("an ELF file"), file);
    }
}
