//! The message header of sendmsg(2) and recvmsg(2), and what sending and receiving have in common.

use alloc::sync::Arc;

use halyard_abi::socket::MSG_DONTWAIT;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::fs::open_file::OpenFile;
use crate::machine::UserAddr;
use crate::mm::{AddressSpace, IOV_MAX, UserBuffer};
use crate::{Errno, Result};

/// `struct msghdr` (recv(2)).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(super) struct Header {
    pub(super) name: u64,
    pub(super) name_length: i32,
    pad: u32,
    parts: u64,
    part_count: u64,
    pub(super) control: u64,
    pub(super) control_length: u64,
    flags: u32,
    pad2: u32,
}

/// Where in a `struct msghdr` the length of the name is.
pub(super) const NAME_LENGTH: usize = 8;
/// Where the length of the control data is, with the flags behind it.
pub(super) const CONTROL_LENGTH: usize = 40;

impl Header {
    /// The header at `at`. EFAULT.
    pub(super) fn read(space: &AddressSpace, at: UserAddr) -> Result<Header> {
        space.read_user(at)
    }

    /// The buffers that it lists. EMSGSIZE: more than IOV_MAX. EFAULT, EINVAL, ENOMEM.
    pub(super) fn buffer(&self, space: &Arc<AddressSpace>) -> Result<UserBuffer> {
        let count = usize::try_from(self.part_count).unwrap_or(usize::MAX);
        if count > IOV_MAX {
            return Err(Errno::EMSGSIZE);
        }
        UserBuffer::from_iovec(space, UserAddr(self.parts as usize), count)
    }
}

/// Whether a call on `file` waits if it must.
pub(super) fn waits(file: &OpenFile, flags: u32) -> bool {
    flags & MSG_DONTWAIT == 0 && !file.nonblocking()
}
