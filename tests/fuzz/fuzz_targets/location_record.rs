//! A stored record of bindings is refused, or written again as it was.
//! Covers: adapter/engine/src/location/record.rs

#![no_main]

use engine::location::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(bindings) = decode(data) {
        let written = encode(&bindings);
        let again = decode(&written).expect("what we write we read");
        assert_eq!(encode(&again), written);
    }
});
