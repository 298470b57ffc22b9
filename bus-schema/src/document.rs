//! The generated documents: a JSON Schema per message and one AsyncAPI 3.0 document.

use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::call::CallState;
use crate::contract::{Entry, Speaker, entries};
use crate::event::EventName;
use crate::subject::QUEUE;

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its path inside the package: `schemas/v1/….json` or `asyncapi.json`.
    pub path: String,
    /// Its text: JSON with sorted keys.
    pub text: String,
}

/// Every document of the contract: what is committed, and what the executable prints.
pub fn generate() -> Vec<Document> {
    let mut documents = Vec::new();
    let mut api = AsyncApi::default();
    for entry in entries() {
        api.add(&entry);
        let reply_name = reply_name(&entry.name);
        let Entry {
            name,
            summary,
            message,
            reply,
            event,
            ..
        } = entry;
        documents.push(schema(&name, &summary, finish(message, event)));
        if let Some(reply) = reply {
            let summary = format!("The reply to `{name}`.");
            documents.push(schema(&reply_name, &summary, finish(reply, None)));
        }
    }
    documents.push(Document {
        path: "asyncapi.json".to_owned(),
        text: text(api.finish()),
    });
    documents
}

fn reply_name(command: &str) -> String {
    format!("reply.{}", command.trim_start_matches("cmd."))
}

fn schema(name: &str, summary: &str, mut schema: Value) -> Document {
    schema["$id"] = format!("ifbus://schema/sip/v1/{name}").into();
    schema["title"] = name.into();
    schema["description"] = summary.into();
    Document {
        path: format!("schemas/v1/{name}.json"),
        text: text(schema),
    }
}

/// Pretty, with sorted keys whatever the map keeps, and a final newline.
fn text(value: Value) -> String {
    format!("{:#}\n", sorted(value))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(list) => list.into_iter().map(sorted).collect::<Vec<_>>().into(),
        other => other,
    }
}

/// What the derived schema cannot say by itself.
fn finish(schema: Schema, event: Option<EventName>) -> Value {
    let mut schema = schema.to_value();
    open_words(&mut schema);
    match event {
        Some(name) => narrow(&mut schema, name),
        None => require_data(&mut schema),
    }
    schema
}

/// A vocabulary may grow: instead of the word `unknown`, which is never sent, any text is valid.
fn open_words(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(words)) = map.get_mut("oneOf") {
                let before = words.len();
                words.retain(|word| word.get("const") != Some(&json!("unknown")));
                if words.len() < before {
                    words.push(json!({
                        "type": "string",
                        "description": "A word of a later version: ignore what carries it."
                    }));
                    if let Some(words) = map.remove("oneOf") {
                        map.insert("anyOf".to_owned(), words);
                    }
                }
            }
            map.values_mut().for_each(open_words);
        }
        Value::Array(list) => list.iter_mut().for_each(open_words),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An event's schema says which event it is, and what that one must carry.
fn narrow(schema: &mut Value, name: EventName) {
    schema["properties"]["specversion"]["const"] = "1.0".into();
    schema["properties"]["type"]["const"] = name.type_uri().into();
    if !name.as_str().starts_with("call.") {
        return;
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.extend(["session", "call", "offsetms"].map(Value::from));
    }
    let of_call = match name {
        EventName::CallAnswered => json!({"required": ["answered_at"]}),
        EventName::CallEnded => json!({
            "required": ["ended_at"],
            "properties": {"state": {"enum": terminal_states()}}
        }),
        EventName::CallRecovered => {
            schema["allOf"] = json!([{"properties": {"data": {"required": ["after"]}}}]);
            return;
        }
        _ => return,
    };
    schema["allOf"] = json!([{"properties": {"data": {"properties": {"call": of_call}}}}]);
}

fn terminal_states() -> Vec<&'static str> {
    CallState::ALL
        .iter()
        .filter(|state| state.is_terminal())
        .map(|state| state.as_str())
        .collect()
}

/// A command whose data has something required must have data.
fn require_data(schema: &mut Value) {
    let Some(data) = schema.pointer("/properties/data") else {
        return;
    };
    let of_data = data.get("$ref").and_then(Value::as_str).map_or_else(
        || data.get("required"),
        |reference| schema.pointer(&format!("{}/required", reference.trim_start_matches('#'))),
    );
    if of_data.is_none() {
        return;
    }
    match schema.get_mut("required") {
        Some(Value::Array(required)) if !required.contains(&json!("data")) => {
            required.push("data".into());
        }
        Some(_) => {}
        None => schema["required"] = json!(["data"]),
    }
    if let Some(Value::Object(data)) = schema.pointer_mut("/properties/data") {
        data.remove("default");
    }
}

#[derive(Default)]
struct AsyncApi {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
}

impl AsyncApi {
    fn add(&mut self, entry: &Entry) {
        let key = entry.name.replace('.', "_");
        self.message(&key, &entry.name, &entry.summary);
        self.channels.insert(
            key.clone(),
            json!({
                "address": entry.subject,
                "messages": {key.clone(): reference("messages", &key)},
                "parameters": parameters(&entry.subject),
            }),
        );
        let channel = json!({"$ref": format!("#/channels/{key}")});
        let operation = match entry.speaker {
            Speaker::Adapter => json!({"action": "send", "channel": channel}),
            Speaker::Agent { shared } => {
                let reply = reply_name(&entry.name);
                let reply_key = reply.replace('.', "_");
                self.message(&reply_key, &reply, "The one reply to the command, at once.");
                self.channels.insert(
                    reply_key.clone(),
                    json!({
                        "address": null,
                        "messages": {reply_key.clone(): reference("messages", &reply_key)},
                    }),
                );
                let mut operation = json!({
                    "action": "receive",
                    "channel": channel,
                    "reply": {
                        "address": {
                            "description": "The reply subject of the NATS request.",
                            "location": "$message.header#/reply-to"
                        },
                        "channel": {"$ref": format!("#/channels/{reply_key}")},
                    },
                });
                if shared {
                    operation["bindings"] = json!({"nats": {"queue": QUEUE}});
                }
                operation
            }
        };
        self.operations.insert(key, operation);
    }

    fn message(&mut self, key: &str, name: &str, summary: &str) {
        let content_type = if name.starts_with("evt.") {
            "application/cloudevents+json"
        } else {
            "application/json"
        };
        self.messages.insert(
            key.to_owned(),
            json!({
                "name": name,
                "summary": summary,
                "contentType": content_type,
                "payload": {
                    "schemaFormat": "application/schema+json;version=draft-2020-12",
                    "schema": {"$ref": format!("schemas/v1/{name}.json")},
                },
            }),
        );
    }

    fn finish(self) -> Value {
        json!({
            "asyncapi": "3.0.0",
            "info": {
                "title": "IF.bus SIP adapter",
                "version": "1",
                "description": "What an agent says to the adapter and hears from it, on NATS. \
                                Every message is also spoken in MessagePack \
                                (`application/msgpack`), which decodes to the same value.",
            },
            "defaultContentType": "application/json",
            "servers": {
                "nats": {"host": "127.0.0.1:4222", "protocol": "nats"},
            },
            "channels": self.channels,
            "operations": self.operations,
            "components": {"messages": self.messages},
        })
    }
}

fn reference(section: &str, key: &str) -> Value {
    json!({"$ref": format!("#/components/{section}/{key}")})
}

fn parameters(subject: &str) -> Value {
    subject
        .split('.')
        .filter_map(|token| token.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let description = match name {
                "tenant" => "Whose: `default` unless configured.",
                "shard" => "The first token of the call reference.",
                "ulid" => "The second token of the call reference.",
                "agent" => "The agent that speaks or is spoken of.",
                "hash" => "The first 32 hex digits of SHA-256 of `user@domain`.",
                _ => "The node.",
            };
            (name.to_owned(), json!({"description": description}))
        })
        .collect::<Map<_, _>>()
        .into()
}
