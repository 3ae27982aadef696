//! Extended attributes (xattr(7)): no file system here has any. A file is looked for all the same, so that who asks of one that
//! is not there is told so.

use super::{Answer, Call, DONE};
use crate::fs::path::Last;
use crate::syscall::path::AT_FDCWD;
use crate::{Errno, Result};

/// getxattr(2), setxattr(2), removexattr(2). EOPNOTSUPP; errors of looking for the file.
pub(super) fn of_path(call: &mut Call<'_>) -> Answer {
    find(call, Last::Follow)?;
    Err(Errno::EOPNOTSUPP)
}

/// As [`of_path`], of a symbolic link itself.
pub(super) fn of_link(call: &mut Call<'_>) -> Answer {
    find(call, Last::Keep)?;
    Err(Errno::EOPNOTSUPP)
}

/// As [`of_path`], of an open file. EBADF.
pub(super) fn of_file(call: &mut Call<'_>) -> Answer {
    call.file::<0>()?;
    Err(Errno::EOPNOTSUPP)
}

/// listxattr(2): an empty list.
pub(super) fn list_of_path(call: &mut Call<'_>) -> Answer {
    find(call, Last::Follow)?;
    DONE
}

/// llistxattr(2): an empty list.
pub(super) fn list_of_link(call: &mut Call<'_>) -> Answer {
    find(call, Last::Keep)?;
    DONE
}

/// flistxattr(2): an empty list. EBADF.
pub(super) fn list_of_file(call: &mut Call<'_>) -> Answer {
    call.file::<0>()?;
    DONE
}

fn find(call: &Call<'_>, last: Last) -> Result<()> {
    let path = call.path::<0>()?;
    let who = call.process().credentials();
    call.walker(AT_FDCWD, &path, &who)?.find(path, last)?;
    Ok(())
}
