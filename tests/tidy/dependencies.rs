//! Who may depend on whom, inside the house and outside.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::files::{ending_in, none, root, rust};
use crate::rust_source::Code;

/// The packages that decide: no socket, no clock, no dice, no runtime.
const PURE: [&str; 4] = ["sip", "bus-schema", "config", "engine"];

/// What a pure package must not contain, however deep.
const IMPURE: [&str; 11] = [
    "tokio",
    "mio",
    "socket2",
    "actix",
    "actix-rt",
    "rand",
    "rand_core",
    "getrandom",
    "async-nats",
    "sled",
    "async-std",
];

/// The arrows of the house: a package and the members it may use outside of tests.
const ARROWS: [(&str, &[&str]); 8] = [
    ("sip", &[]),
    ("bus-schema", &[]),
    ("config", &[]),
    ("engine", &["sip", "bus-schema"]),
    ("actors", &["engine", "sip", "bus-schema", "config"]),
    (
        "adapter",
        &["actors", "engine", "sip", "bus-schema", "config"],
    ),
    ("agents", &["bus-schema"]),
    ("tests", &[]),
];

/// Foreign crates with a narrow door, and the members that hold it. The command line and the
/// agents speak the bus as any client does, and the tests serve names.
const DOORS: [(&str, &[&str]); 4] = [
    ("actix", &["actors"]),
    ("sled", &["actors"]),
    ("async-nats", &["actors", "adapter", "agents", "tests"]),
    ("hickory-resolver", &["actors", "tests"]),
];

/// Runs cargo without the network; with it only if this machine has not fetched everything yet.
fn cargo(arguments: &[&str]) -> String {
    let run = |offline: &[&str]| {
        Command::new(env!("CARGO"))
            .current_dir(root())
            .args(arguments)
            .args(offline)
            .output()
            .expect("cargo runs, as it runs this test")
    };
    let mut output = run(&["--offline"]);
    if !output.status.success() {
        output = run(&[]);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("cargo speaks UTF-8")
}

/// A dependency of a member: its name, its kind (`None` is the normal one), its requirement.
struct Edge {
    name: String,
    kind: Option<String>,
    requirement: String,
    is_path: bool,
}

fn members() -> BTreeMap<String, Vec<Edge>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let edge = |value: &Value| Edge {
        name: text(&value["name"]),
        kind: value["kind"].as_str().map(str::to_owned),
        requirement: text(&value["req"]),
        is_path: value["path"].is_string(),
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let edges = package["dependencies"].as_array().unwrap().iter().map(edge);
            (text(&package["name"]), edges.collect())
        })
        .collect()
}

/// `cargo tree` and not `cargo metadata`: the latter unites the features of all members, so that
/// what one of them switches on would seem to be in the tree of another.
#[test]
fn pure_packages_cannot_touch_the_world() {
    let mut wrong = Vec::new();
    for package in PURE {
        let tree = cargo(&[
            "tree",
            "--package",
            package,
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        let names: BTreeSet<&str> = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert!(names.contains(package), "{package} is in its own tree");
        wrong.extend(
            names
                .intersection(&IMPURE.into())
                .map(|name| format!("{package} contains {name}")),
        );
    }
    none(
        &wrong,
        "pure packages get time, entropy and names as inputs",
    );
}

#[test]
fn arrows_point_as_drawn() {
    let members = members();
    let drawn: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut wrong = Vec::new();
    for (member, edges) in &members {
        let Some(allowed) = drawn.get(member.as_str()) else {
            wrong.push(format!("{member} is not drawn in ARROWS"));
            continue;
        };
        let inside = edges
            .iter()
            .filter(|edge| edge.is_path && edge.kind.is_none());
        wrong.extend(
            inside
                .filter(|edge| !allowed.contains(&edge.name.as_str()))
                .map(|edge| format!("{member} → {}", edge.name)),
        );
    }
    none(&wrong, "arrows that ARCHITECTURE.md does not draw");
}

#[test]
fn what_is_not_ours_comes_in_by_its_door() {
    let mut wrong = Vec::new();
    for (member, edges) in members() {
        for (foreign, holders) in DOORS {
            let uses = edges.iter().any(|edge| edge.name == foreign);
            if uses && !holders.contains(&member.as_str()) {
                wrong.push(format!("{member} uses {foreign}"));
            }
        }
    }
    none(&wrong, "foreign crates beyond their door");
}

#[test]
fn requirements_stand_in_the_one_table() {
    let mut wrong = Vec::new();
    for (member, edges) in members() {
        let open = edges
            .iter()
            .filter(|edge| !edge.is_path && edge.requirement.contains('*'));
        wrong.extend(open.map(|edge| format!("{member}: {} = \"*\"", edge.name)));
    }
    for manifest in ending_in(&["Cargo.toml"]) {
        // The root has the table; the fuzz targets are a workspace of their own.
        if manifest.path == "Cargo.toml" || manifest.path.starts_with("tests/fuzz/") {
            continue;
        }
        let mut in_dependencies = false;
        for line in manifest.text.lines() {
            if let Some(section) = line.strip_prefix('[') {
                in_dependencies = section.contains("dependencies");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
                wrong.push(format!("{}: {line}", manifest.path));
            }
        }
    }
    none(
        &wrong,
        "a member says `name.workspace = true`; the root says which version",
    );
}

/// Panics on demand are for the tests of whole nodes.
#[test]
fn no_build_of_the_product_has_faults() {
    let tree = cargo(&["tree", "-p", "adapter", "-e", "normal,features"]);
    assert!(tree.contains("actors feature \"default\""), "{tree}");
    assert!(!tree.contains("faults"), "{tree}");
}

/// The lint `unreachable_pub` makes `pub` mean what it says, so looking for the word is enough.
#[test]
fn the_bus_client_and_the_store_are_in_no_public_signature() {
    let mut wrong = Vec::new();
    for file in rust() {
        if !file.path.starts_with("actors/src/") && !file.path.starts_with("adapter/src/") {
            continue;
        }
        let code = Code::new(&file.text).text;
        let foreign = foreign_names(&code);
        for (at, _) in code.match_indices("pub ") {
            let signature = signature(&code[at..]);
            let mut words = signature.split(|c: char| !c.is_alphanumeric() && c != '_');
            if let Some(word) = words.find(|word| foreign.contains(word)) {
                let line = 1 + code[..at].matches('\n').count();
                wrong.push(format!("{}:{line}: {word}", file.path));
            }
        }
    }
    none(&wrong, "public signatures that speak of async-nats or sled");
}

/// What a `pub ` at the beginning of `code` makes public: up to the body or the value, and of a
/// field no more than its own type.
fn signature(code: &str) -> &str {
    let public = code.split(['{', ';', '}', '=']).next().unwrap_or_default();
    let name = |c: char| c.is_alphanumeric() || c == '_';
    let rest = public["pub ".len()..].trim_start_matches(name);
    if !rest.starts_with(':') || rest.starts_with("::") {
        return public;
    }
    let mut depth = 0_i32;
    let mut before = ' ';
    for (at, c) in public.char_indices() {
        match c {
            '(' | '[' | '<' => depth += 1,
            ')' | ']' => depth -= 1,
            '>' if before != '-' => depth -= 1,
            ',' if depth == 0 => return &public[..at],
            _ => {}
        }
        before = c;
    }
    public
}

#[test]
fn a_public_field_ends_before_the_next() {
    let field = "pub a: Vec<(A, fn(B) -> C)>, d: D }";
    assert_eq!(signature(field), "pub a: Vec<(A, fn(B) -> C)>");
    let function = "pub fn a<B, C>(b: B, c: C) -> D where B: E, C: F { g }";
    let end = function.len() - "{ g }".len();
    assert_eq!(signature(function), &function[..end]);
}

/// The two crates, and what this file imports from them.
fn foreign_names(code: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::from(["async_nats", "sled"]);
    for import in code
        .split("use ")
        .skip(1)
        .filter_map(|rest| rest.split(';').next())
    {
        if import.starts_with("async_nats::") || import.starts_with("sled::") {
            let words = import.split(|c: char| !c.is_alphanumeric() && c != '_');
            names.extend(words.filter(|word| word.starts_with(char::is_uppercase)));
        }
    }
    names
}
