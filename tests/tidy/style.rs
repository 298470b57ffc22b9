//! Sizes, words and marks.

use crate::files::{ending_in, none, rust};
use crate::rust_source::Code;

const WIDTH_MAX: usize = 100;
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 80;

/// Files past the limit, each with the reason why it is one noun after all.
const LONG_FILES: [(&str, &str); 0] = [];

/// Functions past the limit as (file, function, reason).
const LONG_FUNCTIONS: [(&str, &str, &str); 3] = [
    (
        "bus-schema/tests/samples/mod.rs",
        "events",
        "a list: one sample of each event",
    ),
    (
        "bus-schema/tests/samples/mod.rs",
        "commands",
        "a list: one sample of each command",
    ),
    (
        "bus-schema/tests/samples/replies.rs",
        "replies",
        "a list: one sample of each reply",
    ),
];

/// Files that a tool wrote.
fn is_generated(path: &str) -> bool {
    path == "adapter/web/sip.js" || path.ends_with("package-lock.json")
}

#[test]
fn no_line_is_too_wide() {
    let mut wrong = Vec::new();
    for file in rust() {
        let code = Code::new(&file.text);
        for (index, line) in file.text.lines().enumerate() {
            let data = code.begins_in_string.get(index) == Some(&true);
            if !data && line.chars().count() > WIDTH_MAX {
                wrong.push(format!("{}:{}", file.path, index + 1));
            }
        }
    }
    none(&wrong, &format!("lines wider than {WIDTH_MAX}: break them"));
}

#[test]
fn no_file_is_too_long() {
    let mut wrong = Vec::new();
    for file in ending_in(&[".rs", ".mjs", ".js", ".py"]) {
        let lines = file.text.lines().count();
        let excused = LONG_FILES.iter().any(|(path, _)| *path == file.path);
        if lines > FILE_LINES_MAX && !is_generated(&file.path) && !excused {
            wrong.push(format!("{}: {lines} lines", file.path));
        }
    }
    none(
        &wrong,
        &format!("files over {FILE_LINES_MAX} lines: which noun hides in there?"),
    );
}

#[test]
fn no_function_is_too_long() {
    let mut wrong = Vec::new();
    for file in rust() {
        for function in Code::new(&file.text).functions() {
            let here = (file.path.as_str(), function.name.as_str());
            let excused = LONG_FUNCTIONS
                .iter()
                .any(|(path, name, _)| (*path, *name) == here);
            if function.lines > FUNCTION_LINES_MAX && !excused {
                let (name, line, lines) = (&function.name, function.line, function.lines);
                wrong.push(format!("{}:{line}: {name}, {lines} lines", file.path));
            }
        }
    }
    none(
        &wrong,
        &format!("functions over {FUNCTION_LINES_MAX} lines: what are its steps called?"),
    );
}

/// An excuse that nobody needs any more is taken back.
#[test]
fn excuses_are_in_use() {
    let mut wrong = Vec::new();
    let files = ending_in(&[".rs", ".mjs", ".js", ".py"]);
    let lines = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.map_or(0, |file| file.text.lines().count())
    };
    for (path, _) in LONG_FILES {
        if lines(path) <= FILE_LINES_MAX {
            wrong.push(path.to_owned());
        }
    }
    for (path, name, _) in LONG_FUNCTIONS {
        let file = files.iter().find(|file| file.path == path);
        let found = file
            .map(|file| Code::new(&file.text).functions())
            .unwrap_or_default();
        if !found
            .iter()
            .any(|it| it.name == name && it.lines > FUNCTION_LINES_MAX)
        {
            wrong.push(format!("{path}: {name}"));
        }
    }
    none(
        &wrong,
        "excuses in tests/tidy/style.rs that are not needed: remove them",
    );
}

#[test]
fn no_test_is_ignored() {
    let mut wrong = Vec::new();
    for file in rust() {
        for (index, line) in Code::new(&file.text).text.lines().enumerate() {
            if line.replace(' ', "").contains("#[ignore") || line.contains(", ignore") {
                wrong.push(format!("{}:{}", file.path, index + 1));
            }
        }
    }
    none(
        &wrong,
        "ignored tests: a test that does not run proves nothing",
    );
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    let mut wrong = Vec::new();
    for file in ending_in(&[".rs", ".toml", ".md", ".mjs", ".py", ".sh", ".html", ".yml"]) {
        for (index, line) in file.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                wrong.push(format!("{}:{}", file.path, index + 1));
            }
        }
    }
    none(&wrong, "marks for later: do it now, or write an issue");
}

#[test]
fn modules_are_named_for_nouns() {
    let banned = [
        "utils", "util", "helpers", "helper", "manager", "misc", "common",
    ];
    let wrong: Vec<String> = rust()
        .into_iter()
        .map(|file| file.path)
        .filter(|path| {
            let mut parts = path.split('/').map(|part| part.trim_end_matches(".rs"));
            parts.any(|part| banned.contains(&part))
        })
        .collect();
    none(&wrong, "names that say nothing: what is in there?");
}
