//! System V IPC: message queues, shared memory, semaphores, found by keys and ids (svipc(7)).
//!
//! What is made stays when its maker ends, until somebody removes it.

use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;
use core::time::Duration;

use halyard_abi::sysv as abi;

use crate::mm::PAGE;
use crate::sys::{plain, sys};
use crate::{Errno, Result, nr};

pub use abi::{
    IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE, MSG_COPY, MSG_EXCEPT, MSG_NOERROR, Perm,
    SEM_UNDO, SHM_EXEC, SHM_RDONLY, SHM_REMAP, SHM_RND, SemaphoreOperation,
};

/// The number of an object.
pub type Id = i32;

/// Message queues.
pub mod message {
    use super::{Errno, Id, Result, Vec, abi, nr, plain, sys};

    pub use abi::{MessageInfo as Info, MessageQueueStatus as Status};

    const TYPE: usize = 8;

    /// The queue of `key`; made, with flag `IPC_CREAT`, if there is none.
    ///
    /// # Errors
    /// Those of msgget(2).
    pub fn get(key: i32, flags: u32) -> Result<Id> {
        plain(nr::MSGGET, key as isize, flags as isize, 0).map(|id| id as Id)
    }

    /// Sends `text` with a type greater than 0.
    ///
    /// # Errors
    /// Those of msgsnd(2).
    pub fn send(id: Id, kind: i64, text: &[u8], flags: u32) -> Result<()> {
        let mut message = Vec::new();
        message
            .try_reserve_exact(TYPE + text.len())
            .map_err(|_| Errno::ENOMEM)?;
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(text);
        // SAFETY: the message is only read.
        unsafe { sys!(nr::MSGSND, id, message.as_ptr(), text.len(), flags) }.map(drop)
    }

    /// Receives into `text`: the message's type, and how many bytes it has. `kind` says which: 0 the first, more than 0 the first of that type,
    /// less than 0 the lowest type up to that.
    ///
    /// # Errors
    /// Those of msgrcv(2).
    pub fn receive(id: Id, text: &mut [u8], kind: i64, flags: u32) -> Result<(i64, usize)> {
        let mut message = Vec::new();
        message
            .try_reserve_exact(TYPE + text.len())
            .map_err(|_| Errno::ENOMEM)?;
        message.resize(TYPE + text.len(), 0u8);
        // SAFETY: the kernel writes at most a type and as many bytes as `text` has.
        let count = unsafe {
            sys!(
                nr::MSGRCV,
                id,
                message.as_mut_ptr(),
                text.len(),
                kind,
                flags
            )
        }?;
        let (kind, got) = message.split_first_chunk().ok_or(Errno::EINVAL)?;
        if let (Some(to), Some(from)) = (text.get_mut(..count), got.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok((i64::from_ne_bytes(*kind), count))
    }

    /// What it is like.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`.
    pub fn status(id: Id) -> Result<Status> {
        let mut status = Status::default();
        // SAFETY: the kernel writes one such structure.
        unsafe { sys!(nr::MSGCTL, id, abi::IPC_STAT, &raw mut status) }?;
        Ok(status)
    }

    /// Changes owner, mode and the limit of bytes.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn set(id: Id, status: &Status) -> Result<()> {
        // SAFETY: the structure is only read.
        unsafe { sys!(nr::MSGCTL, id, abi::IPC_SET, &raw const *status) }.map(drop)
    }

    /// Removes it.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn remove(id: Id) -> Result<()> {
        plain(nr::MSGCTL, id as isize, abi::IPC_RMID as isize, 0).map(drop)
    }

    /// The limits (`IPC_INFO`) or, if `uses`, what there is (`MSG_INFO`); and the highest place in use.
    ///
    /// # Errors
    /// None that a program could cause.
    pub fn info(uses: bool) -> Result<(Info, i32)> {
        let mut info = Info::default();
        let command = if uses { abi::MSG_INFO } else { abi::IPC_INFO };
        // SAFETY: the kernel writes one such structure.
        let highest = unsafe { sys!(nr::MSGCTL, 0, command, &raw mut info) }?;
        Ok((info, highest as i32))
    }

    /// The queue in a place of the kernel's table: its id and what it is like.
    ///
    /// # Errors
    /// `EINVAL`: there is none. `EACCES`, unless `any`.
    pub fn at(place: i32, any: bool) -> Result<(Id, Status)> {
        let mut status = Status::default();
        let command = if any {
            abi::MSG_STAT_ANY
        } else {
            abi::MSG_STAT
        };
        // SAFETY: the kernel writes one such structure.
        let id = unsafe { sys!(nr::MSGCTL, place, command, &raw mut status) }?;
        Ok((id as Id, status))
    }
}

/// Shared memory.
pub mod memory {
    use super::{AtomicU32, Id, PAGE, Result, abi, nr, plain, sys};

    pub use abi::{SharedMemoryInfo as Info, SharedMemoryStatus as Status, SharedMemoryUse as Use};

    /// The segment of `key`; made, with flag `IPC_CREAT`, if there is none.
    ///
    /// # Errors
    /// Those of shmget(2).
    pub fn get(key: i32, size: usize, flags: u32) -> Result<Id> {
        plain(nr::SHMGET, key as isize, size as isize, flags as isize).map(|id| id as Id)
    }

    /// A segment in this process's memory; detached when it goes. Reached as [`Mapping`](crate::mm::Mapping) is.
    #[derive(Debug)]
    pub struct Attached {
        base: usize,
        length: usize,
    }

    /// Attaches a segment, wherever there is room.
    ///
    /// # Errors
    /// Those of shmat(2).
    pub fn attach(id: Id, flags: u32) -> Result<Attached> {
        // SAFETY: the kernel chooses a place where nothing is.
        let base = unsafe { sys!(nr::SHMAT, id, 0, flags & !abi::SHM_REMAP) }?;
        // Who may attach but not read its status cannot know its size: then nothing of it is reached.
        let length = status(id).map_or(0, |status| status.segsz as usize);
        Ok(Attached { base, length })
    }

    impl Attached {
        /// Where it is.
        pub fn address(&self) -> usize {
            self.base
        }

        fn at(&self, index: usize) -> usize {
            assert!(
                index < self.length.next_multiple_of(PAGE),
                "outside the segment"
            );
            self.base + index
        }

        /// Reads a byte.
        ///
        /// # Panics
        /// Behind its last page.
        pub fn load(&self, index: usize) -> u8 {
            // SAFETY: within the segment; any bits are a byte.
            unsafe { (self.at(index) as *const u8).read_volatile() }
        }

        /// Writes a byte.
        ///
        /// # Panics
        /// Behind its last page.
        pub fn store(&self, index: usize, value: u8) {
            // SAFETY: within the segment, of which nobody holds references but as atomics.
            unsafe { (self.at(index) as *mut u8).write_volatile(value) }
        }

        /// A word of it for atomic use; `index` is a byte index and a multiple of 4.
        ///
        /// # Panics
        /// If it isn't, or behind its last page.
        pub fn atomic(&self, index: usize) -> &AtomicU32 {
            let address = self.at(index);
            assert!(address.is_multiple_of(4), "an atomic is aligned");
            // SAFETY: an aligned word of pages that are attached as long as `self`.
            unsafe { AtomicU32::from_ptr(address as *mut u32) }
        }
    }

    impl Drop for Attached {
        fn drop(&mut self) {
            // SAFETY: it is ours, and what borrowed it is gone.
            let _ = unsafe { sys!(nr::SHMDT, self.base) };
        }
    }

    /// What it is like.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`.
    pub fn status(id: Id) -> Result<Status> {
        let mut status = Status::default();
        // SAFETY: the kernel writes one such structure.
        unsafe { sys!(nr::SHMCTL, id, abi::IPC_STAT, &raw mut status) }?;
        Ok(status)
    }

    /// Changes owner and mode.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn set(id: Id, status: &Status) -> Result<()> {
        // SAFETY: the structure is only read.
        unsafe { sys!(nr::SHMCTL, id, abi::IPC_SET, &raw const *status) }.map(drop)
    }

    /// Removes it: it goes with its last attach.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn remove(id: Id) -> Result<()> {
        plain(nr::SHMCTL, id as isize, abi::IPC_RMID as isize, 0).map(drop)
    }

    /// Keeps it in memory, or no more.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn lock(id: Id, locked: bool) -> Result<()> {
        let command = if locked {
            abi::SHM_LOCK
        } else {
            abi::SHM_UNLOCK
        };
        plain(nr::SHMCTL, id as isize, command as isize, 0).map(drop)
    }

    /// The limits, and the highest place in use.
    ///
    /// # Errors
    /// None that a program could cause.
    pub fn info() -> Result<(Info, i32)> {
        let mut info = Info::default();
        // SAFETY: the kernel writes one such structure.
        let highest = unsafe { sys!(nr::SHMCTL, 0, abi::IPC_INFO, &raw mut info) }?;
        Ok((info, highest as i32))
    }

    /// What there is.
    ///
    /// # Errors
    /// None that a program could cause.
    pub fn uses() -> Result<Use> {
        let mut uses = Use::default();
        // SAFETY: the kernel writes one such structure.
        unsafe { sys!(nr::SHMCTL, 0, abi::SHM_INFO, &raw mut uses) }?;
        Ok(uses)
    }

    /// The segment in a place of the kernel's table: its id and what it is like.
    ///
    /// # Errors
    /// `EINVAL`: there is none. `EACCES`, unless `any`.
    pub fn at(place: i32, any: bool) -> Result<(Id, Status)> {
        let mut status = Status::default();
        let command = if any {
            abi::SHM_STAT_ANY
        } else {
            abi::SHM_STAT
        };
        // SAFETY: the kernel writes one such structure.
        let id = unsafe { sys!(nr::SHMCTL, place, command, &raw mut status) }?;
        Ok((id as Id, status))
    }

    /// Detaches it, and says how that went.
    ///
    /// # Errors
    /// `EINVAL`: it is not attached any more.
    pub fn detach(attached: Attached) -> Result<()> {
        let base = attached.base;
        core::mem::forget(attached);
        // SAFETY: it was ours, and what borrowed it is gone.
        unsafe { sys!(nr::SHMDT, base) }.map(drop)
    }
}

/// Semaphores.
pub mod semaphore {
    use super::{Duration, Errno, Id, Result, SemaphoreOperation, Vec, abi, nr, plain, sys};

    pub use abi::{SemaphoreInfo as Info, SemaphoreSetStatus as Status};

    /// An operation: adds to a semaphore, or waits for 0.
    pub const fn operation(num: u16, op: i16, flags: u16) -> SemaphoreOperation {
        SemaphoreOperation { num, op, flags }
    }

    /// The set of `key`; made with `count` semaphores, with flag `IPC_CREAT`, if there is none.
    ///
    /// # Errors
    /// Those of semget(2).
    pub fn get(key: i32, count: usize, flags: u32) -> Result<Id> {
        plain(nr::SEMGET, key as isize, count as isize, flags as isize).map(|id| id as Id)
    }

    /// Does all of the operations at once, as soon as that can be.
    ///
    /// # Errors
    /// Those of semop(2).
    pub fn operate(id: Id, operations: &[SemaphoreOperation]) -> Result<()> {
        // SAFETY: the operations are only read.
        unsafe { sys!(nr::SEMOP, id, operations.as_ptr(), operations.len()) }.map(drop)
    }

    /// As [`operate`], for no longer than `timeout`.
    ///
    /// # Errors
    /// Those of semtimedop(2); `EAGAIN`: it was too long.
    pub fn operate_within(
        id: Id,
        operations: &[SemaphoreOperation],
        timeout: Duration,
    ) -> Result<()> {
        let time = crate::time::timespec(timeout);
        // SAFETY: operations and time are only read.
        unsafe {
            sys!(
                nr::SEMTIMEDOP,
                id,
                operations.as_ptr(),
                operations.len(),
                &raw const time
            )
        }
        .map(drop)
    }

    fn command(id: Id, number: usize, command: u32, value: isize) -> Result<usize> {
        // SAFETY: used with commands whose argument is a number, or that have none.
        unsafe { sys!(nr::SEMCTL, id, number, command, value) }
    }

    /// The value.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`.
    pub fn value(id: Id, number: usize) -> Result<usize> {
        command(id, number, abi::GETVAL, 0)
    }

    /// Sets the value.
    ///
    /// # Errors
    /// `ERANGE`, `EACCES`, `EINVAL`.
    pub fn set_value(id: Id, number: usize, value: i32) -> Result<()> {
        command(id, number, abi::SETVAL, value as isize).map(drop)
    }

    /// Who operated on it last.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`.
    pub fn pid(id: Id, number: usize) -> Result<usize> {
        command(id, number, abi::GETPID, 0)
    }

    /// How many sleep until the value is greater.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`.
    pub fn waiting_for_more(id: Id, number: usize) -> Result<usize> {
        command(id, number, abi::GETNCNT, 0)
    }

    /// How many sleep until the value is 0.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`.
    pub fn waiting_for_zero(id: Id, number: usize) -> Result<usize> {
        command(id, number, abi::GETZCNT, 0)
    }

    /// All values.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`, `ENOMEM`.
    pub fn values(id: Id) -> Result<Vec<u16>> {
        let count = status(id)?.nsems as usize;
        let mut values: Vec<u16> = Vec::new();
        values.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        values.resize(count, 0);
        // SAFETY: the kernel writes as many values as the set has; that does not change in its life, and an id is not used again soon.
        unsafe { sys!(nr::SEMCTL, id, 0, abi::GETALL, values.as_mut_ptr()) }?;
        Ok(values)
    }

    /// Sets all values.
    ///
    /// # Errors
    /// `ERANGE`, `EACCES`, `EINVAL`: not as many as there are semaphores.
    pub fn set_values(id: Id, values: &[u16]) -> Result<()> {
        if status(id)?.nsems as usize != values.len() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the values are only read.
        unsafe { sys!(nr::SEMCTL, id, 0, abi::SETALL, values.as_ptr()) }.map(drop)
    }

    /// What it is like.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`.
    pub fn status(id: Id) -> Result<Status> {
        let mut status = Status::default();
        // SAFETY: the kernel writes one such structure.
        unsafe { sys!(nr::SEMCTL, id, 0, abi::IPC_STAT, &raw mut status) }?;
        Ok(status)
    }

    /// Changes owner and mode.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn set(id: Id, status: &Status) -> Result<()> {
        // SAFETY: the structure is only read.
        unsafe { sys!(nr::SEMCTL, id, 0, abi::IPC_SET, &raw const *status) }.map(drop)
    }

    /// Removes it.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn remove(id: Id) -> Result<()> {
        command(id, 0, abi::IPC_RMID, 0).map(drop)
    }

    /// The limits (`IPC_INFO`) or, if `uses`, what there is (`SEM_INFO`); and the highest place in use.
    ///
    /// # Errors
    /// None that a program could cause.
    pub fn info(uses: bool) -> Result<(Info, i32)> {
        let mut info = Info::default();
        let command = if uses { abi::SEM_INFO } else { abi::IPC_INFO };
        // SAFETY: the kernel writes one such structure.
        let highest = unsafe { sys!(nr::SEMCTL, 0, 0, command, &raw mut info) }?;
        Ok((info, highest as i32))
    }

    /// The set in a place of the kernel's table: its id and what it is like.
    ///
    /// # Errors
    /// `EINVAL`: there is none. `EACCES`, unless `any`.
    pub fn at(place: i32, any: bool) -> Result<(Id, Status)> {
        let mut status = Status::default();
        let command = if any {
            abi::SEM_STAT_ANY
        } else {
            abi::SEM_STAT
        };
        // SAFETY: the kernel writes one such structure.
        let id = unsafe { sys!(nr::SEMCTL, place, 0, command, &raw mut status) }?;
        Ok((id as Id, status))
    }
}
