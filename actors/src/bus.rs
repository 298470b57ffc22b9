//! The bus: NATS, seen from the arbiters as two hand-overs that never wait.
//!
//! Events go out through the journal's outbox; a task of ours publishes them in order, keeps what
//! was not acknowledged, and publishes it again after a loss. Commands come in through a
//! [`CommandSink`]; each carries the handle that answers it.

mod backoff;
mod commands;
mod flight;
mod health;
mod link;
mod presence;
mod publisher;
mod service;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::commands::{CommandSink, Reply, Request, Responder};
pub use self::health::{Gap, GapSink, Health};
pub use self::link::{Address, LinkError};
pub use self::presence::{PresenceError, another_adapter};
pub use self::publisher::published;

use crate::clock::Clock;
use crate::fault::{Part, tend};
use crate::journal::Outbox;
use crate::store::Store;

/// What the bus needs to know of the node.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the server is, and how we log in.
    pub address: Address,
    /// Whose node this is: one subject token.
    pub tenant: String,
    /// The node's name: one subject token.
    pub node: String,
    /// The adapter's version, shown by the micro service: `1.2.3`.
    pub version: String,
    /// True: other adapters of the tenant are expected.
    pub clustered: bool,
    /// Whether events are kept in a stream and acknowledged.
    pub events: config::Events,
    /// The shards whose calls live here. `None`: all of them.
    pub shards: Option<Vec<u8>>,
    /// Commands taken and not yet answered; beyond, they are refused at once.
    pub in_flight: usize,
    /// Where the jitter of waits begins.
    pub seed: u64,
}

/// What the bus works with.
pub struct Parts {
    /// What is to be published; `None`: nothing.
    pub outbox: Option<Arc<Outbox>>,
    /// Where the cursor is kept.
    pub store: Arc<dyn Store>,
    /// The process's clock.
    pub clock: Clock,
    /// Who takes commands.
    pub commands: Arc<dyn CommandSink>,
    /// Who says that the bus was gone for a time.
    pub gaps: Arc<dyn GapSink>,
}

/// The running bus.
pub struct Bus {
    stop: watch::Sender<bool>,
    ready: watch::Sender<bool>,
    health: Arc<Health>,
    publisher: Option<JoinHandle<()>>,
    commands: JoinHandle<()>,
}

impl Bus {
    /// Starts the tasks on `runtime` and returns at once; connecting goes on for as long as it
    /// takes. Commands are taken from [`Bus::ready`] on.
    pub fn start(options: Options, parts: Parts, runtime: &Handle) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (ready, readiness) = watch::channel(false);
        let health = Arc::new(Health::new(parts.clock));
        let Parts {
            outbox,
            store,
            clock,
            commands,
            gaps,
        } = parts;
        let publisher = outbox.map(|outbox| {
            let (options, stopped) = (options.clone(), stopped.clone());
            let mut parts = publisher::Parts {
                cursor: published(&*store),
                outbox,
                store,
                clock,
                gaps,
                health: Arc::clone(&health),
            };
            runtime.spawn(tend(Part::Publisher, move || {
                // Begun again, it sends once more what was not confirmed.
                parts.cursor = parts.cursor.max(parts.outbox.acknowledged());
                let publisher = publisher::Publisher::new(&options, parts.clone());
                publisher.run(stopped.clone())
            }))
        });
        let listening = Arc::clone(&health);
        let commands = runtime.spawn(tend(Part::Commands, move || {
            let (sink, health) = (Arc::clone(&commands), Arc::clone(&listening));
            let commands = commands::Commands::new(options.clone(), sink, health, clock);
            commands.run(readiness.clone(), stopped.clone())
        }));
        Self {
            stop,
            ready,
            health,
            publisher,
            commands,
        }
    }

    /// Says whether this node takes commands: not before it is up, not while it drains. Commands to
    /// calls that live here are always taken once it was up.
    pub fn ready(&self, ready: bool) {
        self.ready.send_replace(ready);
    }

    /// How the bus fares.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Publishes what is left (the journal should be closed by now) for at most `patience`, then
    /// ends.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.send_replace(true);
        if let Some(publisher) = &mut self.publisher
            && tokio::time::timeout(patience, &mut *publisher)
                .await
                .is_err()
        {
            tracing::warn!("the bus did not take the last events; they are in the journal");
            publisher.abort();
        }
        self.commands.abort();
    }
}
