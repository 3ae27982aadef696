//! POSIX message queues: the structure and the bounds that kernel and programs agree on (linux/mqueue.h, mq_overview(7)).

/// One more than the highest priority.
pub const MQ_PRIO_MAX: u32 = 32768;

/// `struct mq_attr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `O_NONBLOCK` or 0.
    pub flags: i64,
    /// The most messages it holds.
    pub max_messages: i64,
    /// The most bytes a message has.
    pub message_size: i64,
    /// How many messages it holds now.
    pub messages: i64,
    /// Nothing.
    pub reserved: [i64; 4],
}

/// `sigev_notify` of `struct sigevent`: a signal is sent.
pub const SIGEV_SIGNAL: i32 = 0;
/// `sigev_notify`: nothing is sent, but the registration is used up.
pub const SIGEV_NONE: i32 = 1;
/// `sigev_notify`: a C library is to start a thread.
pub const SIGEV_THREAD: i32 = 2;

/// `struct sigevent` as mq_notify(2) takes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What goes with the signal (`si_value`).
    pub value: u64,
    /// Which signal.
    pub signal: i32,
    /// `SIGEV_*`.
    pub notify: i32,
    /// Nothing.
    pub reserved: [u64; 6],
}

const _: () = assert!(size_of::<Attributes>() == 64 && size_of::<Event>() == 64);
