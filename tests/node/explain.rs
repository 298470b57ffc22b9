//! Where a request would go, asked over the bus.

use serde_json::{Value, json};

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
