//! Nobody makes a token of ours, and a call reference reads back as written.
//! Covers: adapter/engine/src/token.rs adapter/engine/src/key.rs

#![no_main]

use engine::{CallKey, Token, TokenKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let key = TokenKey::new([7; 16]);
    if let Some(token) = Token::parse(text, &key) {
        assert!(text.starts_with(token.text(&key).as_str()), "one text for one token");
    }
    let _ = Token::parse_branch(text, &key);
    if let Some(call) = CallKey::parse(text) {
        assert_eq!(call.to_string(), text);
    }
});
