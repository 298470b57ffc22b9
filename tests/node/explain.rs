//! Where a request would go, and what was said in a call, asked over the bus.

use serde_json::{Value, json};
use sip::Method;

use crate::nats::Nats;
use crate::stage::Stage;

async fn explain(nats: &Nats, to: &str, from: Option<&str>) -> Value {
    let asked = json!({ "data": { "to": to, "from": from } });
    let reply = nats.ask("cmd.query.ops.route.explain", &asked).await;
    assert_eq!(reply["status"], "accepted", "{reply}");
    reply["data"].clone()
}

#[tokio::test]
async fn a_plan_is_told_with_its_reasons_and_nobody_is_called() {
    let nats = Nats::start().await;
    let stage = Stage::with(&format!(
        "{}[[route]]\nname = \"door\"\nto = \"9.*\"\n\
         target = \"uri:sip:door@127.0.0.1:9;transport=tcp\"\n",
        nats.bus()
    ))
    .await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.ws("alice").await);
    alice.register().await;
    bob.register().await;

    let told = explain(&nats, "alice@open.test", None).await;
    assert_eq!(told["uri"], "sip:alice@open.test");
    let destinations = told["destinations"].as_array().unwrap();
    let hops: Vec<_> = destinations
        .iter()
        .map(|to| to["hops"][0].clone())
        .collect();
    assert_eq!(
        hops,
        [
            json!(format!("udp {}", alice.wire.local)),
            json!("ws connection")
        ]
    );
    assert_eq!(destinations[0]["aor"], "alice@open.test");

    let told = explain(&nats, "sip:900@open.test", None).await;
    let steps: Vec<_> = told["steps"].as_array().unwrap().iter().collect();
    assert!(steps.contains(&&json!("route \"door\" decides")), "{told}");
    assert_eq!(
        told["destinations"][0]["uri"],
        "sip:door@127.0.0.1:9;transport=tcp"
    );
    assert_eq!(told["destinations"][0]["hops"], json!(["tcp 127.0.0.1:9"]));

    // Whoever is not ours does not go elsewhere through us; a name that is none leads nowhere.
    let told = explain(&nats, "sip:x@elsewhere.invalid", Some("eve@foreign.test")).await;
    assert_eq!(
        (&told["sip_status"], &told["destinations"]),
        (&json!(403), &json!([]))
    );
    let told = explain(&nats, "sip:x@elsewhere.invalid", None).await;
    assert_eq!(told["destinations"][0]["hops"], json!([]));

    let refused = nats
        .ask("cmd.query.ops.route.explain", &json!({ "data": {} }))
        .await;
    assert_eq!(refused["code"], "bad_request", "{refused}");
    alice.expect_silence().await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn the_messages_of_a_call_are_there_when_it_is_over() {
    let nats = Nats::start().await;
    let stage = Stage::with(&nats.bus()).await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.tcp("bob").await);
    alice.register().await;
    let mut events = nats.events().await;
    let invite = bob.invite(&alice.aor());
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    let mut talk = alice.accept(&heard).await;
    let ok = bob.expect(200).await;
    bob.ack(&invite, &ok, "").await;
    alice.request_of(Method::Ack).await;
    alice.hang_up(&mut talk, &mut bob).await;
    let ended = loop {
        let event = events.next().await;
        if event.name() == "call.ended" {
            break event;
        }
    };
    let call = ended.0["data"]["call"]["call"].clone();
    let asked = json!({ "data": { "call": call } });
    let reply = nats.ask("cmd.query.ops.trace", &asked).await;
    let messages = reply["data"]["messages"].as_array().unwrap();
    let rows: Vec<_> = messages
        .iter()
        .map(|message| {
            let first = message["text"].as_str().unwrap().lines().next().unwrap();
            let first = first.trim_start_matches("SIP/2.0 ");
            let name = first.split(' ').next().unwrap();
            let sent = message["sent"].as_bool().unwrap();
            format!(
                "{}{}{name}",
                message["leg"].as_str().unwrap(),
                if sent { "<" } else { ">" }
            )
        })
        .collect();
    let of = |leg: &str| -> Vec<_> {
        rows.iter()
            .filter(|row| row.starts_with(leg))
            .map(|row| row[1..].to_owned())
            .collect()
    };
    assert_eq!(of("a"), [">INVITE", "<100", "<200", ">ACK", "<BYE", ">200"]);
    assert_eq!(of("b"), ["<INVITE", ">200", "<ACK", ">BYE", "<200"]);
    assert_eq!(
        messages[0]["peer"].as_str().map(|peer| &peer[..14]),
        Some("tcp connection")
    );

    let other = json!({ "data": { "call": "07.01ARZ3NDEKTSV4RRFFQ69G5FAV" } });
    let refused = nats.ask("cmd.query.ops.trace", &other).await;
    assert_eq!(refused["code"], "not_found", "{refused}");
    stage.stop().await;
}
