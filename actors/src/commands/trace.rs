//! What was said in a call: the arbiter's memory of it, without what is nobody's business.

use std::time::Duration;

use bus_schema::{
    Answer, CallRef, ErrorCode, LegName, QueryTrace, Text, Timestamp, Traced, TracedMessage,
};
use engine::{CallKey, Hop};

use super::{Commands, Pending};
use crate::capture::Seen;
use crate::local::Local;

/// The most of one reply: below what a NATS server takes.
const REPLY_BYTES: usize = 256 << 10;

impl Commands {
    pub(super) fn trace(&self, wanted: &QueryTrace, pending: Pending) {
        let Some(call) = wanted.call else {
            return pending.refuse(ErrorCode::BadRequest, "data.call: missing");
        };
        let node = self.node();
        let arbiter = self.shared.arbiter_of(call.shard());
        self.on(arbiter, pending, move |local, pending| {
            let traced = traced(local, node, call);
            if traced.messages.is_empty() {
                let reason = "no message of such a call is remembered";
                return pending.refuse(ErrorCode::NotFound, reason);
            }
            pending.finish(Ok(Answer::Traced(traced)));
        });
    }
}

fn traced(local: &Local, node: Text, call: CallRef) -> Traced {
    let key = CallKey {
        shard: call.shard(),
        id: call.ulid(),
    };
    let (now, capture) = (local.clock.now(), local.capture.borrow());
    let mut room = REPLY_BYTES;
    let mut found: Vec<(&Seen, Text)> = Vec::new();
    let mut cut = false;
    // The newest are there in any case.
    for (seen, bytes) in capture.of(key.low()).rev() {
        let text = shown(bytes);
        cut = text.len() > room;
        if cut {
            break;
        }
        room -= text.len();
        found.push((seen, text));
    }
    found.reverse();
    let first = found.first().map_or(Duration::ZERO, |(seen, _)| seen.at);
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let message = |(seen, text): (&Seen, Text)| TracedMessage {
        at: Timestamp(now.unix_ms - micros(now.mono.saturating_sub(seen.at)) / 1000),
        offset_us: micros(seen.at.saturating_sub(first)),
        leg: LegName(seen.leg.0).to_string().into(),
        sent: seen.sent,
        peer: peer(local, &seen.hop),
        text,
    };
    Traced {
        node,
        call,
        messages: found.into_iter().map(message).collect(),
        cut,
    }
}

fn peer(local: &Local, hop: &Hop) -> Text {
    match *hop {
        Hop::Udp { remote, .. } => format!("udp {remote}"),
        Hop::Connect {
            transport, remote, ..
        } => format!("{} {remote}", transport.as_str()),
        Hop::Flow {
            connection,
            listener,
        } => {
            let listener = local.shared.listeners.get(usize::from(listener));
            let transport = listener.map_or("tcp", |listener| listener.transport.as_str());
            format!("{transport} connection {connection}")
        }
    }
    .into()
}

/// A message as it may be shown: credentials and media keys are taken out, and of bodies only
/// session descriptions are left.
fn shown(message: &[u8]) -> Text {
    let text = String::from_utf8_lossy(message);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut out = String::with_capacity(text.len());
    let mut hidden = false;
    for line in head.split("\r\n") {
        // A fold goes on with what it belongs to.
        if line.starts_with([' ', '\t']) && hidden {
            continue;
        }
        let name = line.split(':').next().unwrap_or_default().trim_end();
        hidden = HIDDEN
            .iter()
            .any(|secret| name.eq_ignore_ascii_case(secret));
        out.push_str(if hidden { name } else { line });
        out.push_str(if hidden { ": (hidden)\r\n" } else { "\r\n" });
    }
    out.push_str("\r\n");
    if body.starts_with("v=0") {
        for line in body.split_inclusive('\n') {
            let secret = KEYS.iter().find_map(|key| {
                let at = line.find(key)?;
                (at == 0 || *key == INLINE).then_some(at + key.len())
            });
            match secret {
                Some(at) => out.extend([&line[..at], "(hidden)\r\n"]),
                None => out.push_str(line),
            }
        }
    } else if !body.is_empty() {
        out.push_str("(hidden)");
    }
    out.into()
}

/// Headers that prove who somebody is.
const HIDDEN: [&str; 3] = ["Authorization", "Proxy-Authorization", "Identity"];

/// What comes before the keys of media in a session description: SDES (RFC 4568), ICE (RFC 8839
/// 5.4) and `k=` (RFC 4566 5.12). All but the first begin their line.
const KEYS: [&str; 3] = [INLINE, "a=ice-pwd:", "k="];
const INLINE: &str = "inline:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nobodys_business_is_not_shown() {
        let message = b"INVITE sip:a@b SIP/2.0\r\n\
            Proxy-authorization : Digest response=\"f00\",\r\n nonce=\"f00\"\r\n\
            To: <sip:a@b>\r\n\r\n\
            v=0\r\nk=clear:f00\r\na=ice-pwd:f00\r\n\
            a=crypto:1 AES inline:f00|2^31\r\nm=audio\r\n";
        let text = shown(message);
        assert!(!text.contains("f00"), "{text}");
        assert!(
            text.contains("\r\nProxy-authorization: (hidden)\r\nTo: <sip:a@b>\r\n"),
            "{text}"
        );
        assert!(
            text.ends_with("a=crypto:1 AES inline:(hidden)\r\nm=audio\r\n"),
            "{text}"
        );
        let text = shown(b"MESSAGE sip:a@b SIP/2.0\r\nTo: x\r\n\r\nf00");
        assert!(text.ends_with("\r\n\r\n(hidden)"), "{text}");
    }
}
