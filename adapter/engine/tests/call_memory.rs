//! What an established call costs: the growth of this process's resident memory, per call.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]

mod basic_call;

use basic_call::{answered, home};
use engine::Call;

/// A peer that is a proxy takes 2.5 kB.
const BYTES_MAX: usize = 2000;
const CALLS: usize = 20_000;

#[test]
fn an_established_call_takes_no_more_than_2_kb() {
    let home = home();
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let mut calls = Vec::with_capacity(CALLS);
    for n in 0..CALLS / 4 {
        calls.push(answered(&home, n, || 0).0);
    }
    let before = resident();
    for n in CALLS / 4..CALLS {
        calls.push(answered(&home, n, || 0).0);
    }
    let each = (resident() - before) / (CALLS - CALLS / 4);
    println!(
        "{each} bytes per call, {} of them in place",
        size_of::<Call>()
    );
    assert!(each <= BYTES_MAX, "{each} bytes per call");
    drop(calls);
}
