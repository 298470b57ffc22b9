//! What a call looks like on the bus.

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
