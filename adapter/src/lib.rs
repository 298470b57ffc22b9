//! The executable: wiring, command line, HTTP. Used by the tests and by `ifbus` alike.

mod cli;
mod client;
mod console;
mod heap;
mod http;
mod ladder;
mod run;
mod telemetry;
mod web;

pub use cli::Cli;
