//! What tests watch: open files over counters, and an epoll instance without system calls.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Epoll, Nesting, Wish};
use crate::Result;
use crate::fs::file::File;
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::ipc::eventfd::EventFd;

/// An open file, or a panic.
pub(super) fn open(file: impl File + 'static) -> Arc<OpenFile> {
    match OpenFile::new(Arc::new(file), OpenFlags::READ_WRITE) {
        Ok(file) => file,
        Err(errno) => panic!("not opened: {errno:?}"),
    }
}

/// A counter that is not readable yet.
pub(super) fn counter() -> Arc<OpenFile> {
    open(EventFd::new(0, false))
}

/// Adds one.
pub(super) fn signal(file: &OpenFile) {
    let bytes = 1_u64.to_le_bytes();
    let mut source: &[u8] = &bytes;
    assert_eq!(file.try_write(&mut source), Ok(8));
}

/// Takes all; false if there was nothing.
pub(super) fn drain(file: &OpenFile) -> bool {
    let mut bytes = [0_u8; 8];
    let mut sink: &mut [u8] = &mut bytes;
    file.try_read(&mut sink).is_ok()
}

pub(super) fn add(epoll: &Arc<Epoll>, fd: i32, file: &Arc<OpenFile>, events: u32) -> Result<()> {
    let wish = Wish {
        events,
        data: fd as u64,
    };
    epoll.add(&Nesting::new(), fd, file, wish)
}

/// The numbers of what is reported, at most `most`.
pub(super) fn collect(epoll: &Epoll, most: usize) -> Vec<u64> {
    let mut found = Vec::new();
    let count = epoll.collect(most, |_, report| {
        found.push(report.data);
        Ok(())
    });
    assert_eq!(count, Ok(found.len()));
    found
}
