//! Ids and keys: how programs find objects that have no names. The same for all three kinds.
//!
//! An id is the place in the table and how often that place was used before, so that the id of something removed finds nothing. One lock
//! of level 8 (a leaf); what is removed is dropped by the caller.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering};

use halyard_abi::sysv::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE};
use halyard_cell::SpinLock;

use super::permission::{MODE, Permission};
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

/// Bits of an id that say the place (Linux's IPCMNI_SHIFT).
const PLACE_BITS: u32 = 15;

/// What every object has: its id and who may use it.
#[derive(Debug)]
pub struct Header {
    id: AtomicI32,
    /// Who may use it.
    pub permission: Permission,
}

impl Header {
    /// Of an object that `who` makes.
    #[must_use]
    pub fn new(key: i32, mode: u32, who: &Credentials) -> Header {
        Header {
            id: AtomicI32::new(-1),
            permission: Permission::new(key, mode, who),
        }
    }

    /// The id; -1 before it has one.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id.load(Ordering::Relaxed)
    }

    /// How often its place was used before (`seq` of struct ipc_perm).
    #[must_use]
    pub fn generation(&self) -> u16 {
        (self.id() >> PLACE_BITS) as u16
    }
}

/// Something that a table can hold.
pub trait Object {
    /// What every object has.
    fn header(&self) -> &Header;
}

/// The arguments that the three *get calls have in common.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The key, or IPC_PRIVATE.
    pub key: i32,
    /// IPC_CREAT, IPC_EXCL and mode bits.
    pub flags: u32,
    /// Who asks.
    pub who: &'a Credentials,
}

impl Request<'_> {
    /// The header of the object to be made.
    #[must_use]
    pub fn header(&self) -> Header {
        Header::new(self.key, self.flags, self.who)
    }
}

/// The objects of one kind.
pub struct Table<T> {
    limit: usize,
    places: SpinLock<Places<T>>,
}

struct Places<T> {
    places: Vec<Place<T>>,
    /// Where each key leads.
    keys: BTreeMap<i32, usize>,
    used: usize,
    /// No place below this one is free.
    free_from: usize,
}

struct Place<T> {
    generation: u16,
    object: Option<Arc<T>>,
}

impl<T: Object> Table<T> {
    /// A table for up to `limit` objects, at most 32768.
    #[must_use]
    pub fn new(limit: usize) -> Table<T> {
        Table {
            limit: limit.min(1 << PLACE_BITS),
            places: SpinLock::new(Places {
                places: Vec::new(),
                keys: BTreeMap::new(),
                used: 0,
                free_from: 0,
            }),
        }
    }

    /// msgget, shmget, semget: finds the object of the key, which `fits` may refuse, or has `make` make it. ENOENT, EEXIST, EACCES; ENOSPC:
    /// the table is full; ENOMEM. Allocates a little.
    pub fn get(
        &self,
        request: &Request<'_>,
        fits: impl Fn(&T) -> Result<()>,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        if request.key != IPC_PRIVATE {
            if let Some(found) = self.by_key(request.key) {
                return Self::admit(request, found, fits);
            }
            if request.flags & IPC_CREAT == 0 {
                return Err(Errno::ENOENT);
            }
        }
        let made = Arc::new(make()?);
        match self.insert(request.key, &made)? {
            // Somebody was quicker: what was made here is dropped.
            Some(found) => Self::admit(request, found, fits),
            None => Ok(made),
        }
    }

    fn admit(
        request: &Request<'_>,
        found: Arc<T>,
        fits: impl Fn(&T) -> Result<()>,
    ) -> Result<Arc<T>> {
        if request.flags & (IPC_CREAT | IPC_EXCL) == IPC_CREAT | IPC_EXCL {
            return Err(Errno::EEXIST);
        }
        fits(&found)?;
        let permission = &found.header().permission;
        permission.check(request.who, request.flags & MODE)?;
        Ok(found)
    }

    fn by_key(&self, key: i32) -> Option<Arc<T>> {
        let places = self.places.lock();
        let at = places.keys.get(&key)?;
        places.places.get(*at)?.object.clone()
    }

    /// Gives `object` a place and an id; or gives back the one that has the key already. ENOSPC, ENOMEM.
    fn insert(&self, key: i32, object: &Arc<T>) -> Result<Option<Arc<T>>> {
        let mut guard = self.places.lock();
        let places = &mut *guard;
        if key != IPC_PRIVATE
            && let Some(at) = places.keys.get(&key)
        {
            return Ok(places
                .places
                .get(*at)
                .and_then(|place| place.object.clone()));
        }
        if places.used >= self.limit {
            return Err(Errno::ENOSPC);
        }
        let at = places.free_place()?;
        if let Some(place) = places.places.get_mut(at) {
            let id = i32::from(place.generation) << PLACE_BITS | at as i32;
            object.header().id.store(id, Ordering::Relaxed);
            place.object = Some(Arc::clone(object));
        }
        places.used += 1;
        places.free_from = at + 1;
        if key != IPC_PRIVATE {
            places.keys.insert(key, at);
        }
        Ok(None)
    }

    /// The object of that id. EINVAL: none, or not any more.
    #[inline]
    pub fn find(&self, id: i32) -> Result<Arc<T>> {
        let (at, generation) = split(id).ok_or(Errno::EINVAL)?;
        let places = self.places.lock();
        match places.places.get(at) {
            Some(place) if place.generation == generation => {
                place.object.clone().ok_or(Errno::EINVAL)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// The object in that place of the table (*_STAT). EINVAL: none.
    pub fn at(&self, place: i32) -> Result<Arc<T>> {
        let place = usize::try_from(place).map_err(|_| Errno::EINVAL)?;
        let places = self.places.lock();
        let found = places.places.get(place);
        found
            .and_then(|place| place.object.clone())
            .ok_or(Errno::EINVAL)
    }

    /// Takes the object of that id out, to be dropped by the caller with no lock held. None: there is none.
    pub fn remove(&self, id: i32) -> Option<Arc<T>> {
        let (at, generation) = split(id)?;
        let mut places = self.places.lock();
        let place = places.places.get_mut(at)?;
        if place.generation != generation {
            return None;
        }
        let object = place.object.take()?;
        // Sixteen bits of it and fifteen of the place are an id that is not negative.
        place.generation = generation.wrapping_add(1);
        places.used -= 1;
        places.free_from = places.free_from.min(at);
        places.forget_key(object.header(), at);
        Some(object)
    }

    /// The object of that id is found by its key no more; the key may be used anew.
    pub fn forget_key(&self, id: i32) {
        let Some((at, _)) = split(id) else { return };
        let mut places = self.places.lock();
        let Some(object) = places.places.get(at).and_then(|place| place.object.clone()) else {
            return;
        };
        places.forget_key(object.header(), at);
        drop(places);
    }

    /// How many there are.
    #[must_use]
    pub fn used(&self) -> usize {
        self.places.lock().used
    }

    /// The most that there can be.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// The highest place in use; 0 if none is (*_INFO).
    #[must_use]
    pub fn highest(&self) -> usize {
        let places = self.places.lock();
        let last = places
            .places
            .iter()
            .rposition(|place| place.object.is_some());
        last.unwrap_or(0)
    }

    /// Does `visit` for each object, in the order of their places, with no lock held.
    pub fn for_each(&self, mut visit: impl FnMut(&T)) {
        let mut from = 0;
        while let Some((at, object)) = self.next_from(from) {
            visit(&object);
            from = at + 1;
        }
    }

    fn next_from(&self, from: usize) -> Option<(usize, Arc<T>)> {
        let places = self.places.lock();
        let rest = places.places.get(from..)?;
        let found = rest.iter().position(|place| place.object.is_some())?;
        let object = rest.get(found)?.object.clone()?;
        Some((from + found, object))
    }
}

impl<T> Places<T> {
    /// The lowest free place. ENOMEM.
    fn free_place(&mut self) -> Result<usize> {
        let free = |place: &Place<T>| place.object.is_none();
        let rest = self.places.get(self.free_from..).unwrap_or_default();
        if let Some(found) = rest.iter().position(free) {
            return Ok(self.free_from + found);
        }
        self.places.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.places.push(Place {
            generation: 0,
            object: None,
        });
        Ok(self.places.len() - 1)
    }

    fn forget_key(&mut self, header: &Header, at: usize) {
        let key = header.permission.key();
        if key != IPC_PRIVATE && self.keys.get(&key) == Some(&at) {
            self.keys.remove(&key);
        }
        header.permission.clear_key();
    }
}

/// Place and generation. None: negative.
fn split(id: i32) -> Option<(usize, u16)> {
    let id = u32::try_from(id).ok()?;
    let at = id & ((1 << PLACE_BITS) - 1);
    Some((at as usize, (id >> PLACE_BITS) as u16))
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
