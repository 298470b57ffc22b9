//! Seeded simulation of whole calls over the pure cores, dispatched as the shells do it. A seed is
//! a whole run: phones, agents, a network that loses, doubles and reorders, late timers, a slow
//! disk, a process that dies. Every call ends once, and nothing is left over.
//!
//! One seed again, with its ladder: `SIM_SEED=7 cargo test --workspace --test sim one_seed -- \
//! --nocapture`. More seeds: `SIM_SEEDS=10000`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's own machinery: a panic is the report"
)]

mod agenda;
mod book;
mod call;
mod cause;
mod checks;
mod dice;
mod disk;
mod faults;
mod leg;
mod network;
mod node;
mod phone;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use faults::Plant;
use world::World;

/// How many seeds are run where nothing else is asked for.
const SEEDS: u64 = 1_000;

/// A run that went wrong.
struct Failed {
    seed: u64,
    wrong: Vec<String>,
}

/// Runs one seed: what is wrong with it, and its ladder if it was asked for.
fn run(seed: u64, plant: Plant, traced: bool) -> (Vec<String>, Vec<String>) {
    let mut world = World::new(seed, plant, traced);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let mut wrong = match ran {
        Ok(()) => checks::check(&world),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            vec![format!("panic: {}", words.unwrap_or("without a word"))]
        }
    };
    wrong.dedup();
    (wrong, world.book.into_trace())
}

/// Runs many seeds on all cores, in no order; returns those that went wrong.
fn run_all(seeds: std::ops::Range<u64>, plant: Plant) -> Vec<Failed> {
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let (wrong, _) = run(seed, plant, false);
                    if !wrong.is_empty() {
                        failed.lock().unwrap().push(Failed { seed, wrong });
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|failed| failed.seed);
    failed
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The ladder of a seed and what is wrong with it.
fn report(seed: u64) -> String {
    let (wrong, trace) = run(seed, Plant::None, true);
    let again =
        format!("SIM_SEED={seed} cargo test --workspace --test sim one_seed -- --nocapture");
    format!(
        "{}\n\nseed {seed}:\n  {}\nagain: {again}",
        trace.join("\n"),
        wrong.join("\n  ")
    )
}

#[test]
fn thousand_seeds() {
    let count = number("SIM_SEEDS").unwrap_or(SEEDS);
    let failed = run_all(0..count, Plant::None);
    if let Some(first) = failed.first() {
        for failed in &failed {
            println!("seed {}: {}", failed.seed, failed.wrong.join("; "));
        }
        println!("{}", report(first.seed));
        panic!("{} of {count} seeds went wrong", failed.len());
    }
}

/// One seed with its ladder; another one by `SIM_SEED`.
#[test]
fn one_seed() {
    let seed = number("SIM_SEED").unwrap_or(0);
    let (wrong, trace) = run(seed, Plant::None, true);
    println!("{}", trace.join("\n"));
    assert!(wrong.is_empty(), "seed {seed}:\n  {}", wrong.join("\n  "));
}

#[test]
fn a_seed_is_a_whole_run() {
    for seed in 0..20 {
        let (_, first) = run(seed, Plant::None, true);
        let (_, second) = run(seed, Plant::None, true);
        assert!(!first.is_empty());
        assert_eq!(first, second, "seed {seed}");
    }
}

/// A check that finds nothing proves nothing: each planted bug is found, and soon.
#[test]
fn planted_bugs_are_found() {
    for plant in Plant::ALL {
        // Some need a rare meeting of events.
        let found = (0..10 * SEEDS).find(|seed| !run(*seed, plant, false).0.is_empty());
        println!("{plant:?} is found by seed {found:?}");
        assert!(found.is_some(), "{plant:?} is not found");
    }
}
