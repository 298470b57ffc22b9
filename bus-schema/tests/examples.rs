//! The committed examples: each decodes, satisfies its schema, says the same in both encodings,
//! and is understood with additions of a later version. `UPDATE=1` writes them anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic in a test is its report"
)]

mod samples;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use bus_schema::{
    CallState, CallVerb, Encoding, Envelope, ErrorCode, EventName, Position, Reason, Received,
    generate,
};
use samples::Sample;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/v1")
}

/// Writes the examples anew, once, where that is asked for.
fn update() {
    static UPDATE: Once = Once::new();
    UPDATE.call_once(|| {
        if std::env::var_os("UPDATE").is_none() {
            return;
        }
        if folder().exists() {
            fs::remove_dir_all(folder()).unwrap();
        }
        fs::create_dir_all(folder()).unwrap();
        for sample in samples::all() {
            let path = folder().join(format!("{}.json", sample.name));
            fs::write(path, laid_out(&sample.json)).unwrap();
        }
    });
}

fn committed(name: &str) -> Vec<u8> {
    update();
    fs::read(folder().join(format!("{name}.json"))).unwrap_or_default()
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// JSON of no white space, laid out for people in the order in which it is sent.
fn laid_out(json: &[u8]) -> String {
    let json = std::str::from_utf8(json).unwrap();
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0usize, false, false);
    let mut chars = json.chars().peekable();
    while let Some(char) = chars.next() {
        if quoted {
            out.push(char);
            quoted = char != '"' || escaped;
            escaped = char == '\\' && !escaped;
            continue;
        }
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        };
        match char {
            '{' | '[' => {
                out.push(char);
                if matches!(chars.peek(), Some('}' | ']')) {
                    out.extend(chars.next());
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(char);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                quoted = true;
                out.push(char);
            }
            other => out.push(other),
        }
    }
    out.push('\n');
    out
}

#[test]
fn committed_examples_are_what_the_types_say() {
    let samples = samples::all();
    for Sample { name, json, .. } in &samples {
        let committed = committed(name);
        assert!(!committed.is_empty(), "{name}: no example is committed");
        assert_eq!(value(&committed), value(json), "{name} drifted");
    }
    let names: BTreeSet<String> = samples.iter().map(|s| format!("{}.json", s.name)).collect();
    for file in fs::read_dir(folder()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "{name} is no example of anything");
    }
}

#[test]
fn every_message_has_an_example() {
    let examples: BTreeSet<String> = samples::all().into_iter().map(|s| s.schema).collect();
    let schemas: BTreeSet<String> = generate()
        .into_iter()
        .filter_map(|document| {
            let name = document.path.strip_prefix("schemas/v1/")?;
            Some(name.strip_suffix(".json")?.to_owned())
        })
        .collect();
    assert_eq!(examples, schemas);
}

#[test]
fn examples_decode_and_both_encodings_say_the_same() {
    for sample in samples::all() {
        let Sample { name, decode, .. } = &sample;
        decode(Encoding::Json, &committed(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        decode(Encoding::MsgPack, &sample.msgpack).unwrap_or_else(|e| panic!("{name}: {e}"));
        let unpacked: Value = Encoding::MsgPack.decode(&sample.msgpack).unwrap();
        assert_eq!(unpacked, value(&sample.json), "{name}");
        // What an agent packs from a value of its own is read as well.
        let packed = Encoding::MsgPack.encode(&value(&sample.json)).unwrap();
        decode(Encoding::MsgPack, &packed).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn examples_satisfy_their_schemas() {
    let documents = generate();
    for sample in samples::all() {
        let path = format!("schemas/v1/{}.json", sample.schema);
        let document = documents.iter().find(|d| d.path == path).unwrap();
        let schema: Value = serde_json::from_str(&document.text).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let example = value(&committed(&sample.name));
        if let Err(error) = validator.validate(&example) {
            panic!("{}: {error} at {}", sample.name, error.instance_path);
        }
        assert!(
            validator.validate(&json!([])).is_err(),
            "{path} takes anything"
        );
    }
}

/// Adds a member to every object, as a later version would.
fn extended(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: serde_json::Map<_, _> = map
                .into_iter()
                .map(|(key, value)| {
                    // The members of these two are names, not members of a type.
                    let free = key == "headers" || key == "details";
                    (key, if free { value } else { extended(value) })
                })
                .collect();
            map.insert("added_later".to_owned(), json!({"deep": [1, 2]}));
            Value::Object(map)
        }
        Value::Array(list) => list.into_iter().map(extended).collect(),
        other => other,
    }
}

#[test]
fn unknown_members_are_tolerated_by_types_and_schemas() {
    let documents = generate();
    for sample in samples::all() {
        let later = extended(value(&sample.json));
        for encoding in [Encoding::Json, Encoding::MsgPack] {
            let bytes = encoding.encode(&later).unwrap();
            (sample.decode)(encoding, &bytes).unwrap_or_else(|e| panic!("{}: {e}", sample.name));
        }
        let path = format!("schemas/v1/{}.json", sample.schema);
        let document = documents.iter().find(|d| d.path == path).unwrap();
        let schema: Value = serde_json::from_str(&document.text).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        assert!(validator.is_valid(&later), "{}", sample.name);
    }
}

#[test]
fn unknown_words_are_tolerated() {
    let mut event = value(&committed("evt.call.answered"));
    event["data"]["call"]["state"] = "parked".into();
    event["data"]["cause"]["reason"] = "telepathy".into();
    event["data"]["cause"]["actor"] = "ghost".into();
    event["data"]["call"]["legs"][0]["hold"] = "later".into();
    for encoding in [Encoding::Json, Encoding::MsgPack] {
        let bytes = encoding.encode(&event).unwrap();
        let Ok(Received::Call(envelope)) = Received::decode(encoding, &bytes) else {
            panic!("{encoding:?}: not a call event");
        };
        assert_eq!(envelope.data.call.state, CallState::Unknown);
        assert_eq!(envelope.data.cause.reason, Reason::Unknown);
    }
    let document = generate()
        .into_iter()
        .find(|d| d.path == "schemas/v1/evt.call.answered.json")
        .unwrap();
    let schema: Value = serde_json::from_str(&document.text).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    if let Err(error) = validator.validate(&event) {
        panic!("{error} at {}", error.instance_path);
    }
    event["type"] = "ifbus.sip.call.parked.v1".into();
    assert!(!validator.is_valid(&event), "another event's type");
}

#[test]
fn an_event_of_a_later_version_is_kept_as_it_is() {
    let mut event = value(&committed("evt.call.answered"));
    event["type"] = "ifbus.sip.presence.changed.v1".into();
    event["data"] = json!({"anything": true});
    let bytes = serde_json::to_vec(&event).unwrap();
    let Ok(Received::Other(envelope)) = Received::decode(Encoding::Json, &bytes) else {
        panic!("not kept");
    };
    assert_eq!(envelope.name(), None);
    assert_eq!(envelope.data, json!({"anything": true}));
}

#[test]
fn the_terminal_event_says_a_terminal_state_and_no_other_schema_is_needed() {
    let document = generate()
        .into_iter()
        .find(|d| d.path == "schemas/v1/evt.call.ended.json")
        .unwrap();
    let schema: Value = serde_json::from_str(&document.text).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut event = value(&committed("evt.call.ended"));
    assert!(validator.is_valid(&event));
    event["data"]["call"]["state"] = "ringing".into();
    assert!(!validator.is_valid(&event));
    event["data"]["call"]["state"] = "busy".into();
    event["data"].as_object_mut().unwrap().remove("cause");
    assert!(!validator.is_valid(&event), "no event without a cause");
}

#[test]
fn an_event_comes_back_as_it_was_sent() {
    let event = samples::call_event(EventName::CallRecovered);
    for encoding in [Encoding::Json, Encoding::MsgPack] {
        let mut bytes = b"before".to_vec();
        event
            .encode_into(&samples::source(), encoding, &mut bytes)
            .unwrap();
        let envelope: Envelope<bus_schema::CallData> = encoding.decode(&bytes[6..]).unwrap();
        assert_eq!(envelope.data, event.data);
        assert_eq!(envelope.position(), event.stamp.position);
        assert_eq!(envelope.name(), Some(event.name));
        assert_eq!(&*envelope.id, event.id(&samples::source()));
        assert_eq!(envelope.call, Some(event.data.call.call));
    }
    let mut subject = String::new();
    event
        .subject_into(&samples::source(), &mut subject)
        .unwrap();
    let call = event.data.call.call;
    assert_eq!(
        subject,
        format!("ifbus.sip.v1.default.evt.call.{call}.call.recovered")
    );
}

#[test]
fn commands_are_refused_by_name() {
    let refused = CallVerb::decode("sing", Encoding::Json, b"{}").unwrap_err();
    assert_eq!(refused.code, ErrorCode::UnknownVerb);
    assert!(!refused.retryable);
    let hang = |data: Value| {
        let bytes = serde_json::to_vec(&json!({"data": data})).unwrap();
        CallVerb::decode("hangup", Encoding::Json, &bytes)
    };
    assert!(hang(json!({})).is_ok());
    assert!(CallVerb::decode("hangup", Encoding::Json, b"").is_ok());
    for (data, field) in [
        (json!({"sip_status": 200}), "data.sip_status"),
        (json!({"reason": "progress"}), "data.reason"),
        (json!({"text": "a\r\nVia: evil"}), "data.text"),
    ] {
        let error = hang(data).unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest);
        assert_eq!(error.details["field"], field);
    }
}

#[test]
fn headers_a_dialog_owns_are_not_the_agents_to_set() {
    let originate = |headers: Value| {
        let data = json!({"from": "1001@a.test", "to": "1002@a.test", "headers": headers});
        let bytes = serde_json::to_vec(&json!({"data": data})).unwrap();
        bus_schema::AgentVerb::decode("originate", Encoding::Json, &bytes)
    };
    assert!(originate(json!({"X-Case": "1", "Subject": "hello"})).is_ok());
    for headers in [
        json!({"Via": "SIP/2.0/UDP evil"}),
        json!({"P-Asserted-Identity": "<sip:boss@a.test>"}),
        json!({"X-Case": "1\r\nVia: evil"}),
        json!({"X-Case: 1\r\nVia": "evil"}),
        json!({"X-": "1"}),
        json!({"x-if-hazard ": "safety"}),
    ] {
        let error = originate(headers.clone()).unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest, "{headers}");
    }
    let empty = bus_schema::AgentVerb::decode("originate", Encoding::Json, b"{}").unwrap_err();
    assert_eq!(empty.details["field"], "data.from");
}

#[test]
fn one_command_has_one_fingerprint_in_both_encodings() {
    let headers = json!({"X-B": "2", "X-A": "1"});
    let command = json!({"data": {"from": "1@a.test", "to": "2@a.test", "headers": headers}});
    let of = |encoding: Encoding, command: &Value| {
        let bytes = encoding.encode(command).unwrap();
        bus_schema::AgentVerb::decode("originate", encoding, &bytes)
            .unwrap()
            .fingerprint()
            .unwrap()
    };
    let json = of(Encoding::Json, &command);
    assert_eq!(json, of(Encoding::MsgPack, &command));
    let mut changed = command;
    changed["data"]["to"] = "3@a.test".into();
    assert_ne!(json, of(Encoding::Json, &changed));
}

#[test]
fn conditions_are_checked_against_state_and_position() {
    let command = |json: Value| {
        let bytes = serde_json::to_vec(&json).unwrap();
        CallVerb::decode("hangup", Encoding::Json, &bytes).unwrap()
    };
    let position = Position { epoch: 3, seq: 4 };
    let check = |json| command(json).check_conditions(CallState::Ringing, position);
    assert!(check(json!({})).is_ok());
    assert!(check(json!({"if_state": "ringing", "if_seq": 4, "if_epoch": 3})).is_ok());
    for wrong in [
        json!({"if_state": "in_progress"}),
        json!({"if_state": "a_later_word"}),
        json!({"if_seq": 3}),
        json!({"if_seq": 4, "if_epoch": 2}),
    ] {
        let error = check(wrong.clone()).unwrap_err();
        assert_eq!(error.code, ErrorCode::PreconditionFailed, "{wrong}");
        assert_eq!(error.details["state"], "ringing");
    }
    assert!(!command(json!({})).is_late(u64::MAX));
    assert!(command(json!({"deadline_ms": 5})).is_late(6));
}
