//! The messages of the calls of late, kept for whoever asks what went wrong: a ring of bytes that
//! is written over from its oldest end. Noting a message costs a copy of it and no allocation.

use std::collections::VecDeque;
use std::time::Duration;

use engine::{Hop, LegId};

/// A longer message is remembered by its beginning.
const MESSAGE_MAX: usize = 16 << 10;

/// The memory of one arbiter.
#[derive(Default)]
pub(crate) struct Capture {
    ring: Box<[u8]>,
    /// Where the next message is written.
    next: usize,
    /// Oldest first, and so in the order of the ring.
    notes: VecDeque<Note>,
}

/// Where a message is, and what it was.
struct Note {
    seen: Seen,
    start: usize,
    length: usize,
}

/// What is known of a message beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    /// When, since the process started.
    pub(crate) at: Duration,
    /// The low half of the call's name.
    pub(crate) call: u64,
    pub(crate) leg: LegId,
    /// Whether we sent it.
    pub(crate) sent: bool,
    /// By which way.
    pub(crate) hop: Hop,
}

impl Capture {
    /// One of so many bytes; none: nothing is remembered.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            ring: vec![0; bytes].into(),
            next: 0,
            notes: VecDeque::new(),
        }
    }

    /// Remembers a message.
    pub(crate) fn note(&mut self, seen: Seen, message: &[u8]) {
        let message = &message[..message.len().min(MESSAGE_MAX)];
        if message.len() > self.ring.len() {
            return;
        }
        if self.next + message.len() > self.ring.len() {
            let end = self.ring.len();
            self.forget(self.next, end);
            self.next = 0;
        }
        let (start, end) = (self.next, self.next + message.len());
        self.forget(start, end);
        self.ring[start..end].copy_from_slice(message);
        self.notes.push_back(Note {
            seen,
            start,
            length: message.len(),
        });
        self.next = end;
    }

    /// Makes room from `start` to `end`, where the oldest are.
    fn forget(&mut self, start: usize, end: usize) {
        while let Some(oldest) = self.notes.front()
            && oldest.start < end
            && oldest.start + oldest.length > start
        {
            self.notes.pop_front();
        }
    }

    /// The messages of a call that are still known, oldest first.
    pub(crate) fn of(&self, call: u64) -> impl DoubleEndedIterator<Item = (&Seen, &[u8])> {
        let notes = self.notes.iter().filter(move |note| note.seen.call == call);
        notes.map(|note| {
            let bytes = &self.ring[note.start..note.start + note.length];
            (&note.seen, bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(call: u64) -> Seen {
        Seen {
            at: Duration::ZERO,
            call,
            leg: LegId::CALLER,
            sent: false,
            hop: Hop::Flow {
                connection: 1,
                listener: 0,
            },
        }
    }

    /// Against a list of everything: what is there is the newest, whole, and as it was.
    #[test]
    fn the_newest_messages_are_there_and_whole() {
        let mut capture = Capture::new(1000);
        let mut all: Vec<Vec<u8>> = Vec::new();
        for round in 0..500_usize {
            let length = 1 + (round * 37) % 300;
            let message = vec![(round % 251) as u8; length];
            capture.note(seen((round % 2) as u64), &message);
            all.push(message);
            let known: Vec<Vec<u8>> = capture
                .notes
                .iter()
                .map(|note| capture.ring[note.start..note.start + note.length].to_vec())
                .collect();
            assert_eq!(known, all[all.len() - known.len()..]);
            let kept: usize = known.iter().map(Vec::len).sum();
            // What does not fit behind the last one leaves less than a message free at the end.
            assert!(
                kept + 600 >= 1000.min(all.iter().map(Vec::len).sum()),
                "{kept}"
            );
        }
        assert_eq!(
            capture.of(0).count() + capture.of(1).count(),
            capture.notes.len()
        );
        assert!(capture.of(1).all(|(seen, _)| seen.call == 1));
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut capture = Capture::new(0);
        capture.note(seen(1), b"INVITE");
        assert_eq!(capture.of(1).count(), 0);
        let mut capture = Capture::new(MESSAGE_MAX * 2);
        capture.note(seen(1), &vec![b'x'; MESSAGE_MAX + 1]);
        let lengths: Vec<_> = capture.of(1).map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(lengths, [MESSAGE_MAX]);
    }
}
