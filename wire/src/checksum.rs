//! Checksums over bytes that crossed a wire. Bit by bit: a table would be larger than all else here, and a serial line is slower
//! than the loop.

/// CRC-16/XMODEM: polynomial 0x1021, begins with 0, not reflected. For frames of at most a few hundred bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc16(u16);

impl Crc16 {
    /// Of no bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// With one more byte.
    #[must_use]
    pub fn with(self, byte: u8) -> Self {
        let mut crc = self.0 ^ (u16::from(byte) << 8);
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
        }
        Self(crc)
    }

    /// With more bytes.
    #[must_use]
    pub fn with_all(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |crc, &byte| crc.with(byte))
    }

    /// The sum.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc16_of_the_check_string_is_that_of_xmodem() {
        assert_eq!(Crc16::new().with_all(b"123456789").value(), 0x31c3);
        assert_eq!(Crc16::new().value(), 0);
    }
}
