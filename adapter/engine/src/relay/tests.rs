use std::net::SocketAddr;

use sip::{Limits, Name};

use super::*;
use crate::hop::Listener;
use crate::token::{LegId, Token};

fn tokens() -> TokenKey {
    TokenKey::new([4; 16])
}

fn key() -> CallKey {
    CallKey { shard: 3, id: 77 }
}

fn setup() -> RelaySetup {
    let listener = |id, transport, sent_by: &str| Listener {
        id,
        transport,
        ipv6: false,
        loopback: false,
        sent_by: sent_by.into(),
        contact_host: sent_by.into(),
    };
    let listeners = vec![
        listener(0, Transport::Udp, "192.0.2.1:5060"),
        listener(1, Transport::Wss, "sip.x.test:8443"),
    ];
    RelaySetup {
        key: key(),
        tokens: tokens(),
        listeners: listeners.into(),
        limit: RELAY_TIME,
        large_over_tcp: true,
    }
}

fn at(seconds: u64) -> Now {
    Now::default().after(Duration::from_secs(seconds))
}

fn parse(text: &str) -> Message {
    Message::parse_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn request(method: &str, lines: &str, body: &str) -> Message {
    parse(&format!(
        "{method} sip:room@x.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa\r\n\
         Max-Forwards: 10\r\nFrom: \"G, 1\" <sip:g@x.test>;tag=1\r\nTo: <sip:room@x.test>\r\n\
         Call-ID: c\r\nCSeq: 9 {method}\r\n{lines}\r\n{body}"
    ))
}

fn origin() -> RelayOrigin {
    let lines = "Contact: <sip:g@10.0.0.1>\r\nContent-Type: text/plain\r\nX-Room: 7\r\n";
    RelayOrigin::Request {
        request: request("MESSAGE", lines, "hello"),
        trusted: false,
    }
}

fn bound(uri: &str, hop: Hop) -> Target {
    Target {
        uri: uri.into(),
        route: vec!["<sip:p;lr>".into()],
        hop: NextHop::Hop(hop),
        aor: None,
        instance: None,
        q: 1000,
    }
}

fn named(host: &str) -> Target {
    let hop = NextHop::Name {
        host: host.into(),
        port: None,
        transport: None,
    };
    Target {
        hop,
        ..bound(&format!("sip:room@{host}"), udp(1))
    }
}

fn udp(last: u8) -> Hop {
    Hop::Udp {
        listener: 0,
        remote: SocketAddr::from(([192, 0, 2, last], 5060)),
    }
}

fn wss() -> Hop {
    Hop::Flow {
        connection: 8,
        listener: 1,
    }
}

fn relay(groups: Vec<Vec<Target>>) -> Relay {
    Relay::new(at(0), setup(), origin(), groups)
}

fn outputs(relay: &mut Relay) -> Vec<RelayOutput> {
    core::iter::from_fn(|| relay.poll_output()).collect()
}

/// The requests that went out.
fn requests(relay: &mut Relay) -> Vec<(Fork, Hop, Message)> {
    outputs(relay)
        .into_iter()
        .map(|output| match output {
            RelayOutput::Request {
                fork, hop, bytes, ..
            } => (
                fork,
                hop,
                Message::parse_datagram(bytes, &Limits::default()).unwrap(),
            ),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn answer(relay: &mut Relay, fork: Fork, status: u16) {
    let response = parse(&format!(
        "SIP/2.0 {status} So It Is\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n\
         X-From: {status}\r\n\r\n"
    ));
    relay.handle(RelayInput::Response { fork, response });
}

fn answered(relay: &mut Relay) -> Option<(u16, Message)> {
    match &outputs(relay)[..] {
        [] => None,
        [RelayOutput::Respond { status, bytes }, RelayOutput::Ended] => {
            let message = Message::parse_datagram(bytes.clone(), &Limits::default()).unwrap();
            assert_eq!(message.status(), Some(*status));
            assert_eq!(relay.poll_timeout(), None);
            Some((*status, message))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_goes_to_every_binding_of_every_preference() {
    let groups = vec![
        vec![
            bound("sip:1@h", udp(1)),
            bound("sip:2@a.invalid;transport=ws", wss()),
        ],
        vec![bound("sip:3@h", udp(3))],
    ];
    let mut relay = relay(groups);
    let sent = requests(&mut relay);
    let to: Vec<_> = sent
        .iter()
        .map(|(_, hop, sent)| (*hop, sent.uri().unwrap()))
        .collect();
    assert_eq!(
        to,
        [
            (udp(1), "sip:1@h"),
            (wss(), "sip:2@a.invalid;transport=ws"),
            (udp(3), "sip:3@h"),
        ]
    );
    for (fork, _, sent) in &sent {
        assert_eq!(sent.check(), Ok(()));
        assert_eq!((sent.body(), sent.max_forwards()), (&b"hello"[..], Some(9)));
        assert_eq!(sent.header(Name::ContentType), Some(&b"text/plain"[..]));
        assert_eq!(sent.other("X-Room").collect::<Vec<_>>(), [b"7"]);
        assert_eq!(sent.header(Name::Route), Some(&b"<sip:p;lr>"[..]));
        // RFC 3428 4: a MESSAGE has no Contact.
        assert_eq!(sent.header(Name::Contact), None);
        let from = sent.from().unwrap();
        assert_eq!((from.display, from.uri), (&b"\"G, 1\""[..], "sip:g@x.test"));
        assert_eq!(sent.to().unwrap().tag(), None);
        let token = Token {
            shard: 3,
            call: key().low(),
            leg: LegId(fork.0),
        };
        let branch = sent.top_via().unwrap().branch().unwrap().to_owned();
        assert_eq!(Token::parse_branch(&branch, &tokens()), Some(token));
        assert_eq!(Token::parse(from.tag().unwrap(), &tokens()), Some(token));
    }
    assert!(
        sent[1]
            .2
            .header(Name::Via)
            .unwrap()
            .starts_with(b"SIP/2.0/WSS sip.x.test:8443;")
    );
}

#[test]
fn the_first_success_answers_and_the_rest_is_not_heard() {
    let mut relay = relay(vec![vec![
        bound("sip:1@h", udp(1)),
        bound("sip:2@h", udp(2)),
    ]]);
    let sent = requests(&mut relay);
    answer(&mut relay, sent[0].0, 100);
    answer(&mut relay, sent[0].0, 486);
    assert!(answered(&mut relay).is_none());
    answer(&mut relay, sent[1].0, 202);
    let (status, response) = answered(&mut relay).unwrap();
    assert_eq!(
        (status, response.call_id(), response.reason()),
        (202, Some("c"), &b"So It Is"[..])
    );
    assert_eq!(response.other("X-From").collect::<Vec<_>>(), [b"202"]);
    assert_eq!(response.all(Name::Via).count(), 1);
    answer(&mut relay, sent[0].0, 200);
    relay.handle_timeout(at(100));
    assert!(answered(&mut relay).is_none());
}

#[test]
fn the_best_failure_answers() {
    for (statuses, status) in [
        ([486, 500, 404], 486),
        ([500, 404, 486], 404),
        ([486, 603, 404], 603),
        ([500, 500, 503], 500),
        ([503, 503, 503], 500),
        ([302, 302, 302], 480),
        ([407, 407, 407], 403),
        ([401, 500, 500], 403),
        ([408, 408, 408], 480),
    ] {
        let targets = (1..4).map(|n| bound("sip:1@h", udp(n))).collect();
        let mut relay = relay(vec![targets]);
        for ((fork, _, _), status) in requests(&mut relay).into_iter().zip(statuses) {
            answer(&mut relay, fork, status);
        }
        assert_eq!(answered(&mut relay).unwrap().0, status, "{statuses:?}");
    }
}

#[test]
fn silence_is_answered_in_time_and_never_with_408() {
    let mut relay = relay(vec![vec![
        bound("sip:1@h", udp(1)),
        bound("sip:2@h", udp(2)),
    ]]);
    let sent = requests(&mut relay);
    relay.handle(RelayInput::Failed {
        fork: sent[0].0,
        unreachable: true,
    });
    assert_eq!(relay.poll_timeout(), Some(RELAY_TIME));
    relay.handle_timeout(at(23));
    assert!(answered(&mut relay).is_none());
    relay.handle_timeout(at(24));
    assert_eq!(answered(&mut relay).unwrap().0, 502);

    let mut relay = super::tests::relay(vec![vec![bound("sip:1@h", udp(1))]]);
    requests(&mut relay);
    relay.handle_timeout(at(24));
    assert_eq!(answered(&mut relay).unwrap().0, 480);
}

#[test]
fn a_name_is_tried_at_its_addresses_in_turn() {
    let mut relay = relay(vec![vec![named("pbx.example")]]);
    let [RelayOutput::Resolve { fork, host, .. }] = &outputs(&mut relay)[..] else {
        panic!()
    };
    assert_eq!(&**host, "pbx.example");
    relay.handle(RelayInput::Resolved {
        fork: *fork,
        hops: vec![udp(1), udp(2), udp(3)],
    });
    let first = requests(&mut relay);
    relay.handle(RelayInput::Failed {
        fork: first[0].0,
        unreachable: true,
    });
    let second = requests(&mut relay);
    answer(&mut relay, second[0].0, 503);
    let third = requests(&mut relay);
    let hops = [first[0].1, second[0].1, third[0].1];
    assert_eq!(hops, [udp(1), udp(2), udp(3)]);
    let branch =
        |sent: &[(Fork, Hop, Message)]| sent[0].2.top_via().unwrap().branch().unwrap().to_owned();
    assert_ne!(
        branch(&first),
        branch(&second),
        "a transaction of its own each"
    );
    answer(&mut relay, first[0].0, 200);
    assert!(answered(&mut relay).is_none(), "too late");
    answer(&mut relay, third[0].0, 200);
    assert_eq!(answered(&mut relay).unwrap().0, 200);
}

#[test]
fn nowhere_to_go_is_an_answer_too() {
    let mut relay = relay(vec![vec![named("nowhere.example")]]);
    let [RelayOutput::Resolve { fork, .. }] = outputs(&mut relay)[..] else {
        panic!()
    };
    relay.handle(RelayInput::Resolved {
        fork,
        hops: Vec::new(),
    });
    assert_eq!(answered(&mut relay).unwrap().0, 502);
    assert_eq!(
        answered(&mut super::tests::relay(Vec::new())).unwrap().0,
        480
    );
}

#[test]
fn an_agents_message_is_one_like_any_other() {
    let origin = RelayOrigin::Command {
        from: "sip:agent@x.test".into(),
        to: "sip:room@x.test".into(),
        content_type: "text/plain".into(),
        body: Bytes::from_static(b"hi"),
    };
    let mut relay = Relay::new(at(0), setup(), origin, vec![vec![bound("sip:1@h", udp(1))]]);
    let sent = requests(&mut relay);
    let message = &sent[0].2;
    assert_eq!(
        (message.check(), message.method()),
        (Ok(()), Some(Method::Message))
    );
    assert_eq!(
        (message.body(), message.from().unwrap().uri),
        (&b"hi"[..], "sip:agent@x.test")
    );
    answer(&mut relay, sent[0].0, 200);
    let outputs = outputs(&mut relay);
    assert_eq!(
        outputs,
        [
            RelayOutput::Respond {
                status: 200,
                bytes: Bytes::new()
            },
            RelayOutput::Ended,
        ]
    );
}

#[test]
fn what_is_not_relayed_is_answered_or_goes_its_own_way() {
    for (method, to_us, lines, status) in [
        ("MESSAGE", false, "", None),
        ("OPTIONS", false, "", None),
        ("OPTIONS", true, "", Some(200)),
        ("OPTIONS", true, "Require: x\r\n", Some(420)),
        ("MESSAGE", false, "Require: x\r\n", Some(420)),
        ("BYE", false, "", Some(481)),
        ("CANCEL", false, "", Some(481)),
        ("INFO", false, "", Some(481)),
        ("UPDATE", false, "", Some(481)),
        ("PRACK", false, "", Some(481)),
        ("NOTIFY", false, "", Some(481)),
        ("SUBSCRIBE", false, "", Some(489)),
        ("PUBLISH", false, "", Some(489)),
        ("REFER", false, "", Some(403)),
        ("JUMP", false, "", Some(405)),
    ] {
        let front = front(&request(method, lines, ""), || to_us, || "us".into());
        match (front, status) {
            (Front::Relay, None) => {}
            (
                Front::Answer {
                    status: given,
                    bytes,
                },
                Some(status),
            ) => {
                assert_eq!(given, status, "{method}");
                let response = Message::parse_datagram(bytes, &Limits::default()).unwrap();
                assert_eq!(
                    (response.status(), response.to_tag()),
                    (Some(status), Some("us"))
                );
                let says = matches!(status, 200 | 405);
                assert_eq!(response.header(Name::Allow).is_some(), says, "{method}");
                assert_eq!(response.header(Name::Supported).is_some(), status == 200);
                assert_eq!(response.header(Name::Unsupported).is_some(), status == 420);
            }
            (front, _) => panic!("{method}: {front:?}"),
        }
    }
    assert_eq!(
        front(&request("ACK", "", ""), || false, || "us".into()),
        Front::Drop
    );
    for method in ["INVITE", "REGISTER"] {
        assert_eq!(
            front(&request(method, "", ""), || false, || "us".into()),
            Front::Elsewhere
        );
    }
}

#[test]
fn what_is_too_large_for_a_datagram_tries_tcp_first() {
    let mut setup = setup();
    let tcp = Listener {
        id: 2,
        transport: Transport::Tcp,
        ..setup.listeners[0].clone()
    };
    setup.listeners = setup.listeners.iter().cloned().chain([tcp]).collect();
    let target = Target {
        route: Vec::new(),
        ..bound("sip:1@192.0.2.1", udp(1))
    };
    let large = |setup| {
        let body = "a".repeat(1300);
        let request = request("MESSAGE", "Content-Type: text/plain\r\n", &body);
        let origin = RelayOrigin::Request {
            request,
            trusted: false,
        };
        Relay::new(at(0), setup, origin, vec![vec![target.clone()]])
    };
    // Nobody is there, or somebody who refuses, or who is silent.
    let fail = |relay: &mut Relay, fork, unreachable| {
        relay.handle(RelayInput::Failed { fork, unreachable });
    };
    let mut relay = large(setup.clone());
    let (fork, hop, sent) = requests(&mut relay).remove(0);
    assert!(matches!(hop, Hop::Connect { listener: 2, .. }), "{hop:?}");
    assert!(sent.text(Name::Via).unwrap().starts_with("SIP/2.0/TCP"));
    fail(&mut relay, fork, true);
    let (fork, hop, _) = requests(&mut relay).remove(0);
    assert_eq!(hop, udp(1));
    fail(&mut relay, fork, true);
    assert_eq!(answered(&mut relay).unwrap().0, 502);
    let mut relay = large(setup.clone());
    let (fork, ..) = requests(&mut relay).remove(0);
    fail(&mut relay, fork, false);
    assert_eq!(answered(&mut relay).unwrap().0, 480);
    let mut relay = large(setup.clone());
    let (fork, ..) = requests(&mut relay).remove(0);
    answer(&mut relay, fork, 503);
    assert_eq!(answered(&mut relay).unwrap().0, 500);
    setup.large_over_tcp = false;
    let (_, hop, _) = requests(&mut large(setup)).remove(0);
    assert_eq!(hop, udp(1));
}
