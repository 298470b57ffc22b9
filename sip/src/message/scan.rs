//! The engine behind every entry point: one pass over the head, into a table of offsets.

use std::sync::Arc;

use smallvec::SmallVec;

use super::error::ParseError;
use crate::header::Name;
use crate::header::value::{is_token, trim};
use crate::limits::Limits;
use crate::method::Method;

/// What one pass finds: everything but the body.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) start: Start,
    pub(super) lines: Arc<[Line]>,
    /// Where the body begins.
    pub(super) body: u32,
    /// The value of Content-Length.
    pub(super) length: Option<u32>,
}

/// The start line, by lengths: its parts are one space apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// `version` is whether it is SIP/2.0: another one frames alike but gets 505.
    Request {
        method: Method,
        method_len: u16,
        uri_len: u16,
        version: bool,
    },
    Response {
        status: u16,
        reason_len: u16,
        version: bool,
    },
}

/// One header line: where it is, and where its parts are in it. It ends where the next begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) start: u32,
    pub(super) name_len: u16,
    pub(super) value_at: u16,
    pub(super) value_len: u16,
    pub(super) name: Name,
}

/// How much a fault matters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Any framing fault refuses the message.
    Strict,
    /// What can be read is read, to answer with: a bad or long header line has neither name nor
    /// value, and past the most that there may be none is looked at.
    Salvage,
}

/// Most headers fit here before they go to the heap, once, with their true count.
const USUAL_HEADERS: usize = 32;

/// Lengths within a line are 16 bits.
const LINE_BYTES_MAX: usize = u16::MAX as usize;

/// Reads the head of a message that begins at the first byte.
pub(super) fn head(bytes: &[u8], limits: &Limits, mode: Mode) -> Result<Head, ParseError> {
    let line_bytes_max = limits.line_bytes_max.min(LINE_BYTES_MAX);
    let mut ends = LineEnds { bytes, at: 0 };
    let end = ends.next()?;
    if end > line_bytes_max {
        return Err(ParseError::LineTooLong);
    }
    let start = start_line(&bytes[..end], mode)?;

    let mut lines = SmallVec::<[Line; USUAL_HEADERS]>::new();
    let mut length = None;
    let mut at = end + 2;
    let mut end = ends.next()?;
    while end > at {
        let mut next = end + 2;
        let mut following = ends.next()?;
        // A line that begins with white space goes on with the one before it.
        while matches!(bytes.get(next), Some(b' ' | b'\t')) {
            end = following;
            next = end + 2;
            following = ends.next()?;
        }
        let is_long = end - at > line_bytes_max;
        if is_long && mode == Mode::Strict {
            return Err(ParseError::LineTooLong);
        }
        if lines.len() == limits.headers_max {
            if mode == Mode::Strict {
                return Err(ParseError::TooManyHeaders);
            }
            // Those before are enough to answer with.
            return Ok(Head {
                start,
                lines: Arc::from(&lines[..]),
                body: offset(at)?,
                length,
            });
        }
        let line = if is_long {
            None
        } else {
            header_line(bytes, at, end)
        };
        match line {
            Some(line) => {
                if line.name == Name::ContentLength && mode == Mode::Strict {
                    let value = at + usize::from(line.value_at);
                    let value = &bytes[value..value + usize::from(line.value_len)];
                    if length.replace(content_length(value)?).is_some() {
                        return Err(ParseError::LengthRepeated);
                    }
                }
                lines.push(line);
            }
            None if mode == Mode::Strict => return Err(ParseError::HeaderLine),
            // It holds its place, or it would count as part of the line before it.
            None => lines.push(Line {
                start: offset(at)?,
                name_len: 0,
                value_at: 0,
                value_len: 0,
                name: Name::Other,
            }),
        }
        at = next;
        end = following;
    }
    Ok(Head {
        start,
        lines: Arc::from(&lines[..]),
        body: offset(end + 2)?,
        length,
    })
}

/// Each CRLF in turn; a CR or LF that is not in one is a fault.
struct LineEnds<'a> {
    bytes: &'a [u8],
    /// Where the next line begins.
    at: usize,
}

impl LineEnds<'_> {
    fn next(&mut self) -> Result<usize, ParseError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let at = self.at + memchr::memchr2(b'\r', b'\n', rest).ok_or(ParseError::HeadShort)?;
        if self.bytes[at] == b'\n' {
            return Err(ParseError::BareLf);
        }
        match self.bytes.get(at + 1) {
            Some(b'\n') => {
                self.at = at + 2;
                Ok(at)
            }
            Some(_) => Err(ParseError::BareCr),
            None => Err(ParseError::HeadShort),
        }
    }
}

fn start_line(line: &[u8], mode: Mode) -> Result<Start, ParseError> {
    let read = if line
        .get(..4)
        .is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"))
    {
        status_line(line)
    } else {
        request_line(line, mode)
    };
    read.ok_or(ParseError::StartLine)
}

/// `Method SP Request-URI SP SIP-Version`, with nothing else anywhere (RFC 3261 7.1).
fn request_line(line: &[u8], mode: Mode) -> Option<Start> {
    let method_len = line.iter().position(|b| !is_token(*b))?;
    let (method, rest) = line.split_at(method_len);
    let rest = rest.strip_prefix(b" ")?;
    let method_len = u16::try_from(method_len).ok().filter(|len| *len > 0)?;
    let method = Method::from_bytes(method);
    let uri_len = rest
        .iter()
        .position(|b| !URI[*b as usize])
        .unwrap_or(rest.len());
    let version = rest[uri_len..].strip_prefix(b" ").and_then(version);
    match (version, u16::try_from(uri_len)) {
        (Some(version), Ok(uri_len)) if uri_len > 0 => Some(Start::Request {
            method,
            method_len,
            uri_len,
            version,
        }),
        _ if mode == Mode::Salvage => Some(Start::Request {
            method,
            method_len,
            uri_len: 0,
            version: true,
        }),
        _ => None,
    }
}

/// `SIP-Version SP Status-Code SP Reason-Phrase` (RFC 3261 7.2). The last space is seen to be
/// missing when the phrase is empty, and that harms nothing.
fn status_line(line: &[u8]) -> Option<Start> {
    let (head, rest) = line.split_at_checked(7)?;
    let (code, rest) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let reason = if rest.is_empty() {
        rest
    } else {
        rest.strip_prefix(b" ")?
    };
    let status = crate::header::value::number(code).and_then(|code| u16::try_from(code).ok())?;
    if !(100..700).contains(&status) {
        return None;
    }
    let reason_len = u16::try_from(reason.len()).ok()?;
    Some(Start::Response {
        status,
        reason_len,
        version: version(head)?,
    })
}

/// Whether it is version 2.0; none when it is no version.
fn version(text: &[u8]) -> Option<bool> {
    let (name, number) = text.split_at_checked(4)?;
    let dot = memchr::memchr(b'.', number)?;
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let well_formed =
        name.eq_ignore_ascii_case(b"SIP/") && digits(&number[..dot]) && digits(&number[dot + 1..]);
    well_formed.then_some(number == b"2.0")
}

/// `name HCOLON value`; `end` is where its last CRLF begins.
fn header_line(bytes: &[u8], at: usize, end: usize) -> Option<Line> {
    let line = &bytes[at..end];
    let name_len = line.iter().position(|b| !is_token(*b))?;
    let mut colon = name_len;
    while matches!(line.get(colon), Some(b' ' | b'\t')) {
        colon += 1;
    }
    if name_len == 0 || line.get(colon) != Some(&b':') {
        return None;
    }
    let mut value_at = colon + 1;
    while line
        .get(value_at)
        .is_some_and(|b| crate::header::value::is_space(*b))
    {
        value_at += 1;
    }
    Some(Line {
        start: u32::try_from(at).ok()?,
        name_len: u16::try_from(name_len).ok()?,
        value_at: u16::try_from(value_at).ok()?,
        value_len: u16::try_from(trim(&line[value_at..]).len()).ok()?,
        name: Name::from_bytes(&line[..name_len]),
    })
}

fn content_length(value: &[u8]) -> Result<u32, ParseError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(ParseError::LengthNotNumber);
    }
    crate::header::value::number(value).ok_or(ParseError::LengthOverflow)
}

fn offset(at: usize) -> Result<u32, ParseError> {
    u32::try_from(at).map_err(|_| ParseError::MessageTooLarge)
}

/// Bytes a Request-URI may hold: visible ASCII but for what would end it elsewhere.
static URI: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] = !matches!(byte as u8, b'<' | b'>' | b'"');
        byte += 1;
    }
    table
};
