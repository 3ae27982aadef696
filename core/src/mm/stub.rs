#![allow(missing_docs)]
use super::*;
use crate::io::*;
use crate::machine::*;
use crate::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
pub struct AddressSpace {}
pub enum FaultError {
    NotMapped,
    Denied,
    BeyondObject,
    OutOfMemory,
}
impl AddressSpace {
    pub fn new(_: &'static Memory) -> Result<Arc<Self>> {
        Err(Errno::ENOMEM)
    }
    pub fn fork(&self) -> Result<Arc<Self>> {
        Err(Errno::ENOMEM)
    }
    pub fn token(&self) -> SpaceToken {
        SpaceToken(0)
    }
    pub fn fault(&self, _: UserAddr, _: Access) -> core::result::Result<(), FaultError> {
        Ok(())
    }
    pub fn read_user<T: zerocopy::FromBytes>(&self, _: UserAddr) -> Result<T> {
        Err(Errno::EFAULT)
    }
    pub fn write_user<T: zerocopy::IntoBytes + zerocopy::Immutable>(
        &self,
        _: UserAddr,
        _: &T,
    ) -> Result<()> {
        Err(Errno::EFAULT)
    }
    pub fn write_bytes(&self, _: UserAddr, _: &[u8]) -> Result<()> {
        Err(Errno::EFAULT)
    }
    pub fn read_cstr(&self, _: UserAddr, _: usize) -> Result<Vec<u8>> {
        Err(Errno::EFAULT)
    }
    pub fn set_heap_start(&self, _: UserAddr) {}
    pub fn map_stack(&self, _: UserAddr, _: UserAddr) -> Result<()> {
        Ok(())
    }
    pub fn map_private(
        &self,
        _: UserAddr,
        _: usize,
        _: Access,
        _: &Arc<MemoryObject>,
        _: u64,
    ) -> Result<()> {
        Ok(())
    }
    pub fn map_anonymous(&self, _: UserAddr, _: usize, _: Access) -> Result<()> {
        Ok(())
    }
    pub fn zero(&self, _: UserAddr, _: usize) -> Result<()> {
        Ok(())
    }
}
pub struct UserBuffer(Arc<AddressSpace>);
impl UserBuffer {
    pub fn new(s: &Arc<AddressSpace>, _: UserAddr, _: usize) -> Result<Self> {
        Ok(UserBuffer(s.clone()))
    }
    pub fn from_iovec(s: &Arc<AddressSpace>, _: UserAddr, _: usize) -> Result<Self> {
        Ok(UserBuffer(s.clone()))
    }
}
impl Source for UserBuffer {
    fn remaining(&self) -> usize {
        0
    }
    fn take(&mut self, _: &mut [u8]) -> Result<()> {
        Ok(())
    }
    fn prepare(&mut self, _: usize) -> Result<()> {
        Ok(())
    }
}
impl Sink for UserBuffer {
    fn remaining(&self) -> usize {
        0
    }
    fn put(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn prepare(&mut self, _: usize) -> Result<()> {
        Ok(())
    }
}
pub struct MemoryObject;
impl MemoryObject {
    pub fn new(_: &'static Memory, _: u64) -> Arc<Self> {
        Arc::new(Self)
    }
    pub fn from_bytes(_: &'static Memory, _: &[u8]) -> Result<Arc<Self>> {
        Err(Errno::ENOMEM)
    }
    pub fn size(&self) -> u64 {
        0
    }
    pub fn read_at(&self, _: &mut dyn Sink, _: u64) -> Result<usize> {
        Ok(0)
    }
    pub fn write_at(&self, _: &mut dyn Source, _: u64) -> Result<usize> {
        Ok(0)
    }
    pub fn resident_pages(&self) -> usize {
        0
    }
    pub fn set_size(&self, _: u64) -> Result<()> {
        Ok(())
    }
    pub fn append(&self, _: &mut dyn Source) -> Result<(usize, u64)> {
        Ok((0, 0))
    }
}
