//! The process itself: its name, its state, its log, its HTTP port.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::section::{Misfit, Section};

/// `[node]`: who this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node's name on the bus: letters, digits, `_` and `-`.
    pub id: String,
    /// The journal, the store, the generated certificate and `bus.json`.
    pub state_dir: PathBuf,
}

impl Node {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let id = section
            .text_if("id", subject_token)
            .unwrap_or("n1")
            .to_owned();
        let state_dir = section.path("state_dir");
        Self {
            id,
            state_dir: state_dir.unwrap_or_else(|| section.page().path("state")),
        }
    }
}

/// A name that becomes one token of a bus subject.
pub(crate) fn subject_token(text: &str) -> Result<(), Misfit> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(());
    }
    Err(Misfit::new(
        "is no name for the bus",
        "write 1 to 64 letters, digits, `_` or `-`",
    ))
}

/// `[log]`: how the program speaks to its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Plain lines.
    Text,
    /// One JSON object a line.
    Json,
}

/// Severity of log lines, from the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something is lost.
    Error,
    /// Something will be lost if nobody looks.
    Warn,
    /// What an operator wants to know on a normal day.
    Info,
    /// Each decision.
    Debug,
    /// Each message.
    Trace,
}

impl Log {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let format = section.word(
            "format",
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        );
        let level = section.word(
            "level",
            &[
                ("error", LogLevel::Error),
                ("warn", LogLevel::Warn),
                ("info", LogLevel::Info),
                ("debug", LogLevel::Debug),
                ("trace", LogLevel::Trace),
            ],
        );
        Self {
            format: format.unwrap_or(LogFormat::Text),
            level: level.unwrap_or(LogLevel::Info),
        }
    }
}

/// `[http]`: health, metrics and console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it listens; `None` when the file says `addr = "off"`.
    pub addr: Option<SocketAddr>,
}

impl Http {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let addr = section.read("addr", |value| match value.as_str() {
            Some("off") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| address_misfit()),
            None => Err(address_misfit()),
        });
        let addr = addr.unwrap_or_else(|| Some(SocketAddr::from(([127, 0, 0, 1], 8090))));
        if addr.is_some_and(|addr| !addr.ip().is_loopback()) {
            section.warn(
                "addr",
                "health, metrics and console are reachable from other machines without a password",
                "listen on 127.0.0.1, or let a firewall decide who may ask",
            );
        }
        Self { addr }
    }
}

fn address_misfit() -> Misfit {
    Misfit::new(
        "is no socket address",
        "write \"127.0.0.1:8090\", \"[::1]:8090\" or \"off\"",
    )
}

/// `[cluster]`: only one node for now, so the section has nothing to keep.
pub(crate) fn read_cluster(section: &mut Section<'_>) {
    if section.flag("enabled") == Some(true) {
        section.error(
            "enabled",
            "several nodes are not supported yet",
            "remove the key: one node keeps all state on its own disk",
        );
    }
    if section
        .word("on_bus_loss", &[("strict", ()), ("hold", ())])
        .is_some()
    {
        section.warn(
            "on_bus_loss",
            "has no effect on a single node",
            "remove the key",
        );
    }
}
