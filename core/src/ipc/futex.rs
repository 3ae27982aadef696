//! stub
use alloc::sync::Arc;
/// stub
pub fn on_thread_exit(_: &Arc<crate::process::thread::Thread>, _: &Arc<crate::mm::AddressSpace>) {}
