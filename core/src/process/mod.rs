//! Processes and threads: what they are, how they come, wait for each other and go.
//!
//! [`state::Process`] is what threads share; [`thread::Thread`] is the shared part of a thread, whose owned part is
//! `sched::task::Task`. The tree of parents, groups and sessions is in [`table`].

pub mod credentials;
pub mod elf;
pub mod exec;
pub mod exit;
pub mod fork;
pub mod image;
pub mod limits;
pub mod posix_timer;
mod program;
pub mod shortage;
pub mod signal;
pub mod state;
pub mod table;
pub mod thread;
pub mod wait;

/// A process or thread number. 1 is init; 0 is nobody.
pub type Pid = u32;
