//! What `docs/bus.md` says is what the types say.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic in a test is its report"
)]

use bus_schema::{
    Actor, AdminVerb, AgentVerb, CallState, CallVerb, Encoding, ErrorCode, EventName, LegState,
    QueryVerb, Reason, Received, cause_table, generate,
};
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/bus.md");

/// The cells of the row under `heading` whose first cell has `first`.
fn row(heading: &str, first: &str) -> Option<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(heading)?;
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect::<Vec<_>>()
        })
        .find(|cells| cells[0].split(", ").any(|cell| cell == first))
}

#[test]
fn the_cause_table_is_the_one_in_the_code() {
    let written = |number: Option<u16>| number.map(|n| n.to_string()).unwrap_or_default();
    for cause in &cause_table::REASONS {
        let cells = row("## Causes", &format!("`{}`", cause.reason)).unwrap_or_default();
        let expected = [
            written(cause.q850.map(u16::from)),
            written(cause.sip_status),
        ];
        assert_eq!(
            cells.get(1..),
            Some(&expected.each_ref().map(|s| &**s)[..]),
            "{}",
            cause.reason
        );
    }
}

#[test]
fn every_error_code_is_there_with_its_number_and_whether_to_retry() {
    for &code in ErrorCode::ALL {
        let cells =
            row("### Replies", &format!("`{code}`")).unwrap_or_else(|| panic!("{code} is missing"));
        assert_eq!(cells[1], code.number().to_string(), "{code}");
        assert_eq!(cells[2] == "yes", code.retryable(), "{code}");
    }
}

#[test]
fn every_word_is_there() {
    let mut words: Vec<&str> = Vec::new();
    words.extend(Actor::ALL.iter().map(|word| word.as_str()));
    words.extend(Reason::ALL.iter().map(|word| word.as_str()));
    words.extend(CallState::ALL.iter().map(|word| word.as_str()));
    words.extend(LegState::ALL.iter().map(|word| word.as_str()));
    for verbs in [
        AgentVerb::WORDS,
        CallVerb::WORDS,
        QueryVerb::WORDS,
        AdminVerb::WORDS,
    ] {
        words.extend(verbs);
    }
    let spoken: Vec<&str> = PAGE
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    for event in EventName::ALL {
        words.extend(event.as_str().split('.'));
    }
    for word in words {
        assert!(spoken.contains(&word), "{word} is not explained");
    }
}

#[test]
fn the_examples_on_the_page_are_valid() {
    let blocks: Vec<&str> = PAGE
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let event = blocks.iter().find(|b| b.contains("specversion")).unwrap();
    let Ok(Received::Call(envelope)) = Received::decode(Encoding::Json, event.as_bytes()) else {
        panic!("the event on the page does not decode");
    };
    assert_eq!(envelope.name(), Some(EventName::CallAnswered));
    let document = generate()
        .into_iter()
        .find(|d| d.path == "schemas/v1/evt.call.answered.json")
        .unwrap();
    let schema: Value = serde_json::from_str(&document.text).unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert!(jsonschema::draft202012::is_valid(&schema, &event));
    CallVerb::decode("hangup", Encoding::Json, blocks[0].as_bytes()).unwrap();
}
