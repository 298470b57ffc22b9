//! The commands of administration: what a file that is read again changes, and a drain.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    nats::Nats,
    phone::{Phone, answer},
    stage::Stage,
    wire::PATIENCE,
};

/// Whether 1003, who is not in the file at first, may register.
async fn is_known(stage: &Stage) -> bool {
    let mut phone: Phone = stage.udp("1003").await;
    phone.domain = "digest.test".into();
    let contact = format!("Contact: {}\r\n", phone.contact());
    let register = phone.registration(&contact);
    let challenge = phone.ask(&register).await;
    let proven = answer(&register.anew(), &challenge, "1003", "secret-of-1003");
    phone.ask(&proven).await.status() == Some(200)
}

async fn reload(nats: &Nats) -> Value {
    nats.ask("cmd.admin.desk.reload", &json!({})).await
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
}

#[tokio::test]
async fn a_reload_says_what_it_takes_and_what_waits() {
    let nats = Nats::start().await;
    let (stage, file) = Stage::of_file(&nats.bus()).await;
    let first = fs::read_to_string(&file).unwrap();
    let reply = reload(&nats).await;
    let nothing = json!({"node": "n1", "changed": [], "restart": []});
    assert_eq!(reply["data"], nothing, "{reply}");
    assert!(!is_known(&stage).await);

    let more = "[[user]]\naor = \"1003@digest.test\"\npassword = \"secret-of-1003\"\n\
                [limits]\ncalls = 7\nring_ms = 5000\n";
    let other = first.replace("https://app.test", "https://other.test");
    write(&file, &format!("{other}{more}"));
    let elsewhere = json!({"data": {"node": "n2"}});
    let reply = nats.ask("cmd.admin.desk.reload", &elsewhere).await;
    assert_eq!(reply["code"], "not_owner", "{reply}");
    assert!(!is_known(&stage).await);
    let reply = reload(&nats).await;
    assert_eq!(reply["data"]["changed"], json!(["user", "limits.calls"]));
    let waits = json!(["listen", "limits.ring_ms"]);
    assert_eq!(reply["data"]["restart"], waits);
    assert!(is_known(&stage).await);
    // What waits goes on waiting.
    let reply = reload(&nats).await;
    assert_eq!(reply["data"]["changed"], json!([]));
    assert_eq!(reply["data"]["restart"], waits);

    // All or nothing.
    write(&file, &first.replace("auth = \"open\"", "auth = \"opne\""));
    let reply = reload(&nats).await;
    assert_eq!(reply["code"], "bad_request", "{reply}");
    assert!(
        reply["reason"].as_str().unwrap().contains("opne"),
        "{reply}"
    );
    assert!(is_known(&stage).await);

    write(&file, &first);
    let reply = reload(&nats).await;
    assert_eq!(reply["data"]["changed"], json!(["user", "limits.calls"]));
    assert_eq!(reply["data"]["restart"], json!([]));
    assert!(!is_known(&stage).await);
    stage.stop().await;
}

#[tokio::test]
async fn a_drain_by_command_is_told_once() {
    let nats = Nats::start().await;
    let stage = Stage::with(&nats.bus()).await;
    // Whoever hears everything is a responder too: first the node listens.
    nats.ask("cmd.query.desk.nodes", &json!({})).await;
    let mut events = nats.events().await;
    let reply = nats.ask("cmd.admin.desk.drain", &json!({})).await;
    assert_eq!(reply["data"], json!({"node": "n1", "calls": 0}), "{reply}");
    let drained = tokio::time::timeout(PATIENCE, stage.node.drained()).await;
    drained.expect("nobody calls");
    assert!(!stage.node.readiness().ready);
    // As the process does, once it is drained.
    stage.node.drain(std::time::Duration::ZERO).await;
    stage.stop().await;
    let mut told = Vec::new();
    loop {
        let event = events.next().await;
        // That it is up may come before we listen, or after.
        if !event.name().starts_with("node.") || event.name() == "node.up" {
            continue;
        }
        told.push(event.name().to_owned());
        if event.name() == "node.down" {
            break;
        }
        if event.name() == "node.draining" {
            assert_eq!(event.0["data"]["node"]["state"], "draining");
        }
    }
    assert_eq!(told, ["node.draining", "node.down"]);
}
