//! Session descriptions (RFC 4566, 8866) read in place: nothing is normalised, nothing is lost.
//!
//! An adapter that passes descriptions through must read three things in them: which media there
//! are, in which direction each flows (hold), and which session and version it is. [`Sdp`] is a
//! view of the lines; the bytes stay the sender's. [`turn`] writes the one edit signalling itself
//! needs: the same description with other directions and the next version.

use std::fmt;

use smallvec::SmallVec;

/// The most lines a description may have. Browsers send some 200.
pub const SDP_LINES_MAX: usize = 4096;
/// The most media a description may have.
pub const SDP_MEDIA_MAX: usize = 64;

/// Why bytes are no session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpFault {
    /// It does not begin with `v=0`.
    #[error("does not begin with v=0")]
    Version,
    /// There is no well-formed `o=` line.
    #[error("no origin line")]
    Origin,
    /// A line is not `letter=value`.
    #[error("a line is not of the form letter=value")]
    Line,
    /// An `m=` line lacks a part or has a port that is none.
    #[error("a media line is malformed")]
    Media,
    /// More lines or media than the limits allow.
    #[error("too long")]
    TooLong,
}

/// Which way media flows, from the describer's point of view (RFC 3264 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; the default.
    SendRecv,
    /// The describer only sends: the other side is held, with music.
    SendOnly,
    /// The describer only listens.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The attribute's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn from_attribute(name: &[u8]) -> Option<Self> {
        [
            Self::SendRecv,
            Self::SendOnly,
            Self::RecvOnly,
            Self::Inactive,
        ]
        .into_iter()
        .find(|direction| direction.as_str().as_bytes() == name)
    }

    /// Whether the describer sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the describer wants to receive. One that does not holds the other side.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// What is left of this flow when only `allowed` may flow.
    #[must_use]
    pub const fn limited(self, allowed: Self) -> Self {
        match (
            self.sends() && allowed.sends(),
            self.receives() && allowed.receives(),
        ) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The same flow from the other side's point of view.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::SendRecv | Self::Inactive => self,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line: its letter, its value, and the whole of it with its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The letter before `=`.
    pub kind: u8,
    /// What follows `=`, without the line end.
    pub value: &'a [u8],
    /// The line as it was, with its end.
    pub raw: &'a [u8],
}

/// The `o=` line (RFC 8866 5.2). A new version number announces a changed description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Login, or `-`.
    pub username: &'a [u8],
    /// Decimal digits, of any length.
    pub session_id: &'a [u8],
    /// Decimal digits, of any length.
    pub version: &'a [u8],
    /// `IN IP4 host` or the like.
    pub address: &'a [u8],
}

impl Origin<'_> {
    /// The version as a number, if it is one of 64 bits.
    #[must_use]
    pub fn version_number(&self) -> Option<u64> {
        std::str::from_utf8(self.version).ok()?.parse().ok()
    }
}

/// A session description, read in place.
#[derive(Debug, Clone)]
pub struct Sdp<'a> {
    text: &'a [u8],
    origin: Origin<'a>,
    /// Where the first `m=` line begins: the end of the session part.
    session: usize,
    media: SmallVec<[Media<'a>; 4]>,
}

impl<'a> Sdp<'a> {
    /// Reads a description. It checks what it indexes and no more.
    ///
    /// # Errors
    /// [`SdpFault`] says what is wrong with it.
    pub fn parse(text: &'a [u8]) -> Result<Self, SdpFault> {
        let mut origin = None;
        let mut session = text.len();
        let mut media: SmallVec<[Media<'a>; 4]> = SmallVec::new();
        let mut at = 0;
        for (number, line) in Lines(text).enumerate() {
            if number >= SDP_LINES_MAX {
                return Err(SdpFault::TooLong);
            }
            let line = line?;
            if number == 0 && (line.kind, line.value) != (b'v', b"0") {
                return Err(SdpFault::Version);
            }
            match line.kind {
                b'o' if origin.is_none() && media.is_empty() => {
                    origin = Some(parse_origin(line.value).ok_or(SdpFault::Origin)?);
                }
                b'm' => {
                    if media.len() == SDP_MEDIA_MAX {
                        return Err(SdpFault::TooLong);
                    }
                    if media.is_empty() {
                        session = at;
                    }
                    let part = text.get(at..).unwrap_or_default();
                    media.push(Media::parse(line.value, part).ok_or(SdpFault::Media)?);
                }
                _ => {}
            }
            at += line.raw.len();
            if let Some(last) = media.last_mut() {
                last.len += line.raw.len();
            }
        }
        if at == 0 {
            return Err(SdpFault::Version);
        }
        let origin = origin.ok_or(SdpFault::Origin)?;
        Ok(Self {
            text,
            origin,
            session,
            media,
        })
    }

    /// The `o=` line.
    #[must_use]
    pub const fn origin(&self) -> &Origin<'a> {
        &self.origin
    }

    /// The media, in order: an answer has as many, in the same order.
    #[must_use]
    pub fn media(&self) -> &[Media<'a>] {
        &self.media
    }

    /// The lines before the first `m=` line.
    pub fn session_lines(&self) -> impl Iterator<Item = Line<'a>> + use<'a> {
        lines(self.text.get(..self.session).unwrap_or_default())
    }

    /// Every line.
    pub fn lines(&self) -> impl Iterator<Item = Line<'a>> + use<'a> {
        lines(self.text)
    }

    /// The direction of a medium: its own attribute, else the session's, else both ways. An
    /// address of all zeros is the hold of RFC 2543 and means that the describer does not receive.
    #[must_use]
    pub fn direction(&self, media: &Media<'a>) -> Direction {
        let stated = direction_in(media.lines())
            .or_else(|| direction_in(self.session_lines()))
            .unwrap_or(Direction::SendRecv);
        let connection =
            connection_in(media.lines()).or_else(|| connection_in(self.session_lines()));
        match (stated, connection.is_some_and(is_unspecified)) {
            (stated, false) => stated,
            (Direction::SendRecv | Direction::SendOnly, true) => Direction::SendOnly,
            (Direction::RecvOnly | Direction::Inactive, true) => Direction::Inactive,
        }
    }

    /// Whether the describer holds the other side: there is a live medium and none of the live
    /// ones, data channels aside, wants to be sent to.
    #[must_use]
    pub fn holds(&self) -> bool {
        let mut live = self
            .media
            .iter()
            .filter(|media| media.is_live() && media.is_rtp())
            .peekable();
        live.peek().is_some() && live.all(|media| !self.direction(media).receives())
    }

    /// The `c=` line that holds for a medium.
    #[must_use]
    pub fn connection(&self, media: &Media<'a>) -> Option<&'a [u8]> {
        connection_in(media.lines()).or_else(|| connection_in(self.session_lines()))
    }
}

/// One medium: an `m=` line and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video`, `application` …
    pub kind: &'a [u8],
    /// 0: refused or removed, unless bundled (RFC 8843).
    pub port: u16,
    /// `RTP/AVP`, `UDP/TLS/RTP/SAVPF` …
    pub proto: &'a [u8],
    /// The rest of the line: payload types, in order of preference.
    pub formats: &'a [u8],
    /// From this `m=` line to the end of the description.
    from: &'a [u8],
    /// How much of that is this medium's.
    len: usize,
}

impl<'a> Media<'a> {
    fn parse(value: &'a [u8], from: &'a [u8]) -> Option<Self> {
        let mut words = value.splitn(4, |c| *c == b' ');
        let kind = words.next().filter(|word| !word.is_empty())?;
        // `port/number of ports`, of which the second is not used with SIP.
        let port = words.next()?.split(|c| *c == b'/').next()?;
        let port = std::str::from_utf8(port).ok()?.parse().ok()?;
        let proto = words.next().filter(|word| !word.is_empty())?;
        Some(Self {
            kind,
            port,
            proto,
            formats: words.next()?,
            from,
            len: 0,
        })
    }

    /// The lines of this medium, the `m=` line first.
    pub fn lines(&self) -> impl Iterator<Item = Line<'a>> + use<'a> {
        lines(self.from.get(..self.len).unwrap_or_default())
    }

    /// The values of the attributes of this name; `a=name` has an empty one.
    pub fn attributes<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.lines()
            .filter(|line| line.kind == b'a')
            .filter_map(move |line| {
                let rest = line.value.strip_prefix(name.as_bytes())?;
                if rest.is_empty() {
                    Some(rest)
                } else {
                    rest.strip_prefix(b":")
                }
            })
    }

    /// Whether the medium is in use: a port, or bundled with one that has it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.port != 0 || self.attributes("bundle-only").next().is_some()
    }

    /// Whether it is RTP: data channels have no direction.
    #[must_use]
    pub fn is_rtp(&self) -> bool {
        memchr::memmem::find(self.proto, b"RTP/").is_some()
    }
}

/// The description with every RTP medium limited to `allowed` and the version set: what a hold
/// (`SendOnly`, `Inactive`) or its end (`SendRecv`) offers. `version` must be one more than the
/// last one offered in this session (RFC 3264 8). Other lines are the bytes they were.
#[must_use]
pub fn turn(sdp: &Sdp<'_>, allowed: Direction, version: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(sdp.text.len() + 16 * sdp.media.len() + 24);
    for line in sdp.session_lines() {
        match line.kind {
            b'o' => write_origin(&mut out, &sdp.origin, version),
            b'a' if Direction::from_attribute(line.value).is_some() => {}
            _ => out.extend_from_slice(line.raw),
        }
    }
    for media in &sdp.media {
        for line in media.lines() {
            if line.kind != b'a' || Direction::from_attribute(line.value).is_none() {
                end_line(&mut out);
                out.extend_from_slice(line.raw);
            }
        }
        if media.is_rtp() {
            end_line(&mut out);
            let direction = sdp.direction(media).limited(allowed);
            out.extend_from_slice(format!("a={direction}\r\n").as_bytes());
        }
    }
    out
}

fn write_origin(out: &mut Vec<u8>, origin: &Origin<'_>, version: u64) {
    out.extend_from_slice(b"o=");
    out.extend_from_slice(origin.username);
    out.push(b' ');
    out.extend_from_slice(origin.session_id);
    out.extend_from_slice(format!(" {version} ").as_bytes());
    out.extend_from_slice(origin.address);
    out.extend_from_slice(b"\r\n");
}

/// The last line of a description may lack its end, or half of it.
fn end_line(out: &mut Vec<u8>) {
    out.extend_from_slice(match out.last() {
        None | Some(b'\n') => b"",
        Some(b'\r') => b"\n",
        Some(_) => b"\r\n",
    });
}

fn parse_origin(value: &[u8]) -> Option<Origin<'_>> {
    let mut words = value.splitn(4, |c| *c == b' ');
    let username = words.next().filter(|word| !word.is_empty())?;
    let session_id = words.next().filter(|word| is_number(word))?;
    let version = words.next().filter(|word| is_number(word))?;
    let address = words.next().filter(|word| !word.is_empty())?;
    Some(Origin {
        username,
        session_id,
        version,
        address,
    })
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

fn direction_in<'a>(lines: impl Iterator<Item = Line<'a>>) -> Option<Direction> {
    lines
        .filter(|line| line.kind == b'a')
        .filter_map(|line| Direction::from_attribute(line.value))
        .last()
}

fn connection_in<'a>(mut lines: impl Iterator<Item = Line<'a>>) -> Option<&'a [u8]> {
    lines.find(|line| line.kind == b'c').map(|line| line.value)
}

fn is_unspecified(connection: &[u8]) -> bool {
    matches!(connection.trim_ascii(), b"IN IP4 0.0.0.0" | b"IN IP6 ::")
}

/// The lines of text that has been checked.
fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    Lines(text).map_while(Result::ok)
}

/// The lines of a description: `\r\n` or, as many write, `\n` ends them.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, SdpFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.0).map_or(self.0.len(), |newline| newline + 1);
        let (raw, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            [kind @ b'a'..=b'z', b'=', value @ ..] => Some(Ok(Line {
                kind: *kind,
                value,
                raw,
            })),
            // Blank lines at the end are common and mean nothing.
            [] if rest.iter().all(u8::is_ascii_whitespace) => None,
            _ => Some(Err(SdpFault::Line)),
        }
    }
}
