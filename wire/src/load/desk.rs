//! The side that has a kernel: what `cargo xtask flash --via uart` does.

use core::fmt;

use super::line::{Frame, Heard, Reader};
use super::message::{Message, Offer, Part, Piece, Refusal};
use super::{BLOCK, WORDS_MAX, blocks, sum};

/// How often a board is called that does not answer, in ms.
const CALL: u64 = 300;

/// How long the board may take to look through what it was sent, in ms, before it is asked again.
const LOOK: u64 = 400;

/// How often a message is sent before the line is given up.
const TRIES: u32 = 40;

/// What is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    kernel: &'a [u8],
    initramfs: &'a [u8],
    offer: Offer<'a>,
}

/// Why something cannot be loaded at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAKernel {
    /// It has not the header of an arm64 Image.
    Header,
    /// It, its memory or the initramfs has more than 2 GiB.
    Large,
    /// The command line has more than [`WORDS_MAX`] bytes.
    Words,
}

impl fmt::Display for NotAKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotAKernel::Header => f.write_str("it is no arm64 Image"),
            NotAKernel::Large => f.write_str("it is larger than 2 GiB"),
            NotAKernel::Words => write!(f, "its command line has more than {WORDS_MAX} bytes"),
        }
    }
}

impl core::error::Error for NotAKernel {}

impl<'a> Load<'a> {
    /// A flat arm64 Image, an initramfs or nothing, and words for the kernel. Source of the header: Linux,
    /// Documentation/arch/arm64/booting.rst.
    pub fn new(kernel: &'a [u8], initramfs: &'a [u8], words: &'a str) -> Result<Self, NotAKernel> {
        if kernel.get(56..60) != Some(b"ARM\x64") {
            return Err(NotAKernel::Header);
        }
        let size = kernel.get(16..).and_then(|rest| rest.first_chunk());
        let size = size.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let small = |size: u64| {
            u32::try_from(size)
                .ok()
                .filter(|&size| size <= 1 << 31)
                .ok_or(NotAKernel::Large)
        };
        let piece = |bytes: &[u8]| {
            Ok(Piece {
                length: small(bytes.len() as u64)?,
                sum: sum(bytes),
            })
        };
        if words.len() > WORDS_MAX {
            return Err(NotAKernel::Words);
        }
        let offer = Offer {
            kernel: piece(kernel)?,
            initramfs: piece(initramfs)?,
            memory: small(size.max(kernel.len() as u64))?,
            words,
        };
        Ok(Self {
            kernel,
            initramfs,
            offer,
        })
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        blocks(self.offer.kernel.length) + blocks(self.offer.initramfs.length)
    }

    fn block(&self, number: u32) -> Option<&'a [u8]> {
        let (part, index) = match number.checked_sub(blocks(self.offer.kernel.length)) {
            None => (self.kernel, number),
            Some(index) => (self.initramfs, index),
        };
        part.chunks(BLOCK).nth(usize::try_from(index).ok()?)
    }

    /// The bytes of a part.
    #[must_use]
    pub fn part(&self, part: Part) -> &'a [u8] {
        match part {
            Part::Kernel => self.kernel,
            Part::Initramfs => self.initramfs,
        }
    }
}

/// Why a transfer came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The board said so.
    Refused(Refusal),
    /// It has not answered, or not so that it could be understood.
    Silent,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(refusal) => refusal.fmt(f),
            Failure::Silent => f.write_str("the board does not answer any more"),
        }
    }
}

impl core::error::Error for Failure {}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No board has answered yet.
    Calling,
    /// So many blocks are there.
    Sending(u32),
    /// The board looks whether all is whole.
    Checking,
    /// The board starts the kernel.
    Started,
    /// It came to nothing.
    Failed(Failure),
}

/// The desk's end of the line, for one attempt.
#[derive(Debug)]
pub struct Desk<'a> {
    load: Load<'a>,
    session: u32,
    reader: Reader,
    progress: Progress,
    /// Whether the board has taken the offer.
    taken: bool,
    /// When the next frame is to be sent.
    due: u64,
    tries: u32,
    /// How long an answer to a block may take.
    patience: u64,
}

impl<'a> Desk<'a> {
    /// An attempt; `session` should be another number each time, `baud` is the line's speed.
    #[must_use]
    pub fn new(load: Load<'a>, session: u32, baud: u32) -> Self {
        let wire = (super::line::FRAME_MAX as u64 * 10 * 1000) / u64::from(baud.max(1));
        Self {
            load,
            session,
            reader: Reader::default(),
            progress: Progress::Calling,
            taken: false,
            due: 0,
            tries: 0,
            patience: 2 * wire + CALL,
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// When [`Desk::poll`] has something to send, if nothing comes before.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.due
    }

    /// What to send at `now`, if it is time.
    pub fn poll(&mut self, now: u64) -> Option<Frame> {
        let over = matches!(self.progress, Progress::Started | Progress::Failed(_));
        if over || now < self.due {
            return None;
        }
        if self.tries >= TRIES {
            self.progress = Progress::Failed(Failure::Silent);
            return None;
        }
        let (message, wait) = match self.progress {
            Progress::Sending(_) if !self.taken => (Message::Offer(self.load.offer), self.patience),
            Progress::Sending(number) => match self.load.block(number) {
                Some(data) => (Message::Block { number, data }, self.patience),
                None => (Message::Start, LOOK),
            },
            Progress::Checking => (Message::Start, LOOK),
            _ => (Message::Hello, CALL),
        };
        // A board may be switched on hours later: it is called without end.
        if self.progress != Progress::Calling {
            self.tries += 1;
        }
        self.due = now + wait;
        Frame::of(self.session, &message)
    }

    /// Takes a byte of the line.
    pub fn take(&mut self, byte: u8, now: u64) {
        let Some(Heard::Message(session, message)) = self.reader.take(byte) else {
            return;
        };
        if session == self.session {
            let next = answered(self.progress, self.taken, &message);
            self.follow(next, now);
        }
    }

    fn follow(&mut self, next: Next, now: u64) {
        match next {
            Next::Stay => {}
            Next::Repeat => self.due = now,
            Next::Failed(refusal) => self.progress = Progress::Failed(Failure::Refused(refusal)),
            Next::Started => self.progress = Progress::Started,
            Next::Offer => self.go(Progress::Sending(0), now),
            Next::Block(number) => {
                self.taken = true;
                let all = number >= self.load.blocks();
                self.go(
                    if all {
                        Progress::Checking
                    } else {
                        Progress::Sending(number)
                    },
                    now,
                );
            }
        }
    }

    fn go(&mut self, to: Progress, now: u64) {
        self.progress = to;
        self.tries = 0;
        self.due = now;
    }
}

/// What follows from an answer.
enum Next {
    Stay,
    /// Send the same once more, now.
    Repeat,
    Offer,
    Block(u32),
    Started,
    Failed(Refusal),
}

/// What follows from the board's message. An answer that comes twice, or late, moves nothing: else each would be sent twice from
/// there on.
fn answered(progress: Progress, taken: bool, message: &Message<'_>) -> Next {
    match (progress, message) {
        (Progress::Started | Progress::Failed(_), _) => Next::Stay,
        (_, Message::Refused(refusal)) => Next::Failed(*refusal),
        (Progress::Calling, Message::Ready(_)) => Next::Offer,
        (Progress::Sending(_), Message::Next(number)) if !taken => Next::Block(*number),
        (Progress::Sending(now), Message::Next(number)) if *number > now => Next::Block(*number),
        (Progress::Sending(now), Message::Again(number)) if *number == now && taken => Next::Repeat,
        (Progress::Sending(now), Message::Again(number)) if *number > now => Next::Block(*number),
        (Progress::Checking, Message::Again(number)) => Next::Block(*number),
        (Progress::Checking, Message::Started) => Next::Started,
        _ => Next::Stay,
    }
}
