//! The registrar by section of its RFCs.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sip::Limits;

use super::*;
use crate::hop::Hop;

pub(super) const START: u64 = 1_700_000_000;

pub(super) fn at(seconds: u64) -> Now {
    Now {
        mono: Duration::from_secs(seconds),
        unix_ms: (START + seconds) * 1000,
    }
}

pub(super) fn registrar(bindings_max: usize) -> Registrar {
    let settings = RegistrarSettings {
        bindings_max,
        ..RegistrarSettings::default()
    };
    let key = TokenKey::new([1; 16]);
    Registrar::new(settings, key, Listeners::default(), Seed(2))
}

pub(super) fn register(call_id: &str, cseq: u32, lines: &str) -> Message {
    let text = format!(
        "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\n\
         From: <sip:a@x>;tag=1\r\nTo: <sip:a@x>\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} REGISTER\r\n{lines}\r\n"
    );
    let message = Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap();
    message.with_source(source())
}

pub(super) fn source() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 5566))
}

pub(super) fn udp() -> Hop {
    Hop::Udp {
        listener: 0,
        remote: source(),
    }
}

pub(super) fn aor() -> Aor {
    Arc::from("a@x")
}

pub(super) fn serve_on(
    registrar: &mut Registrar,
    now: Now,
    hop: Hop,
    request: &Message,
) -> (Decision, Message) {
    let aor = aor();
    let registration = Registration {
        aor: &aor,
        request,
        hop,
        to_tag: "us",
    };
    let decision = registrar.handle(now, &registration);
    let reply = Message::parse_datagram(decision.reply.clone(), &Limits::default()).unwrap();
    assert_eq!(reply.status(), Some(decision.status));
    (decision, reply)
}

fn serve(registrar: &mut Registrar, now: Now, request: &Message) -> (Decision, Message) {
    serve_on(registrar, now, udp(), request)
}

pub(super) fn contacts(reply: &Message) -> Vec<String> {
    reply
        .list(Name::Contact)
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

fn kinds(decision: &Decision) -> Vec<ChangeKind> {
    let kept = decision.kept.as_ref();
    kept.map_or_else(Vec::new, |kept| {
        kept.changes.iter().map(|change| change.kind).collect()
    })
}

/// One request to a registrar that holds what `before` made of it: section, what came before,
/// the lines of the request, the status and the contacts of the reply.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static str,
    u16,
    &'static [&'static str],
);

const TABLE: &[Row] = &[
    (
        "3261 10.3.6 query",
        &["Contact: <sip:1@h>\r\n"],
        "",
        200,
        &["<sip:1@h>;expires=3600"],
    ),
    ("3261 10.3.6 query of nothing", &[], "", 200, &[]),
    (
        "3261 10.2.1 several",
        &[],
        "Contact: <sip:1@h>, <sip:2@h>;q=0.5\r\n",
        200,
        &["<sip:1@h>;expires=3600", "<sip:2@h>;expires=3600;q=0.500"],
    ),
    (
        "3261 10.2.1 one more",
        &["Contact: <sip:1@h>\r\n"],
        "m: <sip:2@h>\r\n",
        200,
        &["<sip:1@h>;expires=3600", "<sip:2@h>;expires=3600"],
    ),
    (
        "3261 10.2.1.1 header",
        &[],
        "Contact: <sip:1@h>\r\nExpires: 90\r\n",
        200,
        &["<sip:1@h>;expires=90"],
    ),
    (
        "3261 10.2.1.1 parameter first",
        &[],
        "Contact: <sip:1@h>;expires=70\r\nExpires: 90\r\n",
        200,
        &["<sip:1@h>;expires=70"],
    ),
    (
        "3261 20.10 malformed expires",
        &[],
        "Contact: <sip:1@h>;expires=soon\r\nExpires: 90\r\n",
        200,
        &["<sip:1@h>;expires=3600"],
    ),
    (
        "3261 10.3.7 too long is cut",
        &[],
        "Contact: <sip:1@h>;expires=99999999999\r\n",
        200,
        &["<sip:1@h>;expires=86400"],
    ),
    (
        "3261 10.3.7 too brief",
        &[],
        "Contact: <sip:1@h>;expires=59\r\n",
        423,
        &[],
    ),
    (
        "3261 10.3.7 just long enough",
        &[],
        "Contact: <sip:1@h>;expires=60\r\n",
        200,
        &["<sip:1@h>;expires=60"],
    ),
    (
        "3261 10.2.2 remove one",
        &["Contact: <sip:1@h>, <sip:2@h>\r\n"],
        "Contact: <sip:1@h>;expires=0\r\n",
        200,
        &["<sip:2@h>;expires=3600"],
    ),
    (
        "3261 10.2.2 remove by header",
        &["Contact: <sip:1@h>\r\n"],
        "Contact: <sip:1@h>\r\nExpires: 0\r\n",
        200,
        &[],
    ),
    (
        "3261 10.2.2 remove what is not there",
        &[],
        "Contact: <sip:1@h>;expires=0\r\n",
        200,
        &[],
    ),
    (
        "3261 10.2.2 wildcard",
        &["Contact: <sip:1@h>, <sip:2@h>\r\n"],
        "Contact: *\r\nExpires: 0\r\n",
        200,
        &[],
    ),
    (
        "3261 10.3.6 wildcard, no Expires",
        &[],
        "Contact: *\r\n",
        400,
        &[],
    ),
    (
        "3261 10.3.6 wildcard, time left",
        &[],
        "Contact: *\r\nExpires: 60\r\n",
        400,
        &[],
    ),
    (
        "3261 10.3.6 wildcard in company",
        &[],
        "Contact: *, <sip:1@h>\r\nExpires: 0\r\n",
        400,
        &[],
    ),
    (
        "3261 10.3.6 wildcard in company",
        &[],
        "Contact: <sip:1@h>\r\nm: *\r\nExpires: 0\r\n",
        400,
        &[],
    ),
    (
        "3261 10.2.4 refresh, same URI by 19.1.4",
        &["Contact: <sip:1@H;transport=tcp>\r\n"],
        "Contact: <sip:1@h;Transport=TCP>;expires=100\r\n",
        200,
        &["<sip:1@h;Transport=TCP>;expires=100"],
    ),
    (
        "3261 19.1.4 another URI",
        &["Contact: <sip:1@h>\r\n"],
        "Contact: <sip:1@h:5060>\r\n",
        200,
        &["<sip:1@h>;expires=3600", "<sip:1@h:5060>;expires=3600"],
    ),
    (
        "3261 10.3.7 twice in one request",
        &[],
        "Contact: <sip:1@h>;expires=100, <sip:1@h>;expires=200\r\n",
        200,
        &["<sip:1@h>;expires=200"],
    ),
    (
        "3261 10.3.7 made and removed in one request",
        &["Contact: <sip:1@h>\r\n"],
        "Contact: <sip:1@h>;expires=100, <sip:1@h>;expires=0\r\n",
        200,
        &[],
    ),
    (
        "3261 10.3 not SIP",
        &[],
        "Contact: <mailto:a@x>\r\n",
        400,
        &[],
    ),
    (
        "3261 10.3 not readable",
        &[],
        "Contact: <sip:1@h\r\n",
        400,
        &[],
    ),
    (
        "3261 8.2.2.3 unknown extension",
        &[],
        "Require: gruu\r\nContact: <sip:1@h>\r\n",
        420,
        &[],
    ),
    (
        "3327 5.3 Path",
        &[],
        "Supported: path\r\nPath: <sip:p1;lr>, <sip:p2;lr>\r\nContact: <sip:1@h>\r\n",
        200,
        &["<sip:1@h>;expires=3600"],
    ),
    (
        "3327 5.3 Path unasked",
        &[],
        "Path: <sip:p;lr>\r\nContact: <sip:1@h>\r\n",
        420,
        &[],
    ),
    (
        "3327 4 Path unreadable",
        &[],
        "k: path\r\nPath: <sip:p\r\nContact: <sip:1@h>\r\n",
        400,
        &[],
    ),
    (
        "5626 6 same instance and reg-id",
        &["Contact: <sip:1@h>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n"],
        "Contact: <sip:2@h>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n",
        200,
        &["<sip:2@h>;expires=3600;+sip.instance=\"<urn:uuid:1>\";reg-id=1"],
    ),
    (
        "5626 6 another flow of the instance",
        &["Contact: <sip:1@h>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n"],
        "Contact: <sip:2@h>;+sip.instance=\"<urn:uuid:1>\";reg-id=2\r\n",
        200,
        &[
            "<sip:1@h>;expires=3600;+sip.instance=\"<urn:uuid:1>\";reg-id=1",
            "<sip:2@h>;expires=3600;+sip.instance=\"<urn:uuid:1>\";reg-id=2",
        ],
    ),
    (
        "5626 4.1 instance without reg-id",
        &["Contact: <sip:1@h>;+sip.instance=\"<urn:uuid:1>\"\r\n"],
        "Contact: <sip:2@h>;+sip.instance=\"<urn:uuid:1>\"\r\n",
        200,
        &["<sip:2@h>;expires=3600;+sip.instance=\"<urn:uuid:1>\""],
    ),
    (
        "5626 4.2 reg-id without instance",
        &[],
        "Contact: <sip:1@h>;reg-id=1\r\n",
        200,
        &["<sip:1@h>;expires=3600"],
    ),
    (
        "7118 8 invalid hosts",
        &[],
        "Contact: <sip:q@df7jal23ls0d.invalid;transport=ws>\r\n",
        200,
        &["<sip:q@df7jal23ls0d.invalid;transport=ws>;expires=3600"],
    ),
    (
        "limit",
        &[
            "Contact: <sip:1@h>, <sip:2@h>\r\n",
            "Contact: <sip:3@h>\r\n",
        ],
        "Contact: <sip:4@h>\r\n",
        403,
        &[],
    ),
    (
        "limit, one for another",
        &["Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>\r\n"],
        "Contact: <sip:4@h>, <sip:1@h>;expires=0\r\n",
        200,
        &[
            "<sip:2@h>;expires=3600",
            "<sip:3@h>;expires=3600",
            "<sip:4@h>;expires=3600",
        ],
    ),
];

#[test]
fn the_table() {
    for (section, before, lines, status, expected) in TABLE {
        let mut registrar = registrar(3);
        for (n, lines) in before.iter().enumerate() {
            let request = register(&format!("before{n}"), 1, lines);
            assert_eq!(
                serve(&mut registrar, at(0), &request).0.status,
                200,
                "{section}"
            );
        }
        let held = registrar.locations().bindings();
        let (decision, reply) = serve(&mut registrar, at(0), &register("now", 1, lines));
        assert_eq!(decision.status, *status, "{section}");
        assert_eq!(contacts(&reply), *expected, "{section}");
        if *status != 200 {
            assert!(decision.kept.is_none(), "{section}");
            assert_eq!(
                registrar.locations().bindings(),
                held,
                "{section}: nothing changed"
            );
        }
    }
}

#[test]
fn a_refusal_says_what_would_do() {
    let mut registrar = registrar(3);
    let brief = register("1", 1, "Contact: <sip:1@h>;expires=5\r\n");
    let (_, reply) = serve(&mut registrar, at(0), &brief);
    assert_eq!(reply.header(Name::MinExpires), Some(&b"60"[..]));
    let unknown = register("1", 1, "Require: path, gruu\r\n");
    let (_, reply) = serve(&mut registrar, at(0), &unknown);
    assert_eq!(reply.header(Name::Unsupported), Some(&b"gruu"[..]));
    let unasked = register("1", 1, "Path: <sip:p;lr>\r\n");
    let (_, reply) = serve(&mut registrar, at(0), &unasked);
    assert_eq!(reply.header(Name::Unsupported), Some(&b"path"[..]));
}

/// A device may send its REGISTER from one port and listen on another: behind a NAT only the way
/// it came on is open, without one its contact says where it listens.
#[test]
fn a_contact_at_the_address_it_came_from_says_its_port() {
    for (contact, port) in [
        ("<sip:1@192.0.2.9:17070>", 17070),
        ("<sip:1@192.0.2.9>", 5060),
        ("<sip:1@192.0.2.9:17070;transport=UDP>", 17070),
        ("<sip:1@192.0.2.9:17070;transport=tcp>", 5566),
        ("<sip:1@10.0.0.7:17070>", 5566),
        ("<sip:1@phone.example:17070>", 5566),
    ] {
        let mut registrar = registrar(3);
        let request = register("77", 5, &format!("Contact: {contact}\r\n"));
        serve(&mut registrar, at(0), &request);
        let hop = registrar.locations().all("a@x")[0].hop;
        let remote = SocketAddr::new(source().ip(), port);
        assert_eq!(
            hop,
            Hop::Udp {
                listener: 0,
                remote
            },
            "{contact}"
        );
    }
}

/// RFC 3261 10.3 steps 6 and 7, RFC 3581 4.
#[test]
fn the_reply_is_one_to_the_request() {
    let mut registrar = registrar(3);
    let request = register(
        "77",
        5,
        "Supported: path\r\nPath: <sip:p;lr>\r\nContact: <sip:1@h>\r\n",
    );
    let (_, reply) = serve(&mut registrar, at(0), &request);
    assert_eq!(reply.call_id(), Some("77"));
    assert_eq!(reply.to_tag(), Some("us"));
    let via = reply.top_via().unwrap();
    assert_eq!(
        (via.received(), via.rport()),
        (Some(source().ip()), Some(Some(5566)))
    );
    assert_eq!(reply.header(Name::Path), Some(&b"<sip:p;lr>"[..]));
}

#[test]
fn of_one_call_id_only_a_later_cseq_counts() {
    for (call_id, cseq, lines, status) in [
        ("c", 10, "Contact: <sip:1@h>\r\n", 500),
        ("c", 9, "Contact: <sip:1@h>\r\n", 500),
        ("c", 9, "Contact: <sip:1@h>;expires=0\r\n", 500),
        ("c", 10, "Contact: *\r\nExpires: 0\r\n", 500),
        ("c", 11, "Contact: <sip:1@h>\r\n", 200),
        ("c", 11, "Contact: *\r\nExpires: 0\r\n", 200),
        ("d", 1, "Contact: <sip:1@h>\r\n", 200),
        ("d", 1, "Contact: *\r\nExpires: 0\r\n", 200),
        ("c", 9, "Contact: <sip:2@h>\r\n", 200),
        ("c", 9, "Contact: <sip:2@h>, <sip:1@h>\r\n", 500),
    ] {
        let mut registrar = registrar(3);
        serve(
            &mut registrar,
            at(0),
            &register("c", 10, "Contact: <sip:1@h>\r\n"),
        );
        let before = registrar.locations().all("a@x").to_vec();
        let (decision, _) = serve(&mut registrar, at(1), &register(call_id, cseq, lines));
        assert_eq!(decision.status, status, "{call_id} {cseq} {lines}");
        if status == 500 {
            assert_eq!(registrar.locations().all("a@x"), before, "all or nothing");
        }
    }
}

#[test]
fn every_change_is_told_once() {
    use ChangeKind::{Bound, Expired, Refreshed, Removed, Replaced};
    let mut registrar = registrar(4);
    let instance = "+sip.instance=\"<urn:uuid:1>\"";
    let steps: [(u64, String, &[ChangeKind]); 9] = [
        (
            0,
            "Contact: <sip:1@h>;expires=100, <sip:2@h>\r\n".into(),
            &[Bound, Bound],
        ),
        (1, "Contact: <sip:2@h>\r\n".into(), &[Refreshed]),
        (2, String::new(), &[]),
        (3, format!("Contact: <sip:3@h>;{instance}\r\n"), &[Bound]),
        (
            4,
            format!("Contact: <sip:4@h>;{instance}\r\n"),
            &[Replaced, Bound],
        ),
        (100, "Contact: <sip:2@h>\r\n".into(), &[Expired, Refreshed]),
        (101, "Contact: <sip:9@h>;expires=0\r\n".into(), &[]),
        (
            102,
            "Contact: <sip:2@h>;expires=99, <sip:2@h>;expires=0\r\n".into(),
            &[Removed],
        ),
        (103, "Contact: *\r\nExpires: 0\r\n".into(), &[Removed]),
    ];
    for (n, (seconds, lines, expected)) in steps.iter().enumerate() {
        let request = register("c", n as u32 + 1, lines);
        let (decision, _) = serve(&mut registrar, at(*seconds), &request);
        assert_eq!(
            (decision.status, &kinds(&decision)[..]),
            (200, *expected),
            "{n}"
        );
    }
    assert_eq!(registrar.locations().bindings(), 0);
}

#[test]
fn what_cannot_be_kept_is_taken_back() {
    let mut registrar = registrar(4);
    serve(
        &mut registrar,
        at(0),
        &register("c", 1, "Contact: <sip:1@h>\r\n"),
    );
    let (decision, _) = serve(
        &mut registrar,
        at(1),
        &register("c", 2, "Contact: <sip:2@h>\r\n"),
    );
    registrar.revert(&decision.kept.unwrap().aor, decision.before);
    let (_, reply) = serve(&mut registrar, at(1), &register("c", 3, ""));
    assert_eq!(contacts(&reply), ["<sip:1@h>;expires=3599"]);
}

#[test]
fn time_and_dead_connections_take_bindings_away() {
    let mut registrar = registrar(4);
    let flow = Hop::Flow {
        connection: 5,
        listener: 1,
    };
    serve_on(
        &mut registrar,
        at(0),
        flow,
        &register("c", 1, "Contact: <sip:1@h>\r\n"),
    );
    serve(
        &mut registrar,
        at(0),
        &register("d", 1, "Contact: <sip:2@h>;expires=60\r\n"),
    );
    let lost = registrar.lose(5).unwrap();
    assert_eq!((lost.changes[0].kind, lost.left), (ChangeKind::Lost, 1));
    assert_eq!(
        location::decode(&lost.record.unwrap()).unwrap()[0]
            .binding
            .contact(),
        "sip:2@h"
    );
    assert!(registrar.lose(5).is_none());

    let due = registrar.poll_timeout(at(0)).unwrap();
    assert!(
        (Duration::from_secs(60)..Duration::from_secs(64)).contains(&due),
        "{due:?}"
    );
    assert!(registrar.expire(at(59)).is_none());
    let expired = registrar.expire(at(64)).unwrap();
    assert_eq!(
        (expired.changes[0].kind, expired.left),
        (ChangeKind::Expired, 0)
    );
    assert!(expired.record.is_none());
    // The bucket of the lost binding finds nothing to do.
    assert!(registrar.expire(at(4000)).is_none());
    assert_eq!(registrar.poll_timeout(at(4000)), None);
}
