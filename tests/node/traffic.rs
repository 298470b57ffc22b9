//! What the metrics say of messages, connections and the journal: in one test, as only one node of
//! a process measures.

use sip::Method;

use crate::{meter::sample, port::free_port, stage::Stage};

fn messages(transport: &str) -> [u64; 2] {
    ["in", "out"].map(|direction| {
        let labels = format!("transport=\"{transport}\",direction=\"{direction}\"");
        sample(&format!("ifbus_messages_total{{{labels}}}"))
    })
}

#[tokio::test]
async fn every_message_is_counted_once_whichever_arbiter_it_is_for() {
    const CALLERS: u64 = 12;
    let nobody = format!("[bus]\nurl = \"nats://127.0.0.1:{}\"\n", free_port());
    let stage = Stage::on(3, &nobody).await;
    let mut alice = stage.ws("alice").await;
    alice.register().await;
    // The bus, which is not there, has to get: the node is up, and somebody has registered.
    comes(&stage, "ifbus_journal_unpublished", 2).await;
    for n in 0..CALLERS {
        let mut bob = stage.udp(&format!("bob{n}")).await;
        let options = bob.request("OPTIONS", "sip:alice@open.test");
        bob.say(&options).await;
        let heard = alice.request_of(Method::Options).await;
        alice.ok(&heard).await;
        bob.expect(200).await;
    }
    let mut carol = stage.tcp("carol").await;
    let strange = carol.request("INFO", "sip:alice@open.test");
    carol.ask(&strange).await;
    stage.node.measure();
    assert_eq!(messages("udp"), [CALLERS; 2]);
    assert_eq!(messages("ws"), [CALLERS + 1; 2]);
    assert_eq!(messages("tcp"), [1; 2]);
    assert_eq!(sample("ifbus_connections"), 2);
    carol.wire.drop_connection();
    comes(&stage, "ifbus_connections", 1).await;
    stage.stop().await;
}

async fn comes(stage: &Stage, name: &str, value: u64) {
    let there = |node: &actors::Node| {
        node.measure();
        sample(name) == value
    };
    stage.until(there).await;
}
