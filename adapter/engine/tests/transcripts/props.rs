//! What calls are made of here: devices, a home, the caller's INVITE, an agent's command.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::route::Plan;
use engine::{
    Home, Hop, Inbound, LegId, Listener, NextHop, Originate, Party, Redirects, Target, Timeouts,
    TokenKey, Transport,
};
use sip::{Limits, Message, Now, ServerId};

pub(crate) const A: LegId = LegId(0);
pub(crate) const B: LegId = LegId(1);
pub(crate) const C: LegId = LegId(2);

pub(crate) const OFFER: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n\
     t=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
pub(crate) const ANSWER: &str = "v=0\r\no=b 9 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\n\
     t=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

pub(crate) fn message(text: &str) -> Message {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    Message::parse_datagram(bytes, &Limits::default()).unwrap()
}

pub(crate) fn parse(bytes: &Bytes) -> Message {
    let message = Message::parse_datagram(bytes.clone(), &Limits::default()).unwrap();
    message
        .check()
        .unwrap_or_else(|fault| panic!("{fault:?} in\n{}", show(bytes)));
    message
}

pub(crate) fn show(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn target(n: u8) -> Target {
    let remote = SocketAddr::from(([192, 0, 2, n], 5060));
    Target {
        uri: format!("sip:bob@192.0.2.{n}").into(),
        route: Vec::new(),
        hop: NextHop::Hop(Hop::Udp {
            listener: 0,
            remote,
        }),
        aor: Some("bob@example.test".into()),
        instance: None,
        q: 1000,
    }
}

/// A browser, behind a WebSocket of its own.
pub(crate) fn browser(n: u8) -> Target {
    let hop = Hop::Flow {
        connection: u64::from(n),
        listener: 2,
    };
    Target {
        uri: format!("sip:b{n}@w{n}.invalid;transport=ws").into(),
        hop: NextHop::Hop(hop),
        ..target(n)
    }
}

pub(crate) fn home() -> Arc<Home> {
    let listeners = [Transport::Udp, Transport::Tcp, Transport::Ws];
    let listener = |(id, transport)| Listener {
        id,
        transport,
        ipv6: false,
        loopback: false,
        sent_by: "192.0.2.100:5060".into(),
        contact_host: "192.0.2.100:5060".into(),
    };
    Arc::new(Home {
        epoch: 5,
        listeners: (0..).zip(listeners).map(listener).collect(),
        tokens: TokenKey::new([7; 16]),
        timeouts: Timeouts::default(),
        redirects: Redirects::Pass,
        large_over_tcp: true,
    })
}

pub(crate) fn start() -> Now {
    Now {
        mono: Duration::from_secs(1000),
        unix_ms: 1_800_000_000_000,
    }
}

/// The caller's INVITE.
pub(crate) fn invite(extra: &str, body: &str) -> Message {
    message(&format!(
        "INVITE sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa1\r\n\
         Max-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@example.test>;tag=alice\r\n\
         To: <sip:bob@example.test>\r\nCall-ID: from-alice\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:alice@192.0.2.1>\r\n{extra}Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

pub(crate) fn inbound(plan: Vec<Vec<Target>>, message: Message) -> Inbound {
    Inbound {
        server: ServerId(1),
        message,
        hop: Hop::Udp {
            listener: 0,
            remote: SocketAddr::from(([192, 0, 2, 1], 5060)),
        },
        aor: Some("alice@example.test".into()),
        trusted: false,
        plan: Plan::Fork { groups: plan },
    }
}

/// An agent's command to call alice, and then bob.
pub(crate) fn originate(first: Vec<Vec<Target>>) -> Originate {
    let party = |name: &str| Party {
        uri: format!("sip:{name}@example.test").into(),
        display: None,
    };
    Originate {
        agent: "robot".into(),
        command_id: "cmd-1".into(),
        traceparent: None,
        trace_id: None,
        session: None,
        headers: Vec::new(),
        ring: None,
        first: party("alice"),
        plan: Plan::Fork { groups: first },
        second: party("bob"),
    }
}
