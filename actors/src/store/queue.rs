//! The way into the store's thread: a bounded list and one wake-up per batch.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Full, Write};
use crate::ack::Notice;

pub(super) struct Item {
    pub(super) write: Write,
    pub(super) notice: Option<Notice>,
}

#[derive(Default)]
struct State {
    items: Vec<Item>,
    asleep: bool,
    awaited: bool,
    /// Gathering, and ready to stop for a write that somebody waits for.
    yielding: bool,
    closed: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    capacity: usize,
}

/// What is in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// Somebody waits for at least one of the items.
    Awaited,
    /// Nobody does.
    Unhurried,
    /// Closed, and empty now.
    Closed,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            capacity,
        }
    }

    pub(super) fn push(&self, item: Item) -> Result<(), Full> {
        let awaited = item.notice.is_some();
        let mut state = self.state.lock();
        if state.closed || state.items.len() >= self.capacity {
            return Err(Full);
        }
        state.items.push(item);
        state.awaited |= awaited;
        if state.asleep || (state.yielding && awaited) {
            state.asleep = false;
            state.yielding = false;
            drop(state);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits until there is something, without taking it.
    pub(super) fn wait(&self) {
        let mut state = self.state.lock();
        if state.items.is_empty() && !state.closed {
            state.asleep = true;
            self.wake.wait_while(&mut state, |state| state.asleep);
        }
    }

    /// Lets more come in for this long. Closing cuts it short, and so does, if asked, the first
    /// write that somebody waits for.
    pub(super) fn gather(&self, time: Duration, until_awaited: bool) {
        let mut state = self.state.lock();
        state.yielding = until_awaited;
        let more = |state: &mut State| !(state.closed || until_awaited && state.awaited);
        self.wake.wait_while_for(&mut state, more, time);
        state.yielding = false;
    }

    /// Does anybody wait for something in the queue?
    pub(super) fn visit(&self) -> Visit {
        let state = self.state.lock();
        match (state.items.is_empty(), state.awaited) {
            (true, _) if state.closed => Visit::Closed,
            (_, true) => Visit::Awaited,
            (_, false) => Visit::Unhurried,
        }
    }

    /// Swaps everything into `items`, which must be empty.
    pub(super) fn take(&self, items: &mut Vec<Item>) {
        let mut state = self.state.lock();
        state.awaited = false;
        std::mem::swap(&mut state.items, items);
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.asleep = false;
        drop(state);
        self.wake.notify_one();
    }
}
