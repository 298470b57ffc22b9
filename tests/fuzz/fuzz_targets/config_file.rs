//! A configuration is taken, or refused with a reason and its place.
//! Covers: config/src/load.rs

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let lines = text.lines().count() + 1;
    match config::parse(text, None) {
        Ok(loaded) => assert!(!loaded.warnings.has_errors()),
        Err(findings) => {
            assert!(findings.has_errors());
            assert!(findings.iter().all(|finding| finding.line <= lines));
        }
    }
});
