//! The messages of a relay.

use core::fmt::{self, Display};

use bytes::Bytes;
use sip::{Builder, Message, Method, Name};

use super::{ALLOW, Final, Fork, RelayOrigin, RelaySetup};
use crate::headers::{self, Body, Trust};
use crate::hop::{Hop, Listener, Target};
use crate::token::{BRANCH_COOKIE, LegId, Token, TokenText};

/// What goes around the headers and the body that pass.
const OWN_BYTES: usize = 640;

/// RFC 3261 8.1.1.6, for what begins here.
const MAX_FORWARDS: u8 = 70;

/// The request to one target with its branch; `None` if the hop's listener is gone.
pub(super) fn request(
    setup: &RelaySetup,
    origin: &RelayOrigin,
    fork: Fork,
    target: &Target,
    hop: &Hop,
) -> Option<(Box<str>, Bytes)> {
    let listener = setup.listeners.get(usize::from(hop.listener()))?;
    let token = token(setup, LegId(fork.0));
    let branch = format!("{BRANCH_COOKIE}{token}").into_boxed_str();
    let (method, passing) = match origin {
        RelayOrigin::Request { request, .. } => (request.method_text(), request.bytes().len()),
        RelayOrigin::Command { body, .. } => (Method::Message.as_str(), body.len()),
    };
    let mut out = Builder::request(method, &target.uri, passing + OWN_BYTES);
    out.line(
        Name::Via,
        Via {
            listener,
            hop,
            branch: &branch,
        },
    );
    for route in &target.route {
        out.line(Name::Route, route);
    }
    out.line(Name::CallId, token)
        .line(Name::CSeq, format_args!("1 {method}"));
    let bytes = match origin {
        RelayOrigin::Request { request, trusted } => {
            let hops = headers::max_forwards(request).unwrap_or(0);
            out.line(Name::MaxForwards, hops);
            party(&mut out, Name::From, request, Some(token));
            party(&mut out, Name::To, request, None);
            // Nobody we send to by a plan is in our trust domain yet: trunks will be.
            headers::copy(
                &mut out,
                request,
                Trust {
                    from: *trusted,
                    to: false,
                },
                Body::Kept,
            );
            out.body(None, request.body())
        }
        RelayOrigin::Command {
            from,
            to,
            content_type,
            body,
        } => {
            out.line(Name::MaxForwards, MAX_FORWARDS);
            out.line(Name::From, format_args!("<{from}>;tag={token}"));
            out.line(Name::To, format_args!("<{to}>"));
            out.body(Some(content_type.as_bytes()), body)
        }
    };
    Some((branch, bytes))
}

/// The answer to the request that is relayed; no bytes for a command.
pub(super) fn respond(setup: &RelaySetup, origin: &RelayOrigin, best: &Final) -> (u16, Bytes) {
    let (status, reason) = match best {
        Final::Response(response) => (status(response), response.reason()),
        Final::Own(status, reason) => (*status, reason.as_bytes()),
    };
    let RelayOrigin::Request { request, .. } = origin else {
        return (status, Bytes::new());
    };
    // The status was replaced: its words do not fit any more.
    let reason = match best {
        Final::Response(response) if response.status() != Some(status) => "Unavailable".into(),
        Final::Response(_) | Final::Own(..) => String::from_utf8_lossy(reason),
    };
    let tag = token(setup, LegId::CALLER);
    let mut out = sip::reply(request, status, &reason, Some(tag.as_str()));
    if request.method() == Some(Method::Options) {
        out.line(Name::Allow, ALLOW);
    }
    let bytes = match best {
        Final::Response(response) => {
            headers::copy(&mut out, response, Trust::default(), Body::Kept);
            out.body(None, response.body())
        }
        Final::Own(..) => out.end(),
    };
    (status, bytes)
}

/// What of a target's answer is the caller's: redirections and challenges are between it and us,
/// RFC 3261 16.7 step 6 makes 503 a 500, and RFC 4320 4.1 bans 408.
fn status(response: &Message) -> u16 {
    match response.status() {
        Some(300..=399 | 408) => 480,
        Some(401 | 407) => 403,
        Some(503) | None => 500,
        Some(status) => status,
    }
}

fn token(setup: &RelaySetup, leg: LegId) -> TokenText {
    Token::new(setup.key, leg).text(&setup.tokens)
}

/// From or To of another request, without its parameters and with a tag of ours.
fn party(out: &mut Builder, name: Name, request: &Message, tag: Option<TokenText>) {
    let address = if name == Name::From {
        request.from()
    } else {
        request.to()
    };
    let Ok(address) = address else {
        return;
    };
    out.raw(name.as_str().as_bytes()).raw(b": ");
    if !address.display.is_empty() {
        // Read from one line of a message, so it has no line end but a fold.
        for part in address.display.split(|byte| matches!(byte, b'\r' | b'\n')) {
            out.raw(part);
        }
        out.raw(b" ");
    }
    out.raw(b"<").raw(address.uri.as_bytes()).raw(b">");
    if let Some(tag) = tag {
        out.raw(b";tag=").raw(tag.as_str().as_bytes());
    }
    out.raw(b"\r\n");
}

struct Via<'a> {
    listener: &'a Listener,
    hop: &'a Hop,
    branch: &'a str,
}

impl Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            listener,
            hop,
            branch,
        } = self;
        let transport = match hop {
            Hop::Connect { transport, .. } => *transport,
            Hop::Udp { .. } | Hop::Flow { .. } => listener.transport,
        };
        write!(
            f,
            "SIP/2.0/{} {};branch={branch};rport",
            transport.via(),
            listener.sent_by
        )
    }
}
