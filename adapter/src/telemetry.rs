//! The log: text or JSON, on standard error.

use std::io::IsTerminal;

use config::{Log, LogFormat, LogLevel};
use tracing_subscriber::{EnvFilter, fmt};

/// Libraries whose own chatter is not for operators.
const QUIET: [&str; 5] = [
    "async_nats=warn",
    "rustls=warn",
    "sled=warn",
    "tokio_tungstenite=warn",
    "tungstenite=warn",
];

/// Starts the log as configured; `IFBUS_LOG` (tracing's filter syntax) has the last word.
pub(crate) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let filter = EnvFilter::try_from_env("IFBUS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // Not even when asked: at their most talkative these show whole frames, credentials and all.
    let filter = QUIET
        .iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // A second start in one process keeps the first log.
    started.ok();
}

/// For commands whose output is the point: nothing but errors.
pub(crate) fn quiet() {
    start(&Log {
        format: LogFormat::Text,
        level: LogLevel::Error,
    });
}
