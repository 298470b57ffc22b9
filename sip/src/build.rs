//! Writing messages: straight into the buffer that is sent.

use std::fmt::{self, Display, Write};

use bytes::{BufMut, Bytes, BytesMut};

use crate::header::{Header, Name};
use crate::message::Message;

/// Writes one message, top down: the start line, headers, then `body` or `end`.
///
/// Text put in cannot end a line: a CR or LF in it becomes a space. `raw` and `copy` take whole
/// lines and are the exception.
#[derive(Debug)]
pub struct Builder {
    out: BytesMut,
}

impl Builder {
    /// A request. `capacity` is the expected size in bytes.
    #[must_use]
    pub fn request(method: &str, uri: &str, capacity: usize) -> Self {
        let mut builder = Self {
            out: BytesMut::with_capacity(capacity),
        };
        builder.put_text(method).raw(b" ").put_text(uri);
        builder.raw(b" SIP/2.0\r\n");
        builder
    }

    /// A response. `capacity` is the expected size in bytes.
    #[must_use]
    pub fn status(code: u16, reason: &str, capacity: usize) -> Self {
        let mut builder = Self {
            out: BytesMut::with_capacity(capacity),
        };
        builder.raw(b"SIP/2.0 ").put_number(code.into()).raw(b" ");
        builder.put_text(reason).raw(b"\r\n");
        builder
    }

    /// One header. A value's own `Display` writes into the buffer.
    pub fn line(&mut self, name: impl AsRef<str>, value: impl Display) -> &mut Self {
        self.put_text(name.as_ref()).raw(b": ");
        self.put(value).raw(b"\r\n")
    }

    /// One header whose value is bytes of any encoding: what `line` does, without formatting.
    pub fn bytes(&mut self, name: impl AsRef<str>, value: &[u8]) -> &mut Self {
        self.put_text(name.as_ref()).raw(b": ");
        put_safe(&mut self.out, value);
        self.raw(b"\r\n")
    }

    /// One header whose value is a number.
    pub fn number(&mut self, name: impl AsRef<str>, value: u32) -> &mut Self {
        self.put_text(name.as_ref()).raw(b": ");
        self.put_number(value).raw(b"\r\n")
    }

    /// Whole header lines, each with its CRLF, as they are.
    pub fn raw(&mut self, lines: &[u8]) -> &mut Self {
        self.out.put_slice(lines);
        self
    }

    /// One header of another message, as it is.
    pub fn copy(&mut self, header: Header<'_>) -> &mut Self {
        self.raw(header.line)
    }

    /// Every header of this name in another message, as it is.
    pub fn copy_all(&mut self, message: &Message, name: Name) -> &mut Self {
        for header in message.named(name) {
            self.raw(header.line);
        }
        self
    }

    /// Ends the message with a body: Content-Type, Content-Length, the blank line and the bytes.
    pub fn body(&mut self, content_type: Option<&[u8]>, body: &[u8]) -> Bytes {
        if let Some(content_type) = content_type {
            self.bytes(Name::ContentType, content_type);
        }
        match u32::try_from(body.len()) {
            Ok(length) => self.number(Name::ContentLength, length),
            Err(_) => self.line(Name::ContentLength, body.len()),
        };
        self.out.reserve(body.len() + 2);
        self.out.put_slice(b"\r\n");
        self.out.put_slice(body);
        std::mem::take(&mut self.out).freeze()
    }

    /// Ends the message without a body.
    pub fn end(&mut self) -> Bytes {
        self.body(None, b"")
    }

    pub(crate) fn put_text(&mut self, text: &str) -> &mut Self {
        put_safe(&mut self.out, text.as_bytes());
        self
    }

    pub(crate) fn put_number(&mut self, mut number: u32) -> &mut Self {
        let mut digits = [0; 10];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return self.raw(&digits[first..]);
            }
        }
    }

    pub(crate) fn put(&mut self, text: impl Display) -> &mut Self {
        // Writing into the buffer cannot fail; a Display that does has written what it wants.
        let _infallible = write!(Safe(&mut self.out), "{text}");
        self
    }
}

/// Keeps line ends out of what is written.
struct Safe<'a>(&'a mut BytesMut);

impl Write for Safe<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put_safe(self.0, text.as_bytes());
        Ok(())
    }
}

fn put_safe(out: &mut BytesMut, mut text: &[u8]) {
    while let Some(at) = memchr::memchr2(b'\r', b'\n', text) {
        out.put_slice(&text[..at]);
        out.put_u8(b' ');
        text = &text[at + 1..];
    }
    out.put_slice(text);
}
