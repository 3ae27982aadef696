//! Windows on device registers: where a driver's access becomes a load or a store.

use core::ptr::{read_volatile, write_volatile};

use halyard_drivers::dt;
use halyard_drivers::mmio::Window;

use super::kernel_map::{self, MapError};

/// The mapped registers of one device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    address: usize,
    size: usize,
}

impl Registers {
    /// Maps the registers at physical `start..start + size` as device memory.
    pub(crate) fn map(start: usize, size: usize) -> Result<Self, MapError> {
        let address = kernel_map::map_device(start, size)?;
        Ok(Self { address, size })
    }

    /// Maps what the plan found.
    pub(crate) fn of(region: dt::Region) -> Result<Self, MapError> {
        Self::map(region.address as usize, region.size as usize)
    }

    /// Where they are mapped.
    pub(crate) fn address(&self) -> usize {
        self.address
    }

    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        (end <= self.size && offset.is_multiple_of(size_of::<T>()))
            .then_some((self.address + offset) as *mut T)
    }
}

impl Window for Registers {
    fn size(&self) -> usize {
        self.size
    }

    #[inline]
    fn read8(&self, offset: usize) -> u8 {
        // SAFETY: within the mapped registers of a device, aligned; device memory holds no Rust object.
        self.at(offset).map_or(0, |at| unsafe { read_volatile(at) })
    }

    #[inline]
    fn write8(&self, offset: usize, value: u8) {
        if let Some(at) = self.at(offset) {
            // SAFETY: as in `read8`.
            unsafe { write_volatile(at, value) }
        }
    }

    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        // SAFETY: as in `read8`.
        self.at(offset).map_or(0, |at| unsafe { read_volatile(at) })
    }

    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        if let Some(at) = self.at(offset) {
            // SAFETY: as in `read8`.
            unsafe { write_volatile(at, value) }
        }
    }
}
