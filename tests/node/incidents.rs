//! What strangers do that they should not, as the bus hears of it: all of it, and in few words.

use std::{collections::BTreeMap, net::SocketAddr};

use config::Transport;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UdpSocket;

use crate::{
    limits::reached,
    nats::{Event, Events, Nats},
    phone::{Out, Phone, answer},
    stage::Stage,
    wire::Wire,
};

/// Nothing is told twice of a source before the node goes.
const ONCE: &str = "[limits]\nincident_ms = 3600000\nauth_failures = 1000000\n";

/// What is told until the node goes, by name and reason.
async fn told(events: &mut Events, stage: Stage) -> BTreeMap<(String, String), Vec<Event>> {
    stage.stop().await;
    let mut told: BTreeMap<_, Vec<Event>> = BTreeMap::new();
    loop {
        let event = events.next().await;
        let name = event.name().to_owned();
        match &*name {
            "node.down" => return told,
            _ if name.starts_with("security.") || name == "reg.rejected" => {
                let key = (name, event.reason().to_owned());
                told.entry(key).or_default().push(event);
            }
            _ => {}
        }
    }
}

fn counted(event: &Event) -> u64 {
    let data = &event.0["data"];
    let incident = data["incident"]["count"].as_u64();
    incident.or_else(|| data["count"].as_u64()).unwrap()
}

const TIMES: u64 = 50;

async fn registers(stage: &Stage) {
    let mut phone = stage.udp("1001").await;
    phone.domain = "digest.test".into();
    let contact = format!("Contact: {}\r\n", phone.contact());
    let register = phone.registration(&contact);
    let challenge = phone.ask(&register).await;
    for _ in 0..TIMES {
        let wrong = answer(&register.anew(), &challenge, "1001", "wrong");
        assert_eq!(phone.ask(&fresh(&wrong)).await.status(), Some(401));
    }
    for _ in 0..TIMES {
        let challenge = phone.ask(&fresh(&register.anew())).await;
        let theft = answer(&register.anew(), &challenge, "1002", "secret-of-1002");
        assert_eq!(phone.ask(&fresh(&theft)).await.status(), Some(403));
    }
    let mut odd = stage.tcp("anybody").await;
    let contact = format!("Contact: {}\r\nRequire: oddity\r\n", odd.contact());
    for _ in 0..TIMES {
        let register = odd.registration(&contact);
        assert_eq!(odd.ask(&register).await.status(), Some(420));
    }
}

/// In a transaction of its own.
fn fresh(out: &Out) -> Out {
    let cseq = out.cseq;
    Out { cseq, ..out.anew() }
}

async fn calls(stage: &Stage) {
    let mut stranger = stage.udp("mallory").await;
    stranger.domain = "elsewhere.test".into();
    for _ in 0..TIMES {
        let invite = stranger.invite("sip:+1900@elsewhere.test");
        let refusal = stranger.ask(&invite).await;
        assert_eq!(refusal.status(), Some(403));
        stranger.ack_refusal(&invite, &refusal).await;
    }
}

async fn noise(stage: &Stage) {
    let mut wire = Wire::udp(stage.at(Transport::Udp, false)).await;
    for _ in 1..TIMES {
        wire.send(b"GET / HTTP/1.1\r\n\r\n").await;
    }
    Phone::new(wire, "x", "open.test").expect_silence().await;
    let mut stream = stage.tcp("x").await;
    stream.wire.send(b"\xff\xfe\xfd no SIP\r\n\r\n").await;
    stream.expect_end().await;
    // Its arbiter hears of the end before anything of a connection that comes after it.
    stage.tcp("y").await.expect_silence().await;
}

#[tokio::test]
async fn all_is_told_and_a_flood_in_one_event() {
    let nats = Nats::start().await;
    let mut events = nats.events().await;
    let stage = Stage::with(&format!("{}{ONCE}", nats.bus())).await;
    registers(&stage).await;
    calls(&stage).await;
    noise(&stage).await;
    let told = told(&mut events, stage).await;
    let sums: BTreeMap<_, _> = told
        .iter()
        .map(|((name, reason), events)| {
            // The first ones within a second, and the rest in the end.
            assert!(events.len() <= 2, "{events:?}");
            let sum = events.iter().map(counted).sum::<u64>();
            ((&**name, &**reason), sum)
        })
        .collect();
    let expected = [
        (("reg.rejected", "interworking"), TIMES),
        (("reg.rejected", "not_permitted"), TIMES),
        (("reg.rejected", "unauthorized"), TIMES),
        (("security.auth_failed", "unauthorized"), TIMES),
        (("security.malformed", "protocol_error"), TIMES),
        (("security.not_permitted", "not_permitted"), 2 * TIMES),
    ];
    assert_eq!(sums, BTreeMap::from(expected));

    let first = |name: &str, reason: &str| &told[&(name.into(), reason.into())][0].0["data"];
    let rejected = first("reg.rejected", "interworking");
    assert_eq!(rejected["registration"]["aor"], "anybody@open.test");
    assert_eq!(rejected["registration"]["transport"], "tcp");
    assert_eq!(rejected["cause"]["sip_status"], 420);
    assert_eq!(rejected["bindings"], 0);
    let incident = &first("security.auth_failed", "unauthorized")["incident"];
    assert_eq!(incident["source"], "127.0.0.1");
    assert_eq!(incident["aor"], "1001@digest.test");
    assert_eq!(incident["transport"], "udp");
}

#[tokio::test]
async fn more_connections_than_a_source_may_have_are_told() {
    let nats = Nats::start().await;
    let mut events = nats.events().await;
    let more = format!("{}{ONCE}connections_per_source = 1\n", nats.bus());
    let stage = Stage::with(&more).await;
    let mut first = stage.tcp("alice").await;
    first.register().await;
    for _ in 0..3 {
        stage.tcp("bob").await.expect_end().await;
    }
    let told = told(&mut events, stage).await;
    let events = &told[&("security.rate_limited".into(), "rate_limited".into())];
    assert_eq!(events.iter().map(counted).sum::<u64>(), 3);
    let cause = &events[0].0["data"]["cause"];
    assert_eq!(cause["text"], "connections_per_source");
    assert_eq!(reached("connections_per_source"), 3);
}

#[tokio::test]
async fn sources_without_number_are_told_together() {
    let nats = Nats::start().await;
    let mut events = nats.events().await;
    let stage = Stage::with(&format!("{}{ONCE}incident_sources = 16\n", nats.bus())).await;
    let at = stage.at(Transport::Udp, false);
    for last in 2..42 {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, last], 0)))
            .await
            .unwrap();
        socket.send_to(b"no SIP", at).await.unwrap();
    }
    stage.udp("alice").await.expect_silence().await;
    let told = told(&mut events, stage).await;
    let events = &told[&("security.malformed".into(), "protocol_error".into())];
    assert_eq!(events.iter().map(counted).sum::<u64>(), 40);
    let nameless = |event: &&Event| event.0["data"]["incident"]["source"] == Value::Null;
    assert_eq!(events.iter().filter(nameless).map(counted).sum::<u64>(), 24);
    assert_eq!(reached("incident_sources"), 24);
}

#[tokio::test]
async fn a_certificate_that_is_over_is_told() {
    let nats = Nats::start().await;
    let mut events = nats.events().await;
    let folder = TempDir::new().unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 2, 3);
    let pair = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let tls = format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n");
    let stage = Stage::with(&format!("{}{tls}", nats.bus())).await;
    let event = loop {
        let event = events.next().await;
        if event.name() == "security.certificate" {
            break event;
        }
    };
    let incident = &event.0["data"]["incident"];
    assert_eq!(incident["severity"], "critical");
    assert_eq!(incident["until"], "2020-02-03T00:00:00.000Z");
    // Who does not look at the time may still come in.
    stage.wss("alice").await.register().await;
    stage.stop().await;
}
