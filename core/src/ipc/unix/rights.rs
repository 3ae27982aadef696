//! Descriptors on the way (SCM_RIGHTS). Sockets among them are counted in the register of [`super::flight`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::flight::{self, Leaving};
use crate::Result;
use crate::fs::open_file::OpenFile;

/// Open files in a message.
#[derive(Default)]
pub struct Rights {
    pub(super) files: Vec<Arc<OpenFile>>,
    /// Who is charged for them; None: nobody, being privileged.
    user: Option<u32>,
    /// Whether the register counts them.
    on_the_way: bool,
}

/// Who sends descriptors, and how many they may have on the way.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// The user.
    pub user: u32,
    /// More than this many are too many (RLIMIT_NOFILE); None: there is no bound.
    pub limit: Option<usize>,
}

impl Rights {
    /// Puts `files` on the way. ETOOMANYREFS: too many of the user's are. ENOMEM.
    pub fn launch(files: Vec<Arc<OpenFile>>, quota: Quota) -> Result<Rights> {
        let user = quota.limit.map(|_| quota.user);
        if user.is_some() || files.iter().any(|file| file.is_socket()) {
            flight::launch(&files, quota)?;
        }
        Ok(Rights {
            files,
            user,
            on_the_way: true,
        })
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.files.len()
    }

    /// Takes them off the way: they are the receiver's now, who has them by [`Rights::take_next`].
    pub fn land(&mut self) {
        let _ = self.leave();
        self.files.reverse();
    }

    /// The next one, after [`Rights::land`].
    pub fn take_next(&mut self) -> Option<Arc<OpenFile>> {
        self.files.pop()
    }

    /// The same descriptors for somebody who looks but does not receive; these are not on the way. The caller has
    /// [`flight::hold`] of what is. Without memory: none.
    pub(super) fn copy(&self) -> Rights {
        let mut files = Vec::new();
        if files.try_reserve_exact(self.files.len()).is_ok() {
            files.extend(self.files.iter().cloned());
        }
        Rights {
            files,
            user: None,
            on_the_way: false,
        }
    }

    /// Takes them off the way. False: they were not on it.
    fn leave(&mut self) -> bool {
        if !core::mem::take(&mut self.on_the_way) {
            return false;
        }
        let user = self.user.take();
        if user.is_some() || self.files.iter().any(|file| file.is_socket()) {
            flight::leave(&self.files, user);
        }
        true
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if self.files.is_empty() {
            return;
        }
        if self.leave() {
            flight::bury(&mut self.files);
        }
        // Copies, those that the receiver did not take, and what is no socket.
        let mut leaving = Leaving::default();
        for file in self.files.drain(..) {
            leaving.let_go(file);
        }
    }
}
