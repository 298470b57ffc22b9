//! Credentials say nothing that was not in the header, and only whole ones are accepted.
//! Covers: sip/src/digest/credentials.rs

#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::digest::Credentials;

fuzz_target!(|data: &[u8]| {
    let Some(credentials) = Credentials::parse(data) else { return };
    for value in [credentials.username(), credentials.realm()].into_iter().flatten() {
        assert!(value.len() <= data.len());
    }
    let _ = credentials.algorithm();
});
