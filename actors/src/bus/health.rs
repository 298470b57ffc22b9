//! How the bus fares, for `/health`, the metrics, and the honest word about a gap.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::Clock;

/// A time in which nothing could be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When the bus was last heard, in milliseconds since 1970.
    pub since_ms: u64,
    /// When it was heard again.
    pub until_ms: u64,
    /// Events that were kept and have been published late, in order.
    pub delayed: u64,
    /// Events that are lost: no longer in the journal, or refused by the bus for good.
    pub dropped: u64,
}

/// Who says it on the bus: appends `bus.gap` to the journal.
pub trait GapSink: Send + Sync + 'static {
    /// The gap is over and everything kept has been published. Called from a bus task.
    fn gap(&self, gap: Gap);
}

/// How the bus fares.
#[derive(Debug)]
pub struct Health {
    clock: Clock,
    events_up: AtomicBool,
    commands_up: AtomicBool,
    heard_ms: AtomicU64,
    published: AtomicU64,
    dropped: AtomicU64,
}

impl Health {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            events_up: AtomicBool::new(false),
            commands_up: AtomicBool::new(false),
            heard_ms: AtomicU64::new(clock.unix_ms()),
            published: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Events are being published.
    pub fn events_up(&self) -> bool {
        self.events_up.load(Ordering::Relaxed)
    }

    /// Commands can arrive.
    pub fn commands_up(&self) -> bool {
        self.commands_up.load(Ordering::Relaxed)
    }

    /// When the bus last acknowledged something, in milliseconds since 1970.
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    /// Events published and, with JetStream, acknowledged since the start.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Events lost since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn set_events_up(&self, up: bool) {
        self.events_up.store(up, Ordering::Relaxed);
        metrics::gauge!("ifbus_bus_up", "link" => "events").set(f64::from(u8::from(up)));
    }

    pub(super) fn set_commands_up(&self, up: bool) {
        self.commands_up.store(up, Ordering::Relaxed);
        metrics::gauge!("ifbus_bus_up", "link" => "commands").set(f64::from(u8::from(up)));
    }

    pub(super) fn heard(&self) {
        self.heard_ms.store(self.clock.unix_ms(), Ordering::Relaxed);
    }

    pub(super) fn add_published(&self, events: u64) {
        self.published.fetch_add(events, Ordering::Relaxed);
        metrics::counter!("ifbus_bus_published_total").increment(events);
    }

    pub(super) fn add_dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
        metrics::counter!("ifbus_bus_dropped_total").increment(events);
    }
}
