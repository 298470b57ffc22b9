//! The command line. `run`, `check` and `schema` work alone; everything else speaks the public bus
//! contract, as any agent would.

use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use bus_schema::CallRef;
use clap::{Parser, Subcommand};
use config::{Config, Diagnostics};

use crate::{client, console, run, telemetry};

/// SIP and WebRTC on one side, NATS on the other.
#[derive(Debug, Parser)]
#[command(
    name = "ifbus",
    version,
    about = "Joins SIP and WebRTC to a NATS bus, where agents handle the calls",
    max_term_width = 100
)]
pub struct Cli {
    /// The configuration; ./ifbus.toml if absent, or else the built-in loopback demo.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, one value a line, for machines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the adapter.
    Run,
    /// Check the configuration and say every mistake in it.
    Check,
    /// Print events as they happen.
    Watch {
        /// Only those of this call.
        call: Option<CallRef>,
    },
    /// List the calls there are.
    Calls,
    /// List who is registered.
    Registrations {
        /// Only this address, user@domain.
        aor: Option<String>,
    },
    /// List the nodes there are.
    Nodes,
    /// Say where a call would go and why, without making it.
    Explain {
        /// Who is called: user@domain or a SIP URI.
        to: String,
        /// Who calls, user@domain; absent: an agent.
        #[arg(long, value_name = "USER@DOMAIN")]
        from: Option<String>,
    },
    /// Show the SIP messages of a call, as far back as they are remembered.
    Trace {
        /// As `calls` and events name it; it may have ended.
        call: CallRef,
        /// Print each message whole.
        #[arg(long)]
        messages: bool,
    },
    /// List who is shut out.
    Bans,
    /// Drop all that comes from an address.
    Ban {
        /// Of IPv6 the whole /64.
        source: IpAddr,
        /// For how long; absent: as long as a first offence costs.
        #[arg(long, value_name = "SECONDS")]
        seconds: Option<u64>,
    },
    /// Let an address in again, and every user who is shut out there.
    Unban {
        /// As `bans` lists it.
        source: IpAddr,
    },
    /// Call FROM, and when it answers, call TO and join the two.
    Originate {
        /// Who is called first: user@domain or a SIP URI.
        from: String,
        /// Who is called then.
        to: String,
        /// How long each may ring, in seconds.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
        /// A repetition with this key does nothing.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Print the call's events until it has ended.
        #[arg(long)]
        watch: bool,
    },
    /// End a call.
    Hangup {
        /// As `calls` and events name it.
        call: CallRef,
    },
    /// Print the contract: a JSON Schema by name, or the AsyncAPI document.
    Schema {
        /// The schema; absent: the AsyncAPI document.
        name: Option<String>,
        /// List the names instead.
        #[arg(long)]
        list: bool,
    },
}

impl Cli {
    /// Does what the command line says. 0: done; 1: it failed; 2: the configuration is wrong.
    #[must_use]
    pub fn main(self) -> ExitCode {
        let Self {
            config,
            json,
            command,
        } = self;
        match command {
            Command::Check => check(config, json),
            Command::Schema { name, list } => schema(name.as_deref(), list),
            Command::Run => match read(config) {
                Ok((config, file)) => run::run(config, file),
                Err(code) => code,
            },
            Command::Watch { call } => ask(config, json, client::Task::Watch(call)),
            Command::Calls => ask(config, json, client::Task::Calls),
            Command::Registrations { aor } => ask(config, json, client::Task::Registrations(aor)),
            Command::Nodes => ask(config, json, client::Task::Nodes),
            Command::Explain { to, from } => ask(config, json, client::Task::Explain { to, from }),
            Command::Trace { call, messages } => {
                ask(config, json, client::Task::Trace { call, messages })
            }
            Command::Bans => ask(config, json, client::Task::Bans),
            Command::Ban { source, seconds } => {
                let ban_ms = seconds.map(|seconds| seconds.saturating_mul(1000));
                ask(config, json, client::Task::Ban { source, ban_ms })
            }
            Command::Unban { source } => ask(config, json, client::Task::Unban(source)),
            Command::Originate {
                from,
                to,
                timeout,
                key,
                watch,
            } => {
                let timeout_ms = timeout.map(|seconds| seconds.saturating_mul(1000));
                let task = client::Task::Originate {
                    from,
                    to,
                    timeout_ms,
                    key,
                    watch,
                };
                ask(config, json, task)
            }
            Command::Hangup { call } => ask(config, json, client::Task::Hangup(call)),
        }
    }
}

/// The exit code of a wrong configuration.
const WRONG: u8 = 2;

/// The file that counts: the one given, or `ifbus.toml` here; none is the demo.
fn file(given: Option<PathBuf>) -> Option<PathBuf> {
    given.or_else(|| Some(PathBuf::from("ifbus.toml")).filter(|file| file.exists()))
}

fn read(given: Option<PathBuf>) -> Result<(Config, Option<PathBuf>), ExitCode> {
    let Some(file) = file(given) else {
        return Ok((run::demo(), None));
    };
    match config::load(&file) {
        Ok(loaded) => {
            for warning in loaded.warnings.iter() {
                console::complain(warning);
            }
            Ok((loaded.config, Some(file)))
        }
        Err(mistakes) => {
            print(&mistakes);
            Err(ExitCode::from(WRONG))
        }
    }
}

fn print(mistakes: &Diagnostics) {
    for mistake in mistakes.iter() {
        console::complain(mistake);
    }
}

fn check(given: Option<PathBuf>, json: bool) -> ExitCode {
    let Some(file) = file(given) else {
        console::say("no ifbus.toml here: `ifbus run` starts the built-in loopback demo");
        return ExitCode::SUCCESS;
    };
    let findings = match config::load(&file) {
        Ok(loaded) => {
            let mut findings = loaded.warnings;
            for finding in &actors::check_certificates(&loaded.config) {
                findings.push(finding.clone());
            }
            findings
        }
        Err(mistakes) => mistakes,
    };
    for finding in findings.iter() {
        if json {
            console::say(serde_json::json!(finding));
        } else {
            console::say(finding);
        }
    }
    if findings.has_errors() {
        return ExitCode::from(WRONG);
    }
    if !json {
        console::say(format_args!("{}: good", file.display()));
    }
    ExitCode::SUCCESS
}

fn schema(name: Option<&str>, list: bool) -> ExitCode {
    let documents = bus_schema::generate();
    if list {
        for document in &documents {
            console::say(short_name(&document.path));
        }
        return ExitCode::SUCCESS;
    }
    let wanted = name.unwrap_or("asyncapi");
    let Some(document) = documents
        .iter()
        .find(|document| short_name(&document.path) == wanted)
    else {
        console::complain("no such schema; `ifbus schema --list` names them all");
        return ExitCode::FAILURE;
    };
    console::say(document.text.trim_end());
    ExitCode::SUCCESS
}

/// `call.ended` of `schemas/v1/call.ended.json`.
fn short_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".json").unwrap_or(file)
}

fn ask(given: Option<PathBuf>, json: bool, task: client::Task) -> ExitCode {
    let config = match file(given) {
        None => Config::default(),
        Some(file) => match config::load(&file) {
            Ok(loaded) => loaded.config,
            Err(mistakes) => {
                print(&mistakes);
                return ExitCode::from(WRONG);
            }
        },
    };
    telemetry::quiet();
    client::run(&config, json, task)
}
