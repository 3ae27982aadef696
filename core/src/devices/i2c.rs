//! /dev/i2c-N: a bus of I2C, by the calls of Linux's i2c-dev (Documentation/i2c/dev-interface.rst).
//!
//! One transaction has the bus at a time; others wait for their turn. The caller sleeps while the bus works, for about as long as it
//! needs for half of its FIFO. Signals do not cut a transaction in two, as on Linux; the end of the process does, and a limit.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use core::task::Poll;

use halyard_cell::SpinLock;
use halyard_device::{Direction, I2cBus, I2cError, Message, NoAcknowledgeSource};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::turn::Turns;
use crate::fs::file::{File, Special};
use crate::fs::inode::Inode;
use crate::fs::open_file::FileRef;
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::thread::{Killable, Thread};
use crate::syscall::{Answer, Call, DONE};
use crate::time::NANOS_PER_SECOND;
use crate::wait::{Interruption, Sleeper, wait_for_time};
use crate::{Errno, Result};

/// Bytes of a message at most, and messages of a transaction (linux/i2c-dev.h).
const MESSAGE_MAX: usize = 8192;
const MESSAGES_MAX: usize = 42;
/// Addresses of seven bits end here.
const ADDRESSES: usize = 0x80;
/// Bytes after which the bus is looked at again: half of the smallest FIFO there is.
const LOOK_AFTER: usize = 8;

const I2C_TIMEOUT: u32 = 0x0702;
const I2C_SLAVE: u32 = 0x0703;
const I2C_TENBIT: u32 = 0x0704;
const I2C_FUNCS: u32 = 0x0705;
const I2C_SLAVE_FORCE: u32 = 0x0706;
const I2C_RDWR: u32 = 0x0707;
const I2C_PEC: u32 = 0x0708;
const I2C_SMBUS: u32 = 0x0720;
/// The one function that I2C_FUNCS tells: messages as they are.
const I2C_FUNC_I2C: u64 = 1;
const I2C_M_RD: u16 = 1;
/// Says something of the buffer's memory, which is nothing to us.
const I2C_M_DMA_SAFE: u16 = 0x200;

/// The argument of I2C_RDWR (struct i2c_rdwr_ioctl_data).
#[derive(FromBytes, IntoBytes)]
#[repr(C)]
struct Transfers {
    messages: u64,
    count: u32,
    padding: u32,
}

/// One of its messages (struct i2c_msg).
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct UserMessage {
    address: u16,
    flags: u16,
    length: u16,
    padding: u16,
    data: u64,
}

/// A bus.
pub struct Bus {
    /// Its number: that of its name.
    pub number: u32,
    driver: SpinLock<Box<dyn I2cBus>>,
    turns: Turns,
    /// How long a transaction may take beside the time for its bytes, in ns.
    limit: AtomicU64,
}

impl Bus {
    pub(super) fn new(number: u32, driver: Box<dyn I2cBus>) -> Self {
        Bus {
            number,
            driver: SpinLock::new(driver),
            turns: Turns::new(),
            limit: AtomicU64::new(NANOS_PER_SECOND),
        }
    }

    /// Does a transaction. EOPNOTSUPP: the bus cannot do such a one; ETIMEDOUT: it took too long; ENXIO, EREMOTEIO: nobody
    /// acknowledged; EAGAIN: another master won; EIO: whatever else happened on the bus.
    async fn transact<S: Sleeper>(
        &self,
        sleeper: &S,
        admit: impl Fn() -> Result<()>,
        messages: &mut [Message<'_>],
    ) -> Result<()> {
        if !self.driver.lock().can(messages) {
            return Err(Errno::EOPNOTSUPP);
        }
        let _turn = self.turns.next(sleeper).await?;
        let byte = u64::try_from(self.driver.lock().byte_time().as_nanos()).unwrap_or(u64::MAX);
        // An address goes before each message.
        let bytes = messages
            .iter()
            .map(|message| message.data.len() + 1)
            .sum::<usize>();
        let time = byte.saturating_mul(bytes as u64);
        let pace = byte.saturating_mul(bytes.min(LOOK_AFTER) as u64);
        let limit = self.limit.load(Ordering::Relaxed).saturating_add(time);
        let end = sleeper.now().after(limit);
        let mut begun = Begun {
            bus: self,
            is_over: false,
        };
        self.driver.lock().begin(messages);
        loop {
            let state = self.driver.lock().step(messages);
            if let Poll::Ready(result) = state {
                begun.is_over = true;
                return result.map_err(errno);
            }
            let now = sleeper.now();
            if now >= end {
                return Err(Errno::ETIMEDOUT);
            }
            admit()?;
            match wait_for_time(sleeper, Some(now.after(pace))).await {
                Interruption::TimedOut => {}
                other => return Err(other.errno()),
            }
        }
    }
}

/// A transaction. One that is not over when this goes is given up.
struct Begun<'a> {
    bus: &'a Bus,
    is_over: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.bus.driver.lock().abort();
        }
    }
}

/// What a driver's error is to a program (Documentation/i2c/fault-codes.rst).
const fn errno(error: I2cError) -> Errno {
    match error {
        I2cError::ArbitrationLoss => Errno::EAGAIN,
        I2cError::NoAcknowledge(NoAcknowledgeSource::Address) => Errno::ENXIO,
        I2cError::NoAcknowledge(_) => Errno::EREMOTEIO,
        _ => Errno::EIO,
    }
}

/// A bus, opened.
pub(super) struct I2cFile {
    bus: Arc<Bus>,
    /// Whom read and write mean (I2C_SLAVE).
    address: AtomicU8,
    inode: Arc<Inode>,
}

impl I2cFile {
    pub(super) fn new(bus: &Arc<Bus>, inode: Arc<Inode>) -> Self {
        I2cFile {
            bus: Arc::clone(bus),
            address: AtomicU8::new(0),
            inode,
        }
    }
}

/// An opened bus, for the calls that wait for it.
#[derive(Clone, Copy)]
pub struct Opened<'a> {
    bus: &'a Arc<Bus>,
    address: &'a AtomicU8,
}

impl File for I2cFile {
    fn special(&self) -> Special<'_> {
        Special::I2c(Opened {
            bus: &self.bus,
            address: &self.address,
        })
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }
}

/// A message whose bytes are the kernel's until it is over.
struct Held {
    address: u8,
    direction: Direction,
    data: Vec<u8>,
    /// Where the bytes are the program's.
    at: UserAddr,
}

impl Held {
    /// EFAULT, ENOMEM.
    fn new(
        space: &AddressSpace,
        address: u8,
        direction: Direction,
        at: UserAddr,
        length: usize,
    ) -> Result<Self> {
        let mut data = Vec::new();
        data.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        data.resize(length, 0);
        if direction == Direction::Write {
            space.read_bytes(at, &mut data)?;
        }
        Ok(Held {
            address,
            direction,
            data,
            at,
        })
    }

    fn message(&mut self) -> Message<'_> {
        Message {
            address: self.address,
            direction: self.direction,
            data: &mut self.data,
        }
    }
}

/// Does the transaction and hands out what was read.
async fn exchange(
    thread: &Arc<Thread>,
    bus: &Bus,
    space: &AddressSpace,
    held: &mut [Held],
) -> Result<()> {
    let mut messages = Vec::new();
    messages
        .try_reserve_exact(held.len())
        .map_err(|_| Errno::ENOMEM)?;
    messages.extend(held.iter_mut().map(Held::message));
    let admit = || thread.kernel().admit();
    bus.transact(&Killable(Arc::clone(thread)), admit, &mut messages)
        .await?;
    drop(messages);
    let read = held
        .iter()
        .filter(|message| message.direction == Direction::Read);
    read.into_iter()
        .try_for_each(|message| space.write_bytes(message.at, &message.data))
}

/// read(2) and write(2) of an opened bus: one message.
pub(crate) fn transfer(call: &mut Call<'_>, file: &FileRef, direction: Direction) -> Answer {
    let Special::I2c(opened) = file.file().special() else {
        return Err(Errno::EINVAL);
    };
    let length = call.size::<2>().min(MESSAGE_MAX);
    let address = opened.address.load(Ordering::Relaxed);
    let space = Arc::clone(call.space());
    let held = Held::new(&space, address, direction, call.addr::<1>(), length)?;
    let (bus, thread) = (Arc::clone(opened.bus), Arc::clone(call.thread()));
    call.wait(async move {
        exchange(&thread, &bus, &space, &mut [held]).await?;
        Ok(length)
    })
}

/// What programs ask of a bus. ENOTTY: it means nothing to one.
pub(crate) fn ioctl(call: &mut Call<'_>, opened: Opened<'_>, request: u32) -> Answer {
    let argument = call.size::<2>();
    match request {
        I2C_SLAVE | I2C_SLAVE_FORCE => {
            let address = u8::try_from(argument).map_err(|_| Errno::EINVAL)?;
            if usize::from(address) >= ADDRESSES {
                return Err(Errno::EINVAL);
            }
            opened.address.store(address, Ordering::Relaxed);
        }
        // In hundredths of a second.
        I2C_TIMEOUT => {
            let hundredths = i32::try_from(argument).map_err(|_| Errno::EINVAL)?;
            let limit = u64::from(hundredths.unsigned_abs()) * (NANOS_PER_SECOND / 100);
            opened.bus.limit.store(limit, Ordering::Relaxed);
        }
        I2C_FUNCS => call.space().write_user(call.addr::<2>(), &I2C_FUNC_I2C)?,
        I2C_TENBIT | I2C_PEC if argument == 0 => {}
        I2C_TENBIT | I2C_PEC | I2C_SMBUS => return Err(Errno::EOPNOTSUPP),
        I2C_RDWR => return transfers(call, opened),
        _ => return Err(Errno::ENOTTY),
    }
    DONE
}

/// I2C_RDWR: a transaction of several messages. EINVAL: none, too many, too long or to no address of seven bits; EOPNOTSUPP: a flag
/// that the bus does not know.
fn transfers(call: &mut Call<'_>, opened: Opened<'_>) -> Answer {
    let transfers: Transfers = call.space().read_user(call.addr::<2>())?;
    let count = transfers.count as usize;
    if transfers.messages == 0 || !(1..=MESSAGES_MAX).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let mut held = Vec::new();
    held.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count {
        let at = (transfers.messages as usize).wrapping_add(index * size_of::<UserMessage>());
        held.push(message(call, UserAddr(at))?);
    }
    let (space, thread) = (Arc::clone(call.space()), Arc::clone(call.thread()));
    let bus = Arc::clone(opened.bus);
    call.wait(async move {
        exchange(&thread, &bus, &space, &mut held).await?;
        Ok(count)
    })
}

fn message(call: &Call<'_>, at: UserAddr) -> Result<Held> {
    let message: UserMessage = call.space().read_user(at)?;
    if message.flags & !(I2C_M_RD | I2C_M_DMA_SAFE) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let length = usize::from(message.length);
    if length > MESSAGE_MAX || usize::from(message.address) >= ADDRESSES {
        return Err(Errno::EINVAL);
    }
    let direction = if message.flags & I2C_M_RD != 0 {
        Direction::Read
    } else {
        Direction::Write
    };
    let at = UserAddr(message.data as usize);
    Held::new(call.space(), message.address as u8, direction, at, length)
}
