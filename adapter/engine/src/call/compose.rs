//! Writing messages: what each leg's own dialog puts in, and what passes from the other party.

use core::fmt::{self, Write};

use bus_schema::Actor;
use bytes::Bytes;
use sip::{Builder, Dialog, Half, Limits, Message, Method, Name, reply};

use super::hunt::Hunt;
use super::leg_state::{Inviting, Leg};
use super::reliable::{self, Wish};
use super::{Call, Home, Stage, session};
use crate::headers::{self, Body, Trust};
use crate::hop::{Hop, Listener, Transport};
use crate::token::{BRANCH_COOKIE, LegId, TOKEN_LEN, Token, TokenText};

/// What a party may send inside a call.
const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, MESSAGE, REFER, NOTIFY, SUBSCRIBE";

/// The option tags that a party may require.
pub(super) const IMPLEMENTED: &[&str] = &[reliable::TAG, session::TAG, "replaces", "norefersub"];

/// What we can do on any leg, whatever the other one can.
const SUPPORTED: &[u8] = b"timer, replaces, norefersub";

/// The same where the caller takes reliable provisional responses.
const SUPPORTED_RELIABLE: &[u8] = b"timer, replaces, norefersub, 100rel";

/// RFC 3261 8.1.1.6, for what begins here.
const MAX_FORWARDS: u8 = 70;

/// Room for what a request of ours adds to what passes through.
const HEAD_BYTES: usize = 700;

/// Reason header values (RFC 3326) for BYE, CANCEL and refusals, as whole lines.
pub(super) type Reasons = Bytes;

/// The losers of a fork are told that somebody else has answered.
pub(super) const COMPLETED_ELSEWHERE: &[u8] =
    b"Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n";

/// The Reason lines of a message, to be passed on untouched.
pub(super) fn reasons(message: &Message) -> Reasons {
    let mut lines = message
        .headers()
        .filter(|header| header.name == Name::Reason);
    let Some(first) = lines.next() else {
        return Bytes::new();
    };
    let Some(second) = lines.next() else {
        return Bytes::copy_from_slice(first.line);
    };
    let mut all = [first.line, second.line].concat();
    for line in lines.take(2) {
        all.extend_from_slice(line.line);
    }
    all.into()
}

/// A Reason line from the cause of an end, where no party has said one.
pub(super) fn reason_of(cause: &bus_schema::Cause) -> Reasons {
    match (cause.q850, cause.sip_status) {
        (Some(q850), _) => {
            format!("Reason: Q.850;cause={q850};text=\"{}\"\r\n", cause.reason).into()
        }
        (None, Some(status)) => format!("Reason: SIP;cause={status}\r\n").into(),
        (None, None) => Bytes::new(),
    }
}

/// The reason phrase of a status of ours.
pub(super) fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        600 => "Busy Everywhere",
        603 => "Decline",
        606 => "Not Acceptable",
        607 => "Unwanted",
        status => match status / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Redirected",
            4 => "Refused",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}

/// A From or To value of another dialog without its tag, and with one of ours.
struct Retagged<'a> {
    value: &'a str,
    tag: Option<TokenText>,
}

impl fmt::Display for Retagged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value)?;
        match self.tag {
            Some(tag) => {
                f.write_str(";tag=")?;
                f.write_str(tag.as_str())
            }
            None => Ok(()),
        }
    }
}

/// The name-addr of a From or To without any parameter of the header.
fn name_addr(value: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in value.bytes().enumerate() {
        match c {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return &value[..=at],
            _ => {}
        }
    }
    // An addr-spec: parameters belong to the header (RFC 3261 20).
    value.split(';').next().unwrap_or(value).trim_end()
}

/// A Contact of ours; the user part tells the owner even if a peer loses the tags.
struct Contact<'a> {
    user: &'a str,
    listener: &'a Listener,
    /// Whether it may only be reached in TLS.
    sips: bool,
}

impl fmt::Display for Contact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listener {
            contact_host,
            transport,
            ..
        } = self.listener;
        f.write_str(if self.sips { "<sips:" } else { "<sip:" })?;
        f.write_str(self.user)?;
        f.write_str("@")?;
        f.write_str(contact_host)?;
        match transport.param() {
            "udp" => f.write_str(">"),
            // RFC 5630 3.1.4: the scheme says it.
            "tls" if self.sips => f.write_str(">"),
            param => write!(f, ";transport={param}>"),
        }
    }
}

/// The Via of a request of ours. `rport` costs nothing where it is not needed (RFC 3581).
struct Via<'a> {
    listener: &'a Listener,
    branch: &'a str,
}

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, sent_by) = (self.listener.transport.via(), &self.listener.sent_by);
        let parts = [
            "SIP/2.0/",
            transport,
            " ",
            sent_by,
            ";branch=",
            self.branch,
            ";rport",
        ];
        parts.into_iter().try_for_each(|part| f.write_str(part))
    }
}

/// The listener that speaks for us on a hop.
fn listener(home: &Home, hop: Hop) -> Option<&Listener> {
    home.listeners
        .get(usize::from(hop.listener()))
        .or_else(|| home.listeners.first())
}

/// Which identity an INVITE of ours shows, and what passes with it.
pub(super) enum Face<'a> {
    /// The caller's INVITE goes on.
    Passed(&'a Message),
    /// We call in the name of another.
    Ours {
        from: &'a str,
        to: &'a str,
        /// More headers, as whole lines.
        lines: &'a [u8],
        /// What is offered; nothing where the peer is to offer.
        offer: Option<&'a [u8]>,
    },
}

impl Call {
    /// Whether what is behind a hop speaks WebRTC: browsers are reached over WebSocket only.
    pub(super) fn is_web(&self, hop: Hop) -> bool {
        let transport = match hop {
            Hop::Connect { transport, .. } => Some(transport),
            Hop::Udp { .. } | Hop::Flow { .. } => {
                listener(&self.home, hop).map(|listener| listener.transport)
            }
        };
        matches!(transport, Some(Transport::Ws | Transport::Wss))
    }

    pub(super) fn token(&self, leg: LegId) -> TokenText {
        Token::new(self.key, leg).text(&self.home.tokens)
    }

    /// Writes our Contact on a leg.
    fn put_contact(&self, leg: &Leg, out: &mut Builder) {
        if let Some(listener) = leg.hop.and_then(|hop| listener(&self.home, hop)) {
            let token = self.token(leg.id);
            let user = token.as_str();
            let sips = leg.sips;
            let contact = Contact {
                user,
                listener,
                sips,
            };
            out.line(Name::Contact, contact);
        }
    }

    /// A Contact of ours, whatever its user, as leg `at` can reach it.
    pub(super) fn contact_of(&self, at: usize, user: &str) -> Option<String> {
        let leg = &self.legs[at];
        let contact = Contact {
            user,
            listener: listener(&self.home, leg.hop?)?,
            sips: leg.sips,
        };
        Some(contact.to_string())
    }

    /// The next branch of a leg.
    pub(super) fn branch(&mut self, at: usize) -> Box<str> {
        let token = self.token(self.legs[at].id);
        let leg = &mut self.legs[at];
        leg.branches = leg.branches.wrapping_add(1);
        branch_text(token, leg.branches)
    }

    /// The branch that was number `number`.
    pub(super) fn branch_again(&self, at: usize, number: u32) -> Box<str> {
        branch_text(self.token(self.legs[at].id), number)
    }

    /// The dialog of leg `at`, or before the answer one of its early dialogs.
    pub(super) fn dialog(&mut self, at: usize, early: Option<usize>) -> Option<&mut Dialog> {
        let leg = &mut self.legs[at];
        dialog_of(leg, &mut self.stage, early)
    }

    /// Begins the next request in the dialog of leg `at`, or in one of its early dialogs.
    pub(super) fn in_dialog(
        &mut self,
        at: usize,
        early: Option<usize>,
        method: &str,
        branch: &str,
    ) -> Option<Builder> {
        let leg = &mut self.legs[at];
        let listener = listener(&self.home, leg.hop?)?;
        let dialog = dialog_of(leg, &mut self.stage, early)?;
        let mut out = dialog.request(method, Via { listener, branch });
        if matches!(
            method,
            "INVITE" | "UPDATE" | "SUBSCRIBE" | "NOTIFY" | "REFER"
        ) {
            self.put_contact(&self.legs[at], &mut out);
            out.bytes(Name::Allow, ALLOW.as_bytes());
            out.bytes(Name::Supported, SUPPORTED);
        }
        Some(out)
    }

    /// Begins the ACK of the 2xx to our INVITE number `cseq` on leg `at`.
    pub(super) fn ack_head(&self, at: usize, cseq: u32, branch: &str) -> Option<Builder> {
        let leg = &self.legs[at];
        let listener = listener(&self.home, leg.hop?)?;
        Some(leg.dialog.as_ref()?.ack(cseq, Via { listener, branch }))
    }

    /// The INVITE that makes leg `at`, and our half of the dialogs it may make.
    pub(super) fn invite(
        &self,
        at: usize,
        branch: &str,
        face: &Face<'_>,
    ) -> Option<(Bytes, Dialog)> {
        let leg = &self.legs[at];
        let inviting = leg.inviting.as_ref()?;
        let token = self.token(leg.id);
        let passed = match face {
            Face::Passed(message) => message.bytes().len(),
            Face::Ours { lines, offer, .. } => lines.len() + offer.map_or(0, <[u8]>::len),
        };
        let mut out = Builder::request(
            Method::Invite.as_str(),
            &inviting.target.uri,
            passed + HEAD_BYTES,
        );
        if let Some(listener) = leg.hop.and_then(|hop| listener(&self.home, hop)) {
            out.line(Name::Via, Via { listener, branch });
        }
        for route in &inviting.target.route {
            out.bytes(Name::Route, route.as_bytes());
        }
        let (from, to, hops) = match face {
            Face::Passed(message) => (
                name_addr(message.text(Name::From).unwrap_or_default()),
                name_addr(message.text(Name::To).unwrap_or_default()),
                message
                    .max_forwards()
                    .unwrap_or(MAX_FORWARDS)
                    .saturating_sub(1),
            ),
            Face::Ours { from, to, .. } => (*from, *to, MAX_FORWARDS),
        };
        out.number(Name::MaxForwards, hops.into())
            .line(
                Name::From,
                Retagged {
                    value: from,
                    tag: Some(token),
                },
            )
            .line(
                Name::To,
                Retagged {
                    value: to,
                    tag: None,
                },
            )
            .bytes(Name::CallId, token.as_str().as_bytes())
            .line(Name::CSeq, format_args!("{} INVITE", inviting.seq));
        self.put_contact(leg, &mut out);
        put_extensions(&mut out, inviting, face);
        let bytes = match face {
            Face::Passed(message) => {
                headers::copy(&mut out, message, self.trust(at), Body::Kept);
                out.body(None, message.body())
            }
            Face::Ours { lines, offer, .. } => {
                out.raw(lines);
                match offer {
                    Some(offer) => out.body(Some(b"application/sdp"), offer),
                    None => out.end(),
                }
            }
        };
        let half = half_of(token, inviting, from, to);
        Some((bytes, half))
    }

    /// The CANCEL of the INVITE whose bytes these are (RFC 3261 9.1).
    pub(super) fn cancel_of(invite: &Bytes, reasons: &[u8]) -> Option<Bytes> {
        let invite = Message::parse_datagram(invite.clone(), &Limits::default()).ok()?;
        let seq = invite.cseq().ok()?.seq;
        let mut out = Builder::request(Method::Cancel.as_str(), invite.uri()?, HEAD_BYTES);
        for header in invite.headers() {
            match header.name {
                Name::Via
                | Name::Route
                | Name::From
                | Name::To
                | Name::CallId
                | Name::MaxForwards => drop(out.copy(header)),
                _ => {}
            }
        }
        out.line(Name::CSeq, format_args!("{seq} CANCEL"))
            .raw(reasons);
        Some(out.end())
    }

    /// Who of the two ends of a message on its way to leg `at` is trusted to assert identities.
    pub(super) fn trust(&self, at: usize) -> Trust {
        let caller = self.story.trusted;
        let to_caller = self.legs[at].party == Actor::Caller;
        Trust {
            from: caller && !to_caller,
            to: caller && to_caller,
        }
    }

    /// A refusal of a request on a leg, with no more than it needs.
    pub(super) fn refuse(
        &mut self,
        leg: LegId,
        id: sip::ServerId,
        request: &Message,
        status: u16,
        extra: Option<(Name, &str)>,
    ) {
        let invite = request.method() == Some(Method::Invite);
        let token = self.token(leg);
        let mut out = reply(request, status, phrase(status), Some(token.as_str()));
        if let Some((name, value)) = extra {
            out.line(name, value);
        }
        if status == 405 {
            out.line(Name::Allow, ALLOW);
        }
        let bytes = out.end();
        self.respond(leg, id, invite, status, bytes);
    }

    /// What a response that makes or refreshes a dialog says of us (RFC 3261 12.1.1).
    pub(super) fn dialog_lines(&self, at: usize, request: &Message, out: &mut Builder) {
        out.copy_all(request, Name::RecordRoute);
        self.put_contact(&self.legs[at], out);
        out.bytes(Name::Allow, ALLOW.as_bytes());
        out.bytes(Name::Supported, SUPPORTED);
    }
}

/// What an INVITE of ours says of methods and extensions.
fn put_extensions(out: &mut Builder, inviting: &Inviting, face: &Face<'_>) {
    out.bytes(Name::Allow, ALLOW.as_bytes());
    let supported = match face {
        Face::Passed(message) if Wish::of(message) != Wish::None => SUPPORTED_RELIABLE,
        Face::Passed(_) | Face::Ours { .. } => SUPPORTED,
    };
    out.bytes(Name::Supported, supported);
    if let Some(session) = inviting.session {
        session.put(out);
    }
}

/// Our half of the dialogs that an INVITE may make.
fn half_of(token: TokenText, inviting: &Inviting, from: &str, to: &str) -> Dialog {
    Dialog::half(&Half {
        call_id: token.as_str(),
        local: from.as_bytes(),
        local_tag: token.as_str(),
        remote: to.as_bytes(),
        target: &inviting.target.uri,
        // Record-Route of the answer takes their place (RFC 3261 12.1.2).
        routes: &[],
        seq: inviting.seq,
    })
}

fn dialog_of<'a>(
    leg: &'a mut Leg,
    stage: &'a mut Stage,
    early: Option<usize>,
) -> Option<&'a mut Dialog> {
    match early {
        // Answered in the meantime: the early dialog has become the dialog.
        Some(number) if leg.dialog.is_none() => {
            let of_caller = matches!(stage, Stage::Calling(_)) && leg.id == LegId::CALLER;
            let early = Hunt::of(stage)?.early.get_mut(number)?;
            early.dialog(of_caller)
        }
        _ => leg.dialog.as_mut(),
    }
}

fn branch_text(token: TokenText, number: u32) -> Box<str> {
    // The number nearly always has its eight digits, and then the text is cut without a move.
    let mut text = String::with_capacity(BRANCH_COOKIE.len() + TOKEN_LEN + 1 + 8);
    text.push_str(BRANCH_COOKIE);
    text.push_str(token.as_str());
    // A String takes all that is written.
    let _infallible = write!(text, ".{number:x}");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::name_addr;

    #[test]
    fn a_name_addr_ends_before_the_headers_parameters() {
        for (value, expected) in [
            ("<sip:a@b;x=y>;tag=1", "<sip:a@b;x=y>"),
            ("\"A; \\\">\" <sip:a@b>;tag=1", "\"A; \\\">\" <sip:a@b>"),
            ("sip:a@b;tag=1", "sip:a@b"),
            ("sip:a@b", "sip:a@b"),
        ] {
            assert_eq!(name_addr(value), expected);
        }
    }
}
