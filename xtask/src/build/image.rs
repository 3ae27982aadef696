//! Makes a flat arm64 Image of a kernel's ELF file.
//!
//! The bytes are placed by the physical addresses of the program headers, as a loader would. `objcopy -O binary` goes by
//! sections and would take in those that are not loaded. Source: Linux, Documentation/arch/arm64/booting.rst.

use anyhow::{Context, Result, ensure};

use super::elf;

/// Where the magic number stands in the header.
const MAGIC_AT: usize = 56;

/// The magic number.
const MAGIC: &[u8] = b"ARM\x64";

/// Where the header says how much memory the image takes.
const SIZE_AT: usize = 16;

/// An image larger than this is a mistake in the linker script: a segment far from the others.
const LARGEST: u64 = 64 << 20;

/// The Image of a kernel. Errors: the file is no arm64 ELF file, its segments overlap or lie far apart, or what would be
/// the first bytes of the image is not the header a loader looks for.
pub(crate) fn flatten(file: &[u8]) -> Result<Vec<u8>> {
    let mut segments = elf::segments(file)?;
    segments.retain(|segment| segment.memory > 0);
    segments.sort_by_key(|segment| segment.physical);
    let base = segments.first().context("it has nothing to load")?.physical;
    let mut image = Vec::new();
    let mut memory = 0;
    for segment in &segments {
        let offset = segment.physical - base;
        ensure!(
            offset + segment.memory <= LARGEST,
            "the segment at {:#x} lies {offset:#x} bytes from the first one; is the linker script right?",
            segment.physical
        );
        ensure!(
            offset >= memory,
            "the segment at {:#x} overlaps the one before it",
            segment.physical
        );
        memory = offset + segment.memory;
        if !segment.data.is_empty() {
            image.resize(usize::try_from(offset)?, 0);
            image.extend_from_slice(segment.data);
        }
    }
    check_header(&image, memory)?;
    Ok(image)
}

/// Checks the header a loader will read.
fn check_header(image: &[u8], memory: u64) -> Result<()> {
    ensure!(
        image.get(MAGIC_AT..MAGIC_AT + MAGIC.len()) == Some(MAGIC),
        "its first loaded bytes are not the arm64 Image header (no magic number at byte {MAGIC_AT})"
    );
    let field = image
        .get(SIZE_AT..SIZE_AT + 8)
        .and_then(|bytes| bytes.try_into().ok());
    let size = u64::from_le_bytes(field.context("the header is cut short")?);
    ensure!(
        size >= memory,
        "its header asks for {size:#x} bytes of memory, but its segments take {memory:#x}: a loader may put something \
         into the rest"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::elf;
    use super::*;

    /// A header that asks for `size` bytes.
    fn header(size: u64) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[SIZE_AT..SIZE_AT + 8].copy_from_slice(&size.to_le_bytes());
        bytes[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(MAGIC);
        bytes
    }

    #[test]
    fn image_places_segments_by_physical_address() {
        let file = elf(&[(0x1100, 4, b"data"), (0x1000, 64, &header(0x104))]);
        let image = flatten(&file).expect("an image");
        assert_eq!(image.len(), 0x104);
        assert_eq!(&image[0x100..], b"data");
        assert!(image[64..0x100].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn image_leaves_out_memory_the_file_does_not_hold() {
        let file = elf(&[(0x1000, 0x2000, &header(0x9000)), (0x8000, 0x100, b"")]);
        assert_eq!(flatten(&file).expect("an image").len(), 64);
    }

    #[test]
    fn image_without_header_is_refused() {
        let message = flatten(&elf(&[(0, 64, &[0; 64])]))
            .expect_err("no header")
            .to_string();
        assert!(message.contains("Image header"), "{message}");
    }

    #[test]
    fn image_larger_than_its_header_says_is_refused() {
        let message = flatten(&elf(&[(0, 0x5000, &header(0x1000))]))
            .expect_err("too large")
            .to_string();
        assert!(message.contains("0x5000"), "{message}");
    }

    #[test]
    fn image_with_overlapping_or_far_segments_is_refused() {
        assert!(flatten(&elf(&[(0, 0x80, &header(0x1000)), (0x40, 4, b"abcd")])).is_err());
        assert!(flatten(&elf(&[(0, 0x40, &header(0x1000)), (1 << 40, 4, b"abcd")])).is_err());
        assert!(flatten(&elf(&[])).is_err());
    }
}
