//! eventfd2(2).

use alloc::sync::Arc;

use halyard_abi::raw::general::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE};

use super::{Answer, Call, Outcome};
use crate::fs::file::File;
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::ipc::eventfd::EventFd;
use crate::{Errno, Result};

impl Call<'_> {
    /// Gives what has no name a descriptor by which it is read and written. ENFILE, EMFILE, ENOMEM.
    pub(super) fn open_anonymous(
        &self,
        file: Arc<dyn File>,
        nonblocking: bool,
        close_on_exec: bool,
    ) -> Result<i32> {
        let mut flags = OpenFlags::READ_WRITE;
        flags.set(OpenFlags::NONBLOCK, nonblocking);
        let file = OpenFile::new(file, flags)?;
        self.files()
            .insert(file, 0, self.descriptor_limit(), close_on_exec)
    }
}

/// eventfd2(2): the count to begin with, flags.
pub(super) fn eventfd2(call: &mut Call<'_>) -> Answer {
    let (count, flags) = (call.uint::<0>(), call.uint::<1>());
    if flags & !(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = EventFd::new(count, flags & EFD_SEMAPHORE != 0);
    let fd = call.open_anonymous(
        Arc::new(file),
        flags & EFD_NONBLOCK != 0,
        flags & EFD_CLOEXEC != 0,
    )?;
    Ok(Outcome::Done(fd as usize))
}
