//! Requests outside of dialogs that are answered at once, and those that are not.

use bytes::Bytes;
use sip::{Builder, Message, Method, Name};

use crate::headers;

/// The methods there is something to be had for, in dialogs or outside.
pub const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, UPDATE, PRACK, REFER, NOTIFY";

/// The bodies we understand ourselves; any other passes through.
const ACCEPT: &str = "application/sdp, text/plain";

/// The option tags of requests outside of dialogs and of calls.
const SUPPORTED: &str = "path, 100rel, timer, replaces, norefersub";

/// What happens to a request outside of a dialog.
#[derive(Debug, PartialEq, Eq)]
pub enum Front {
    /// It has a way of its own: INVITE and REGISTER.
    Elsewhere,
    /// It is authenticated, planned and relayed.
    Relay,
    /// It is answered.
    Answer {
        /// The status.
        status: u16,
        /// The response.
        bytes: Bytes,
    },
    /// It is passed over: an ACK gets no answer.
    Drop,
}

/// What happens to a request that belongs to no dialog and no transaction of ours. `to_us`: whether
/// its Request-URI has no user part and names us; `to_tag`: the tag of an answer. Both are asked
/// for only where they matter.
#[must_use]
pub fn front(
    request: &Message,
    to_us: impl FnOnce() -> bool,
    to_tag: impl Fn() -> String,
) -> Front {
    let method = request.method().unwrap_or(Method::Extension);
    if method == Method::Ack {
        return Front::Drop;
    }
    let answer = |status, reason, write: &dyn Fn(&mut Builder)| {
        let mut out = sip::reply(request, status, reason, Some(&to_tag()));
        write(&mut out);
        Front::Answer {
            status,
            bytes: out.end(),
        }
    };
    let nothing = &|_: &mut Builder| {};
    if request.to_tag().is_some() && method != Method::Register {
        // RFC 3261 12.2.2: of a dialog that is gone, or never was.
        return answer(481, "Call/Transaction Does Not Exist", nothing);
    }
    match method {
        Method::Invite | Method::Register => Front::Elsewhere,
        Method::Message | Method::Options => {
            if let Some(tags) = headers::unsupported(request, &[]) {
                return answer(420, "Bad Extension", &|out| {
                    out.line(Name::Unsupported, &tags);
                });
            }
            match method {
                Method::Options if to_us() => answer(200, "OK", &|out| {
                    out.line(Name::Allow, ALLOW);
                    out.line(Name::Accept, ACCEPT);
                    out.line(Name::Supported, SUPPORTED);
                }),
                _ => Front::Relay,
            }
        }
        // RFC 3261 9.2, 15.1.2; RFC 6086 4.2.2; RFC 3311; RFC 3262 3; RFC 6665 4.1.3: each
        // needs a transaction, a dialog or a subscription that there is not.
        Method::Cancel
        | Method::Bye
        | Method::Info
        | Method::Update
        | Method::Prack
        | Method::Notify => answer(481, "Call/Transaction Does Not Exist", nothing),
        // RFC 6665 4.2.1.1, RFC 3903 6: there is no event package to be had.
        Method::Subscribe | Method::Publish => answer(489, "Bad Event", nothing),
        // Calls are moved from inside or by agents.
        Method::Refer => answer(403, "Forbidden", nothing),
        Method::Ack => Front::Drop,
        Method::Extension => answer(405, "Method Not Allowed", &|out| {
            out.line(Name::Allow, ALLOW);
        }),
    }
}
