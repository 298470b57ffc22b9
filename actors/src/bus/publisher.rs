//! Publishes the journal's outbox: in order, again after a loss, and never waiting on anything that
//! an arbiter waits for.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use config::Events;
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::backoff::Backoff;
use super::flight::{Flight, Verdict};
use super::health::{Gap, GapSink, Health};
use super::link::{Address, Link};
use super::{Options, stream};
use crate::clock::Clock;
use crate::journal::{Outbox, Reader, Record, Source, Step};
use crate::store::{Store, Tree};

/// Entries and bytes sent and not confirmed.
const WINDOW: usize = 1024;
const WINDOW_BYTES: usize = 8 << 20;
/// The stream that answers nothing for this long is taken for lost.
const SILENCE: Duration = Duration::from_secs(10);
/// The bus refuses an entry this often before it is given up.
const REFUSALS: u32 = 8;
const TICK: Duration = Duration::from_millis(500);
/// The saved cursor is this much behind: what the server had acknowledged and not synced when the
/// machine lost its power is published again. The stream knows the rest by its `Nats-Msg-Id`.
const CURSOR_LAG: Duration = Duration::from_secs(5);
const CURSOR_KEY: &[u8] = b"bus";

/// Below this position the bus has everything, as the store remembers it.
pub fn published(store: &dyn Store) -> u64 {
    let mut cursor = 0;
    let scanned = store.scan(Tree::Cursor, &mut |key, _format, value| {
        if key == CURSOR_KEY {
            cursor = value.try_into().map_or(0, u64::from_be_bytes);
        }
    });
    if let Err(error) = scanned {
        tracing::error!(%error, "the bus gets everything in the journal once more");
    }
    cursor
}

#[derive(Clone)]
pub(super) struct Parts {
    pub(super) outbox: Arc<Outbox>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) gaps: Arc<dyn GapSink>,
    pub(super) health: Arc<Health>,
    pub(super) cursor: u64,
}

pub(super) struct Publisher {
    address: Address,
    events: Events,
    parts: Parts,
    backoff: Backoff,
    flight: Flight,
    fetched: Vec<Record>,
    /// The next entry to fetch from the outbox.
    next: u64,
    reader: Option<Reader>,
    saved: u64,
    /// What was confirmed, and when, since the cursor was saved last.
    trail: VecDeque<(Duration, u64)>,
    outage: Option<Outage>,
    refusals: (u64, u32),
}

/// The bus is gone, or was and is not told yet.
struct Outage {
    since_ms: u64,
    dropped_before: u64,
    /// Once it is back: when, and how far the journal was then.
    back: Option<(u64, u64)>,
    delayed: u64,
}

/// Why a connection was left.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the connection is lost")]
    Lost,
    #[error("no acknowledgement for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the stream refuses: {0}")]
    Refused(String),
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] io::Error),
    #[error("stopped")]
    Stopped,
}

impl Publisher {
    pub(super) fn new(options: &Options, parts: Parts) -> Self {
        Self {
            address: options.address.clone(),
            events: options.events,
            backoff: Backoff::new(options.seed),
            flight: Flight::default(),
            fetched: Vec::new(),
            next: parts.cursor,
            reader: None,
            saved: parts.cursor,
            trail: VecDeque::new(),
            outage: None,
            refusals: (0, 0),
            parts,
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let end = match self.connect().await {
                Ok((link, acks)) => self.serve(link, acks, &mut stop).await,
                Err(why) => why,
            };
            self.parts.health.set_events_up(false);
            if matches!(end, End::Stopped) {
                // All was taken, and the server has its own orderly end before it.
                self.save(self.position());
                return;
            }
            if self.outage.is_none() {
                tracing::warn!(%end, "events wait in the journal");
                self.outage = Some(Outage {
                    since_ms: self.parts.health.heard_ms(),
                    dropped_before: self.parts.health.dropped(),
                    back: None,
                    delayed: 0,
                });
            } else {
                tracing::debug!(%end, "the bus is still gone");
            }
            if let Some(outage) = &mut self.outage {
                outage.back = None;
            }
            let wait = self.backoff.wait();
            tokio::select! {
                () = sleep(wait) => {}
                // Nobody to publish to: what is left stays in the journal.
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn connect(&self) -> Result<(Link, Acks), End> {
        let refused = |error: &dyn std::fmt::Display| End::Refused(error.to_string());
        let link = self
            .address
            .connect_once("events")
            .await
            .map_err(|e| refused(&e))?;
        if self.events == Events::Core {
            return Ok((
                link,
                Acks {
                    prefix: String::new(),
                    messages: None,
                },
            ));
        }
        stream::ensure(&link.client)
            .await
            .map_err(|e| refused(&e))?;
        let prefix = format!("{}.", link.client.new_inbox());
        let messages = link
            .client
            .subscribe(format!("{prefix}*"))
            .await
            .map_err(|e| refused(&e))?;
        Ok((
            link,
            Acks {
                prefix,
                messages: Some(messages),
            },
        ))
    }

    async fn serve(
        &mut self,
        mut link: Link,
        mut acks: Acks,
        stop: &mut watch::Receiver<bool>,
    ) -> End {
        let outbox = Arc::clone(&self.parts.outbox);
        self.flight.restart();
        self.parts.health.set_events_up(true);
        self.parts.health.heard();
        if let Some(outage) = &mut self.outage {
            let horizon = outbox.horizon();
            outage.back = Some((self.parts.clock.unix_ms(), horizon));
            outage.delayed = horizon - self.flight.position().unwrap_or(self.next).min(horizon);
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watchdog = Watchdog::default();
        loop {
            let closed = match self.fetch().await {
                Ok(closed) => closed,
                Err(error) => return End::Journal(error),
            };
            if let Err(end) = self.send(&link.client, &acks.prefix).await {
                return end;
            }
            self.settle();
            if closed && self.flight.len() == 0 && *stop.borrow() {
                // What core NATS was given may still be in the client's buffer.
                let _flushed = timeout(SILENCE, link.client.flush()).await;
                return End::Stopped;
            }
            let room = self.flight.len() < WINDOW && self.flight.bytes() < WINDOW_BYTES;
            tokio::select! {
                message = acks.next() => {
                    let Some(message) = message else { return End::Lost };
                    if let Err(end) = self.take_acks(&message, &mut acks) {
                        return end;
                    }
                    self.backoff.reset();
                }
                () = outbox.fresh(), if room && !closed => {}
                up = link.up.wait_for(|up| !*up) => {
                    let _lost_either_way = up;
                    return End::Lost;
                }
                _ = tick.tick() => {
                    self.save_lagging();
                    if watchdog.silent(self.flight.awaited(), self.parts.clock.mono()) {
                        return End::Silent;
                    }
                }
                changed = stop.changed(), if !*stop.borrow() => {
                    if changed.is_err() {
                        return End::Stopped;
                    }
                }
            }
        }
    }

    /// Fills the window from the outbox. True: the journal is closed and all of it was fetched.
    async fn fetch(&mut self) -> io::Result<bool> {
        while self.flight.len() < WINDOW && self.flight.bytes() < WINDOW_BYTES {
            let most = (WINDOW - self.flight.len()).min(256);
            match self.parts.outbox.take(self.next, most, &mut self.fetched) {
                Source::Memory(_) => {
                    self.reader = None;
                    self.next = self
                        .fetched
                        .last()
                        .map_or(self.next, |last| last.position + 1);
                }
                Source::Segments(horizon) => self.read(horizon, most).await?,
                Source::Nothing => return Ok(false),
                Source::Closed => return Ok(true),
            }
            for record in self.fetched.drain(..) {
                if !record.subject().is_empty() {
                    self.flight.push(record);
                }
            }
        }
        Ok(false)
    }

    /// Fetches from the segments, off the runtime's threads.
    async fn read(&mut self, horizon: u64, most: usize) -> io::Result<()> {
        let reader = self
            .reader
            .take()
            .filter(|reader| reader.position() == self.next);
        let mut reader = reader.unwrap_or_else(|| self.parts.outbox.reader(self.next));
        let reading = tokio::task::spawn_blocking(move || {
            let mut records = Vec::new();
            let mut missing = 0;
            while records.len() < most && reader.position() < horizon {
                match reader.step()? {
                    Step::Entry(record) => records.push(record),
                    Step::Missing { from, to } => missing += to - from,
                    Step::End => {
                        // Unreadable to the end, and yet written: the file is damaged.
                        missing += horizon - reader.position();
                        return Ok((records, missing, None));
                    }
                }
            }
            Ok::<_, io::Error>((records, missing, Some(reader)))
        });
        let (records, missing, reader) = reading.await.map_err(io::Error::other)??;
        if missing > 0 {
            tracing::error!(
                missing,
                "entries are gone from the journal before they were published"
            );
            self.parts.health.add_dropped(missing);
        }
        self.next = reader.as_ref().map_or(horizon, Reader::position);
        self.reader = reader;
        self.fetched = records;
        Ok(())
    }

    /// Sends what is in the window and not sent yet.
    async fn send(&mut self, client: &Client, prefix: &str) -> Result<(), End> {
        let mut too_long = Vec::new();
        let longest = client.server_info().max_payload;
        while let Some((record, number, ask)) = self.flight.next() {
            let mut headers = HeaderMap::new();
            if !record.id().is_empty() {
                headers.insert("Nats-Msg-Id", record.id());
            }
            for (name, value) in record.headers() {
                headers.insert(name, value);
            }
            let body = record.body();
            if record.size() > longest {
                too_long.push(number);
                continue;
            }
            let subject = record.subject().to_owned();
            let sent = if ask && !prefix.is_empty() {
                let reply = format!("{prefix}{number}");
                client
                    .publish_with_reply_and_headers(subject, reply, headers, body)
                    .await
            } else {
                client.publish_with_headers(subject, headers, body).await
            };
            if sent.is_err() {
                return Err(End::Lost);
            }
        }
        for number in too_long {
            self.give_up(number, "longer than the bus takes");
        }
        Ok(())
    }

    /// Takes an acknowledgement and all others that are there already.
    fn take_acks(&mut self, first: &Message, acks: &mut Acks) -> Result<(), End> {
        self.take_ack(first)?;
        while let Some(Some(message)) = acks.next().now_or_never() {
            self.take_ack(&message)?;
        }
        self.parts.health.heard();
        Ok(())
    }

    fn take_ack(&mut self, message: &Message) -> Result<(), End> {
        let number = message
            .subject
            .rsplit_once('.')
            .and_then(|(_, number)| number.parse().ok());
        let Some(number) = number else { return Ok(()) };
        match read_ack(message) {
            Ok(ack) => match self.flight.acknowledged(number, ack.seq, ack.duplicate) {
                Verdict::Confirmed => {}
                Verdict::Again => {
                    metrics::counter!("ifbus_bus_sent_again_total").increment(1);
                }
            },
            Err(why) => {
                let times = if self.refusals.0 == number {
                    self.refusals.1 + 1
                } else {
                    1
                };
                self.refusals = (number, times);
                if times >= REFUSALS && self.flight.awaited() == Some(number) {
                    self.give_up(number, &why);
                } else {
                    return Err(End::Refused(why));
                }
            }
        }
        Ok(())
    }

    fn give_up(&mut self, number: u64, why: &str) {
        let record = self.flight.drop_item(number);
        let subject = record.map(|record| record.subject().to_owned());
        tracing::error!(subject, why, "an event is given up");
        self.parts.health.add_dropped(1);
    }

    /// Lets go of what is confirmed, and says that an outage is over once it has all been told.
    fn settle(&mut self) {
        let confirmed = match self.events {
            Events::Jetstream => self.flight.confirm(),
            Events::Core => self.flight.confirm_sent(),
        };
        if confirmed > 0 {
            self.parts.health.add_published(confirmed);
        }
        let position = self.position();
        self.parts.outbox.acknowledge(position);
        let over =
            |outage: &mut Outage| outage.back.is_some_and(|(_, horizon)| position >= horizon);
        if let Some(outage) = self.outage.take_if(over)
            && let Some((until_ms, _)) = outage.back
        {
            let dropped = self.parts.health.dropped() - outage.dropped_before;
            let Outage {
                since_ms, delayed, ..
            } = outage;
            tracing::info!(delayed, dropped, "the bus is back");
            self.parts.gaps.gap(Gap {
                since_ms,
                until_ms,
                delayed,
                dropped,
            });
        }
    }

    /// Below this the bus has everything.
    fn position(&self) -> u64 {
        self.flight.position().unwrap_or(self.next)
    }

    /// Saves how far the bus was a while ago.
    fn save_lagging(&mut self) {
        let now = self.parts.clock.mono();
        let position = self.position();
        if self.trail.back().is_none_or(|(_, last)| *last < position) {
            self.trail.push_back((now, position));
        }
        let mut old_enough = None;
        while let Some((since, position)) = self.trail.front().copied()
            && now - since >= CURSOR_LAG
        {
            old_enough = Some(position);
            self.trail.pop_front();
        }
        if let Some(position) = old_enough {
            self.save(position);
        }
    }

    fn save(&mut self, position: u64) {
        if position == self.saved {
            return;
        }
        let value = Bytes::copy_from_slice(&position.to_be_bytes());
        if self
            .parts
            .store
            .put(Tree::Cursor, CURSOR_KEY, value, None)
            .is_ok()
        {
            self.saved = position;
        }
    }
}

/// The inbox of the acknowledgements; with core NATS there are none.
struct Acks {
    prefix: String,
    messages: Option<Subscriber>,
}

impl Acks {
    async fn next(&mut self) -> Option<Message> {
        match &mut self.messages {
            Some(messages) => messages.next().await,
            None => std::future::pending().await,
        }
    }
}

/// Notices when the same message has been awaited for too long.
#[derive(Default)]
struct Watchdog {
    awaited: Option<(u64, Duration)>,
}

impl Watchdog {
    fn silent(&mut self, awaited: Option<u64>, now: Duration) -> bool {
        match (awaited, self.awaited) {
            (Some(number), Some((same, since))) if number == same => now - since > SILENCE,
            (number, _) => {
                self.awaited = number.map(|number| (number, now));
                false
            }
        }
    }
}

#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<Complaint>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    description: String,
    #[serde(default)]
    err_code: u32,
}

fn read_ack(message: &Message) -> Result<Stored, String> {
    if let Some(status) = message.status {
        return Err(format!("status {status}: no stream takes the subject"));
    }
    let stored: Stored =
        serde_json::from_slice(&message.payload).map_err(|error| error.to_string())?;
    match stored.error {
        None => Ok(stored),
        Some(error) => Err(format!("{} ({})", error.description, error.err_code)),
    }
}
