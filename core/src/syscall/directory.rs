//! Where a process is among the names, and what names a directory has: chdir, chroot, getcwd, umask, getdents64.

use alloc::sync::Arc;

use super::{Answer, Call, DONE, Outcome};
use crate::fs::directory::Listed;
use crate::fs::inode::{Inode, Want};
use crate::fs::path::{self, NAME_MAX};
use crate::machine::UserAddr;
use crate::{Errno, Result};

/// chdir(2).
pub(super) fn chdir(call: &mut Call<'_>) -> Answer {
    let inode = call.find_here::<0>()?;
    enter(call, inode)
}

/// fchdir(2).
pub(super) fn fchdir(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    enter(call, Arc::clone(file.inode().ok_or(Errno::ENOTDIR)?))
}

fn enter(call: &Call<'_>, inode: Arc<Inode>) -> Answer {
    check_enterable(call, &inode)?;
    call.process().fs().ok_or(Errno::ESRCH)?.set_current(inode);
    DONE
}

/// ENOTDIR, EACCES.
fn check_enterable(call: &Call<'_>, inode: &Inode) -> Result<()> {
    if !inode.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    inode.check(&call.process().credentials(), Want::EXECUTE)
}

/// chroot(2).
pub(super) fn chroot(call: &mut Call<'_>) -> Answer {
    let inode = call.find_here::<0>()?;
    check_enterable(call, &inode)?;
    if !call.process().credentials().privileged() {
        return Err(Errno::EPERM);
    }
    call.process().fs().ok_or(Errno::ESRCH)?.set_root(inode);
    DONE
}

/// getcwd(2): returns the length with the NUL, as the system call does.
pub(super) fn getcwd(call: &mut Call<'_>) -> Answer {
    let fs = call.process().fs().ok_or(Errno::ESRCH)?;
    let mut path = path::path_of(&fs.current(), &fs.root())?;
    path.push(0);
    if path.len() > call.size::<1>() {
        return Err(Errno::ERANGE);
    }
    if path.len() > path::PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    call.space().write_bytes(call.addr::<0>(), &path)?;
    Ok(Outcome::Done(path.len()))
}

/// umask(2).
pub(super) fn umask(call: &mut Call<'_>) -> Answer {
    let fs = call.process().fs().ok_or(Errno::ESRCH)?;
    Ok(Outcome::Done(fs.set_umask(call.uint::<0>()) as usize))
}

/// Bytes in front of the name in `struct linux_dirent64` (getdents(2)).
const HEAD: usize = 19;
/// The longest record.
const RECORD_MAX: usize = (HEAD + NAME_MAX + 1).next_multiple_of(8);

/// getdents64(2). ENOTDIR; EINVAL: no room for one entry; ENOENT: the directory has been removed.
pub(super) fn getdents64(call: &mut Call<'_>) -> Answer {
    let file = call.usable_file::<0>()?;
    let room = call.uint::<2>() as usize;
    let mut cookie = file.reposition(Ok).map_err(|_| Errno::ENOTDIR)?;
    let mut done = 0;
    let mut record = [0; RECORD_MAX];
    while let Some(entry) = file.file().entry_from(cookie)? {
        let length = (HEAD + entry.name.len() + 1).next_multiple_of(8);
        let refused = if done + length > room {
            Err(Errno::EINVAL)
        } else {
            let record = fill_record(&mut record, &entry, length);
            call.space()
                .write_bytes(UserAddr(call.addr::<1>().0.wrapping_add(done)), record)
        };
        match refused {
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
            Ok(()) => (done, cookie) = (done + length, entry.cookie),
        }
    }
    file.reposition(|_| Ok(cookie))?;
    Ok(Outcome::Done(done))
}

/// `d_ino`, `d_off`, `d_reclen`, `d_type`, `d_name`. The type is that of `st_mode`, four bits lower by twelve.
fn fill_record<'a>(record: &'a mut [u8; RECORD_MAX], entry: &Listed, length: usize) -> &'a [u8] {
    record.fill(0);
    let [a, b] = (length as u16).to_le_bytes();
    let head = [
        &entry.inode.number.to_le_bytes()[..],
        &entry.cookie.to_le_bytes()[..],
        &[a, b],
    ];
    let kind = [(entry.inode.type_bits() >> 12) as u8];
    let bytes = head.into_iter().flatten().chain(&kind).chain(&*entry.name);
    record
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    record.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::inode::{FileSystemId, Metadata, Node};

    #[test]
    fn record_has_the_layout_of_linux_dirent64() {
        let inode = Inode::new(
            FileSystemId::ROOT,
            Node::Socket(crate::ipc::unix::SocketPlace::empty()),
            Metadata::new(0o600, 0, 0, 0),
        );
        let number = inode.number;
        let entry = Listed {
            name: Arc::from(&b"name"[..]),
            cookie: 0x102,
            inode: Arc::new(inode),
        };
        let mut room = [0xff; RECORD_MAX];
        let record = fill_record(&mut room, &entry, 24);
        assert_eq!(record[..8], number.to_le_bytes());
        assert_eq!(
            record[8..],
            [2, 1, 0, 0, 0, 0, 0, 0, 24, 0, 12, b'n', b'a', b'm', b'e', 0]
        );
    }
}
