//! What is wrong with bytes that are not a message, and how to answer them.

use thiserror::Error;

/// How to answer a request that cannot be served: a status and its reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{status} {reason}")]
pub struct Fault {
    /// 400 to 699.
    pub status: u16,
    /// What is wrong, in a form fit for the status line.
    pub reason: &'static str,
}

/// Why bytes are not one SIP message. None of these says what the bytes were: they are hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Not a fault: nothing but CRLF. `ping` asks for a CRLF back (RFC 5626 3.5.1).
    #[error("keep-alive")]
    KeepAlive {
        /// Two CRLF or more: the peer waits for one.
        ping: bool,
    },
    /// Over `Limits::message_bytes_max`.
    #[error("message too large")]
    MessageTooLarge,
    /// Over `Limits::body_bytes_max`.
    #[error("body too large")]
    BodyTooLarge,
    /// Over `Limits::headers_max`.
    #[error("too many headers")]
    TooManyHeaders,
    /// Over `Limits::line_bytes_max`.
    #[error("header line too long")]
    LineTooLong,
    /// Neither a request line nor a status line.
    #[error("bad start line")]
    StartLine,
    /// A header line without a name, or without a colon.
    #[error("bad header line")]
    HeaderLine,
    /// A CR that no LF follows.
    #[error("bare CR")]
    BareCr,
    /// A LF that no CR precedes.
    #[error("bare LF")]
    BareLf,
    /// The bytes end before the blank line.
    #[error("head not ended")]
    HeadShort,
    /// The bytes end before Content-Length does.
    #[error("body shorter than Content-Length")]
    BodyShort,
    /// A frame goes on after Content-Length (RFC 7118 5: one message each).
    #[error("body longer than Content-Length")]
    BodyLong,
    /// No Content-Length on a stream (RFC 3261 20.14).
    #[error("Content-Length missing")]
    LengthMissing,
    /// More than one Content-Length, equal or not.
    #[error("Content-Length repeated")]
    LengthRepeated,
    /// Content-Length is not digits.
    #[error("Content-Length not a number")]
    LengthNotNumber,
    /// Content-Length does not fit.
    #[error("Content-Length too large")]
    LengthOverflow,
}

impl ParseError {
    /// How to answer, if what `Message::salvage` finds can be answered at all.
    #[must_use]
    pub const fn answer(self) -> Option<Fault> {
        let (status, reason) = match self {
            Self::KeepAlive { .. } => return None,
            Self::MessageTooLarge => (513, "Message Too Large"),
            Self::BodyTooLarge => (513, "Body Too Large"),
            Self::TooManyHeaders => (400, "Too Many Headers"),
            Self::LineTooLong => (400, "Header Line Too Long"),
            Self::StartLine => (400, "Bad Request Line"),
            Self::HeaderLine => (400, "Bad Header Line"),
            Self::BareCr | Self::BareLf => (400, "Bad Line End"),
            Self::HeadShort => (400, "Incomplete Message"),
            Self::BodyShort | Self::BodyLong => (400, "Content-Length Mismatch"),
            Self::LengthMissing => (400, "Content-Length Missing"),
            Self::LengthRepeated | Self::LengthNotNumber | Self::LengthOverflow => {
                (400, "Bad Content-Length")
            }
        };
        Some(Fault { status, reason })
    }
}
