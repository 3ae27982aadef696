//! Commands of `ipc_call(cmd, a0, a1, a2, a3, a4)`, the one call under which all inter-process communication is reached.
//!
//! The call's number is [`IPC_CALL`], in x8; `cmd` is in x0, `a0` to `a4` in x1 to x5; the result or the negative error
//! number comes back in x0. A command's high byte says which mechanism, its low byte what to do with it. Objects are those
//! that the Linux calls reach: made by one door, used by the other. Linux has no such call and answers ENOSYS.
//! docs/ipc-call.md is the table for readers and is held equal to this one.

/// The number of `ipc_call`: beyond any that Linux has given.
pub const IPC_CALL: usize = 4096;

/// A command as the table describes it.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// `cmd`.
    pub number: usize,
    /// Its name in small letters.
    pub name: &'static str,
    /// What `a0` to `a4` are.
    pub arguments: &'static str,
    /// What comes back.
    pub result: &'static str,
}

macro_rules! commands {
    ($($name:ident = $number:literal, $lower:literal, ($arguments:literal) -> $result:literal;)*) => {
        $(
            #[doc = concat!("`", $lower, "(", $arguments, ")` gives ", $result, ".")]
            pub const $name: usize = $number;
        )*

        /// All commands, by number.
        pub const COMMANDS: &[Command] = &[
            $(Command { number: $number, name: $lower, arguments: $arguments, result: $result },)*
        ];
    };
}

commands! {
    INFO = 0x0000, "info", ("records, room") -> "how many records there are";
    PIPE_CREATE = 0x0100, "pipe_create", ("fds, flags") -> "0";
    FIFO_CREATE = 0x0101, "fifo_create", ("path, mode") -> "0";
    SEND = 0x0200, "send", ("fd, buffer, bytes") -> "bytes taken";
    RECEIVE = 0x0201, "receive", ("fd, buffer, bytes") -> "bytes delivered, 0 at the end";
    CLOSE = 0x0202, "close", ("fd") -> "0";
    WORD_WAIT = 0x0600, "word_wait", ("word, value, timeout") -> "0";
    WORD_WAKE = 0x0601, "word_wake", ("word, count") -> "how many were woken";
    SIGNAL_SEND = 0x0700, "signal_send", ("pid, signal") -> "0";
    SIGNAL_QUEUE = 0x0701, "signal_queue", ("pid, signal, info") -> "0";
    SIGNAL_ACTION = 0x0702, "signal_action", ("signal, new, old, 8") -> "0";
    SIGNAL_MASK = 0x0703, "signal_mask", ("how, new, old, 8") -> "0";
    SIGNAL_WAIT = 0x0704, "signal_wait", ("set, info, timeout, 8") -> "the signal";
    CHANNEL_CREATE = 0x0c00, "channel_create", ("flags") -> "the server's descriptor";
    CHANNEL_CLIENT = 0x0c01, "channel_client", ("server, badge, flags") -> "a client's descriptor";
    CHANNEL_CALL = 0x0c02, "channel_call", ("client, tag, fd, words") -> "how many words the reply has";
    CHANNEL_RECEIVE = 0x0c03, "channel_receive", ("server") -> "how many words the call has";
    CHANNEL_REPLY = 0x0c04, "channel_reply", ("0, tag, fd, words") -> "0";
    CHANNEL_REPLY_RECEIVE = 0x0c05, "channel_reply_receive", ("server, tag, fd, words") -> "how many words the call has";
}

/// The bytes of a record's name.
pub const NAME_BYTES: usize = 24;

/// What [`INFO`] says of one kind of object, or of one object that has an identifier.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoRecord {
    /// The kind, padded with zero bytes.
    pub kind: [u8; NAME_BYTES],
    /// The object's identifier; -1: the record sums up the kind.
    pub id: i64,
    /// How many there are; of one object: how many use it.
    pub count: u64,
}
