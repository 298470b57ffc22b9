//! The `ifbus` executable: a command line over the node and over the public bus contract.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    adapter::Cli::parse().main()
}
