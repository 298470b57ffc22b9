//! A stored record of bindings is refused, or its bindings are written and read again as they were.
//! Covers: adapter/engine/src/location/record.rs

#![no_main]

use engine::Binding;
use engine::location::{Stored, decode, encode};
use libfuzzer_sys::fuzz_target;

fn bindings(stored: Vec<Stored<'_>>) -> Vec<Binding> {
    stored.into_iter().map(|stored| stored.binding).collect()
}

fuzz_target!(|data: &[u8]| {
    if let Ok(stored) = decode(data) {
        let first = bindings(stored);
        let written = encode(&first, &[]);
        let again = decode(&written).expect("what we write we read");
        assert_eq!(bindings(again), first);
    }
});
