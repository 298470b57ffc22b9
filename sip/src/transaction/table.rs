//! The transactions of one holder, found by key, by id and by the earliest deadline.
//!
//! A leg has none to two of them and there are many thousands of legs, so a small table is one
//! inline vector that is scanned. The front of an arbiter has up to hundreds of thousands: past
//! [`SCAN`] an index is built, and dropped again when the table is empty.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use smallvec::SmallVec;

use super::key::Key;
use super::{InviteClient, InviteServer, NonInviteClient, NonInviteServer, Transmitter};

/// The most transactions that are looked through one by one.
const SCAN: usize = 8;

/// One transaction of a table.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) id: Transmitter,
    pub(crate) key: Key,
    pub(crate) machine: Machine,
    /// The heap entry that stands for this transaction, if the table is indexed.
    scheduled: Option<Duration>,
}

/// Which of the four it is.
#[derive(Debug)]
pub(crate) enum Machine {
    InviteClient(InviteClient),
    NonInviteClient(NonInviteClient),
    InviteServer(InviteServer),
    NonInviteServer(NonInviteServer),
}

impl Transaction {
    pub(crate) const fn new(id: Transmitter, key: Key, machine: Machine) -> Self {
        Self {
            id,
            key,
            machine,
            scheduled: None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        match &self.machine {
            Machine::InviteClient(machine) => machine.deadline(),
            Machine::NonInviteClient(machine) => machine.deadline(),
            Machine::InviteServer(machine) => machine.deadline(),
            Machine::NonInviteServer(machine) => machine.deadline(),
        }
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        match &self.machine {
            Machine::InviteClient(machine) => machine.is_terminated(),
            Machine::NonInviteClient(machine) => machine.is_terminated(),
            Machine::InviteServer(machine) => machine.is_terminated(),
            Machine::NonInviteServer(machine) => machine.is_terminated(),
        }
    }
}

/// A place in the table, good until the next insertion or removal.
pub(crate) type Place = usize;

#[derive(Debug, Default)]
pub(crate) struct Table {
    // Boxed: the vector's two inline slots then cost a leg two words while they are empty.
    places: SmallVec<[Box<Transaction>; 2]>,
    index: Option<Box<Index>>,
}

#[derive(Debug, Default)]
struct Index {
    by_key: HashMap<u64, Place, BuildHasherDefault<AsIs>>,
    by_id: HashMap<u64, Place, BuildHasherDefault<AsIs>>,
    /// At least one entry at or before every deadline. Entries that a transaction has outlived or
    /// postponed are dropped or renewed when they come up.
    deadlines: BinaryHeap<Reverse<(Duration, Transmitter)>>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn holds_heap(&self) -> bool {
        self.places.spilled() || !self.places.is_empty() || self.index.is_some()
    }

    pub(crate) fn by_key(&self, key: Key) -> Option<Place> {
        let Some(index) = &self.index else {
            return self.places.iter().position(|held| held.key == key);
        };
        let place = *index.by_key.get(&key.short())?;
        (self.places.get(place)?.key == key).then_some(place)
    }

    pub(crate) fn by_id(&self, id: Transmitter) -> Option<Place> {
        match &self.index {
            None => self.places.iter().position(|held| held.id == id),
            Some(index) => index.by_id.get(&id_word(id)).copied(),
        }
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Transaction> {
        self.places.get(place).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut Transaction> {
        self.places.get_mut(place).map(Box::as_mut)
    }

    pub(crate) fn insert(&mut self, transaction: Transaction) {
        self.places.push(Box::new(transaction));
        if self.index.is_some() {
            self.enter(self.places.len() - 1);
        } else if self.places.len() > SCAN {
            self.index = Some(Box::default());
            for place in 0..self.places.len() {
                self.enter(place);
            }
        }
    }

    /// The deadline of the transaction at `place` may have changed.
    pub(crate) fn reschedule(&mut self, place: Place) {
        let (Some(index), Some(held)) = (&mut self.index, self.places.get_mut(place)) else {
            return;
        };
        let Some(deadline) = held.deadline() else {
            return;
        };
        if held.scheduled.is_none_or(|scheduled| deadline < scheduled) {
            held.scheduled = Some(deadline);
            index.deadlines.push(Reverse((deadline, held.id)));
        }
    }

    pub(crate) fn remove(&mut self, place: Place) {
        if place >= self.places.len() {
            return;
        }
        let gone = self.places.swap_remove(place);
        if self.places.is_empty() {
            *self = Self::default();
        }
        let Some(index) = &mut self.index else { return };
        index.by_key.remove(&gone.key.short());
        index.by_id.remove(&id_word(gone.id));
        // The last one has moved into the gap.
        if let Some(moved) = self.places.get(place) {
            index.by_key.insert(moved.key.short(), place);
            index.by_id.insert(id_word(moved.id), place);
        }
    }

    /// No later than the earliest deadline; an indexed table may say a little too early.
    pub(crate) fn earliest(&self) -> Option<Duration> {
        match &self.index {
            None => self.places.iter().filter_map(|held| held.deadline()).min(),
            Some(index) => index.deadlines.peek().map(|Reverse((at, _))| *at),
        }
    }

    /// A transaction whose deadline has come, if there is one. The caller runs its timer and
    /// reschedules or removes it before asking again.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Place> {
        let Some(index) = &mut self.index else {
            return self
                .places
                .iter()
                .position(|held| held.deadline().is_some_and(|at| at <= now));
        };
        while let Some(Reverse((at, id))) = index.deadlines.peek().copied() {
            if at > now {
                return None;
            }
            index.deadlines.pop();
            let Some(place) = index.by_id.get(&id_word(id)).copied() else {
                continue;
            };
            let Some(held) = self.places.get_mut(place) else {
                continue;
            };
            if held.scheduled != Some(at) {
                continue;
            }
            held.scheduled = None;
            match held.deadline() {
                Some(deadline) if deadline <= now => return Some(place),
                Some(later) => {
                    held.scheduled = Some(later);
                    index.deadlines.push(Reverse((later, id)));
                }
                None => {}
            }
        }
        None
    }

    fn enter(&mut self, place: Place) {
        let (Some(index), Some(held)) = (&mut self.index, self.places.get(place)) else {
            return;
        };
        index.by_key.insert(held.key.short(), place);
        index.by_id.insert(id_word(held.id), place);
        self.reschedule(place);
    }
}

/// Both kinds of id in one word, spread over it (the map takes it as the hash).
const fn id_word(id: Transmitter) -> u64 {
    let word = match id {
        Transmitter::Server(id) => (id.0 as u64) << 1,
        Transmitter::Client(id) => (id.0 as u64) << 1 | 1,
    };
    // Fibonacci hashing: odd, so it is a bijection.
    word.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A hasher for words that are hashes already.
#[derive(Debug, Default, Clone, Copy)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}
