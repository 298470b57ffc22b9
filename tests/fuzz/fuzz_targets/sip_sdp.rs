//! A description is its lines, byte for byte, and turning its direction changes no other line.
//! Covers: sip/src/sdp.rs

#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::sdp::{Direction, Line, Sdp, turn};

/// What says neither a direction nor a version.
fn others<'a>(sdp: &Sdp<'a>) -> Vec<(u8, &'a [u8])> {
    let directions: [&[u8]; 4] = [b"sendrecv", b"sendonly", b"recvonly", b"inactive"];
    let other = |line: &Line<'_>| match line.kind {
        b'o' => false,
        b'a' => !directions.contains(&line.value),
        _ => true,
    };
    let others = sdp.lines().filter(other);
    others.map(|line| (line.kind, line.value)).collect()
}

fuzz_target!(|data: &[u8]| {
    let Ok(sdp) = Sdp::parse(data) else { return };
    let lines: Vec<u8> = sdp.lines().flat_map(|line| line.raw.iter().copied()).collect();
    let blank = data.strip_prefix(&*lines).expect("lines are what came");
    assert!(blank.is_empty() || blank.starts_with(b"\n") || blank.starts_with(b"\r"));
    assert!(blank.iter().all(u8::is_ascii_whitespace));
    let turned = turn(&sdp, Direction::SendOnly, 7);
    let again = Sdp::parse(&turned).expect("what we write can be read");
    assert_eq!(again.media().len(), sdp.media().len());
    assert_eq!(again.origin().version_number(), Some(7));
    assert_eq!(others(&again), others(&sdp));
});
