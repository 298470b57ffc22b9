//! A message of a stream whose head is read and whose body may still be on its way.

use bytes::Bytes;

use super::scan::{self, Head, Mode};
use super::{Message, ParseError};
use crate::limits::Limits;

/// The head of the next message and where the message ends.
#[derive(Debug)]
pub(crate) struct Framed {
    head: Head,
    len: usize,
}

impl Framed {
    /// Reads a head that begins at the first byte and ends with the last.
    pub(crate) fn new(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        let head = scan::head(bytes, limits, Mode::Strict)?;
        let length = head.length.ok_or(ParseError::LengthMissing)? as usize;
        if length > limits.body_bytes_max {
            return Err(ParseError::BodyTooLarge);
        }
        let len = (head.body as usize).saturating_add(length);
        if len > limits.message_bytes_max {
            return Err(ParseError::MessageTooLarge);
        }
        Ok(Self { head, len })
    }

    /// Bytes of the whole message.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The message, given exactly its bytes.
    pub(crate) fn message(self, bytes: Bytes) -> Message {
        Message::from_head(self.head, bytes)
    }
}
