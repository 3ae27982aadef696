//! Inter-process communication: one file a mechanism.

pub mod channel;
pub mod epoll;
pub mod eventfd;
pub mod fifo;
pub mod futex;
pub mod pipe;
pub mod posix_mq;
pub mod signalfd;
pub mod sysv;
pub mod timerfd;
pub mod unix;
