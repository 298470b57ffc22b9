//! What the bus has still to get: the newest entries from memory, older ones from the segments.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::reader::Reader;
use super::record::Record;

/// The journal's side that faces the publisher.
pub struct Outbox {
    dir: PathBuf,
    ring: Mutex<Ring>,
    fresh: Notify,
    acknowledged: AtomicU64,
    limit: Limit,
}

#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

#[derive(Default)]
struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    /// Entries below this may be published.
    horizon: u64,
    closed: bool,
}

/// Where entries were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In memory: `n` were put into the buffer.
    Memory(usize),
    /// They are older than what memory holds: read the segments with [`Outbox::reader`], up to, not
    /// including, this position.
    Segments(u64),
    /// There is nothing to publish at or after the position.
    Nothing,
    /// Nor will there be: the journal is closed.
    Closed,
}

impl Outbox {
    pub(super) fn new(dir: PathBuf, limit: Limit, next: u64, acknowledged: u64) -> Self {
        Self {
            dir,
            ring: Mutex::new(Ring {
                horizon: next,
                ..Ring::default()
            }),
            fresh: Notify::new(),
            acknowledged: AtomicU64::new(acknowledged),
            limit,
        }
    }

    /// Takes up to `most` entries from `position` on. Entries before it are forgotten by memory.
    pub fn take(&self, position: u64, most: usize, into: &mut Vec<Record>) -> Source {
        let mut ring = self.ring.lock();
        if position >= ring.horizon {
            return if ring.closed {
                Source::Closed
            } else {
                Source::Nothing
            };
        }
        while ring
            .records
            .front()
            .is_some_and(|oldest| oldest.position < position)
        {
            ring.drop_oldest();
        }
        if ring
            .records
            .front()
            .is_none_or(|oldest| oldest.position > position)
        {
            return Source::Segments(ring.horizon);
        }
        let before = into.len();
        while into.len() - before < most
            && ring
                .records
                .front()
                .is_some_and(|oldest| oldest.position < ring.horizon)
        {
            into.extend(ring.drop_oldest());
        }
        Source::Memory(into.len() - before)
    }

    /// Waits until [`Outbox::take`] may have more to give.
    pub async fn fresh(&self) {
        self.fresh.notified().await;
    }

    /// Reads the segments from `position` on.
    pub fn reader(&self, position: u64) -> Reader {
        Reader::new(&self.dir, position)
    }

    /// Entries below this may be published.
    pub fn horizon(&self) -> u64 {
        self.ring.lock().horizon
    }

    /// Says that the bus has everything below `position`; older segments may go.
    pub fn acknowledge(&self, position: u64) {
        self.acknowledged.fetch_max(position, Ordering::Relaxed);
    }

    /// The bus has everything below this.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Entries that may be published and are not yet with the bus.
    pub fn unpublished(&self) -> u64 {
        self.horizon().saturating_sub(self.acknowledged())
    }

    pub(super) fn push(&self, records: impl Iterator<Item = Record>) {
        let mut ring = self.ring.lock();
        for record in records {
            ring.bytes += record.size();
            ring.records.push_back(record);
        }
        while ring.records.len() > self.limit.entries || ring.bytes > self.limit.bytes {
            let _oldest = ring.drop_oldest();
        }
    }

    pub(super) fn release(&self, horizon: u64) {
        let mut ring = self.ring.lock();
        if horizon <= ring.horizon {
            return;
        }
        ring.horizon = horizon;
        drop(ring);
        self.fresh.notify_one();
    }

    pub(super) fn close(&self) {
        self.ring.lock().closed = true;
        self.fresh.notify_one();
    }
}

impl Ring {
    fn drop_oldest(&mut self) -> Option<Record> {
        let oldest = self.records.pop_front()?;
        self.bytes -= oldest.size();
        Some(oldest)
    }
}
