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
    SHM_CREATE = 0x0300, "shm_create", ("size, flags") -> "the segment's id";
    SHM_MAP = 0x0301, "shm_map", ("id, address, flags") -> "where it is";
    SHM_UNMAP = 0x0302, "shm_unmap", ("address") -> "0";
    SHM_CONTROL = 0x0303, "shm_control", ("id, command, buffer") -> "as shmctl(2)";
    SHM_GET = 0x0304, "shm_get", ("key, size, flags") -> "the segment's id";
    MSG_CREATE = 0x0400, "msg_create", ("key, flags") -> "the id of a queue of 64 messages of up to 256 bytes";
    MSG_SEND = 0x0401, "msg_send", ("id, message, bytes, flags") -> "0";
    MSG_RECEIVE = 0x0402, "msg_receive", ("id, message, room, type, flags") -> "the text's length";
    MSG_CONTROL = 0x0403, "msg_control", ("id, command, buffer") -> "as msgctl(2)";
    MSG_GET = 0x0404, "msg_get", ("key, flags") -> "the queue's id";
    SEM_GET = 0x0500, "sem_get", ("key, count, flags") -> "the set's id";
    SEM_OPERATE = 0x0501, "sem_operate", ("id, operations, count, timeout") -> "0";
    SEM_CONTROL = 0x0502, "sem_control", ("id, number, command, argument") -> "as semctl(2)";
    WORD_WAIT = 0x0600, "word_wait", ("word, value, timeout") -> "0";
    WORD_WAKE = 0x0601, "word_wake", ("word, count") -> "how many were woken";
    SIGNAL_SEND = 0x0700, "signal_send", ("pid, signal") -> "0";
    SIGNAL_QUEUE = 0x0701, "signal_queue", ("pid, signal, info") -> "0";
    SIGNAL_ACTION = 0x0702, "signal_action", ("signal, new, old, 8") -> "0";
    SIGNAL_MASK = 0x0703, "signal_mask", ("how, new, old, 8") -> "0";
    SIGNAL_WAIT = 0x0704, "signal_wait", ("set, info, timeout, 8") -> "the signal";
    NAMED_OPEN = 0x0900, "named_open", ("name, flags, mode, attributes") -> "a descriptor";
    NAMED_SEND = 0x0901, "named_send", ("fd, buffer, bytes, priority, deadline") -> "0";
    NAMED_RECEIVE = 0x0902, "named_receive", ("fd, buffer, room, priority, deadline") -> "bytes";
    NAMED_REMOVE = 0x0903, "named_remove", ("name") -> "0";
    SOCKET_PAIR = 0x0a00, "socket_pair", ("type, fds") -> "0";
    SOCKET_SEND = 0x0a01, "socket_send", ("fd, message, flags") -> "bytes taken";
    SOCKET_RECEIVE = 0x0a02, "socket_receive", ("fd, message, flags") -> "bytes delivered";
    EVENT_CREATE = 0x0b00, "event_create", ("value, flags") -> "a descriptor";
    CHANNEL_CREATE = 0x0c00, "channel_create", ("flags") -> "the server's descriptor";
    CHANNEL_CLIENT = 0x0c01, "channel_client", ("server, badge, flags") -> "a client's descriptor";
    CHANNEL_CALL = 0x0c02, "channel_call", ("client, tag, fd, words") -> "how many words the reply has";
    CHANNEL_RECEIVE = 0x0c03, "channel_receive", ("server") -> "how many words the call has";
    CHANNEL_REPLY = 0x0c04, "channel_reply", ("0, tag, fd, words") -> "0";
    CHANNEL_REPLY_RECEIVE = 0x0c05, "channel_reply_receive", ("server, tag, fd, words") -> "how many words the call has";
    WAIT_ANY = 0x0d00, "wait_any", ("fds, count, timeout") -> "how many are ready";
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
