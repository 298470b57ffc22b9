//! Answers that may be asked for again: a REGISTER is served without a transaction of its own, yet
//! its repeat over UDP must get the same answer and not be taken for a replay of its credentials.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

/// How long an answer is kept: a peer asks again 0.5, 1.5 and 3.5 s after the first time.
const KEPT: Duration = Duration::from_secs(6);
/// How often that time begins again while there is no answer: a peer asks for 32 s (RFC 3261
/// 17.1.2.2), and a disk may be that slow.
const RENEWALS: u8 = 5;
/// Answers kept at once; the oldest go first.
const MOST: usize = 65_536;

/// What is known about a request that came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// It is being served: its answer will come.
    Pending,
    /// It was answered like this.
    Answered(Bytes),
}

/// The answers, by transaction.
#[derive(Default)]
pub(crate) struct Answered {
    known: HashMap<u64, Before>,
    /// When each may be forgotten, the first to go in front, and how often it may stay.
    order: VecDeque<(Duration, u64, u8)>,
}

impl Answered {
    /// What became of the request that began this transaction.
    pub(crate) fn before(&mut self, now: Duration, transaction: u64) -> Option<&Before> {
        self.forget(now);
        self.known.get(&transaction)
    }

    /// A request is being served.
    pub(crate) fn begin(&mut self, now: Duration, transaction: u64) {
        self.forget(now);
        if self.order.len() >= MOST
            && let Some((_, oldest, _)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        if self.known.insert(transaction, Before::Pending).is_none() {
            self.order.push_back((now + KEPT, transaction, RENEWALS));
        }
    }

    /// It is answered.
    pub(crate) fn answer(&mut self, transaction: u64, bytes: Bytes) {
        if let Some(before) = self.known.get_mut(&transaction) {
            *before = Before::Answered(bytes);
        }
    }

    fn forget(&mut self, now: Duration) {
        while let Some((until, transaction, renewals)) = self.order.front().copied()
            && until <= now
        {
            self.order.pop_front();
            if renewals > 0 && self.known.get(&transaction) == Some(&Before::Pending) {
                self.order
                    .push_back((now + KEPT, transaction, renewals - 1));
            } else {
                self.known.remove(&transaction);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_again_for_a_time() {
        let mut answered = Answered::default();
        let at = Duration::from_millis;
        assert_eq!(answered.before(at(0), 1), None);
        answered.begin(at(0), 1);
        assert_eq!(answered.before(at(500), 1), Some(&Before::Pending));
        answered.answer(1, Bytes::from_static(b"ok"));
        let ok = Before::Answered(Bytes::from_static(b"ok"));
        assert_eq!(answered.before(at(5999), 1), Some(&ok));
        assert_eq!(answered.before(at(6000), 1), None);
        assert!(answered.known.is_empty() && answered.order.is_empty());
        // Too late to be of use to anybody.
        answered.answer(1, Bytes::new());
        assert!(answered.known.is_empty());
    }

    #[test]
    fn what_is_not_answered_yet_is_no_replay_for_as_long_as_a_peer_asks() {
        let mut answered = Answered::default();
        answered.begin(Duration::ZERO, 1);
        for second in 0..36 {
            let before = answered.before(Duration::from_secs(second), 1);
            assert_eq!(before, Some(&Before::Pending), "{second}");
        }
        assert_eq!(answered.before(Duration::from_secs(72), 1), None);
        assert!(answered.known.is_empty() && answered.order.is_empty());
    }

    #[test]
    fn a_flood_pushes_out_the_oldest() {
        let mut answered = Answered::default();
        for transaction in 0..=MOST as u64 {
            answered.begin(Duration::ZERO, transaction);
        }
        assert_eq!(answered.known.len(), MOST);
        assert_eq!(answered.before(Duration::ZERO, 0), None);
    }
}
