//! The committed documents are the generated ones. `UPDATE=1` writes them anew.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn committed_documents_are_the_generated_ones() {
    let documents = bus_schema::generate();
    if std::env::var_os("UPDATE").is_some() {
        let schemas = root().join("schemas/v1");
        if schemas.exists() {
            fs::remove_dir_all(&schemas).unwrap();
        }
        fs::create_dir_all(&schemas).unwrap();
        for document in &documents {
            fs::write(root().join(&document.path), &document.text).unwrap();
        }
    }
    for document in &documents {
        let committed = fs::read_to_string(root().join(&document.path)).unwrap_or_default();
        assert!(
            committed == document.text,
            "{} drifted from the types: run the test with UPDATE=1 and look at the difference",
            document.path
        );
    }
    let generated: BTreeSet<String> = documents.into_iter().map(|d| d.path).collect();
    for file in fs::read_dir(root().join("schemas/v1")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(
            generated.contains(&format!("schemas/v1/{name}")),
            "schemas/v1/{name} is no longer generated"
        );
    }
}

#[test]
fn the_asyncapi_document_refers_only_to_what_there_is() {
    let documents = bus_schema::generate();
    let api = documents
        .iter()
        .find(|d| d.path == "asyncapi.json")
        .unwrap();
    let api: Value = serde_json::from_str(&api.text).unwrap();
    let mut references = Vec::new();
    collect(&api, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let found = match reference.strip_prefix('#') {
            Some(pointer) => api.pointer(pointer).is_some(),
            None => documents.iter().any(|d| d.path == reference),
        };
        assert!(found, "{reference} leads nowhere");
    }
}

#[test]
fn the_asyncapi_document_has_the_operations_of_the_contract() {
    let documents = bus_schema::generate();
    let api = documents
        .iter()
        .find(|d| d.path == "asyncapi.json")
        .unwrap();
    let api: Value = serde_json::from_str(&api.text).unwrap();
    assert_eq!(api["asyncapi"], "3.0.0");
    let originate = &api["operations"]["cmd_agent_originate"];
    assert_eq!(originate["action"], "receive");
    assert_eq!(originate["bindings"]["nats"]["queue"], bus_schema::QUEUE);
    assert_eq!(
        api["channels"]["cmd_agent_originate"]["address"],
        "ifbus.sip.v1.{tenant}.cmd.agent.{agent}.originate"
    );
    assert_eq!(
        api["channels"]["evt_call_answered"]["address"],
        "ifbus.sip.v1.{tenant}.evt.call.{shard}.{ulid}.call.answered"
    );
    assert_eq!(api["operations"]["evt_call_answered"]["action"], "send");
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                references.push(reference.clone());
            }
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
