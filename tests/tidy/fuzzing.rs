//! Whatever reads bytes from outside is fuzzed. A fuzz target says in its header which source
//! files it covers (`//! Covers: sip/src/uri.rs`), so the inventory lives beside the proof.

use std::collections::BTreeSet;

use crate::files::{File, ending_in, none, root, rust};
use crate::rust_source::Code;

/// Where the parsers are.
const HOMES: [&str; 4] = [
    "sip/src/",
    "bus-schema/src/",
    "config/src/",
    "adapter/engine/src/",
];

/// Parsers that no stranger's bytes reach, with the reason.
const OURS: [(&str, &str); 1] = [(
    "adapter/engine/src/route/rule.rs",
    "a route's target is written by the operator; config_file fuzzes the file it stands in",
)];

/// The public functions of `file` that make sense of text or bytes.
fn parsers(file: &File) -> Vec<String> {
    let code = Code::new(&file.text).text;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("pub fn ") {
        let signature = code[at..].split(['{', ';']).next().unwrap_or_default();
        let (name, rest) = signature[7..]
            .split_once(['(', '<'])
            .unwrap_or((signature, ""));
        let reads = name.starts_with("parse") || name.starts_with("decode") || name == "read";
        let takes = ["&str", "&[u8]", "Bytes", "[u8]", "&'a str"]
            .iter()
            .any(|it| rest.contains(it));
        if reads && takes {
            found.push(name.to_owned());
        }
    }
    found
}

fn targets() -> Vec<File> {
    let all = ending_in(&[".rs"]).into_iter();
    all.filter(|file| file.path.starts_with("tests/fuzz/fuzz_targets/"))
        .collect()
}

fn covered(targets: &[File]) -> BTreeSet<&str> {
    targets
        .iter()
        .flat_map(|target| target.text.lines())
        .filter_map(|line| line.strip_prefix("//! Covers: "))
        .flat_map(str::split_whitespace)
        .collect()
}

#[test]
fn every_parser_has_a_fuzz_target() {
    let targets = targets();
    let covered = covered(&targets);
    let mut wrong = Vec::new();
    for file in rust() {
        if !HOMES.iter().any(|home| file.path.starts_with(home)) {
            continue;
        }
        let excused = OURS.iter().any(|(path, _)| *path == file.path);
        if !excused && !covered.contains(file.path.as_str()) {
            wrong.extend(
                parsers(&file)
                    .iter()
                    .map(|name| format!("{}: {name}", file.path)),
            );
        }
    }
    none(
        &wrong,
        "public parsers that no target in tests/fuzz/fuzz_targets covers",
    );
}

#[test]
fn fuzz_targets_are_listed_and_cover_what_exists() {
    let manifest = std::fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
    let targets = targets();
    let mut wrong = Vec::new();
    for target in &targets {
        let path = target.path.trim_start_matches("tests/fuzz/");
        if !manifest.contains(&format!("path = \"{path}\"")) {
            wrong.push(format!("{} is not in tests/fuzz/Cargo.toml", target.path));
        }
        if !target.text.contains("assert") {
            wrong.push(format!("{} states no property", target.path));
        }
    }
    for path in covered(&targets) {
        if !root().join(path).is_file() {
            wrong.push(format!("{path} is covered and does not exist"));
        }
    }
    none(&wrong, "fuzz targets");
}
