//! The annotated file and the built-in defaults say the same.

use config::{BusUrl, Config, DEFAULT_FILE, Secret, parse};

#[test]
fn the_default_file_is_the_default() {
    let loaded = parse(DEFAULT_FILE, None).unwrap();
    assert_eq!(loaded.config, Config::default());
    let only = "no user can register at example.test: it has none";
    let said: Vec<&str> = loaded
        .warnings
        .iter()
        .map(|warning| &*warning.problem)
        .collect();
    assert_eq!(said, [only]);
}

#[test]
fn an_empty_file_is_the_default() {
    let loaded = parse("", None).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_default_file_names_every_limit_in_order() {
    let limits = DEFAULT_FILE.split_once("trusted = []").unwrap().1;
    let written: Vec<&str> = limits
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name)
        .collect();
    let known: Vec<&str> = Config::default()
        .limits
        .numbers()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(written, known);
}

/// Keys without a default stand behind `# `; each of them is a key that the loader knows.
#[test]
fn every_commented_key_is_a_known_one() {
    let is_key = |line: &str| {
        line.starts_with("[[")
            || line.starts_with("[media]")
            || line
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.contains(' '))
    };
    let uncommented: String = DEFAULT_FILE
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_key(rest))
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let findings = parse(&uncommented, None).unwrap_err();
    let unknown: Vec<String> = findings
        .errors()
        .filter(|error| error.problem.contains("unknown"))
        .map(ToString::to_string)
        .collect();
    assert_eq!(unknown, Vec::<String>::new());
    assert!(uncommented.contains("\nusers_file = ") && uncommented.contains("\n[media]"));
}

#[test]
fn the_demo_stays_on_this_machine_and_has_its_users() {
    let passwords = ["a", "b", "c", "d"].map(Secret::new);
    let config = Config::demo(&passwords);
    assert!(
        config
            .listen
            .iter()
            .all(|listen| listen.addr.ip().is_loopback())
    );
    assert!(config.http.addr.is_some_and(|addr| addr.ip().is_loopback()));
    assert_eq!(config.bus.url, BusUrl::Managed);
    let found = config.users.find("1003", "example.test").unwrap();
    assert_eq!(found.password.map(Secret::reveal), Some("c"));
}
