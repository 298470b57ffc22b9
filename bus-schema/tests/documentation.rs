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
    row_where(heading, |cell| cell == first)
}

fn row_where(heading: &str, first: impl Fn(&str) -> bool) -> Option<Vec<&'static str>> {
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
        .find(|cells| cells[0].split(", ").any(&first))
}

/// The members of what a schema calls `data`, as the page writes them.
fn members(schema: &str) -> Vec<String> {
    let path = format!("schemas/v1/{schema}.json");
    let document = generate().into_iter().find(|d| d.path == path).unwrap();
    let schema: Value = serde_json::from_str(&document.text).unwrap();
    let frame = schema.pointer("/oneOf/0").unwrap_or(&schema);
    let data = frame["properties"]["data"]["$ref"].as_str().unwrap();
    let data = schema.pointer(data.trim_start_matches('#')).unwrap();
    let required = data["required"].as_array().map_or(&[][..], |names| names);
    let names = data["properties"].as_object().into_iter().flatten();
    let mut members: Vec<_> = names
        .map(|(name, _)| match required.contains(&name.as_str().into()) {
            true => name.clone(),
            false => format!("{name}?"),
        })
        .collect();
    members.sort();
    members
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
        words.extend(verbs.iter().flat_map(|verb| verb.split('.')));
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
fn every_verb_has_a_row_with_what_it_takes_and_what_it_gives() {
    for (kind, verbs) in [
        ("agent", AgentVerb::WORDS),
        ("call", CallVerb::WORDS),
        ("query", QueryVerb::WORDS),
        ("admin", AdminVerb::WORDS),
    ] {
        for verb in verbs {
            let ending = format!(".{verb}`");
            let cells = row_where("### The verbs", |cell| cell.ends_with(&ending))
                .unwrap_or_else(|| panic!("{verb} is missing"));
            // One row may stand for several verbs: then each has words of its own.
            let alone = cells[0].split(", ").count() == 1;
            let said = |cell: &str| {
                let words = cell.split(|c: char| " `,".contains(c));
                let mut words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
                words.sort_unstable();
                words.into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            let (takes, gives) = (said(cells[1]), said(cells[2]));
            assert_eq!(takes, members(&format!("cmd.{kind}.{verb}")), "{verb}");
            let real = members(&format!("reply.{kind}.{verb}"));
            // Whether a reply may lack it is said only where it often does.
            let bare = |name: &str| name.trim_end_matches('?').to_owned();
            let told = |name: &String| gives.iter().any(|given| bare(given) == bare(name));
            assert!(real.iter().all(told), "{verb}: {real:?}");
            assert!(!alone || real.len() == gives.len(), "{verb}: {real:?}");
        }
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
