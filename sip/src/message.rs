//! A SIP message: one buffer, and a table of where its parts are.

mod check;
mod error;
mod framed;
mod scan;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::header::value::{self, Elements, number};
use crate::header::{CSeq, Header, Name, NameAddr, Via, tag_of};
use crate::limits::Limits;
use crate::method::Method;

pub use error::{Fault, ParseError};
pub(crate) use framed::Framed;
use scan::{Head, Line, Mode, Start};

/// A request or a response, lossless: `bytes` is what came, and every view borrows from it.
///
/// A clone shares the buffer and the table. What is read here is well framed; whether its values
/// make sense is asked on use, and of the mandatory ones at once by `check`.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    lines: Arc<[Line]>,
    start: Start,
    body: u32,
    source: Option<SocketAddr>,
}

impl Message {
    /// Reads a datagram. CRLF before the message is passed over, and so is what follows the body
    /// when Content-Length ends it early; without Content-Length the body is the rest
    /// (RFC 3261 18.3).
    ///
    /// # Errors
    /// A framing fault or a limit; `ParseError::answer` says how to answer it.
    pub fn parse_datagram(bytes: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        Self::parse(bytes, limits, ParseError::BodyShort, None)
    }

    /// Reads a WebSocket message, which is one SIP message whole (RFC 7118 5): as a datagram,
    /// but bytes beyond Content-Length are a contradiction and refused.
    ///
    /// # Errors
    /// As `parse_datagram`.
    pub fn parse_frame(bytes: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        Self::parse(
            bytes,
            limits,
            ParseError::BodyShort,
            Some(ParseError::BodyLong),
        )
    }

    /// What can be read of a refused request, only to answer it: a header line that is none, or
    /// past a limit, has neither name nor value; of a head that does not end what is whole is read;
    /// Content-Length is not looked at, and the body is empty. None when there is nothing to
    /// answer: a response, an ACK, or no Via.
    #[must_use]
    pub fn salvage(bytes: &Bytes, limits: &Limits) -> Option<Self> {
        let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
        let end = bytes
            .len()
            .min(start.saturating_add(limits.message_bytes_max));
        let mut bytes = bytes.slice(start..end);
        let mut head = scan::head(&bytes, limits, Mode::Salvage);
        if matches!(head, Err(ParseError::HeadShort)) {
            // It was cut, by us or on its way: what is whole of it ends here.
            let whole = memchr::memmem::rfind(&bytes, b"\r\n")? + 2;
            bytes = [&bytes[..whole], b"\r\n"].concat().into();
            head = scan::head(&bytes, limits, Mode::Salvage);
        }
        let head = head.ok()?;
        let bytes = bytes.slice(..head.body as usize);
        let message = Self::from_head(head, bytes);
        let answerable = message.is_request() && message.method() != Some(Method::Ack);
        (answerable && message.top_via().is_ok()).then_some(message)
    }

    fn parse(
        bytes: Bytes,
        limits: &Limits,
        short: ParseError,
        long: Option<ParseError>,
    ) -> Result<Self, ParseError> {
        if bytes.len() > limits.message_bytes_max {
            return Err(ParseError::MessageTooLarge);
        }
        let bytes = match bytes.first() {
            Some(b'\r' | b'\n') | None => skip_keep_alive(&bytes)?,
            Some(_) => bytes,
        };
        let head = scan::head(&bytes, limits, Mode::Strict)?;
        let rest = bytes.len() - head.body as usize;
        let length = head.length.map_or(rest, |length| length as usize);
        if length > limits.body_bytes_max {
            return Err(ParseError::BodyTooLarge);
        }
        if length > rest {
            return Err(short);
        }
        if length < rest {
            if let Some(long) = long {
                return Err(long);
            }
            let end = head.body as usize + length;
            return Ok(Self::from_head(head, bytes.slice(..end)));
        }
        Ok(Self::from_head(head, bytes))
    }

    fn from_head(head: Head, bytes: Bytes) -> Self {
        Self {
            bytes,
            lines: head.lines,
            start: head.start,
            body: head.body,
            source: None,
        }
    }

    /// The same message with the address the transport saw it come from, which
    /// [`reply`](crate::reply) puts on the top Via (RFC 3261 18.2.1, RFC 3581 4).
    #[must_use]
    pub fn with_source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Where it came from, if the transport said so.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// Whether it is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of a request.
    #[must_use]
    pub fn method(&self) -> Option<Method> {
        match self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The method of a request as written; empty for a response.
    #[must_use]
    pub fn method_text(&self) -> &str {
        match self.start {
            Start::Request { method_len, .. } => self.ascii(0, method_len),
            Start::Response { .. } => "",
        }
    }

    /// The Request-URI.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        match self.start {
            Start::Request {
                method_len,
                uri_len,
                ..
            } => Some(self.ascii(usize::from(method_len) + 1, uri_len)),
            Start::Response { .. } => None,
        }
    }

    /// The status of a response, 100 to 699.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The reason phrase of a response, in whatever encoding it came; empty for a request.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        match self.start {
            Start::Request { .. } => b"",
            // "SIP/2.0 200" and a space come before it.
            Start::Response { reason_len: 0, .. } => b"",
            Start::Response { reason_len, .. } => &self.bytes[12..12 + usize::from(reason_len)],
        }
    }

    /// The message, byte for byte as it came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body; empty when there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body as usize..]
    }

    /// The body, sharing the message's buffer.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        self.bytes.slice(self.body as usize..)
    }

    /// Every header line in order.
    pub fn headers(&self) -> impl DoubleEndedIterator<Item = Header<'_>> + ExactSizeIterator {
        (0..self.lines.len()).map(|index| self.line(index))
    }

    /// The header lines of this name, in order.
    pub fn named(&self, name: Name) -> impl Iterator<Item = Header<'_>> {
        let lines = self.lines.iter().enumerate();
        lines
            .filter(move |(_, line)| line.name == name)
            .map(|(index, _)| self.line(index))
    }

    /// The value of the first header of this name.
    #[must_use]
    pub fn header(&self, name: Name) -> Option<&[u8]> {
        self.lines
            .iter()
            .find(|line| line.name == name)
            .map(|line| self.value(line))
    }

    /// The first header of this name as text; none when it is absent or not UTF-8.
    #[must_use]
    pub fn text(&self, name: Name) -> Option<&str> {
        value::text(self.header(name)?)
    }

    /// The values of all headers of this name, in order.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.lines
            .iter()
            .filter(move |line| line.name == name)
            .map(|line| self.value(line))
    }

    /// The values of all headers outside the known names that are called `name`.
    pub fn other<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers()
            .filter(move |header| {
                header.name == Name::Other && header.name_text.eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|header| header.value)
    }

    /// The comma-separated elements of all headers of this name, in order (RFC 3261 7.3.1).
    pub fn list(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.all(name).flat_map(Elements::new)
    }

    /// Whether a list header has this token, without regard to case: option tags, methods.
    #[must_use]
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.list(name)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// 400 when there is none or it cannot be read.
    pub fn top_via(&self) -> Result<Via<'_>, Fault> {
        let element = self.list(Name::Via).next();
        Via::parse(element.ok_or(Fault {
            status: 400,
            reason: "Missing Via",
        })?)
    }

    /// Who sends, by its own account.
    ///
    /// # Errors
    /// 400 when it is absent or cannot be read.
    pub fn from(&self) -> Result<NameAddr<'_>, Fault> {
        let value = self.header(Name::From);
        NameAddr::parse(value.ok_or(Fault {
            status: 400,
            reason: "Missing From",
        })?)
    }

    /// Whom it is for.
    ///
    /// # Errors
    /// 400 when it is absent or cannot be read.
    pub fn to(&self) -> Result<NameAddr<'_>, Fault> {
        let value = self.header(Name::To);
        NameAddr::parse(value.ok_or(Fault {
            status: 400,
            reason: "Missing To",
        })?)
    }

    /// The tag of From.
    #[must_use]
    pub fn from_tag(&self) -> Option<&str> {
        tag_of(self.header(Name::From)?)
    }

    /// The tag of To: there is one in a dialog.
    #[must_use]
    pub fn to_tag(&self) -> Option<&str> {
        tag_of(self.header(Name::To)?)
    }

    /// The Call-ID.
    #[must_use]
    pub fn call_id(&self) -> Option<&str> {
        self.text(Name::CallId)
    }

    /// The CSeq.
    ///
    /// # Errors
    /// 400 when it is absent or cannot be read.
    pub fn cseq(&self) -> Result<CSeq<'_>, Fault> {
        let value = self.header(Name::CSeq);
        CSeq::parse(value.ok_or(Fault {
            status: 400,
            reason: "Missing CSeq",
        })?)
    }

    /// Hops left; none when Max-Forwards is absent or malformed.
    #[must_use]
    pub fn max_forwards(&self) -> Option<u8> {
        number(self.header(Name::MaxForwards)?)?.try_into().ok()
    }

    /// The addresses of all Contact headers. A wildcard is an error here: see `is_wildcard`.
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddr<'_>, Fault>> {
        self.list(Name::Contact).map(NameAddr::parse)
    }

    /// Whether there is one Contact and it is `*` (RFC 3261 10.2.2).
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        let mut contacts = self.list(Name::Contact);
        contacts.next() == Some(b"*") && contacts.next().is_none()
    }

    /// Seconds of the Expires header; none when it is absent or malformed, `u32::MAX` for more.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        let value = self.header(Name::Expires)?;
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        digits.then(|| number(value).unwrap_or(u32::MAX))
    }

    pub(crate) fn is_version_2(&self) -> bool {
        match self.start {
            Start::Request { version, .. } | Start::Response { version, .. } => version,
        }
    }

    fn line(&self, index: usize) -> Header<'_> {
        let line = &self.lines[index];
        let start = line.start as usize;
        // The last line ends at the blank line, two bytes before the body.
        let end = match self.lines.get(index + 1) {
            Some(next) => next.start as usize,
            None => self.body as usize - 2,
        };
        Header {
            name: line.name,
            name_text: &self.bytes[start..start + usize::from(line.name_len)],
            value: self.value(line),
            line: &self.bytes[start..end],
        }
    }

    fn value(&self, line: &Line) -> &[u8] {
        let start = line.start as usize + usize::from(line.value_at);
        &self.bytes[start..start + usize::from(line.value_len)]
    }

    /// A part of the start line that the scan found to be ASCII.
    fn ascii(&self, at: usize, len: u16) -> &str {
        value::text(&self.bytes[at..at + usize::from(len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Message {
    /// The start line only: the rest names people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = memchr::memchr(b'\r', &self.bytes).unwrap_or(self.bytes.len());
        write!(f, "Message({})", self.bytes[..end].escape_ascii())
    }
}

/// The bytes from the first that is not CRLF (RFC 3261 7.5).
fn skip_keep_alive(bytes: &Bytes) -> Result<Bytes, ParseError> {
    let mut at = 0;
    while bytes[at..].starts_with(b"\r\n") {
        at += 2;
    }
    match bytes.get(at) {
        None => Err(ParseError::KeepAlive { ping: at > 2 }),
        Some(b'\n') => Err(ParseError::BareLf),
        Some(b'\r') => Err(ParseError::BareCr),
        Some(_) => Ok(bytes.slice(at..)),
    }
}
