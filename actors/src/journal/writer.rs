//! The journal's thread: takes what the arbiters pushed, encodes, chains, writes, seals and syncs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ed25519_dalek::{Signer, SigningKey};

use super::Options;
use super::entry::{Draft, Entry};
use super::open::Tail;
use super::outbox::Outbox;
use super::queue::{Item, Order, Patience, Queue};
use super::record::{self, HASH, Hash, PREFIX, Record, Seal};
use super::segment::{self, Header};
use crate::ack::{Notice, Settlement};
use crate::clock::Clock;
use crate::fault::{Part, contain};
use crate::limit::refused;

/// A disk that needs long for a sync gets that much more rest between two.
const REST_PER_SYNC: u32 = 4;
/// While few events come they are looked for this often, and with more ever less often, up to
/// [`Options::gather`]: a wake-up costs more than the events it finds.
const SHORTEST_GATHER: Duration = Duration::from_millis(2);
const MANY: usize = 8;
const FEW: usize = 4;
const LONGEST_REST: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    options: Options,
    key: SigningKey,
    clock: Clock,
    queue: Arc<Queue>,
    outbox: Arc<Outbox>,
    _lock: File,
    file: File,
    path: PathBuf,
    header: Header,
    /// What the segment has for certain, and what is being added to it.
    written: Mark,
    ahead: Mark,
    sealed: u64,
    /// The file cannot be trusted to end where it should: begin another before the next write.
    spoilt: bool,
    draft: Draft,
    buffer: BytesMut,
    spans: Vec<(u64, usize, usize)>,
    waiting: Settlement,
    pace: Pace,
}

/// A place in the journal.
#[derive(Clone, Copy)]
struct Mark {
    bytes: u64,
    next: u64,
    chain: Hash,
}

/// When the next sync is due.
#[derive(Default)]
struct Pace {
    /// The first entry that must not be published before a sync.
    held: Option<u64>,
    hurried: bool,
    /// Since when something is unsynced.
    since: Option<Duration>,
    last_end: Duration,
    last_cost: Duration,
}

impl Pace {
    fn due(&self, options: &Options) -> Option<Duration> {
        let since = self.since?;
        let rest = (self.last_cost * REST_PER_SYNC).min(LONGEST_REST);
        if self.hurried {
            Some(self.last_end + options.sync_hurried.max(rest))
        } else if self.held.is_some() {
            Some(self.last_end + options.sync.max(rest))
        } else {
            Some(since + options.sync.max(rest))
        }
    }
}

impl Writer {
    pub(super) fn new(
        options: Options,
        key: SigningKey,
        clock: Clock,
        queue: Arc<Queue>,
        outbox: Arc<Outbox>,
        tail: Tail,
    ) -> Self {
        let mark = Mark {
            bytes: tail.bytes,
            next: tail.next,
            chain: tail.chain,
        };
        let mut pace = Pace::default();
        if tail.sealed < tail.next {
            // The last run's unsealed entries are sealed first of all.
            pace.since = Some(Duration::ZERO);
        }
        Self {
            options,
            key,
            clock,
            queue,
            outbox,
            _lock: tail.lock,
            file: tail.file,
            path: tail.path,
            header: tail.header,
            written: mark,
            ahead: mark,
            sealed: tail.sealed,
            spoilt: false,
            draft: Draft::default(),
            buffer: BytesMut::new(),
            spans: Vec::new(),
            waiting: Settlement::default(),
            pace,
        }
    }

    pub(super) fn run(mut self) {
        let mut items: Vec<Item> = Vec::new();
        let mut busy = false;
        let mut gather = SHORTEST_GATHER;
        loop {
            let until = self
                .pace
                .due(&self.options)
                .map(|due| due.saturating_sub(self.clock.mono()));
            let patience = if busy {
                Patience::Gather(until.map_or(gather, |until| until.min(gather)))
            } else {
                Patience::Idle(until)
            };
            let visit = self.queue.take(&mut items, &patience);
            if visit.lost > 0 {
                metrics::counter!("ifbus_journal_lost_total").increment(visit.lost);
            }
            busy = !items.is_empty();
            if items.len() >= MANY {
                gather = (gather * 2).min(self.options.gather);
            } else if items.len() < FEW {
                gather = (gather / 2).max(SHORTEST_GATHER);
            }
            // A little early saves the wake-up it would cost to be in time.
            let slack = if busy { gather / 4 } else { Duration::ZERO };
            // From the end, so that what a panic leaves is what was not added.
            items.reverse();
            let worked = contain(Part::Journal, || self.work(&mut items, slack, visit.closed));
            if worked.is_none() {
                contain(Part::Journal, || self.lose(&mut items));
            }
            if visit.closed && !busy {
                break;
            }
        }
        self.outbox.close();
    }

    fn work(&mut self, items: &mut Vec<Item>, slack: Duration, closed: bool) {
        while let Some(item) = items.pop() {
            match item {
                Item::Entry(entry, order) => self.add(&*entry, order),
                Item::Mark(notice) => self.mark(notice),
            }
        }
        let now = self.clock.mono();
        let due = self
            .pace
            .due(&self.options)
            .is_some_and(|due| due <= now + slack);
        if due || (closed && self.pace.since.is_some()) {
            self.commit();
        } else {
            self.flush();
        }
    }

    /// After a panic: what is not in the file for certain is lost; whoever waits for it is told.
    fn lose(&mut self, items: &mut Vec<Item>) {
        let entries = items.iter().filter(|item| matches!(item, Item::Entry(..)));
        metrics::counter!("ifbus_journal_lost_total").increment(entries.count() as u64);
        for item in items.drain(..) {
            match item {
                Item::Entry(_, Order::Tell(notice)) | Item::Mark(notice) => {
                    self.waiting.add(notice);
                }
                Item::Entry(_, Order::Relaxed | Order::SyncFirst) => {}
            }
        }
        self.buffer.clear();
        self.undo(&io::Error::other("a bug"));
    }

    /// Encodes one entry behind the others.
    fn add(&mut self, entry: &dyn Entry, order: Order) {
        self.draft.clear();
        let draft = &mut self.draft;
        let encoded = contain(Part::Journal, || entry.encode(draft)).is_some();
        let start = self.buffer.len();
        let put = encoded
            .then(|| record::put_entry(&mut self.buffer, &mut self.ahead.chain, &self.draft))
            .flatten();
        if put.is_none() {
            metrics::counter!("ifbus_journal_lost_total").increment(1);
            tracing::error!(
                subject = self.draft.subject,
                encoded,
                "an entry cannot be journalled"
            );
            if let Order::Tell(notice) = order {
                notice.sink.settle(&[crate::ack::Ack {
                    token: notice.token,
                    durable: false,
                }]);
            }
            return;
        }
        let position = self.ahead.next;
        self.spans.push((position, start, self.buffer.len()));
        self.ahead.next += 1;
        match order {
            Order::Relaxed => {}
            Order::SyncFirst => self.pace.held = self.pace.held.or(Some(position)),
            Order::Tell(notice) => {
                self.pace.held = self.pace.held.or(Some(position));
                self.pace.hurried = true;
                self.waiting.add(notice);
            }
        }
        if self.pace.since.is_none() {
            self.pace.since = Some(self.clock.mono());
        }
    }

    /// Somebody waits for what has been added, with the next sync.
    fn mark(&mut self, notice: Notice) {
        self.waiting.add(notice);
        if self.pace.since.is_none() {
            self.waiting.settle(true);
        }
    }

    /// Writes what has been added, and lets the publisher have what need not wait.
    fn flush(&mut self) {
        if self.write() {
            self.outbox
                .release(self.pace.held.unwrap_or(self.written.next));
        }
    }

    /// Seals and syncs everything, tells whoever waits, and lets the publisher have it all.
    fn commit(&mut self) {
        let seal = Seal {
            first: self.sealed,
            next: self.ahead.next,
            unix_ms: self.clock.unix_ms(),
        };
        let signature = self.key.sign(&seal.statement(&self.ahead.chain)).to_bytes();
        seal.put(&mut self.buffer, &mut self.ahead.chain, &signature);
        let began = self.clock.mono();
        let written = self.write();
        if written {
            self.sealed = self.written.next;
        }
        let durable = written && self.sync();
        let now = self.clock.mono();
        self.pace = Pace {
            last_end: now,
            last_cost: now - began,
            ..Pace::default()
        };
        self.waiting.settle(durable);
        self.outbox.release(self.written.next);
        if durable && self.written.bytes >= self.options.segment_bytes {
            self.spoilt = self.turn().is_err();
            self.retire();
        }
    }

    /// Brings the buffer into the file. On failure the entries in it are lost, and counted.
    fn write(&mut self) -> bool {
        if self.buffer.is_empty() {
            return true;
        }
        let bytes = self.buffer.split().freeze();
        let written = self.heal().and_then(|()| self.file.write_all(&bytes));
        if let Err(error) = written {
            self.undo(&error);
            return false;
        }
        self.ahead.bytes += bytes.len() as u64;
        self.written = self.ahead;
        let records = self.spans.drain(..).filter_map(|(position, start, end)| {
            // Length and kind before the payload, the hash behind it.
            Record::new(position, bytes.slice(start + PREFIX + 1..end - HASH))
        });
        self.outbox.push(records);
        true
    }

    fn sync(&mut self) -> bool {
        match self.file.sync_data() {
            Ok(()) => true,
            Err(error) => {
                // After a failed sync the kernel may have forgotten what was not written.
                tracing::error!(%error, "the journal's sync failed");
                metrics::counter!("ifbus_journal_sync_failed_total").increment(1);
                self.spoilt = true;
                false
            }
        }
    }

    fn undo(&mut self, error: &io::Error) {
        let lost = self.spans.len() as u64;
        tracing::error!(%error, lost, "the journal cannot be written");
        metrics::counter!("ifbus_journal_lost_total").increment(lost);
        self.spans.clear();
        self.ahead = self.written;
        self.spoilt = self.file.set_len(self.written.bytes).is_err();
        self.waiting.settle(false);
        self.pace = Pace {
            last_end: self.clock.mono(),
            ..Pace::default()
        };
    }

    fn heal(&mut self) -> io::Result<()> {
        if self.spoilt {
            // The entries in the buffer were chained to the same hash that the new header carries.
            self.turn()?;
            self.spoilt = false;
        }
        Ok(())
    }

    /// Begins the next segment.
    fn turn(&mut self) -> io::Result<()> {
        if self.written.next == self.header.first {
            return self.file.set_len(self.written.bytes);
        }
        let header = Header {
            first: self.written.next,
            chain: self.written.chain,
            ..self.header
        };
        let (file, path) = segment::create(&self.options.dir, header)?;
        let bytes = segment::HEADER as u64;
        (self.file, self.path, self.header) = (file, path, header);
        self.written.bytes = bytes;
        self.ahead.bytes = bytes;
        Ok(())
    }

    /// Deletes the oldest segments past the bound.
    fn retire(&mut self) {
        let Ok(segments) = segment::list(&self.options.dir) else {
            return;
        };
        let mut total: u64 = segments.iter().map(|segment| segment.bytes).sum();
        for pair in segments.windows(2) {
            let [oldest, next] = pair else { return };
            if total <= self.options.retain_bytes || oldest.path == self.path {
                return;
            }
            if next.first > self.outbox.acknowledged() {
                tracing::error!(
                    from = oldest.first,
                    to = next.first,
                    "unpublished entries deleted"
                );
                refused("journal_mbytes");
            }
            match fs::remove_file(&oldest.path) {
                Ok(()) => total -= oldest.bytes,
                Err(error) => {
                    tracing::error!(%error, path = %oldest.path.display(), "segment not deleted");
                    return;
                }
            }
        }
    }
}
