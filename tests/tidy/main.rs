//! The architecture and the house rules, as tests: what is absent stays absent.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers: a panic is the report"
)]

mod dependencies;
mod files;
mod fuzzing;
mod product;
mod rust_source;
mod style;
