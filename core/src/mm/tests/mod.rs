//! Memory on the emulated machine. [`Bench`] checks on its end that every frame came back.

mod frame_pool;
mod model;
mod object;
mod out_of_memory;
mod room;
mod space;
mod user_buffer;

use alloc::sync::Arc;

use crate::host::{Config, HostMachine};
use crate::machine::{Access, PAGE_SIZE, UserAddr};
use crate::mm::{AddressSpace, Backing, MapRequest, Memory, MemoryObject};

const RW: Access = Access::READ.union(Access::WRITE);
const RX: Access = Access::READ.union(Access::EXECUTE);

/// A machine whose frames are all free at the end.
struct Bench {
    memory: &'static Memory,
}

impl Bench {
    fn new(frames: usize) -> Bench {
        let (_, memory) = HostMachine::new(Config {
            frames,
            ..Config::default()
        });
        Bench { memory }
    }

    fn space(&self) -> Arc<AddressSpace> {
        AddressSpace::new(self.memory).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let frames = self.memory.frames;
            assert_eq!(frames.free(), frames.total(), "frames are lost");
        }
    }
}

/// The address of page `n`, counted from 64 KiB.
const fn page(n: usize) -> UserAddr {
    UserAddr(0x10000 + n * PAGE_SIZE)
}

fn get(space: &AddressSpace, at: UserAddr) -> crate::Result<u64> {
    space.read_user(at)
}

fn put(space: &AddressSpace, at: UserAddr, value: u64) -> crate::Result<()> {
    space.write_user(at, &value)
}

/// Maps zeros at `at`, whatever is there.
fn zeros(
    space: &Arc<AddressSpace>,
    at: UserAddr,
    pages: usize,
    access: Access,
) -> crate::Result<()> {
    let request = MapRequest::anonymous(pages * PAGE_SIZE, access);
    space.map(request.at(at)).map(|_| ())
}

/// Maps an object at `at`, whatever is there, so that stores are seen by all.
fn shared(
    space: &Arc<AddressSpace>,
    at: UserAddr,
    pages: usize,
    object: &Arc<MemoryObject>,
) -> crate::Result<()> {
    let backing = Backing::Shared(Arc::clone(object), 0);
    let request = MapRequest::anonymous(pages * PAGE_SIZE, RW);
    space
        .map(MapRequest { backing, ..request }.at(at))
        .map(|_| ())
}
