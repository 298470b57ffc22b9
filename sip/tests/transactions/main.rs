//! Endpoints alone, against each other and against anything, in virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic in a test is its report"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use sip::endpoint::{Input, Output};
use sip::{
    ClientId, Endpoint, EndpointSettings, Failure, Limits, Message, Method, Now, ServerId, cancel,
    reply,
};

mod bad_link;

const PATIENCE: Duration = Duration::from_secs(300);

fn endpoint() -> Endpoint {
    endpoint_of(100_000)
}

fn endpoint_of(transactions_max: usize) -> Endpoint {
    let seed = *b"fedcba9876543210";
    Endpoint::new(Arc::new(EndpointSettings {
        transactions_max,
        patience: PATIENCE,
        seed,
    }))
}

fn at(ms: u64) -> Now {
    Now {
        mono: Duration::from_millis(ms),
        unix_ms: ms,
    }
}

fn parse(bytes: &Bytes) -> Message {
    Message::parse_datagram(bytes.clone(), &Limits::default()).unwrap()
}

fn request(method: &str, branch: &str) -> Bytes {
    format!(
        "{method} sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test:5060;branch={branch};rport\r\n\
         Via: SIP/2.0/UDP below.test;branch=z9hG4bKbelow\r\n\
         Max-Forwards: 70\r\nRoute: <sip:p1.test;lr>\r\nRoute: <sip:p2.test;lr>\r\n\
         From: <sip:alice@a.test>;tag=1\r\nTo: <sip:bob@b.test>\r\nCall-ID: c1\r\n\
         CSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

fn response(request: &Bytes, status: u16) -> Bytes {
    reply(&parse(request), status, "Reason", Some("2")).end()
}

fn drain(endpoint: &mut Endpoint) -> Vec<Output> {
    std::iter::from_fn(|| endpoint.poll_output()).collect()
}

fn receive(endpoint: &mut Endpoint, now: Now, bytes: &Bytes) -> Vec<Output> {
    endpoint.handle(
        now,
        Input::Received {
            message: parse(bytes),
            reliable: false,
        },
    );
    drain(endpoint)
}

fn send(endpoint: &mut Endpoint, id: u32, method: Method, branch: &str, bytes: &Bytes) {
    let (id, bytes, branch) = (ClientId(id), bytes.clone(), branch.into());
    endpoint.handle(
        at(0),
        Input::Request {
            id,
            method,
            branch,
            bytes,
            reliable: false,
        },
    );
}

#[test]
fn an_invite_gets_100_at_once_and_its_repeats_are_absorbed() {
    let mut server = endpoint();
    let invite = request("INVITE", "z9hG4bK1");
    let outputs = receive(&mut server, at(0), &invite);
    let [
        Output::Transmit { bytes: trying, .. },
        Output::Request { id, message },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(parse(trying).status(), Some(100));
    assert_eq!(message.method(), Some(Method::Invite));
    let again = receive(&mut server, at(500), &invite);
    assert!(matches!(&again[..], [Output::Transmit { bytes, .. }] if bytes == trying));

    let busy = response(&invite, 486);
    server.handle(
        at(600),
        Input::Respond {
            id: *id,
            status: 486,
            bytes: busy.clone(),
        },
    );
    assert!(matches!(&drain(&mut server)[..], [Output::Transmit { bytes, .. }] if *bytes == busy));
    let again = receive(&mut server, at(700), &invite);
    assert!(matches!(&again[..], [Output::Transmit { bytes, .. }] if *bytes == busy));
    // The ACK of a failure is the transaction's own affair.
    assert!(receive(&mut server, at(800), &request("ACK", "z9hG4bK1")).is_empty());
    server.handle_timeout(at(5_800));
    assert!(matches!(drain(&mut server)[..], [Output::Ended { .. }]));
    assert!(server.is_empty() && server.poll_timeout().is_none());
}

#[test]
fn the_ack_of_a_failure_has_the_routes_of_the_invite() {
    let mut client = endpoint();
    let invite = request("INVITE", "z9hG4bK1");
    send(&mut client, 1, Method::Invite, "z9hG4bK1", &invite);
    drain(&mut client);
    let outputs = receive(&mut client, at(10), &response(&invite, 486));
    let [Output::Transmit { bytes, .. }, Output::Response { .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let text = str::from_utf8(bytes).unwrap();
    assert_eq!(
        text,
        "ACK sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test:5060;branch=z9hG4bK1;rport\r\n\
         Max-Forwards: 70\r\nRoute: <sip:p1.test;lr>\r\nRoute: <sip:p2.test;lr>\r\n\
         From: <sip:alice@a.test>;tag=1\r\nTo: <sip:bob@b.test>;tag=2\r\nCall-ID: c1\r\n\
         CSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n"
    );
    // A repeat of the failure is acknowledged again and not told again.
    let again = receive(&mut client, at(20), &response(&invite, 486));
    assert!(matches!(&again[..], [Output::Transmit { bytes: ack, .. }] if ack == bytes));
}

#[test]
fn a_cancel_finds_its_invite_and_only_its_invite() {
    let mut server = endpoint();
    let outputs = receive(&mut server, at(0), &request("INVITE", "z9hG4bK1"));
    let Output::Request { id: wanted, .. } = outputs[1] else {
        panic!()
    };
    let outputs = receive(&mut server, at(1), &request("CANCEL", "z9hG4bK1"));
    let [Output::Cancel { id, invite, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(invite, wanted);
    assert_ne!(id, invite);
    assert!(
        receive(&mut server, at(2), &request("CANCEL", "z9hG4bK1")).is_empty(),
        "a repeat"
    );
    let stray = receive(&mut server, at(3), &request("CANCEL", "z9hG4bK2"));
    assert!(matches!(stray[..], [Output::Request { .. }]));
}

#[test]
fn our_cancel_is_the_invites_and_limits_the_wait() {
    let mut client = endpoint();
    let invite = request("INVITE", "z9hG4bK1");
    send(&mut client, 1, Method::Invite, "z9hG4bK1", &invite);
    receive(&mut client, at(10), &response(&invite, 180));
    let bytes = cancel(client.pending_invite(ClientId(1)).unwrap()).unwrap();
    let text = str::from_utf8(&bytes).unwrap();
    assert!(text.starts_with("CANCEL sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test:5060;"));
    assert!(text.contains("CSeq: 7 CANCEL\r\n") && !text.contains("below"));
    send(&mut client, 2, Method::Cancel, "z9hG4bK1", &bytes);
    drain(&mut client);
    // The answers of both come back on one branch and part by CSeq.
    let outputs = receive(&mut client, at(20), &response(&bytes, 200));
    assert!(matches!(
        outputs[..],
        [Output::Response {
            id: ClientId(2),
            ..
        }]
    ));
    let mut failed = Vec::new();
    while let Some(due) = client.poll_timeout() {
        assert!(due <= Duration::from_secs(33));
        client.handle_timeout(at(due.as_millis() as u64));
        failed.extend(drain(&mut client));
    }
    let gave_up = failed.iter().filter(|output| match output {
        Output::Failed { id, why } => (*id, *why) == (ClientId(1), Failure::Timeout),
        _ => false,
    });
    assert_eq!(gave_up.count(), 1);
}

/// RFC 3261 17.2.3: a peer of RFC 2543 has no magic cookie.
#[test]
fn a_2543_peer_is_matched_without_a_branch() {
    let mut server = endpoint();
    let invite = request("INVITE", "1");
    let outputs = receive(&mut server, at(0), &invite);
    let Output::Request { id, .. } = outputs[1] else {
        panic!()
    };
    assert!(matches!(
        receive(&mut server, at(1), &invite)[..],
        [Output::Transmit { .. }]
    ));
    let outputs = receive(&mut server, at(2), &request("CANCEL", "1"));
    assert!(matches!(outputs[..], [Output::Cancel { invite, .. }] if invite == id));
    let bytes = response(&invite, 487);
    server.handle(
        at(3),
        Input::Respond {
            id,
            status: 487,
            bytes,
        },
    );
    drain(&mut server);
    let ack = Bytes::from(
        String::from_utf8(request("ACK", "1").to_vec())
            .unwrap()
            .replace("To: <sip:bob@b.test>", "To: <sip:bob@b.test>;tag=2"),
    );
    assert!(receive(&mut server, at(4), &ack).is_empty());
}

#[test]
fn a_full_endpoint_refuses_and_a_stateless_answer_makes_room() {
    let mut server = endpoint_of(1);
    let outputs = receive(&mut server, at(0), &request("REGISTER", "z9hG4bK1"));
    let Output::Request { id, .. } = outputs[0] else {
        panic!()
    };
    let refused = receive(&mut server, at(0), &request("REGISTER", "z9hG4bK2"));
    assert!(matches!(refused[..], [Output::Refused { .. }]));
    let bytes = response(&request("REGISTER", "z9hG4bK1"), 401);
    server.handle(at(0), Input::RespondStateless { id, bytes });
    assert!(matches!(
        drain(&mut server)[..],
        [Output::Transmit { .. }, Output::Ended { .. }]
    ));
    assert!(server.is_empty());
    let outputs = receive(&mut server, at(0), &request("REGISTER", "z9hG4bK2"));
    assert!(matches!(outputs[..], [Output::Request { .. }]));
}

/// The indexed table and the scanned one are the same to look at.
#[test]
fn thousands_at_once_each_end_once() {
    let mut server = endpoint();
    for i in 0..5_000u64 {
        let bytes = request("OPTIONS", &format!("z9hG4bK{i}"));
        let outputs = receive(&mut server, at(i), &bytes);
        let [Output::Request { id, .. }] = outputs[..] else {
            panic!()
        };
        if i % 2 == 0 {
            server.handle(
                at(i),
                Input::Respond {
                    id,
                    status: 200,
                    bytes: response(&bytes, 200),
                },
            );
            drain(&mut server);
        }
        assert!(receive(&mut server, at(i), &bytes).len() <= 1);
    }
    assert_eq!(server.len(), 5_000);
    let mut ended = BTreeSet::new();
    while let Some(due) = server.poll_timeout() {
        server.handle_timeout(at(due.as_millis() as u64));
        for output in drain(&mut server) {
            let Output::Ended { who } = output else {
                panic!("{output:?}")
            };
            assert!(ended.insert(who));
        }
    }
    assert_eq!(ended.len(), 5_000);
    assert!(server.is_empty());
}

#[derive(Debug, Clone)]
enum Act {
    Receive {
        method: usize,
        branch: u8,
        status: u16,
    },
    Request {
        method: usize,
        id: u32,
        branch: u8,
        reliable: bool,
    },
    Respond {
        id: u32,
        status: u16,
    },
    Forget {
        id: u32,
    },
    Unreachable {
        id: u32,
    },
    Wait {
        ms: u64,
    },
}

const METHODS: [Method; 6] = [
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Register,
    Method::Options,
];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..6usize, 0..12u8, prop_oneof![Just(0), 100..700u16]).prop_map(
            |(method, branch, status)| Act::Receive {
                method,
                branch,
                status
            }
        ),
        (0..6usize, 0..12u32, 0..12u8, any::<bool>()).prop_map(|(method, id, branch, reliable)| {
            Act::Request {
                method,
                id,
                branch,
                reliable,
            }
        }),
        (0..30u32, 100..700u16).prop_map(|(id, status)| Act::Respond { id, status }),
        (0..30u32).prop_map(|id| Act::Forget { id }),
        (0..12u32).prop_map(|id| Act::Unreachable { id }),
        (0..40_000u64).prop_map(|ms| Act::Wait { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes, it ends in bounded time and leaves nothing.
    #[test]
    fn anything_ends(acts in proptest::collection::vec(act(), 0..200)) {
        let mut endpoint = endpoint_of(20);
        let mut ms = 0;
        for act in acts {
            let now = at(ms);
            match act {
                Act::Receive { method, branch, status } => {
                    let request = request(METHODS[method].as_str(), &format!("z9hG4bK{branch}"));
                    let bytes = if status == 0 { request } else { response(&request, status) };
                    endpoint.handle(now, Input::Received {
                        message: parse(&bytes),
                        reliable: branch % 3 == 0,
                    });
                }
                Act::Request { method, id, branch, reliable } => {
                    let (method, branch) = (METHODS[method], format!("z9hG4bK{branch}"));
                    let bytes = request(method.as_str(), &branch);
                    let (id, branch) = (ClientId(id), branch.into());
                    endpoint.handle(now, Input::Request { id, method, branch, bytes, reliable });
                }
                Act::Respond { id, status } => {
                    let bytes = response(&request("BYE", "z9hG4bK1"), status);
                    endpoint.handle(now, Input::Respond { id: ServerId(id), status, bytes });
                }
                Act::Forget { id } => {
                    let bytes = response(&request("BYE", "z9hG4bK1"), 401);
                    endpoint.handle(now, Input::RespondStateless { id: ServerId(id), bytes });
                }
                Act::Unreachable { id } => {
                    endpoint.handle(now, Input::Unreachable { id: ClientId(id) });
                }
                Act::Wait { ms: wait } => ms += wait,
            }
            endpoint.handle_timeout(at(ms));
            prop_assert!(endpoint.len() <= 20);
            prop_assert!(endpoint.poll_timeout().is_none_or(|due| due > at(ms).mono));
            drain(&mut endpoint);
        }
        let end = at(ms).mono + PATIENCE + Duration::from_secs(64);
        while let Some(due) = endpoint.poll_timeout() {
            prop_assert!(due <= end);
            endpoint.handle_timeout(at(due.as_millis() as u64));
            drain(&mut endpoint);
        }
        prop_assert!(endpoint.is_empty());
    }
}

#[test]
fn after_a_reset_an_old_answer_answers_nothing_new() {
    let mut endpoint = endpoint();
    let info = request("INFO", "z9hG4bKi");
    let before = receive(&mut endpoint, at(0), &info);
    let [Output::Request { id: old, .. }] = before[..] else {
        panic!("{before:?}");
    };
    endpoint.reset();
    assert!(endpoint.is_empty() && endpoint.poll_timeout().is_none());
    let again = receive(&mut endpoint, at(1), &info);
    let [Output::Request { id: new, .. }] = again[..] else {
        panic!("{again:?}");
    };
    let respond = |id, status| Input::Respond {
        id,
        status,
        bytes: response(&info, status),
    };
    endpoint.handle(at(2), respond(old, 200));
    assert!(drain(&mut endpoint).is_empty());
    endpoint.handle(at(2), respond(new, 500));
    assert!(matches!(
        drain(&mut endpoint)[..],
        [Output::Transmit { .. }]
    ));
}
