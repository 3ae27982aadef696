//! Channels: a call to a server and its reply, with up to eight words in registers and a descriptor.

use halyard_abi::ipc_call as door;

use crate::fd::{AsFd, Fd};
use crate::{Errno, Result};

/// The most words of a message.
pub const WORDS: usize = 8;

/// Bit of the tag: a descriptor goes with the message.
const PASSES: usize = 0x100;

/// A message: some words, and perhaps a descriptor, which the receiver gets as one of its own.
#[derive(Debug, Default)]
pub struct Message {
    words: [u64; WORDS],
    count: usize,
    /// What came with it; an error if there was no descriptor to be had for it.
    pub file: Option<Result<Fd>>,
}

impl Message {
    /// The words of `words`, at most [`WORDS`] of them.
    #[must_use]
    pub fn new(words: &[u64]) -> Message {
        let mut message = Message {
            count: words.len().min(WORDS),
            ..Message::default()
        };
        for (to, from) in message.words.iter_mut().zip(words) {
            *to = *from;
        }
        message
    }

    /// Its words.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        self.words.get(..self.count).unwrap_or_default()
    }
}

/// What a server receives.
#[derive(Debug)]
pub struct Request {
    /// What the end by which the caller called was made with.
    pub badge: u64,
    /// What it said.
    pub message: Message,
}

/// The server's end of a channel. One of its threads at a time owes at most one reply.
#[derive(Debug)]
pub struct Server(Fd);

/// An end that calls.
#[derive(Debug)]
pub struct Client(Fd);

impl Server {
    /// A new channel.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`; on Linux `ENOSYS`.
    pub fn new() -> Result<Server> {
        let fd = plain(door::CHANNEL_CREATE, [0; 3])?;
        Ok(Server(Fd::from_raw(fd as i32)))
    }

    /// An end that calls; the server is told `badge` with each of its calls.
    ///
    /// # Errors
    /// As [`Server::new`].
    pub fn client(&self, badge: u64) -> Result<Client> {
        let fd = plain(
            door::CHANNEL_CLIENT,
            [self.0.fd() as usize, badge as usize, 0],
        )?;
        Ok(Client(Fd::from_raw(fd as i32)))
    }

    /// Waits for a call. A reply that this thread still owes fails.
    ///
    /// # Errors
    /// `EINTR`.
    pub fn receive(&self) -> Result<Request> {
        let mut registers = Registers::new(
            door::CHANNEL_RECEIVE,
            self.0.fd(),
            &Message::default(),
            None,
        );
        registers.exchange()?;
        Ok(registers.request())
    }

    /// Replies to the call received last, with `file` if there is one.
    ///
    /// # Errors
    /// `ECANCELED`: the caller waits no more, or no reply is owed.
    pub fn reply(&self, message: &Message, file: Option<&Fd>) -> Result<()> {
        Registers::new(door::CHANNEL_REPLY, -1, message, file)
            .exchange()
            .map(drop)
    }

    /// Replies, and waits for the next call: one trap for both. A caller that waits no more is no error.
    ///
    /// # Errors
    /// `EINTR`; the reply has been given then.
    pub fn reply_receive(&self, message: &Message) -> Result<Request> {
        let mut registers = Registers::new(door::CHANNEL_REPLY_RECEIVE, self.0.fd(), message, None);
        registers.exchange()?;
        Ok(registers.request())
    }

    /// The descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &Fd {
        &self.0
    }
}

impl Client {
    /// The client's end that `fd` is.
    #[must_use]
    pub fn from_fd(fd: Fd) -> Client {
        Client(fd)
    }

    /// Calls with `message`, and `file` if there is one, and waits for the reply.
    ///
    /// # Errors
    /// `EPIPE`: nobody serves, the call was not begun. `ECONNRESET`: the server died or gave the call up. `EINTR`.
    pub fn call(&self, message: &Message, file: Option<&Fd>) -> Result<Message> {
        let mut registers = Registers::new(door::CHANNEL_CALL, self.0.fd(), message, file);
        registers.exchange()?;
        Ok(registers.message(registers.head[1]))
    }

    /// The descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &Fd {
        &self.0
    }
}

fn plain(command: usize, [a, b, c]: [usize; 3]) -> Result<usize> {
    // SAFETY: the commands take numbers only.
    unsafe { crate::sys::call(door::IPC_CALL, [command, a, b, c, 0, 0]) }
}

/// x0 to x3 and x9 to x16.
struct Registers {
    head: [u64; 4],
    words: [u64; WORDS],
}

impl Registers {
    fn new(command: usize, fd: i32, message: &Message, file: Option<&Fd>) -> Registers {
        let passes = if file.is_some() { PASSES } else { 0 };
        let passed = file.map_or(-1, |file| file.fd());
        Registers {
            head: [
                command as u64,
                fd as u64,
                (message.count | passes) as u64,
                passed as u64,
            ],
            words: message.words,
        }
    }

    fn exchange(&mut self) -> Result<usize> {
        let [x0, x1, x2, x3] = &mut self.head;
        let [w0, w1, w2, w3, w4, w5, w6, w7] = &mut self.words;
        // SAFETY: the kernel changes registers only, all of which are named.
        unsafe {
            core::arch::asm!(
                "svc #0",
                in("x8") door::IPC_CALL,
                inlateout("x0") *x0,
                inlateout("x1") *x1,
                inlateout("x2") *x2,
                in("x3") *x3,
                inlateout("x9") *w0,
                inlateout("x10") *w1,
                inlateout("x11") *w2,
                inlateout("x12") *w3,
                inlateout("x13") *w4,
                inlateout("x14") *w5,
                inlateout("x15") *w6,
                inlateout("x16") *w7,
                options(nostack),
            );
        }
        Errno::from_return(*x0 as isize)
    }

    /// The message that came, with the descriptor that a register names.
    fn message(&self, fd: u64) -> Message {
        let [count, ..] = self.head;
        let file = match fd as i64 {
            -1 => None,
            fd => Some(Errno::from_return(fd as isize).map(|fd| Fd::from_raw(fd as i32))),
        };
        Message {
            words: self.words,
            count: count as usize,
            file,
        }
    }

    fn request(&self) -> Request {
        let [_, badge, fd, _] = self.head;
        Request {
            badge,
            message: self.message(fd),
        }
    }
}
