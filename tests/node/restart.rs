//! The end of a node, orderly or not, and what the next one makes of what it left.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use serde_json::json;
use sip::{Method, Name};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    call::{Pair, answered},
    nats::{Event, Nats},
    phone::Phone,
    stage::{Stage, assets, text},
    wire::{PATIENCE, Wire},
};

#[tokio::test]
async fn a_drain_takes_nothing_new_and_ends_what_is_left() {
    let stage = Stage::start().await;
    let pair = answered(stage.udp("alice").await, stage.ws("bob").await).await;
    let Pair {
        mut alice, mut bob, ..
    } = pair;
    let mut carol = stage.udp("carol").await;
    let draining = stage.node.drain(Duration::from_secs(3));
    let ends = async {
        stage.until(|node| !node.readiness().ready).await;
        let invite = carol.invite("sip:alice@open.test");
        let refusal = carol.ask(&invite).await;
        assert_eq!(refusal.status(), Some(503));
        assert!(refusal.header(Name::RetryAfter).is_some());
        carol.ack_refusal(&invite, &refusal).await;
        // A call may end by itself until then; here it is ended, on both sides.
        for phone in [&mut alice, &mut bob] {
            let bye = phone.request_of(Method::Bye).await;
            phone.ok(&bye).await;
        }
    };
    tokio::join!(draining, ends);
    assert_eq!(stage.node.calls(), 0);
    stage.stop().await;
}

#[tokio::test]
async fn a_drain_is_over_when_the_last_call_is() {
    let stage = Stage::start().await;
    let pair = answered(stage.udp("alice").await, stage.udp("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        mut at_bob,
        ..
    } = pair;
    let draining = tokio::time::timeout(PATIENCE, stage.node.drain(Duration::from_secs(3600)));
    let hang_up = bob.hang_up(&mut at_bob, &mut alice);
    let (drained, ()) = tokio::join!(draining, hang_up);
    drained.unwrap();
    stage.stop().await;
}

/// A node in a process of its own, to be killed.
struct Victim {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What tells this test executable to be one.
const VICTIM: &str = "NODE_TEST_VICTIM";

impl Victim {
    async fn start(state: &Path, more: &str) -> (Self, Vec<SocketAddr>) {
        let file = state.join("victim.toml");
        std::fs::write(&file, text(&state.join("state"), more)).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restart::victim", "--nocapture"])
            .env(VICTIM, &file)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut bound = Vec::new();
        loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
            let line = line.unwrap().unwrap().expect("it starts");
            if line.ends_with("up") {
                return (Self { child, lines }, bound);
            }
            bound.extend(
                line.rsplit(' ')
                    .next()
                    .and_then(|text| text.parse::<SocketAddr>().ok()),
            );
        }
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
        drop(self.lines);
    }
}

/// Not a test of its own: the process that [`Victim`] starts and kills.
#[tokio::test]
async fn victim() {
    let Some(file) = std::env::var_os(VICTIM) else {
        return;
    };
    let config = config::load(Path::new(&file)).unwrap().config;
    let node = actors::Node::start_on(2, &config, None, assets())
        .await
        .unwrap();
    for (_, addr) in node.bound() {
        println!("at {addr}");
    }
    println!("up");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn calls_of_a_killed_node_are_ended_by_the_next() {
    let folder = TempDir::new().unwrap();
    let nats = Nats::start().await;
    let mut heard = nats.events().await;
    let more = nats.bus();
    let (victim, bound) = Victim::start(folder.path(), &more).await;
    let alice = Phone::new(Wire::udp(bound[0]).await, "alice", "open.test");
    let bob = Phone::new(Wire::udp(bound[0]).await, "bob", "open.test");
    let Pair {
        mut alice, mut bob, ..
    } = answered(alice, bob).await;
    // On a slow disk a call goes on before its record is kept; a 200 to REGISTER is a promise, and
    // what was written before is kept as well.
    alice.register().await;
    victim.kill().await;

    let state = folder.path().join("state");
    let stage = Stage::again(&state, &more, &bound).await;
    for phone in [&mut alice, &mut bob] {
        // The callee is acknowledged first: nobody knows whether it ever was.
        let mut bye = phone.hear().await;
        if bye.method() == Some(Method::Ack) {
            bye = phone.hear().await;
        }
        assert_eq!(bye.method(), Some(Method::Bye), "{bye:?}");
        phone.ok(&bye).await;
    }
    stage.no_calls().await;
    assert_eq!(stage.node.readiness().registrations, 1);
    stage.stop().await;
    let (mut last, mut ends) = (json!(null), Vec::new());
    loop {
        let event = heard.next().await;
        match event.name() {
            // Told by the next one, which knows the last that was told before.
            "call.recovered" => assert_eq!(event.0["data"]["after"], last),
            "call.ended" => ends.push(event),
            "node.down" => break,
            name if name.starts_with("call.") => {
                last = json!({"epoch": event.0["epoch"], "seq": event.0["seq"]});
            }
            _ => {}
        }
    }
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0].0["data"]["cause"]["reason"], "restart");
}

/// Nobody has answered, so there is no record of it: what it has told is enough.
#[tokio::test]
async fn a_call_that_rang_in_a_killed_node_is_ended_by_the_next() {
    let folder = TempDir::new().unwrap();
    let nats = Nats::start().await;
    let mut heard = nats.events().await;
    let more = nats.bus();
    let (victim, bound) = Victim::start(folder.path(), &more).await;
    let mut alice = Phone::new(Wire::udp(bound[0]).await, "alice", "open.test");
    let mut bob = Phone::new(Wire::udp(bound[0]).await, "bob", "open.test");
    alice.register().await;
    let invite = bob.invite(&alice.aor());
    bob.say(&invite).await;
    let called = alice.request_of(Method::Invite).await;
    alice.respond(&called, 180, "t", "", "").await;
    bob.expect(180).await;
    let mut told = Vec::new();
    let of_call = |event: &Event| {
        let cause = event.0["data"]["cause"]["reason"].clone();
        let place = (event.0["epoch"].clone(), event.0["seq"].clone());
        event
            .name()
            .starts_with("call.")
            .then(|| (event.name().to_owned(), place, cause))
    };
    loop {
        let event = heard.next().await;
        told.extend(of_call(&event));
        if event.name() == "call.ringing" {
            break;
        }
    }
    victim.kill().await;

    // The third start finds that the second has told it.
    let state = folder.path().join("state");
    for _ in 0..2 {
        let stage = Stage::again(&state, &more, &bound).await;
        stage.no_calls().await;
        stage.stop().await;
    }
    let mut downs = 0;
    while downs < 2 {
        let event = heard.next().await;
        told.extend(of_call(&event));
        if event.name() == "call.recovered" {
            assert_eq!(event.0["data"]["after"], json!({"epoch": 1, "seq": 2}));
        }
        downs += usize::from(event.name() == "node.down");
    }
    let expected = [
        ("call.created", (1, 1), "requested"),
        ("call.ringing", (1, 2), "progress"),
        ("call.recovered", (2, 1), "recovered"),
        ("call.ended", (2, 2), "restart"),
    ];
    let expected = expected.map(|(name, (epoch, seq), reason)| {
        (name.to_owned(), (epoch.into(), seq.into()), reason.into())
    });
    assert_eq!(told, expected);
}
