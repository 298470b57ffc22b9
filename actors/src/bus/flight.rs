//! The events on their way: in order, until the stream has them for certain.
//!
//! An acknowledgement costs a wake-up on both sides, so not every message asks for one. The stream
//! numbers what it stores: if the number rose by exactly as many as were sent since the last
//! acknowledged message, all of them are stored. If it did not (another writer, a repetition, a
//! loss), everything unconfirmed is sent again, each asking for itself; the stream recognises what
//! it has by its `Nats-Msg-Id`.

use std::collections::VecDeque;

use crate::journal::Record;

/// On a new connection, and after the numbers did not add up, this many messages ask one by one.
const CAUTIOUS: u64 = 1024;
/// A message asks at least this often.
const STRIDE: u64 = 128;

/// What an acknowledgement led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing more to do.
    Confirmed,
    /// What is unconfirmed must be sent again.
    Again,
}

#[derive(Debug)]
struct Item {
    record: Record,
    stored: bool,
}

#[derive(Debug, Default)]
pub(super) struct Flight {
    items: VecDeque<Item>,
    /// The number of the first item; each item has the next.
    first: u64,
    /// Items below this number have been sent on this connection.
    sent: u64,
    /// Items below this number ask one by one.
    careful: u64,
    /// The last acknowledged item, and the stream's number for it.
    baseline: Option<(u64, u64)>,
    bytes: usize,
}

impl Flight {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, record: Record) {
        self.bytes += record.size();
        self.items.push_back(Item {
            record,
            stored: false,
        });
    }

    /// A new connection: nothing that is here has been sent on it.
    pub(super) fn restart(&mut self) {
        self.sent = self.first;
        self.baseline = None;
        // The stream may have what comes first, from the last connection or from the last run of
        // this process. Counted together with that, new messages would be sent twice.
        self.careful = self.careful.max(self.end() + CAUTIOUS);
    }

    /// The next to be sent, its number, and whether it asks for an acknowledgement.
    pub(super) fn next(&mut self) -> Option<(&Record, u64, bool)> {
        while self.item(self.sent)?.stored {
            self.sent += 1;
        }
        let number = self.sent;
        self.sent += 1;
        let last = self.sent == self.end();
        let ask = last || number < self.careful || number.is_multiple_of(STRIDE);
        Some((&self.item(number)?.record, number, ask))
    }

    /// The stream has item `number`, as its `sequence`.
    pub(super) fn acknowledged(&mut self, number: u64, sequence: u64, repeated: bool) -> Verdict {
        if number < self.first || number >= self.sent {
            return Verdict::Confirmed;
        }
        self.store(number);
        let exact = self.baseline.is_some_and(|(last, last_sequence)| {
            last <= number && sequence.checked_sub(last_sequence) == Some(number - last)
        });
        if exact && !repeated {
            (self.first..number).for_each(|before| self.store(before));
        }
        self.baseline = (!repeated).then_some((number, sequence));
        let unasked = |item: u64| item >= self.careful && !item.is_multiple_of(STRIDE);
        let missed = (self.first..number)
            .any(|before| unasked(before) && self.item(before).is_some_and(|item| !item.stored));
        if missed {
            self.careful = self.end() + CAUTIOUS;
            self.sent = self.first;
            return Verdict::Again;
        }
        Verdict::Confirmed
    }

    /// Removes what is stored from the front: how many.
    pub(super) fn confirm(&mut self) -> u64 {
        let before = self.first;
        while self.items.front().is_some_and(|item| item.stored) {
            self.pop();
        }
        self.first - before
    }

    /// Removes everything sent, acknowledged or not: how many. For core NATS.
    pub(super) fn confirm_sent(&mut self) -> u64 {
        let before = self.first;
        while self.first < self.sent {
            self.pop();
        }
        self.first - before
    }

    /// Gives up the item, which the bus will never take.
    pub(super) fn drop_item(&mut self, number: u64) -> Option<&Record> {
        self.store(number);
        self.item(number).map(|item| &item.record)
    }

    /// The position of the first entry that is not confirmed.
    pub(super) fn position(&self) -> Option<u64> {
        self.items.front().map(|item| item.record.position)
    }

    /// Something sent has not been confirmed: the number of the oldest.
    pub(super) fn awaited(&self) -> Option<u64> {
        (self.first < self.sent).then_some(self.first)
    }

    fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    fn item(&self, number: u64) -> Option<&Item> {
        self.items
            .get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn store(&mut self, number: u64) {
        let index = number
            .checked_sub(self.first)
            .and_then(|n| usize::try_from(n).ok());
        if let Some(item) = index.and_then(|index| self.items.get_mut(index)) {
            item.stored = true;
        }
    }

    fn pop(&mut self) {
        if let Some(item) = self.items.pop_front() {
            self.bytes -= item.record.size();
            self.first += 1;
            self.sent = self.sent.max(self.first);
        }
    }
}
