//! What the product promises in two places is the same in both.

use std::collections::BTreeSet;

use config::{Config, DEFAULT_FILE};

use crate::files::{none, root, rust};
use crate::rust_source::Code;

#[test]
fn the_example_configuration_is_the_default() {
    let loaded = config::parse(DEFAULT_FILE, None).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_manual_names_every_key() {
    let manual = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let mut wrong = Vec::new();
    for line in DEFAULT_FILE.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        if !key.contains(' ') && !manual.contains(&format!("`{key}`")) {
            wrong.push(key.to_owned());
        }
    }
    none(&wrong, "keys that docs/configuration.md does not explain");
}

#[test]
fn the_manual_names_every_metric() {
    let manual = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let told = names(&manual, "`ifbus_", &['`', '{']);
    let mut counted = BTreeSet::new();
    for file in rust() {
        if file.path.starts_with("actors/src/") || file.path.starts_with("adapter/src/") {
            counted.extend(names(&file.text, "!(\"ifbus_", &['"']));
        }
    }
    let wrong: Vec<_> = told.symmetric_difference(&counted).cloned().collect();
    none(
        &wrong,
        "metrics that are in the code or in docs/operating.md, and not in both",
    );
}

#[test]
fn alerts_ask_for_metrics_that_there_are() {
    let manual = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let rules = std::fs::read_to_string(root().join("docs/alerts.yml")).unwrap();
    let told = names(&manual, "`ifbus_", &['`', '{']);
    let asked = names(&rules, "ifbus_", &['[', '{', ')', ' ', ',', ';', '.', '\n']);
    assert!(asked.len() > 10, "{asked:?}");
    let wrong: Vec<_> = asked.difference(&told).cloned().collect();
    none(
        &wrong,
        "metrics in docs/alerts.yml that docs/operating.md does not know",
    );
}

/// What follows `start`, up to one of `ends`.
fn names(text: &str, start: &str, ends: &[char]) -> BTreeSet<String> {
    let parts = text.split(start).skip(1);
    let names = parts.filter_map(|part| part.split(ends).next());
    names.map(str::to_owned).collect()
}

/// Agents in other languages have to spell subjects; our Rust asks `bus_schema`.
#[test]
fn subjects_are_spelled_once() {
    let parts = [
        "ifbus.sip.v1",
        "\".cmd.",
        "\".evt.",
        "\".offer.agent",
        "\".policy.check",
    ];
    let mut wrong = Vec::new();
    for file in rust() {
        let is_proof = file.path.contains("/tests/") || file.path.starts_with("tests/");
        if file.path == "bus-schema/src/subject.rs" || is_proof {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && parts.iter().any(|part| line.contains(part)) {
                wrong.push(format!("{}:{}", file.path, index + 1));
            }
        }
    }
    none(&wrong, "subjects outside bus-schema/src/subject.rs");
}

/// The clippy ban has one exception, and the exception has one home.
#[test]
fn the_clock_is_read_in_one_file() {
    let reads = ["Instant::now(", "SystemTime::now("];
    let mut wrong = Vec::new();
    for file in rust() {
        let is_product = ["sip/", "bus-schema/", "config/", "adapter/", "actors/"]
            .iter()
            .any(|home| file.path.starts_with(home))
            && file.path.contains("src/");
        if !is_product || file.path == "actors/src/clock.rs" {
            continue;
        }
        let code = Code::new(&file.text).text;
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        if reads.iter().any(|read| code.contains(read)) {
            wrong.push(file.path);
        }
    }
    none(&wrong, "clocks read outside actors/src/clock.rs");
}
