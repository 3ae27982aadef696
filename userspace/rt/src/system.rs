//! What the machine and its kernel say of themselves.

use core::ffi::CStr;

use crate::sys::{plain, sys};
use crate::{Result, cstr, nr};

/// The kernel's name and that of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Names([[u8; 65]; 6]);

impl Names {
    fn field(&self, index: usize) -> &str {
        CStr::from_bytes_until_nul(&self.0[index])
            .ok()
            .and_then(|text| text.to_str().ok())
            .unwrap_or("?")
    }

    /// `Linux`, or `Halyard`.
    pub fn system(&self) -> &str {
        self.field(0)
    }

    /// The machine's name.
    pub fn node(&self) -> &str {
        self.field(1)
    }

    /// The kernel's release.
    pub fn release(&self) -> &str {
        self.field(2)
    }

    /// The kernel's build.
    pub fn version(&self) -> &str {
        self.field(3)
    }

    /// The processor's kind: `aarch64`.
    pub fn machine(&self) -> &str {
        self.field(4)
    }
}

/// The kernel's name and that of the machine.
///
/// # Errors
/// None that a program could cause.
pub fn names() -> Result<Names> {
    let mut names = Names([[0; 65]; 6]);
    // SAFETY: the kernel writes six fields of 65 bytes.
    unsafe { sys!(nr::UNAME, names.0.as_mut_ptr()) }?;
    Ok(names)
}

/// Memory and load (`struct sysinfo`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Info {
    /// Seconds since the machine started.
    pub uptime: i64,
    /// Load averages over 1, 5 and 15 minutes, times 65536.
    pub loads: [u64; 3],
    /// Usable memory, in units.
    pub total: u64,
    /// Memory that nobody uses, in units.
    pub free: u64,
    /// Memory in shared files, in units.
    pub shared: u64,
    /// Memory in buffers, in units.
    pub buffers: u64,
    /// Swap, in units.
    pub swap_total: u64,
    /// Free swap, in units.
    pub swap_free: u64,
    /// Threads.
    pub processes: u16,
    padding: u16,
    high: [u64; 2],
    /// The unit in bytes.
    pub unit: u32,
}

/// Memory and load.
///
/// # Errors
/// None that a program could cause.
pub fn info() -> Result<Info> {
    let mut info = Info::default();
    // SAFETY: the kernel writes one structure of that layout.
    unsafe { sys!(nr::SYSINFO, &raw mut info) }?;
    Ok(info)
}

/// Mounts a file system of that kind.
///
/// # Errors
/// `EPERM`, `ENOENT`, `ENODEV`, `EBUSY`, `ENOSYS` where it is not done.
pub fn mount(kind: &str, at: &str) -> Result<()> {
    cstr::with(kind.as_bytes(), |kind| {
        cstr::with(at.as_bytes(), |at| {
            // SAFETY: the kernel reads the two strings; there are no data.
            unsafe { sys!(nr::MOUNT, kind, at, kind, 0, 0) }.map(drop)
        })
    })
}

/// Writes all files through.
pub fn sync() {
    let _ = plain(nr::SYNC, 0, 0, 0);
}

/// Turns the machine off.
///
/// # Errors
/// `EPERM`; `ENOSYS` where the kernel cannot.
pub fn power_off() -> Result<()> {
    const POWER_OFF: isize = 0x4321_fedc;
    end(POWER_OFF)
}

/// Starts the machine anew.
///
/// # Errors
/// `EPERM`.
pub fn reboot() -> Result<()> {
    const RESTART: isize = 0x0123_4567;
    end(RESTART)
}

/// reboot(2) with that order.
fn end(order: isize) -> Result<()> {
    const MAGIC: [isize; 2] = [0xfee1_dead, 672_274_793];
    plain(nr::REBOOT, MAGIC[0], MAGIC[1], order).map(drop)
}
