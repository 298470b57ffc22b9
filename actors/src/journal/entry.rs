//! What is written: an entry as the arbiters hand it over, and the draft it is encoded into.

use std::fmt::{Display, Write};

/// Something to be journalled. It is encoded on the journal's thread, not on the arbiter's.
pub trait Entry: Send + 'static {
    /// Fills the draft, which comes empty.
    fn encode(&self, draft: &mut Draft);
}

/// One encoded entry. The buffers are reused from entry to entry.
#[derive(Debug, Default)]
pub struct Draft {
    /// The NATS subject. Left empty, the entry is witnessed and never published.
    pub subject: String,
    /// `Nats-Msg-Id`: what the stream recognises a repetition by.
    pub id: String,
    /// The message's body.
    pub body: Vec<u8>,
    headers: String,
}

impl Draft {
    /// Adds a header of the message. A value that would break the line is cut there.
    pub fn header(&mut self, name: &str, value: impl Display) {
        let start = self.headers.len();
        // Writing to a String cannot fail.
        let _infallible = write!(self.headers, "{name}: {value}");
        if let Some(cut) = self.headers[start..].find(['\r', '\n']) {
            self.headers.truncate(start + cut);
        }
        self.headers.push_str("\r\n");
    }

    /// The header lines, each with its CRLF.
    pub(super) fn headers(&self) -> &str {
        &self.headers
    }

    pub(super) fn clear(&mut self) {
        self.subject.clear();
        self.id.clear();
        self.body.clear();
        self.headers.clear();
    }
}
