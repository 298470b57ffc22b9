//! Limits: what is past each of them is answered or closed as it should be, and counted by the name
//! of the limit. Those of time are in `hostile.rs` and `call.rs`, those of sources in
//! `incidents.rs`; the counters are the process's, so each limit is reached in one test only.

use std::time::Duration;

use config::Transport;
use serde_json::json;
use sip::{Method, Name};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::{
    meter::count,
    nats::Nats,
    phone::{Out, answer, client, credentials},
    stage::Stage,
    wire::{Heard, PATIENCE},
};

/// How often a limit was reached.
pub(crate) fn reached(limit: &str) -> u64 {
    count("ifbus_limit_total", "limit", limit)
}

/// How a message is made longer than it may be.
enum More {
    Lines(&'static str, usize),
    Line(usize),
    /// So many lines of 450 bytes.
    Heavy(usize),
    Body(usize),
}

fn longer(out: &Out, more: &More) -> Out {
    match more {
        More::Lines(line, times) => out.plus(&line.repeat(*times)),
        More::Line(length) => out.plus(&format!("X: {}\r\n", "x".repeat(*length))),
        More::Heavy(times) => out.plus(&format!("X: {}\r\n", "x".repeat(445)).repeat(*times)),
        More::Body(length) => Out {
            body: "x".repeat(*length),
            ..out.plus("Content-Type: text/plain\r\n")
        },
    }
}

#[tokio::test]
async fn of_messages() {
    let stage = Stage::with(
        "[limits]\nmessage_bytes = 4096\nheaders = 32\nheader_bytes = 512\nbody_bytes = 1024\n\
         hops = 10\n",
    )
    .await;
    for (limit, status, within, past) in [
        (
            "headers",
            400,
            More::Lines("X: y\r\n", 20),
            More::Lines("X: y\r\n", 40),
        ),
        ("header_bytes", 400, More::Line(500), More::Line(510)),
        ("body_bytes", 513, More::Body(1024), More::Body(1025)),
        ("message_bytes", 513, More::Heavy(5), More::Heavy(10)),
    ] {
        let mut udp = stage.udp("alice").await;
        let mut tcp = stage.tcp("alice").await;
        let mut ws = stage.ws("alice").await;
        for phone in [&mut udp, &mut tcp, &mut ws] {
            let options = phone.request("OPTIONS", "sip:open.test");
            let ok = phone.ask(&longer(&options, &within)).await;
            assert_eq!(ok.status(), Some(200), "{limit}");
            phone.say(&longer(&options.anew(), &past)).await;
        }
        // A datagram is answered; where a stream's next message begins nobody knows.
        assert_eq!(udp.final_answer().await.status(), Some(status), "{limit}");
        tcp.expect_end().await;
        assert_eq!(ws.expect_end().await, Some(1002), "{limit}");
        // A body of 4 GB is among the noise of `hostile.rs`.
        assert!(reached(limit) >= 3, "{limit}");
    }
    let mut phone = stage.udp("alice").await;
    let options = phone.request("OPTIONS", "sip:open.test");
    let route = "Record-Route: <sip:192.0.2.1;lr>\r\n";
    let far = longer(&options, &More::Lines(route, 11));
    assert_eq!(phone.ask(&far).await.status(), Some(483));
    assert_eq!(reached("hops"), 1);
    stage.stop().await;
}

async fn connection(stage: &Stage, transport: Transport) -> TcpStream {
    TcpStream::connect(stage.at(transport, false))
        .await
        .unwrap()
}

/// The other end closes.
async fn closed(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    assert_eq!(stream.read(&mut buffer).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn of_connections() {
    let stage = Stage::with(
        "[limits]\nconnections = 16\nconnections_per_source = 100\nhandshakes = 8\n\
         ws_handshake_bytes = 1024\nws_handshake_ms = 120000\ntls_handshake_ms = 120000\n",
    )
    .await;
    // Half of them say nothing yet, on the two ways that begin with a handshake.
    let mut silent = Vec::new();
    for turn in 0..8 {
        let way = [Transport::Ws, Transport::Wss][turn % 2];
        silent.push(connection(&stage, way).await);
    }
    for way in [Transport::Wss, Transport::Ws] {
        closed(connection(&stage, way).await).await;
    }
    assert_eq!(reached("handshakes"), 2);
    let mut phones = Vec::new();
    for turn in 0..8 {
        let mut phone = stage.tcp(&format!("alice{turn}")).await;
        phone.register().await;
        phones.push(phone);
    }
    closed(connection(&stage, Transport::Tcp).await).await;
    assert_eq!(reached("connections"), 1);

    // One goes, another may come; and talk for so long about a handshake.
    let long = format!("GET /ws HTTP/1.1\r\nX: {}\r\n", "x".repeat(1100));
    silent[0].write_all(long.as_bytes()).await.unwrap();
    closed(silent.remove(0)).await;
    assert_eq!(reached("ws_handshake_bytes"), 1);
    let comes = async {
        loop {
            let mut phone = stage.tcp("late").await;
            let options = phone.request("OPTIONS", "sip:open.test");
            if phone.wire.try_send(options.text(&phone).as_bytes()).await
                && let Heard::Message(answer) = phone.wire.hear().await
            {
                return answer.status();
            }
        }
    };
    assert_eq!(comes.await, Some(200));
    stage.stop().await;
}

#[tokio::test]
async fn of_registrations() {
    let stage = Stage::with(
        "[limits]\nregistrations = 16\nbindings_per_aor = 2\ncontact_bytes = 128\n\
         expires_min_s = 100\nexpires_default_s = 200\nexpires_max_s = 300\n",
    )
    .await;
    let mut phone = stage.udp("alice").await;
    let at = phone.wire.local;
    let contact = |name: &str, params: &str| format!("Contact: <sip:{name}@{at}>{params}\r\n");
    let granted = |answer: &sip::Message| {
        let contact = answer.contacts().next().unwrap().unwrap();
        contact.params.get("expires").unwrap().to_owned()
    };
    for (asked, status, given) in [
        ("", 200, "200"),
        (";expires=99", 423, "100"),
        (";expires=100", 200, "100"),
        (";expires=301", 200, "300"),
    ] {
        let register = phone.registration(&contact("a", asked));
        let answer = phone.ask(&register).await;
        assert_eq!(answer.status(), Some(status), "{asked}");
        let said = match status {
            423 => answer.text(Name::MinExpires).unwrap().to_owned(),
            _ => granted(&answer),
        };
        assert_eq!(said, given, "{asked}");
    }
    assert_eq!(reached("expires_min_s"), 1);

    let long = "c".repeat(128);
    for (name, status) in [("b", 200), ("c", 403), (&*long, 400), ("b", 200)] {
        let register = phone.registration(&contact(name, ""));
        assert_eq!(phone.ask(&register).await.status(), Some(status), "{name}");
    }
    assert_eq!(reached("bindings_per_aor"), 1);
    assert_eq!(reached("contact_bytes"), 1);

    // They are counted once a second.
    let mut turn = 0;
    let full = loop {
        turn += 1;
        let mut other = stage.udp(&format!("other{turn}")).await;
        let register = other.registration(&format!("Contact: {}\r\n", other.contact()));
        let answer = other.ask(&register).await;
        if answer.status() != Some(200) {
            break answer;
        }
    };
    assert_eq!(full.status(), Some(503));
    assert!(full.header(Name::RetryAfter).is_some());
    assert_eq!(reached("registrations"), 1);
    assert!(stage.node.readiness().registrations >= 16);
    // Who is there stays.
    let register = phone.registration(&contact("b", ""));
    assert_eq!(phone.ask(&register).await.status(), Some(200));
    stage.stop().await;
}

#[tokio::test]
async fn of_calls() {
    let nats = Nats::start().await;
    let more = format!("{}[limits]\ncalls = 1\nforks = 2\n", nats.bus());
    let stage = Stage::with(&more).await;
    let mut devices = Vec::new();
    for _ in 0..3 {
        let mut device = stage.udp("alice").await;
        device.register().await;
        devices.push(device);
    }
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let [mut one, mut two, mut three]: [_; 3] = devices.try_into().ok().unwrap();
    // Which two of them is not said.
    let mut rung = 0;
    while rung < 2 {
        let heard = tokio::select! {
            heard = one.hear() => heard,
            heard = two.hear() => heard,
            heard = three.hear() => heard,
        };
        assert_eq!(heard.method(), Some(Method::Invite));
        rung += 1;
    }
    for device in [&mut one, &mut two, &mut three] {
        device.expect_silence().await;
    }
    assert_eq!(reached("forks"), 1);

    let mut carol = stage.udp("carol").await;
    let another = carol.invite("sip:bob@open.test");
    let refusal = carol.ask(&another).await;
    assert_eq!(refusal.status(), Some(503));
    assert!(refusal.header(Name::RetryAfter).is_some());
    carol.ack_refusal(&another, &refusal).await;
    let originate = json!({"data": {"from": "alice@open.test", "to": "bob@open.test"}});
    let reply = nats.ask("cmd.agent.desk.originate", &originate).await;
    assert_eq!(reply["code"], "limit_exceeded", "{reply}");
    assert_eq!(reply["details"]["limit"], "calls");
    assert_eq!(reached("calls"), 2);
    stage.stop().await;
}

#[tokio::test]
async fn of_commands() {
    let nats = Nats::start().await;
    let more = format!(
        "{}[limits]\ncommand_bytes = 1024\nagents = 1\nidempotency_keys = 2\n\
         command_queue = 16\n",
        nats.bus()
    );
    let stage = Stage::with(&more).await;
    let ask = async |tail: &str, body| nats.ask(tail, &body).await;
    let nothing = || json!({});
    assert_eq!(
        ask("cmd.agent.one.register", nothing()).await["status"],
        "accepted"
    );
    let second = ask("cmd.agent.two.register", nothing()).await;
    assert_eq!(second["details"]["limit"], "agents", "{second}");
    assert_eq!(
        ask("cmd.agent.one.register", nothing()).await["status"],
        "accepted"
    );
    assert_eq!(reached("agents"), 1);

    let long = json!({"data": {"x": "x".repeat(1024)}});
    let refused = ask("cmd.query.one.calls", long).await;
    assert_eq!(refused["details"]["limit"], "command_bytes", "{refused}");
    assert_eq!(reached("command_bytes"), 1);

    for (key, expected) in [("a", "accepted"), ("b", "accepted"), ("c", "error")] {
        let command = json!({ "idempotency_key": key });
        let reply = ask("cmd.agent.one.heartbeat", command).await;
        assert_eq!(reply["status"], expected, "{reply}");
    }
    assert_eq!(reached("idempotency_keys"), 1);

    // Far more at once than may wait: some are told so, and each is told something.
    const MANY: usize = 1000;
    let replies = nats.ask_many("cmd.query.one.calls", MANY).await;
    let overloaded = replies.iter().filter(|reply| reply["code"] == "overloaded");
    let overloaded = overloaded.count() as u64;
    let accepted = replies.iter().filter(|reply| reply["status"] == "accepted");
    assert!(overloaded > 0, "{replies:?}");
    assert_eq!(overloaded + accepted.count() as u64, MANY as u64);
    assert_eq!(reached("command_queue"), overloaded);
    stage.stop().await;
}

/// What one arbiter has for another.
#[tokio::test]
async fn of_inboxes() {
    let more = "[limits]\ninbox = 16\nsource_requests_per_s = 1000000\n";
    let stage = Stage::on(2, more).await;
    let mut flood = stage.udp("flood").await;
    let full = async {
        while reached("inbox") == 0 {
            // About half of these are the other's, faster than it can look.
            for _ in 0..256 {
                let options = flood.request("OPTIONS", "sip:open.test");
                flood.say(&options).await;
            }
        }
    };
    let full = timeout(PATIENCE, full).await;
    full.expect("an inbox is full in the end");
    // Whoever repeats what was dropped is heard.
    let mut alice = stage.udp("alice").await;
    let options = alice.request("OPTIONS", "sip:open.test");
    let answer = async {
        loop {
            alice.say(&options).await;
            if let Ok(answer) = timeout(Duration::from_millis(500), alice.hear()).await {
                return answer;
            }
        }
    };
    let answer = timeout(PATIENCE, answer).await;
    assert_eq!(answer.expect("it is heard").status(), Some(200));
    stage.stop().await;
}

#[tokio::test]
async fn of_nonces() {
    const MOST: usize = 1024;
    let more = format!("[limits]\nnonces = {MOST}\nsource_requests_per_s = 1000000\n");
    let stage = Stage::with(&more).await;
    let mut phone = stage.udp("1001").await;
    phone.domain = "digest.test".into();
    // To somebody who is not there.
    let mut message = phone.request("MESSAGE", "sip:1002@digest.test");
    let mut next = || {
        message = message.anew();
        message.clone()
    };
    let password = "secret-of-1001";
    let challenge = phone.ask(&next()).await;
    let mut first = client(&challenge, "1001", password);
    for _ in 0..2 {
        let proven = credentials(&next(), &mut first);
        assert_eq!(phone.ask(&proven).await.status(), Some(480));
    }
    // And some more: of those of one millisecond any may be the oldest.
    for _ in 0..MOST + 100 {
        let challenge = phone.ask(&next()).await;
        let proven = answer(&next(), &challenge, "1001", password);
        assert_eq!(phone.ask(&proven).await.status(), Some(480));
    }
    // How often the first was used is forgotten, so it may not be used again.
    let stale = phone.ask(&credentials(&next(), &mut first)).await;
    let header = stale.text(Name::ProxyAuthenticate).unwrap();
    assert!(header.contains("stale=true"), "{header}");
    stage.stop().await;
}

#[tokio::test]
async fn of_names() {
    let stage = Stage::with(
        "[limits]\ndns_queries = 1\n[[route]]\nname = \"away\"\nto = \"7[0-9]*\"\n\
         target = \"uri:sip:7@nowhere.invalid\"\n",
    )
    .await;
    const MANY: usize = 50;
    let mut bob = stage.udp("bob").await;
    for _ in 0..MANY {
        let message = bob.request("MESSAGE", "sip:7@open.test");
        bob.say(&message).await;
    }
    for _ in 0..MANY {
        let failed = bob.final_answer().await;
        assert!(failed.status() >= Some(400), "{failed:?}");
    }
    assert!(reached("dns_queries") > 0);
    stage.stop().await;
}

/// A flood that is never read empty: new work is refused, and taken again when that is over.
#[tokio::test]
async fn of_keeping_up() {
    let limits = "[limits]\noverload_ms = 10\ntrusted = [\"127.0.0.0/8\"]\n";
    let stage = Stage::with(limits).await;
    // Over TCP, where nothing is lost in a full buffer.
    let (mut alice, mut bob) = (stage.tcp("alice").await, stage.tcp("bob").await);
    let eve = stage.udp("eve").await;
    alice.register().await;
    let before = reached("overload_ms");
    let flood = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    flood.connect(stage.at(Transport::Udp, false)).unwrap();
    let options = eve.request("OPTIONS", "sip:open.test").text(&eve);
    let flooded = async {
        while reached("overload_ms") == before {
            for _ in 0..1000 {
                // A full buffer is what this is about.
                flood.send(options.as_bytes()).ok();
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, flooded)
        .await
        .expect("the node keeps up with everything");
    let invite = loop {
        let invite = bob.invite(&alice.aor());
        bob.say(&invite).await;
        let answer = bob.hear().await;
        if answer.status() == Some(100) {
            break invite;
        }
        assert_eq!(answer.status(), Some(503));
        assert!(answer.header(Name::RetryAfter).is_some());
        bob.ack_refusal(&invite, &answer).await;
    };
    let heard = alice.request_of(Method::Invite).await;
    let mut talk = alice.accept(&heard).await;
    let ok = bob.expect(200).await;
    bob.ack(&invite, &ok, "").await;
    alice.request_of(Method::Ack).await;
    alice.hang_up(&mut talk, &mut bob).await;
    stage.stop().await;
}
