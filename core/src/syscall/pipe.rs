//! pipe2(2).

use alloc::sync::Arc;

use super::descriptor::O_CLOEXEC;
use super::{Answer, Call, DONE};
use crate::Errno;
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::ipc::pipe::Pipe;

/// pipe2(2). EINVAL: unknown flags. EMFILE, ENFILE, ENOMEM, EFAULT leave no descriptor behind.
pub(super) fn pipe2(call: &mut Call<'_>) -> Answer {
    let bits = call.uint::<1>();
    let changeable = OpenFlags::NONBLOCK | OpenFlags::DIRECT;
    if bits & !(changeable.bits() | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    if bits & OpenFlags::DIRECT.bits() != 0 {
        // Packets are not kept apart here, and to pretend would lose their bounds.
        return Err(Errno::EINVAL);
    }
    let flags = OpenFlags::from_bits_truncate(bits).intersection(changeable);
    let (reader, writer) = Pipe::pair()?;
    let files = [
        OpenFile::new(Arc::new(reader), flags)?,
        OpenFile::new(Arc::new(writer), flags | OpenFlags::WRITE_ONLY)?,
    ];
    let fds = call
        .files()
        .insert_pair(files, call.descriptor_limit(), bits & O_CLOEXEC != 0)?;
    if let Err(fault) = call.space().write_user(call.addr::<0>(), &fds) {
        for fd in fds {
            let _ = call.files().close(fd);
        }
        return Err(fault);
    }
    DONE
}
