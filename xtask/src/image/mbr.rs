//! The partition table of a memory card: one partition, FAT32.
//!
//! Source: UEFI Specification 2.10, 5.2.1 (legacy master boot record).

/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 512;

/// Partition type "FAT32 with LBA", which the Raspberry Pi's firmware looks for.
const FAT32_LBA: u8 = 0x0c;

/// A cylinder, head and sector that says: use the number of the sector instead.
const NO_GEOMETRY: [u8; 3] = [0xfe, 0xff, 0xff];

/// Where the first entry is.
const ENTRY: usize = 446;

/// Marks the disk, so that two cards can be told apart from other people's: "HALY".
const SIGNATURE: [u8; 4] = *b"HALY";

/// The first sector of a card whose partition has `count` sectors from `first` on.
pub(crate) fn sector(first: u32, count: u32) -> [u8; 512] {
    let mut bytes = [0; 512];
    bytes[440..444].copy_from_slice(&SIGNATURE);
    let entry = &mut bytes[ENTRY..ENTRY + 16];
    entry[1..4].copy_from_slice(&NO_GEOMETRY);
    entry[4] = FAT32_LBA;
    entry[5..8].copy_from_slice(&NO_GEOMETRY);
    entry[8..12].copy_from_slice(&first.to_le_bytes());
    entry[12..16].copy_from_slice(&count.to_le_bytes());
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// The first sector and the count of sectors of the first partition, if these are the bytes of a partition table.
#[cfg(test)]
pub(crate) fn partition(bytes: &[u8]) -> Option<(u32, u32)> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    (bytes.get(510..512)? == [0x55, 0xaa] && bytes[ENTRY + 4] == FAT32_LBA)
        .then(|| Some((word(ENTRY + 8)?, word(ENTRY + 12)?)))?
}
