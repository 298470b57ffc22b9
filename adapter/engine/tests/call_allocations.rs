//! What it costs to set a call up: allocations, whose count does not depend on how busy the machine
//! is.

#![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]

mod basic_call;

use std::alloc::System;

use basic_call::{answered, home};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// From INVITE to ACK, with the events and the record for the bus.
const ALLOCATIONS_MAX: usize = 56;

#[test]
fn a_call_is_set_up_with_few_allocations() {
    let home = home();
    let gauge = || {
        let stats = ALLOCATOR.stats();
        stats.allocations + stats.reallocations
    };
    // Another thread of the test harness may add to a run, never take away.
    let runs = (0..8).map(|n| answered(&home, n, gauge).1);
    let least = runs.min().unwrap();
    println!("{least} allocations");
    assert!(least <= ALLOCATIONS_MAX, "{least} allocations");
}
