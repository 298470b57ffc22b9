//! One caller, one callee, one answer: the plainest call there is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::route::Plan;
use engine::{
    Call, CallKey, Home, Hop, Inbound, Input, LegEvent, LegId, Listener, NextHop, Origin, Output,
    Redirects, Setup, Target, Timeouts, TokenKey, Transport,
};
use sip::{Limits, Message, Now, ServerId, reply};

/// What the calls share.
pub(crate) fn home() -> Arc<Home> {
    let listener = Listener {
        id: 0,
        transport: Transport::Udp,
        ipv6: false,
        loopback: false,
        sent_by: "192.0.2.100:5060".into(),
        contact_host: "192.0.2.100:5060".into(),
    };
    Arc::new(Home {
        epoch: 1,
        listeners: Arc::new([listener]),
        tokens: TokenKey::new([7; 16]),
        timeouts: Timeouts::default(),
        redirects: Redirects::Pass,
        large_over_tcp: true,
    })
}

fn parse(text: &str) -> Message {
    let text = text.replace('\n', "\r\n");
    Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap()
}

/// A call that was answered, and by how much `gauge` grew while the call itself worked.
pub(crate) fn answered(home: &Arc<Home>, n: usize, gauge: fn() -> usize) -> (Call, usize) {
    let now = Now {
        mono: Duration::from_millis(n as u64),
        unix_ms: 1_800_000_000_000,
    };
    let sdp = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\n\
        t=0 0\nm=audio 4000 RTP/AVP 0 8 101\na=rtpmap:101 telephone-event/8000\n";
    let head = format!(
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-{n:08}-1;rport\n\
         From: \"User {n}\" <sip:user{n:06}@example.test>;tag=caller{n:08}\n\
         Call-ID: {n:08}-5f3c-4a77@192.0.2.1\nContact: <sip:user{n:06}@192.0.2.1:5060>\n"
    );
    let invite = parse(&format!(
        "INVITE sip:bob@example.test SIP/2.0\n{head}To: <sip:bob@example.test>\nCSeq: 1 INVITE\n\
         Max-Forwards: 70\nContent-Type: application/sdp\nContent-Length: {}\n\n{sdp}",
        sdp.len() + sdp.matches('\n').count()
    ));
    let hop = |n| Hop::Udp {
        listener: 0,
        remote: SocketAddr::from(([192, 0, 2, n], 5060)),
    };
    let target = Target {
        uri: "sip:bob@192.0.2.2:5060".into(),
        route: Vec::new(),
        hop: NextHop::Hop(hop(2)),
        aor: Some("bob@example.test".into()),
        instance: None,
        q: 1000,
    };
    let inbound = Inbound {
        server: ServerId(1),
        message: invite,
        hop: hop(1),
        aor: Some("user@example.test".into()),
        trusted: false,
        plan: Plan::Fork {
            groups: vec![vec![target]],
        },
    };
    let setup = Setup {
        key: CallKey::new(0, now.unix_ms, n as u128),
        home: home.clone(),
        entropy: n as u64,
        origin: Origin::Inbound(Box::new(inbound)),
    };
    let before = gauge();
    let mut call = Call::new(setup, now);
    let mut grown = gauge() - before;
    let (id, sent) = drain(&mut call).0.unwrap();
    for status in [180, 200] {
        let tag = format!("callee{n:08}");
        let mut out = reply(&sent, status, "OK", Some(&tag));
        out.line("Contact", "<sip:bob@192.0.2.2:5060>");
        let bytes = out.body(Some(b"application/sdp"), sdp.as_bytes());
        let message = Message::parse_datagram(bytes, &Limits::default()).unwrap();
        let event = LegEvent::Response { id, message };
        let leg = LegId(1);
        let before = gauge();
        call.handle(now, Input::Leg { leg, event });
        grown += gauge() - before;
        let (_, tag) = drain(&mut call);
        if status == 200 {
            let ack = parse(&format!(
                "ACK sip:x SIP/2.0\n{head}To: <sip:bob@example.test>;tag={}\nCSeq: 1 ACK\n\n",
                tag.unwrap()
            ));
            let (leg, event) = (LegId(0), LegEvent::Ack { message: ack });
            let before = gauge();
            call.handle(now, Input::Leg { leg, event });
            grown += gauge() - before;
            drain(&mut call);
        }
    }
    (call, grown)
}

/// The INVITE it sent and the tag it answered with.
fn drain(call: &mut Call) -> (Option<(sip::ClientId, Message)>, Option<String>) {
    let (mut sent, mut tag) = (None, None);
    while let Some(output) = call.poll_output() {
        match output {
            Output::Request { id, bytes, .. } => {
                sent = Some((
                    id,
                    Message::parse_datagram(bytes, &Limits::default()).unwrap(),
                ));
            }
            Output::Respond { bytes, .. } => {
                let response = Message::parse_datagram(bytes, &Limits::default()).unwrap();
                tag = response.to_tag().map(str::to_owned);
            }
            _ => {}
        }
    }
    (sent, tag)
}
