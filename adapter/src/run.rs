//! `ifbus run`: a node from its start to its end.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use actors::{Changes, Node, StartError};
use config::{Config, Limits, Secret};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::signal::unix::{SignalKind, signal};

use crate::{console, http, telemetry, web};

/// The loopback demo, with passwords drawn for this start.
pub(crate) fn demo() -> Config {
    let passwords: [Secret; 4] = std::array::from_fn(|_| Secret::new(actors::random_password()));
    Config::demo(&passwords)
}

/// Runs until a signal. 0: ended as asked; 1: it did not start.
pub(crate) fn run(config: Config, file: Option<PathBuf>) -> ExitCode {
    let log = telemetry::start(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(actors::shared_threads())
        .thread_name("shared")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let served = runtime.block_on(serve(config, file));
    // What was logged stands before what is complained of.
    drop(log);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    console::complain(format_args!("ifbus: {error}"));
    ExitCode::FAILURE
}

async fn serve(config: Config, file: Option<PathBuf>) -> Result<(), StartError> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // Only a second node in one process would find one installed.
    metrics::set_global_recorder(recorder).ok();
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Io)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(StartError::Io)?;

    let page = match config.http.addr {
        Some(addr) => {
            let bound = http::bind(addr).await;
            Some(bound.map_err(|source| StartError::Bind {
                what: "http".into(),
                addr,
                source,
            })?)
        }
        None => None,
    };
    let node = Arc::new(Node::start(&config, file.clone(), Arc::new(web::asset)).await?);
    if let Some(listener) = page {
        let pages = http::Pages {
            node: node.clone(),
            metrics,
        };
        tokio::spawn(http::serve(listener, pages));
    }
    if file.is_none() {
        welcome(&config);
    }
    let drain = Limits::ms(config.limits.drain_ms);
    // The node has its own.
    drop(config);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = node.drained() => return end(&node, Duration::ZERO).await,
            _ = hangup.recv() => reload(&node, file.as_deref()),
        }
    }
    tracing::info!(calls = node.calls(), "draining");
    tokio::select! {
        ended = end(&node, drain) => ended,
        // A second signal means now.
        _ = interrupt.recv() => end(&node, Duration::ZERO).await,
        _ = terminate.recv() => end(&node, Duration::ZERO).await,
    }
}

async fn end(node: &Node, within: Duration) -> Result<(), StartError> {
    node.drain(within).await;
    node.stop().await;
    Ok(())
}

fn reload(node: &Node, file: Option<&Path>) {
    let Some(file) = file else { return };
    match node.reload(file) {
        Ok(Changes { taken, waiting }) => {
            let taken = taken.join(" ");
            tracing::info!(changed = taken, "configuration read again");
            if !waiting.is_empty() {
                let keys = waiting.join(" ");
                tracing::warn!(keys, "changed, and in force after a restart");
            }
        }
        Err(mistakes) => {
            for mistake in mistakes.iter() {
                tracing::error!(%mistake, "configuration not taken");
            }
        }
    }
}

/// What a newcomer needs to know to make the first call.
fn welcome(config: &Config) {
    let mut lines = vec![
        String::new(),
        "The loopback demo is up. Its users:".to_owned(),
    ];
    for (user, domain, credential) in config.users.iter() {
        let password = credential.password.map_or("", Secret::reveal);
        lines.push(format!("  {user}@{domain}   password {password}"));
    }
    lines.push("Register a phone at 127.0.0.1:5060 (UDP or TCP), or a browser:".to_owned());
    lines.push("  https://127.0.0.1:8443/phone   (accept the certificate once)".to_owned());
    lines.push(
        "  http://127.0.0.1:8080/phone    (no certificate needed on this machine)".to_owned(),
    );
    // As it was started here, it can be started in another terminal of the same folder.
    let ifbus = std::env::args().next().unwrap_or_else(|| "ifbus".into());
    lines.push("Then, in another terminal in this folder:".to_owned());
    lines.push(format!("  {ifbus} watch"));
    lines.push(format!(
        "  {ifbus} originate 1001@example.test 1002@example.test --watch"
    ));
    lines.push("Health and metrics: http://127.0.0.1:8090/readyz, /metrics".to_owned());
    for line in lines {
        console::say(line);
    }
}
