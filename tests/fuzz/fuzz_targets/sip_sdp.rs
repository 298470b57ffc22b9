//! A description is its lines, byte for byte, and turning its direction changes no other line.
//! Covers: sip/src/sdp.rs

#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::sdp::{Direction, Sdp, turn};

fuzz_target!(|data: &[u8]| {
    let Ok(sdp) = Sdp::parse(data) else { return };
    let lines: Vec<u8> = sdp.lines().flat_map(|line| line.raw.iter().copied()).collect();
    assert_eq!(lines, data);
    let turned = turn(&sdp, Direction::SendOnly, 7);
    let again = Sdp::parse(&turned).expect("what we write can be read");
    assert_eq!(again.media().len(), sdp.media().len());
});
