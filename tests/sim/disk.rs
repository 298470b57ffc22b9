//! What a crash leaves: the store's records and the journal, each written some time after it was
//! told, in the order it was told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bus_schema::{CallEvent, CallRef, EventName};
use bytes::Bytes;
use engine::CallKey;

use crate::dice::Dice;
use crate::faults::Weather;

/// A record on its way.
struct Write {
    at: Duration,
    key: CallKey,
    record: Option<Bytes>,
    token: Option<u64>,
    kept: bool,
}

/// The disk.
pub(crate) struct Disk {
    dice: Dice,
    records: BTreeMap<CallKey, Bytes>,
    writes: VecDeque<Write>,
    /// What observers have been told, or will be: it is written, in this order.
    pub(crate) journal: Vec<CallEvent>,
    pending: VecDeque<(Duration, Item)>,
}

/// What the journal is given.
enum Item {
    Entry(Box<CallEvent>),
    /// When what came before is safe, this record may go.
    Forget(CallKey),
}

impl Disk {
    pub(crate) fn new(dice: Dice) -> Self {
        Self {
            dice,
            records: BTreeMap::new(),
            writes: VecDeque::new(),
            journal: Vec::new(),
            pending: VecDeque::new(),
        }
    }

    /// Takes a record; says when it will be written. `None`: the store takes no more.
    pub(crate) fn keep(
        &mut self,
        now: Duration,
        weather: &Weather,
        key: CallKey,
        record: Bytes,
        token: Option<u64>,
    ) -> Option<Duration> {
        let fails = token.is_some() && self.dice.chance(weather.store_fails);
        if fails && self.dice.chance(50) {
            return None;
        }
        // The store gathers for 50 ms what nobody waits for.
        let slow = self.dice.chance(weather.store_slow);
        let most = if slow { 400 } else { 50 };
        let waits = token.map(|token| (token, !fails));
        Some(self.write(now, most, key, Some(record), waits))
    }

    /// Takes an event; says when it will be written.
    pub(crate) fn tell(&mut self, now: Duration, event: Box<CallEvent>) -> Duration {
        self.append(now, Item::Entry(event))
    }

    /// Deletes a record once what was told so far is written; says when that will be.
    pub(crate) fn forget(&mut self, now: Duration, key: CallKey) -> Duration {
        self.append(now, Item::Forget(key))
    }

    fn append(&mut self, now: Duration, item: Item) -> Duration {
        let at = now + self.dice.millis(0, 25);
        let at = self.pending.back().map_or(at, |(last, _)| at.max(*last));
        self.pending.push_back((at, item));
        at
    }

    /// Writes what is due; returns the acknowledgements, and when to come again for deletions.
    pub(crate) fn work(&mut self, now: Duration) -> (Vec<(u64, bool)>, Option<Duration>) {
        let mut again = None;
        while self.pending.front().is_some_and(|(at, _)| *at <= now) {
            match self.pending.pop_front() {
                Some((_, Item::Entry(event))) => self.journal.push(*event),
                Some((_, Item::Forget(key))) => again = Some(self.write(now, 50, key, None, None)),
                None => {}
            }
        }
        let mut acks = Vec::new();
        while self.writes.front().is_some_and(|write| write.at <= now) {
            let Some(write) = self.writes.pop_front() else {
                break;
            };
            match write.record {
                _ if !write.kept => {}
                Some(record) => drop(self.records.insert(write.key, record)),
                None => drop(self.records.remove(&write.key)),
            }
            acks.extend(write.token.map(|token| (token, write.kept)));
        }
        (acks, again)
    }

    /// Puts a write behind the others.
    fn write(
        &mut self,
        now: Duration,
        most: u64,
        key: CallKey,
        record: Option<Bytes>,
        waits: Option<(u64, bool)>,
    ) -> Duration {
        let at = now + self.dice.millis(0, most);
        let at = self.writes.back().map_or(at, |last| at.max(last.at));
        self.writes.push_back(Write {
            at,
            key,
            record,
            token: waits.map(|(token, _)| token),
            kept: waits.is_none_or(|(_, kept)| kept),
        });
        at
    }

    /// What was not written is gone.
    pub(crate) fn crash(&mut self) {
        self.writes.clear();
        self.pending.clear();
    }

    /// The records there are.
    pub(crate) fn records(&self) -> Vec<(CallKey, Bytes)> {
        let records = self.records.iter();
        records
            .map(|(key, record)| (*key, record.clone()))
            .collect()
    }

    /// The last event of each call in the journal, as `actors/src/journal/history.rs` finds it.
    pub(crate) fn last_events(&self) -> BTreeMap<CallRef, CallEvent> {
        let told = self.journal.iter();
        told.map(|event| (event.data.call.call, event.clone()))
            .collect()
    }

    /// Calls that have not ended, for those who watch.
    pub(crate) fn unfinished(&self) -> Vec<CallRef> {
        let mut calls = BTreeMap::new();
        for event in &self.journal {
            let is_over = event.name == EventName::CallEnded;
            calls.insert(event.data.call.call, is_over);
        }
        let alive = calls.into_iter().filter(|(_, is_over)| !is_over);
        alive.map(|(call, _)| call).collect()
    }
}
