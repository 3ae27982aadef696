//! Where what comes is put, and the tree that says so.

use halyard_bare::{Room, Rooms};
use halyard_drivers::dt::{Region, Told, Tree};
use halyard_wire::load::{Memory, Offer, Part, Refusal, WORDS_MAX, sum};

/// A kernel wants to lie on such a boundary (booting.rst).
const KERNEL_UNIT: usize = 2 << 20;

/// What a tree may grow by when it is told of words and initramfs.
const GROWTH: usize = 2048 + WORDS_MAX;

/// Rooms for a kernel, an initramfs and a copy of the tree.
pub(crate) struct Loaded<'a> {
    tree: &'a Tree<'a>,
    rooms: Rooms,
    kernel: Option<Room>,
    /// Bytes of the kernel's room that are sent; it wants more.
    kernel_length: usize,
    initramfs: Option<Room>,
    copy: Option<Room>,
}

impl<'a> Loaded<'a> {
    pub(crate) fn new(tree: &'a Tree<'a>, rooms: Rooms) -> Self {
        Self {
            tree,
            rooms,
            kernel: None,
            kernel_length: 0,
            initramfs: None,
            copy: None,
        }
    }

    /// Kernel and tree, once there are some.
    pub(crate) fn ready(&self) -> Option<(&Room, &Room)> {
        self.kernel.as_ref().zip(self.copy.as_ref())
    }

    fn take(&mut self, size: usize, unit: usize) -> Result<Room, Refusal> {
        self.rooms.take(size, unit).ok_or(Refusal::NoRoom)
    }

    /// Gives back what an earlier offer had.
    fn forget(&mut self) {
        let rooms = [self.kernel.take(), self.initramfs.take(), self.copy.take()];
        for room in rooms.into_iter().flatten() {
            self.rooms.give(room);
        }
    }

    fn part(&mut self, part: Part) -> Option<&mut [u8]> {
        match part {
            Part::Kernel => self.kernel.as_mut()?.bytes().get_mut(..self.kernel_length),
            Part::Initramfs => Some(self.initramfs.as_mut()?.bytes()),
        }
    }
}

impl Memory for Loaded<'_> {
    fn prepare(&mut self, offer: &Offer<'_>) -> Result<(), Refusal> {
        self.forget();
        self.kernel_length = offer.kernel.length as usize;
        let memory = self.kernel_length.max(offer.memory as usize);
        self.kernel = Some(self.take(memory, KERNEL_UNIT)?);
        let mut initrd = None;
        let length = offer.initramfs.length;
        if length > 0 {
            let room = self.take(length as usize, 1)?;
            initrd = Region::new(room.address() as u64, length.into());
            self.initramfs = Some(room);
        }
        let told = Told {
            words: offer.words,
            initrd,
        };
        let copy = self.take(self.tree.size() + GROWTH, 1)?;
        let size = self.tree.tell(&told, self.copy.insert(copy).bytes());
        size.map(|_| ()).ok_or(Refusal::Tree)
    }

    fn write(&mut self, part: Part, offset: u32, bytes: &[u8]) {
        let room = self.part(part);
        let place = room.and_then(|room| room.get_mut(offset as usize..));
        if let Some(place) = place.and_then(|place| place.get_mut(..bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    fn sum(&mut self, part: Part) -> u32 {
        self.part(part).map_or(0, |bytes| sum(bytes))
    }
}
