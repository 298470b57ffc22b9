//! Messages out of a byte stream.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::Limits;
use crate::message::{Framed, Message, ParseError};

/// What a stream has next.
#[derive(Clone, Debug)]
pub enum Item {
    /// A whole message.
    Message(Message),
    /// The second CRLF in a row: the peer waits for one CRLF back (RFC 5626 3.5.1).
    Ping,
    /// One CRLF: the answer to our ping. It also comes before each `Ping`, and is noise when no
    /// answer is awaited.
    Pong,
}

/// Frames the bytes of one TCP or TLS connection.
///
/// After an error the stream has lost its place: close the connection. Idle, it owns no memory.
#[derive(Debug)]
pub struct Stream {
    buffer: BytesMut,
    /// No blank line ends before here.
    scanned: usize,
    /// The message whose body is awaited.
    framed: Option<Framed>,
    /// The last thing was one CRLF.
    pong: bool,
    limits: Limits,
}

impl Stream {
    /// An empty stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            framed: None,
            pong: false,
            limits,
        }
    }

    /// Adds what was read. The caller drains with `next` before it reads more, which bounds what
    /// is held to one message and one read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole thing; none until more is pushed.
    ///
    /// # Errors
    /// A framing fault once the head is whole, or a limit as soon as it is passed.
    #[expect(clippy::should_implement_trait, reason = "it can go on after None")]
    pub fn next(&mut self) -> Result<Option<Item>, ParseError> {
        if self.framed.is_none() {
            if let Some(item) = self.keep_alive()? {
                return Ok(Some(item));
            }
            let Some(end) = self.head_end()? else {
                return Ok(None);
            };
            self.framed = Some(Framed::new(&self.buffer[..end], &self.limits)?);
        }
        match self
            .framed
            .take_if(|framed| framed.len() <= self.buffer.len())
        {
            Some(framed) => {
                let bytes = self.take(framed.len());
                Ok(Some(Item::Message(framed.message(bytes))))
            }
            None => Ok(None),
        }
    }

    /// Bytes held for a message that is not whole: what a slow peer makes us keep.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn keep_alive(&mut self) -> Result<Option<Item>, ParseError> {
        match *self.buffer {
            [b'\r', b'\n', ..] => {
                self.buffer.advance(2);
                if self.buffer.is_empty() {
                    self.buffer = BytesMut::new();
                }
                self.pong = !self.pong;
                Ok(Some(if self.pong { Item::Pong } else { Item::Ping }))
            }
            [b'\n', ..] => Err(ParseError::BareLf),
            [b'\r', _, ..] => Err(ParseError::BareCr),
            [] | [b'\r'] => Ok(None),
            [_, ..] => {
                self.pong = false;
                Ok(None)
            }
        }
    }

    /// Where the body begins, once the blank line is there.
    fn head_end(&mut self) -> Result<Option<usize>, ParseError> {
        let from = self.scanned.saturating_sub(3);
        let end = memchr::memmem::find(&self.buffer[from..], b"\r\n\r\n").map(|at| from + at + 4);
        self.scanned = self.buffer.len();
        let head_bytes = end.unwrap_or(self.buffer.len());
        if head_bytes > self.limits.message_bytes_max {
            return Err(ParseError::MessageTooLarge);
        }
        Ok(end)
    }

    fn take(&mut self, len: usize) -> Bytes {
        self.scanned = 0;
        if self.buffer.len() == len {
            return std::mem::take(&mut self.buffer).freeze();
        }
        // A copy: a message may be kept for as long as a phone rings, and must not keep with it
        // whatever else was read.
        let bytes = Bytes::copy_from_slice(&self.buffer[..len]);
        self.buffer.advance(len);
        bytes
    }
}
