//! What a call looks like on the bus.

use serde_json::json;
use sip::Method;

use crate::{
    call::{Pair, answered},
    nats::{Events, Nats},
    stage::Stage,
};

/// The events of the next call, to its end.
async fn call(events: &mut Events) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    loop {
        let event = events.next().await;
        if !event.name().starts_with("call.") {
            continue;
        }
        all.push((event.name().to_owned(), event.0["seq"].as_u64().unwrap()));
        if event.name() == "call.ended" {
            return all;
        }
    }
}

#[tokio::test]
async fn a_call_is_told_from_its_beginning_to_its_end() {
    let nats = Nats::start().await;
    let mut events = nats.events().await;
    let stage = Stage::on(2, &nats.bus()).await;
    let pair = answered(stage.ws("alice").await, stage.udp("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        mut at_bob,
        ..
    } = pair;
    bob.hang_up(&mut at_bob, &mut alice).await;
    let told = call(&mut events).await;
    let names: Vec<_> = told.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names.first(), Some(&"call.created"));
    for name in ["call.ringing", "call.answered", "call.ended"] {
        let times = names.iter().filter(|known| **known == name).count();
        assert_eq!(times, 1, "{names:?}");
    }
    let numbers: Vec<_> = told.iter().map(|(_, seq)| *seq).collect();
    let contiguous: Vec<_> = (numbers[0]..).take(numbers.len()).collect();
    assert_eq!(numbers, contiguous);
    stage.stop().await;
}

#[tokio::test]
async fn the_trace_of_a_command_is_in_every_event_of_its_call() {
    let nats = Nats::start().await;
    let stage = Stage::with(&nats.bus()).await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    stage.udp("bob").await.register().await;
    nats.ask("cmd.query.desk.nodes", &json!({})).await;
    let mut events = nats.events().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let originate = json!({"data": {"from": "alice@open.test", "to": "bob@open.test"}});
    let verb = "cmd.agent.desk.originate";
    let reply = nats.ask_within(trace, verb, &originate).await;
    assert_eq!(reply["status"], "accepted", "{reply}");
    let invite = alice.request_of(Method::Invite).await;
    alice.reject(&invite, 486).await;
    let mut told = 0;
    loop {
        let event = events.next().await;
        if event.name().starts_with("call.") {
            told += 1;
            assert_eq!(event.0["traceparent"], trace, "{event:?}");
        }
        if event.name() == "call.ended" {
            break;
        }
    }
    assert!(told >= 2);
    stage.stop().await;
}
