//! The log: text or JSON, on standard error.

mod lines;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io,
    io::IsTerminal,
    panic,
};

use config::{Log, LogFormat, LogLevel};
use tracing_subscriber::{
    EnvFilter, fmt,
    fmt::{MakeWriter, writer::BoxMakeWriter},
};

pub(crate) use lines::Flush;
use lines::Lines;

/// Libraries whose own chatter is not for operators.
const QUIET: [&str; 5] = [
    "async_nats=warn",
    "rustls=warn",
    "sled=warn",
    "tokio_tungstenite=warn",
    "tungstenite=warn",
];

/// Starts the log as configured; `IFBUS_LOG` (tracing's filter syntax) has the last word. What it
/// gives back is held to the end of the process.
pub(crate) fn start(log: &Log) -> Option<Flush> {
    let (writer, flush) = match Lines::start(io::stderr()) {
        Ok((lines, flush)) => (BoxMakeWriter::new(lines), Some(flush)),
        Err(_) => (BoxMakeWriter::new(io::stderr), None),
    };
    write_to(log, writer);
    panic::set_hook(Box::new(|panic| {
        // A text that was put together may hold words of a message, credentials and all.
        let why = panic.payload().downcast_ref::<&'static str>();
        let at = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        // With RUST_BACKTRACE; of names and places alone.
        let backtrace = Backtrace::capture();
        let way = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(at, why, thread = thread.name(), way, "panic: a bug");
    }));
    flush
}

fn write_to(log: &Log, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) {
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
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal())
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
    let log = Log {
        format: LogFormat::Text,
        level: LogLevel::Error,
    };
    write_to(&log, io::stderr);
}
