//! Dialogs: RFC 3261 section 12.
//!
//! A [`Dialog`] is what two user agents must remember of each other to send a request: the
//! Call-ID and tags, the sequence numbers of both sides, the route set and the remote target. It
//! writes the requests of our side and judges those of the other.
//!
//! The calling side begins with a [`Half`]: the same without a remote tag. It writes the INVITE
//! (and its repeat with credentials), and [`Dialog::fork`] makes one dialog of each response that
//! brings a tag of its own.

use std::fmt::Display;

use crate::header::value::text;
use crate::{Builder, Fault, Message, Method, Name, NameAddr, Uri, unfold};

mod resend;
mod words;

pub use resend::{Resend, Resend1xx, Resend2xx};
use words::{Word, Words};

/// The longest route set. Each hop of it is written into every request.
pub const ROUTES_MAX: usize = 32;

/// Room for what the dialog itself writes into a request, beyond its words.
const REQUEST_BYTES: usize = 512;

/// RFC 3261 12.2.2: a request for a dialog that is not this one.
const UNKNOWN: Fault = Fault {
    status: 481,
    reason: "Call/Transaction Does Not Exist",
};
const OUT_OF_ORDER: Fault = Fault {
    status: 500,
    reason: "CSeq Out of Order",
};
const TOO_MANY_ROUTES: Fault = Fault {
    status: 400,
    reason: "Too Many Record-Routes",
};
const BAD_ROUTE: Fault = Fault {
    status: 400,
    reason: "Bad Record-Route",
};
const NO_CONTACT: Fault = Fault {
    status: 400,
    reason: "Missing Contact",
};

/// One side's view of a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    words: Words,
    /// Of the last request we sent; 0 before the first.
    local_seq: u32,
    /// Of the last request the peer sent, if it has.
    remote_seq: Option<u32>,
    secure: bool,
}

/// What a calling side knows before anyone has answered.
#[derive(Debug, Clone, Copy)]
pub struct Half<'a> {
    /// Ours to choose.
    pub call_id: &'a str,
    /// The value of From, without a tag.
    pub local: &'a [u8],
    /// The tag of From.
    pub local_tag: &'a str,
    /// The value of To.
    pub remote: &'a [u8],
    /// The Request-URI.
    pub target: &'a str,
    /// A preloaded route set (RFC 3261 8.1.2): `name-addr`s, nearest first.
    pub routes: &'a [&'a str],
    /// The CSeq of the last request sent with this Call-ID, 0 if there was none.
    pub seq: u32,
}

impl Dialog {
    /// The calling side, before any answer.
    #[must_use]
    pub fn half(half: &Half<'_>) -> Self {
        let routes = half.routes.join("\n");
        let words = Words::new([
            half.call_id.as_bytes(),
            &[half.local, TAG].concat(),
            half.local_tag.as_bytes(),
            half.remote,
            b"",
            half.target.as_bytes(),
            routes.as_bytes(),
        ]);
        Self {
            words,
            local_seq: half.seq,
            remote_seq: None,
            secure: is_sips(half.target),
        }
    }

    /// The calling side (RFC 3261 12.1.2), of an INVITE we sent and a response with a To tag.
    ///
    /// # Errors
    /// The response does not make a dialog: it is to be treated as if it had not come.
    pub fn uac(invite: &Message, response: &Message) -> Result<Self, Fault> {
        let (from, to) = (invite.from()?, invite.to()?);
        let routes: Vec<&str> = invite.list(Name::Route).filter_map(text).collect();
        let half = Half {
            call_id: invite.call_id().unwrap_or_default(),
            local: &without_tag(invite.header(Name::From).unwrap_or_default(), from),
            local_tag: from.tag().unwrap_or_default(),
            remote: &without_tag(invite.header(Name::To).unwrap_or_default(), to),
            target: invite.uri().unwrap_or_default(),
            routes: &routes,
            seq: invite.cseq()?.seq,
        };
        Self::half(&half).fork(response)
    }

    /// Whether an INVITE can make a dialog: whether [`uas`](Self::uas) will.
    ///
    /// # Errors
    /// How to answer if not.
    pub fn admits(invite: &Message) -> Result<(), Fault> {
        invite.from()?;
        invite.to()?;
        invite.cseq()?;
        route_set(invite, Order::AsWritten)?;
        contact(invite)?.ok_or(NO_CONTACT)?;
        Ok(())
    }

    /// The called side (RFC 3261 12.1.1), of an INVITE and the tag we put on To.
    ///
    /// # Errors
    /// How to answer an INVITE that cannot make a dialog.
    pub fn uas(invite: &Message, local_tag: &str) -> Result<Self, Fault> {
        let (from, to) = (invite.from()?, invite.to()?);
        let routes = route_set(invite, Order::AsWritten)?;
        let target = contact(invite)?.ok_or(NO_CONTACT)?;
        let words = Words::new([
            invite.call_id().unwrap_or_default().as_bytes(),
            &tagged(without_tag(invite.header(Name::To).unwrap_or_default(), to)),
            local_tag.as_bytes(),
            &up_to_tag(invite.header(Name::From).unwrap_or_default(), from),
            from.tag().unwrap_or_default().as_bytes(),
            target.as_bytes(),
            &routes,
        ]);
        let secure = invite.uri().is_some_and(is_sips);
        Ok(Self {
            words,
            local_seq: 0,
            remote_seq: Some(invite.cseq()?.seq),
            secure,
        })
    }

    /// The dialog that a response to the INVITE of this half makes, early or not: To tag, remote
    /// target and route set are the response's. The half stays as it is, for other forks.
    ///
    /// # Errors
    /// The response does not make a dialog: it is to be treated as if it had not come.
    pub fn fork(&self, response: &Message) -> Result<Self, Fault> {
        let to = response.to()?;
        let remote = up_to_tag(response.header(Name::To).unwrap_or_default(), to);
        let routes = route_set(response, Order::Reversed)?;
        // Required, but left out of provisional responses by many.
        let target = contact(response)?.unwrap_or_else(|| self.target());
        let words = self.words.with(&[
            (Word::RemoteTag, to.tag().unwrap_or_default().as_bytes()),
            (Word::Remote, &remote),
            (Word::Routes, &routes),
            (Word::Target, target.as_bytes()),
        ]);
        Ok(Self { words, ..*self })
    }

    /// The 2xx of the INVITE that made this dialog early: its route set replaces the one of the
    /// provisional response (RFC 3261 13.2.2.4).
    ///
    /// # Errors
    /// Its Record-Route or Contact cannot be read; the dialog stays as it was.
    pub fn confirm(&mut self, response: &Message) -> Result<(), Fault> {
        *self = self.fork(response)?;
        Ok(())
    }

    /// A 2xx to a target refresh request of ours came: its Contact is the new target (RFC 3261
    /// 12.2.1.2). Without one nothing changes.
    ///
    /// # Errors
    /// Its Contact cannot be read; the dialog stays as it was.
    pub fn refresh(&mut self, message: &Message) -> Result<(), Fault> {
        if let Some(target) = contact(message)?
            && target != self.target()
        {
            self.words = self.words.with(&[(Word::Target, target.as_bytes())]);
        }
        Ok(())
    }

    /// A request of the peer came: judges its order (RFC 3261 12.2.2) and takes its Contact as
    /// the new target if it is a target refresh request. ACK and CANCEL have their INVITE's
    /// number and are not ordered.
    ///
    /// # Errors
    /// How to answer: 481 if it is not of this dialog, 500 if it comes after a later one.
    pub fn receive(&mut self, request: &Message) -> Result<(), Fault> {
        if !self.owns(request) {
            return Err(UNKNOWN);
        }
        let cseq = request.cseq()?;
        if matches!(cseq.method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        // Only lower ones: an equal one is a repeat whose transaction was lost with its node.
        if self.remote_seq.is_some_and(|last| cseq.seq < last) {
            return Err(OUT_OF_ORDER);
        }
        if refreshes_target(cseq.method) {
            self.refresh(request)?;
        }
        self.remote_seq = Some(cseq.seq);
        Ok(())
    }

    /// Whether a request of the peer belongs to this dialog.
    #[must_use]
    pub fn owns(&self, request: &Message) -> bool {
        request.call_id() == Some(self.call_id())
            && request.to_tag().unwrap_or_default() == self.local_tag()
            && request.from_tag().unwrap_or_default() == self.remote_tag()
    }

    /// Begins the next request of our side: request line, Via, Route, Max-Forwards, From, To,
    /// Call-ID and the next CSeq. Target refresh requests need a Contact besides. Not for ACK and
    /// CANCEL.
    pub fn request(&mut self, method: &str, via: impl Display) -> Builder {
        self.local_seq = (self.local_seq + 1).min(SEQ_MAX);
        self.begin(method, self.local_seq, via)
    }

    /// Begins the ACK of a 2xx to our INVITE that had the number `seq`.
    #[must_use]
    pub fn ack(&self, seq: u32, via: impl Display) -> Builder {
        self.begin(Method::Ack.as_str(), seq, via)
    }

    /// Where the next request goes: the URI of the first route, else the remote target.
    #[must_use]
    pub fn next_hop(&self) -> &str {
        self.routes()
            .next()
            .and_then(uri_of)
            .unwrap_or_else(|| self.target())
    }

    /// The Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.words.text(Word::CallId)
    }

    /// Our tag.
    #[must_use]
    pub fn local_tag(&self) -> &str {
        self.words.text(Word::LocalTag)
    }

    /// The peer's tag; empty in a half, and with an RFC 2543 peer.
    #[must_use]
    pub fn remote_tag(&self) -> &str {
        self.words.text(Word::RemoteTag)
    }

    /// Our address as From or To value, without the tag, in whatever encoding it came.
    #[must_use]
    pub fn local(&self) -> &[u8] {
        untagged(self.words.get(Word::Local))
    }

    /// The peer's address as From or To value, without the tag, in whatever encoding it came.
    #[must_use]
    pub fn remote(&self) -> &[u8] {
        untagged(self.words.get(Word::Remote))
    }

    /// The remote target: the peer's last Contact.
    #[must_use]
    pub fn target(&self) -> &str {
        self.words.text(Word::Target)
    }

    /// The route set, nearest first, as `name-addr`s.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.words
            .text(Word::Routes)
            .split('\n')
            .filter(|route| !route.is_empty())
    }

    /// The CSeq of the last request we sent; 0 before the first.
    #[must_use]
    pub const fn local_seq(&self) -> u32 {
        self.local_seq
    }

    /// The CSeq of the last request the peer sent.
    #[must_use]
    pub const fn remote_seq(&self) -> Option<u32> {
        self.remote_seq
    }

    /// Whether it was made with a SIPS URI: the target must stay one (RFC 3261 12.1.1).
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Sets our sequence number, so that it stays ahead of what a lost node may have sent.
    pub fn skip_to(&mut self, local_seq: u32) {
        self.local_seq = self.local_seq.max(local_seq).min(SEQ_MAX);
    }

    /// What a restart needs, in bytes.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.push(RECORD_VERSION);
        out.push(u8::from(self.secure) | u8::from(self.remote_seq.is_some()) << 1);
        out.extend_from_slice(&self.local_seq.to_be_bytes());
        out.extend_from_slice(&self.remote_seq.unwrap_or(0).to_be_bytes());
        self.words.write(&mut out);
        out
    }

    /// The dialog of a record. `None` unless [`record`](Self::record) wrote it.
    #[must_use]
    pub fn from_record(record: &[u8]) -> Option<Self> {
        let (version, rest) = record.split_first()?;
        let (flags, rest) = rest.split_first()?;
        let (local_seq, rest) = rest.split_first_chunk()?;
        let (remote_seq, rest) = rest.split_first_chunk()?;
        if *version != RECORD_VERSION || *flags > 0b11 {
            return None;
        }
        Some(Self {
            words: Words::read(rest)?,
            local_seq: u32::from_be_bytes(*local_seq).min(SEQ_MAX),
            remote_seq: (flags & 0b10 != 0).then(|| u32::from_be_bytes(*remote_seq)),
            secure: flags & 1 != 0,
        })
    }

    fn begin(&self, method: &str, seq: u32, via: impl Display) -> Builder {
        let capacity = self.words.len() + REQUEST_BYTES;
        let strict = self
            .routes()
            .next()
            .filter(|route| !is_loose(route))
            .and_then(uri_of);
        let mut out = match strict {
            Some(router) => Builder::request(method, &request_uri(router), capacity),
            None => Builder::request(method, self.target(), capacity),
        };
        out.line(Name::Via, via);
        // RFC 3261 12.2.1.1: a strict router finds itself in the Request-URI, and the target last.
        for route in self.routes().skip(usize::from(strict.is_some())) {
            out.bytes(Name::Route, route.as_bytes());
        }
        if strict.is_some() {
            out.line(Name::Route, format_args!("<{}>", self.target()));
        }
        out.number(Name::MaxForwards, 70);
        out.bytes(Name::From, self.words.span(Word::Local, Word::LocalTag));
        out.bytes(Name::To, self.words.span(Word::Remote, Word::RemoteTag));
        out.bytes(Name::CallId, self.words.get(Word::CallId));
        out.line(Name::CSeq, format_args!("{seq} {method}"));
        out
    }
}

const SEQ_MAX: u32 = (1 << 31) - 1;
const RECORD_VERSION: u8 = 1;
/// Between an address and its tag.
const TAG: &[u8] = b";tag=";

/// RFC 3261 12, 3311 5.1, 6665 4.4.1, 3515: what replaces the remote target.
const fn refreshes_target(method: Method) -> bool {
    match method {
        Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer => {
            true
        }
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Register
        | Method::Message
        | Method::Info
        | Method::Prack
        | Method::Publish
        | Method::Extension => false,
    }
}

/// The URI of the first Contact, if there is one.
fn contact(message: &Message) -> Result<Option<&str>, Fault> {
    let Some(contact) = message.contacts().next() else {
        return Ok(None);
    };
    let contact = contact?;
    contact.uri()?;
    Ok(Some(contact.uri))
}

/// How the Record-Route of a message becomes a route set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Of a request: the nearest hop is on top.
    AsWritten,
    /// Of a response: it is at the bottom.
    Reversed,
}

/// One `name-addr` a line.
fn route_set(message: &Message, order: Order) -> Result<Vec<u8>, Fault> {
    let mut routes = Vec::new();
    for route in message.list(Name::RecordRoute) {
        if routes.len() == ROUTES_MAX {
            return Err(TOO_MANY_ROUTES);
        }
        let route = unfold(route);
        let readable = text(&route)
            .and_then(uri_of)
            .is_some_and(|uri| Uri::parse(uri).is_ok());
        if !readable {
            return Err(BAD_ROUTE);
        }
        routes.push(route);
    }
    if order == Order::Reversed {
        routes.reverse();
    }
    Ok(routes.join(&b'\n'))
}

fn uri_of(route: &str) -> Option<&str> {
    NameAddr::parse(route.as_bytes())
        .ok()
        .map(|route| route.uri)
}

fn is_loose(route: &str) -> bool {
    uri_of(route)
        .and_then(|uri| Uri::parse(uri).ok())
        .is_some_and(|uri| uri.param("lr").is_some())
}

fn is_sips(uri: &str) -> bool {
    Uri::parse(uri).is_ok_and(|uri| uri.is_secure())
}

/// A strict router's URI as a Request-URI: without the headers part and the `method` parameter,
/// which are not allowed there (RFC 3261 19.1.1).
fn request_uri(route: &str) -> String {
    let (route, _) = route.split_once('?').unwrap_or((route, ""));
    let mut kept = String::with_capacity(route.len());
    for (i, part) in route.split(';').enumerate() {
        let (name, _) = part.split_once('=').unwrap_or((part, ""));
        if i > 0 && name.eq_ignore_ascii_case("method") {
            continue;
        }
        if i > 0 {
            kept.push(';');
        }
        kept.push_str(part);
    }
    kept
}

/// An address value that ends where its tag begins, or, if it has no tag, as it is.
fn up_to_tag(value: &[u8], address: NameAddr<'_>) -> Vec<u8> {
    let value = without_tag(value, address);
    match address.tag() {
        Some(_) => tagged(value),
        None => value,
    }
}

/// An address value that goes on with its tag.
fn tagged(mut value: Vec<u8>) -> Vec<u8> {
    value.extend_from_slice(TAG);
    value
}

/// An address value on one line, with all of its parameters but the tag.
fn without_tag(value: &[u8], address: NameAddr<'_>) -> Vec<u8> {
    let value = value.trim_ascii();
    let head = value.len().saturating_sub(address.params.text().len());
    // Without its tag it is no longer than before, and `;tag=` may follow.
    let mut out = Vec::with_capacity(value.len() + TAG.len());
    out.extend_from_slice(unfold(value.get(..head).unwrap_or(value)).trim_ascii_end());
    for piece in address.params.pieces() {
        let name = piece.split(|c| *c == b'=').next().unwrap_or_default();
        if !name.trim_ascii().eq_ignore_ascii_case(b"tag") {
            out.push(b';');
            out.extend_from_slice(&unfold(piece));
        }
    }
    out
}

fn untagged(value: &[u8]) -> &[u8] {
    value.strip_suffix(TAG).unwrap_or(value)
}
