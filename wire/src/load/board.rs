//! The side that wants a kernel: the chainloader's.

use super::line::{Frame, Heard, Reader};
use super::message::{Message, Offer, Part, Piece, Refusal};
use super::{BLOCK, blocks};

/// How long the desk must be quiet after the last answer before the kernel is started, in ms: if that answer was lost, it asks again
/// sooner.
pub const QUIET: u64 = 1200;

/// Less than this is a spike on the line and nobody's message.
const SPIKE: usize = 8;

/// Where the parts go.
pub trait Memory {
    /// Makes room for what is offered. Forgets an earlier offer. Error: there is none.
    fn prepare(&mut self, offer: &Offer<'_>) -> Result<(), Refusal>;
    /// Puts bytes at an offset of a part. They lie within what was offered.
    fn write(&mut self, part: Part, offset: u32, bytes: &[u8]);
    /// The CRC-32 of a part as it lies in memory.
    fn sum(&mut self, part: Part) -> u32;
}

/// A transfer.
#[derive(Clone, Copy, Debug)]
struct Session {
    number: u32,
    kernel: Piece,
    initramfs: Piece,
    next: u32,
    /// When the desk was last heard since all was found whole.
    whole: Option<u64>,
}

impl Session {
    fn blocks(&self) -> u32 {
        blocks(self.kernel.length).saturating_add(blocks(self.initramfs.length))
    }

    /// Part, offset and length of a block. None: there is no such block.
    fn place(&self, number: u32) -> Option<(Part, u32, usize)> {
        let first = blocks(self.kernel.length);
        let (part, index, length) = match number.checked_sub(first) {
            None => (Part::Kernel, number, self.kernel.length),
            Some(index) => (Part::Initramfs, index, self.initramfs.length),
        };
        let offset = index.checked_mul(BLOCK as u32)?;
        let left = length.checked_sub(offset).filter(|&left| left > 0)?;
        Some((part, offset, (left as usize).min(BLOCK)))
    }
}

/// The board's end of the line.
#[derive(Debug)]
pub struct Board<'a> {
    title: &'a str,
    reader: Reader,
    session: Option<Session>,
}

impl<'a> Board<'a> {
    /// A board of that name that waits.
    #[must_use]
    pub fn new(title: &'a str) -> Self {
        Self {
            title,
            reader: Reader::default(),
            session: None,
        }
    }

    /// Whether a transfer is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.session.is_some()
    }

    /// Blocks that are here, and how many there will be.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        self.session
            .map_or((0, 0), |session| (session.next, session.blocks()))
    }

    /// Whether the kernel lies whole in memory and the desk has nothing more to ask.
    #[must_use]
    pub fn may_start(&self, now: u64) -> bool {
        let whole = self.session.and_then(|session| session.whole);
        whole.is_some_and(|heard| now.saturating_sub(heard) >= QUIET)
    }

    /// Takes a byte that came at `now`; answers through `send`.
    pub fn take(
        &mut self,
        byte: u8,
        now: u64,
        memory: &mut dyn Memory,
        send: &mut dyn FnMut(&[u8]),
    ) {
        let Some(heard) = self.reader.take(byte) else {
            return;
        };
        let session = &mut self.session;
        let answer = match heard {
            Heard::Message(number, message) => {
                message_came(session, self.title, number, &message, now, memory)
                    .map(|answer| (number, answer))
            }
            Heard::Noise(length) => session
                .as_ref()
                .filter(|session| length >= SPIKE && session.whole.is_none())
                .map(|session| (session.number, Message::Again(session.next))),
        };
        let frame = answer.and_then(|(number, answer)| Frame::of(number, &answer));
        if let Some(frame) = frame {
            send(frame.bytes());
        }
    }
}

/// What the board does with a message, and its answer.
fn message_came<'t>(
    session: &mut Option<Session>,
    title: &'t str,
    number: u32,
    message: &Message<'_>,
    now: u64,
    memory: &mut dyn Memory,
) -> Option<Message<'t>> {
    match message {
        Message::Hello => Some(Message::Ready(title)),
        Message::Offer(offer) => Some(offered(session, number, offer, memory)),
        Message::Block {
            number: block,
            data,
        } => Some(
            match session.as_mut().filter(|known| known.number == number) {
                Some(session) => block_came(session, *block, data, memory),
                None => Message::Refused(Refusal::NoSession),
            },
        ),
        Message::Start => Some(
            match session.as_mut().filter(|known| known.number == number) {
                Some(known) => match start(known, now, memory) {
                    Ok(answer) => answer,
                    Err(refusal) => {
                        *session = None;
                        Message::Refused(refusal)
                    }
                },
                None => Message::Refused(Refusal::NoSession),
            },
        ),
        // Another board's words, or our own come back.
        _ => None,
    }
}

fn offered<'t>(
    session: &mut Option<Session>,
    number: u32,
    offer: &Offer<'_>,
    memory: &mut dyn Memory,
) -> Message<'t> {
    if let Some(known) = session.filter(|known| known.number == number) {
        // The answer to it was lost.
        return Message::Next(known.next);
    }
    *session = None;
    match memory.prepare(offer) {
        Err(refusal) => Message::Refused(refusal),
        Ok(()) => {
            *session = Some(Session {
                number,
                kernel: offer.kernel,
                initramfs: offer.initramfs,
                next: 0,
                whole: None,
            });
            Message::Next(0)
        }
    }
}

fn block_came<'t>(
    session: &mut Session,
    number: u32,
    data: &[u8],
    memory: &mut dyn Memory,
) -> Message<'t> {
    match session.place(number) {
        Some((part, offset, length)) if number == session.next && length == data.len() => {
            memory.write(part, offset, data);
            session.next += 1;
            Message::Next(session.next)
        }
        // One that is here already: the answer to it was lost.
        Some(_) if number < session.next => Message::Next(session.next),
        _ => Message::Again(session.next),
    }
}

fn start<'t>(
    session: &mut Session,
    now: u64,
    memory: &mut dyn Memory,
) -> Result<Message<'t>, Refusal> {
    if session.next < session.blocks() {
        return Ok(Message::Again(session.next));
    }
    if session.whole.is_none() {
        let whole = [
            (Part::Kernel, session.kernel),
            (Part::Initramfs, session.initramfs),
        ];
        if whole
            .into_iter()
            .any(|(part, piece)| memory.sum(part) != piece.sum)
        {
            return Err(Refusal::Sum);
        }
    }
    session.whole = Some(now);
    Ok(Message::Started)
}
