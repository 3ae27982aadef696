//! What comes with a message besides its bytes (cmsg(3)): reading it from a sender, writing it to a receiver.

use alloc::sync::Arc;
use alloc::vec::Vec;

use halyard_abi::socket::{MSG_CTRUNC, SCM_CREDENTIALS, SCM_MAX_FD, SCM_RIGHTS, SOL_SOCKET};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Party;
use crate::fs::open_file::OpenFile;
use crate::ipc::unix::{Attachment, Quota, Rights, Ucred};
use crate::machine::UserAddr;
use crate::process::limits::Resource;
use crate::{Errno, Result};

/// `struct cmsghdr` (cmsg(3)).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Header {
    length: u64,
    level: u32,
    kind: u32,
}

const HEADER: usize = size_of::<Header>();
const ALIGN: usize = size_of::<usize>();
/// The most bytes of control data that a sender may give (net.core.optmem_max).
const CONTROL_MAX: usize = 131_072;

/// What the control data of `length` bytes at `at` attaches to a message. EINVAL: not well-formed, or too many descriptors.
/// EBADF: a descriptor that is not open. EPERM: somebody else's credentials. ESRCH: of no process. ENOBUFS, EFAULT, ETOOMANYREFS,
/// ENOMEM.
pub(super) fn read(party: Party<'_>, at: UserAddr, length: usize) -> Result<Attachment> {
    if length > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut credentials = None;
    let mut files = Vec::new();
    let mut done = 0;
    while let left = length.saturating_sub(done)
        && left >= HEADER
    {
        let here = UserAddr(at.0.wrapping_add(done));
        let header: Header = party.space.read_user(here)?;
        let size = usize::try_from(header.length)
            .ok()
            .filter(|size| (HEADER..=left).contains(size))
            .ok_or(Errno::EINVAL)?;
        let data = UserAddr(here.0.wrapping_add(HEADER));
        match (header.level, header.kind) {
            (SOL_SOCKET, SCM_RIGHTS) => read_files(party, data, size - HEADER, &mut files)?,
            (SOL_SOCKET, SCM_CREDENTIALS) => {
                credentials = Some(read_credentials(party, data, size - HEADER)?);
            }
            (SOL_SOCKET, _) => return Err(Errno::EINVAL),
            _ => {}
        }
        done += size.next_multiple_of(ALIGN);
    }
    let rights = if files.is_empty() {
        Rights::default()
    } else {
        Rights::launch(files, quota(party))?
    };
    Ok(Attachment {
        credentials,
        rights,
    })
}

fn quota(party: Party<'_>) -> Quota {
    let ids = party.process.credentials();
    let most = party.process.limits.get(Resource::FILES).soft;
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    Quota {
        user: ids.uid,
        limit: (!ids.privileged()).then_some(limit),
    }
}

fn read_files(
    party: Party<'_>,
    at: UserAddr,
    length: usize,
    files: &mut Vec<Arc<OpenFile>>,
) -> Result<()> {
    let count = length / size_of::<i32>();
    if files.len() + count > SCM_MAX_FD {
        return Err(Errno::EINVAL);
    }
    files.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count {
        let place = at.0.wrapping_add(index * size_of::<i32>());
        let fd = party.space.read_user(UserAddr(place))?;
        let file = party.files.get(fd)?;
        files.push(Arc::clone(&file));
    }
    Ok(())
}

fn read_credentials(party: Party<'_>, at: UserAddr, length: usize) -> Result<Ucred> {
    if length != size_of::<Ucred>() {
        return Err(Errno::EINVAL);
    }
    let claimed: Ucred = party.space.read_user(at)?;
    let ids = party.process.credentials();
    let own = claimed.pid == party.process.pid as i32
        && [ids.uid, ids.euid, ids.suid].contains(&claimed.uid)
        && [ids.gid, ids.egid, ids.sgid].contains(&claimed.gid);
    if !own && !ids.privileged() {
        return Err(Errno::EPERM);
    }
    let pid = u32::try_from(claimed.pid).map_err(|_| Errno::ESRCH)?;
    if claimed.pid != party.process.pid as i32 && party.kernel.processes.process(pid).is_none() {
        return Err(Errno::ESRCH);
    }
    Ok(claimed)
}

/// A receiver's room for control data.
pub(super) struct Room {
    at: UserAddr,
    left: usize,
    /// How much is used.
    pub(super) used: usize,
    /// MSG_CTRUNC if there was more than fits.
    pub(super) flags: u32,
}

impl Room {
    /// `length` bytes at `at`; NULL has none.
    pub(super) const fn new(at: UserAddr, length: usize) -> Room {
        Room {
            at,
            left: if at.0 == 0 { 0 } else { length },
            used: 0,
            flags: 0,
        }
    }

    fn header(&self, space: &crate::mm::AddressSpace, kind: u32, data: usize) -> Result<()> {
        let header = Header {
            length: (HEADER + data) as u64,
            level: SOL_SOCKET,
            kind,
        };
        space.write_user(self.at, &header)
    }

    /// `data` bytes have been stored behind a header.
    fn advance(&mut self, data: usize) {
        let size = (HEADER + data).next_multiple_of(ALIGN).min(self.left);
        self.at.0 = self.at.0.wrapping_add(size);
        self.left -= size;
        self.used += size;
    }

    /// Stores who sent; what does not fit is cut. EFAULT.
    pub(super) fn put_credentials(&mut self, party: Party<'_>, who: Ucred) -> Result<()> {
        if self.left < HEADER {
            self.flags |= MSG_CTRUNC;
            return Ok(());
        }
        let bytes = who.as_bytes();
        let fits = bytes.get(..self.left - HEADER).unwrap_or(bytes);
        if fits.len() < bytes.len() {
            self.flags |= MSG_CTRUNC;
        }
        self.header(party.space, SCM_CREDENTIALS, fits.len())?;
        let data = UserAddr(self.at.0.wrapping_add(HEADER));
        party.space.write_bytes(data, fits)?;
        self.advance(fits.len());
        Ok(())
    }

    /// Gives the receiver descriptors for as many of `rights` as there is room for, and stores their numbers. The others
    /// are closed. EFAULT.
    pub(super) fn put_rights(
        &mut self,
        party: Party<'_>,
        mut rights: Rights,
        close_on_exec: bool,
    ) -> Result<()> {
        const FD: usize = size_of::<i32>();
        let room = self.left.saturating_sub(HEADER) / FD;
        let wanted = rights.len();
        rights.land();
        let mut count = 0;
        while count < room
            && party.files.has_room(party.limit)
            && let Some(file) = rights.take_next()
        {
            let Ok(fd) = party.files.insert(file, 0, party.limit, close_on_exec) else {
                break;
            };
            let place = self.at.0.wrapping_add(HEADER + count * FD);
            if let Err(fault) = party.space.write_user(UserAddr(place), &fd) {
                let _ = party.files.close(fd);
                return Err(fault);
            }
            count += 1;
        }
        if count < wanted {
            self.flags |= MSG_CTRUNC;
        }
        if count > 0 {
            self.header(party.space, SCM_RIGHTS, count * FD)?;
            self.advance(count * FD);
        }
        Ok(())
    }
}
