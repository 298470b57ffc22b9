//! What is going to happen, in the order of time; the seed decides between what is due at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dice::Dice;

/// A queue of events.
pub(crate) struct Agenda<E> {
    due: BTreeMap<(Duration, u64, u64), E>,
    dice: Dice,
    number: u64,
}

impl<E> Agenda<E> {
    pub(crate) fn new(dice: Dice) -> Self {
        Self {
            due: BTreeMap::new(),
            dice,
            number: 0,
        }
    }

    pub(crate) fn at(&mut self, when: Duration, event: E) {
        self.number += 1;
        let draw = self.dice.next();
        self.due.insert((when, draw, self.number), event);
    }

    pub(crate) fn pop(&mut self) -> Option<(Duration, E)> {
        let ((when, _, _), event) = self.due.pop_first()?;
        Some((when, event))
    }
}
