//! How a driver reaches its device's registers without an unsafe line.
//!
//! Whoever maps a device (arch, a BSP) hands its driver a [`Window`]: the one place where a register access is unsafe,
//! written and justified once. Registers are named constants at offsets into the window, and what `tock-registers`
//! gives its own register types (`read`, `write`, `modify`, fields by their manual's names) they have too, by its
//! traits. `register_structs!` is not used: a `&Registers` into a device is neither `Send` nor `Sync` without unsafe
//! code here, and cannot be faked with behaviour in a test; a window can.
//!
//! ```
//! use halyard_drivers::mmio::{ReadOnly, Window};
//! use tock_registers::{interfaces::Readable, register_bitfields};
//!
//! register_bitfields![u32, FR [TXFF OFFSET(5) NUMBITS(1) []]];
//! const FR: ReadOnly<u32, FR::Register> = ReadOnly::at(0x018);
//!
//! fn is_full(device: &impl Window) -> bool {
//!     device.at(FR).is_set(FR::TXFF)
//! }
//! ```

use core::marker::PhantomData;

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::{RegisterLongName, UIntLike};

/// A device's registers. Offsets are in bytes from the first.
///
/// Each access is one load or store of its width, volatile and in program order with the other accesses to the window.
/// An access that is misaligned or does not lie within [`Window::size`] does not happen: a read of it gives 0. So a
/// driver cannot reach beyond its device, whatever a device tree says about it.
pub trait Window {
    /// Bytes.
    fn size(&self) -> usize;
    /// Loads a byte.
    fn read8(&self, offset: usize) -> u8;
    /// Stores a byte.
    fn write8(&self, offset: usize, value: u8);
    /// Loads a word.
    fn read32(&self, offset: usize) -> u32;
    /// Stores a word.
    fn write32(&self, offset: usize, value: u32);

    /// Register `register` of this window.
    #[inline]
    fn at<D: Register>(&self, register: D) -> At<'_, Self, D> {
        At {
            window: self,
            register,
        }
    }
}

impl<W: Window + ?Sized> Window for &W {
    #[inline]
    fn size(&self) -> usize {
        (**self).size()
    }
    #[inline]
    fn read8(&self, offset: usize) -> u8 {
        (**self).read8(offset)
    }
    #[inline]
    fn write8(&self, offset: usize, value: u8) {
        (**self).write8(offset, value);
    }
    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        (**self).read32(offset)
    }
    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        (**self).write32(offset, value);
    }
}

/// A window smaller than the device's registers: the device tree is wrong about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    /// Bytes that the driver needs.
    pub needed: usize,
    /// Bytes that the window has.
    pub size: usize,
}

impl core::fmt::Display for TooSmall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let TooSmall { needed, size } = self;
        write!(f, "{size} bytes of registers where the device has {needed}")
    }
}

impl core::error::Error for TooSmall {}

/// Errors if `window` has fewer than `needed` bytes.
pub(crate) fn require(window: &impl Window, needed: usize) -> Result<(), TooSmall> {
    let size = window.size();
    if size < needed {
        return Err(TooSmall { needed, size });
    }
    Ok(())
}

/// How wide a register is: `u8` or `u32`.
pub trait Width: UIntLike {
    /// Loads it.
    fn load<W: Window + ?Sized>(window: &W, offset: usize) -> Self;
    /// Stores it.
    fn store<W: Window + ?Sized>(self, window: &W, offset: usize);
}

impl Width for u8 {
    #[inline]
    fn load<W: Window + ?Sized>(window: &W, offset: usize) -> Self {
        window.read8(offset)
    }
    #[inline]
    fn store<W: Window + ?Sized>(self, window: &W, offset: usize) {
        window.write8(offset, self);
    }
}

impl Width for u32 {
    #[inline]
    fn load<W: Window + ?Sized>(window: &W, offset: usize) -> Self {
        window.read32(offset)
    }
    #[inline]
    fn store<W: Window + ?Sized>(self, window: &W, offset: usize) {
        window.write32(offset, self);
    }
}

/// A register's place, width and fields.
pub trait Register: Copy {
    /// Its width.
    type Width: Width;
    /// Its fields, from `register_bitfields!`.
    type Fields: RegisterLongName;
    /// Bytes from the start of the window.
    fn offset(&self) -> usize;
}

/// A register that may be read.
pub trait CanRead: Register {}
/// A register that may be written.
pub trait CanWrite: Register {}

macro_rules! register_kinds {
    ($($(#[$doc:meta])* $name:ident: $($may:ident),+;)*) => {$(
        $(#[$doc])*
        pub struct $name<T, R = ()> {
            offset: usize,
            kind: PhantomData<fn() -> (T, R)>,
        }

        impl<T, R> $name<T, R> {
            /// The register at `offset` bytes into the window.
            #[must_use]
            pub const fn at(offset: usize) -> Self {
                $name { offset, kind: PhantomData }
            }

            /// Register `index` of the array that starts here. Past the window's end it is a register that is not
            /// there.
            #[must_use]
            pub const fn nth(self, index: usize) -> Self {
                Self::at(self.offset.saturating_add(index.saturating_mul(size_of::<T>())))
            }
        }

        impl<T, R> Clone for $name<T, R> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T, R> Copy for $name<T, R> {}

        impl<T: Width, R: RegisterLongName> Register for $name<T, R> {
            type Width = T;
            type Fields = R;
            #[inline]
            fn offset(&self) -> usize {
                self.offset
            }
        }

        $(impl<T: Width, R: RegisterLongName> $may for $name<T, R> {})+
    )*};
}

register_kinds! {
    /// A register to be read.
    ReadOnly: CanRead;
    /// A register to be written.
    WriteOnly: CanWrite;
    /// A register to be read and written.
    ReadWrite: CanRead, CanWrite;
}

/// A register of a window.
pub struct At<'w, W: ?Sized, D> {
    window: &'w W,
    register: D,
}

impl<W: Window + ?Sized, D: CanRead> Readable for At<'_, W, D> {
    type T = D::Width;
    type R = D::Fields;

    #[inline]
    fn get(&self) -> D::Width {
        D::Width::load(self.window, self.register.offset())
    }
}

impl<W: Window + ?Sized, D: CanWrite> Writeable for At<'_, W, D> {
    type T = D::Width;
    type R = D::Fields;

    #[inline]
    fn set(&self, value: D::Width) {
        value.store(self.window, self.register.offset());
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! Registers in RAM, which remember what was written to them.

    use std::sync::Mutex;
    use std::vec;
    use std::vec::Vec;

    use super::Window;

    /// One store.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Write {
        /// Of a byte.
        Byte(usize, u8),
        /// Of a word.
        Word(usize, u32),
    }

    /// A window of plain memory: what is written is read back.
    pub(crate) struct Memory {
        bytes: Mutex<Vec<u8>>,
        writes: Mutex<Vec<Write>>,
    }

    impl Memory {
        pub(crate) fn new(size: usize) -> Self {
            Memory {
                bytes: Mutex::new(vec![0; size]),
                writes: Mutex::default(),
            }
        }

        /// What was written since the last call.
        pub(crate) fn take_writes(&self) -> Vec<Write> {
            core::mem::take(&mut *self.writes.lock().unwrap())
        }

        /// Changes a word as the device would.
        pub(crate) fn poke32(&self, offset: usize, value: u32) {
            self.bytes.lock().unwrap()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        }
    }

    impl Window for Memory {
        fn size(&self) -> usize {
            self.bytes.lock().unwrap().len()
        }
        fn read8(&self, offset: usize) -> u8 {
            self.bytes
                .lock()
                .unwrap()
                .get(offset)
                .copied()
                .unwrap_or_default()
        }
        fn write8(&self, offset: usize, value: u8) {
            self.writes.lock().unwrap().push(Write::Byte(offset, value));
            if let Some(byte) = self.bytes.lock().unwrap().get_mut(offset) {
                *byte = value;
            }
        }
        fn read32(&self, offset: usize) -> u32 {
            let bytes = self.bytes.lock().unwrap();
            let word = bytes.get(offset..).and_then(|rest| rest.first_chunk());
            word.map_or(0, |word| u32::from_le_bytes(*word))
        }
        fn write32(&self, offset: usize, value: u32) {
            self.writes.lock().unwrap().push(Write::Word(offset, value));
            if offset.is_multiple_of(4) && offset + 4 <= self.size() {
                self.poke32(offset, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tock_registers::interfaces::ReadWriteable;
    use tock_registers::register_bitfields;

    use super::fake::{Memory, Write};
    use super::*;

    register_bitfields![u32, TEST [LOW OFFSET(0) NUMBITS(4) [], HIGH OFFSET(28) NUMBITS(4) []]];
    const TEST: ReadWrite<u32, TEST::Register> = ReadWrite::at(8);
    const BYTES: ReadWrite<u8> = ReadWrite::at(16);

    #[test]
    fn register_modify_keeps_the_other_fields() {
        let memory = Memory::new(32);
        memory.at(TEST).set(0x1000_000f);
        memory.at(TEST).modify(TEST::LOW.val(2));
        assert_eq!(memory.read32(8), 0x1000_0002);
        assert_eq!(memory.at(TEST).read(TEST::HIGH), 1);
    }

    #[test]
    fn byte_register_of_an_array_is_one_byte_store() {
        let memory = Memory::new(32);
        memory.at(BYTES.nth(3)).set(0xab);
        assert_eq!(memory.take_writes(), [Write::Byte(19, 0xab)]);
    }

    #[test]
    fn nth_of_a_huge_index_is_outside_every_window() {
        let memory = Memory::new(32);
        memory.at(BYTES.nth(usize::MAX)).set(1);
        assert_eq!(memory.at(TEST.nth(usize::MAX)).get(), 0);
    }

    #[test]
    fn require_of_more_than_there_is_is_too_small() {
        let memory = Memory::new(32);
        assert_eq!(require(&memory, 32), Ok(()));
        let small = TooSmall {
            needed: 33,
            size: 32,
        };
        assert_eq!(require(&memory, 33), Err(small));
    }
}
