//! The way into the journal: many arbiters push, one thread takes all there is.
//!
//! A push is a lock and a move. It wakes the thread only if that is asleep with nothing to do, or
//! if the pusher waits for the disk; otherwise the thread comes by itself a few milliseconds later
//! and takes everything at once.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::entry::Entry;
use crate::ack::Notice;

/// One thing handed over.
pub(super) enum Item {
    /// To be written.
    Entry(Box<dyn Entry>, Order),
    /// Whoever waits until what came before is synced, in no hurry.
    Mark(Notice),
}

/// What must not happen before the entry is on disk.
pub(super) enum Order {
    /// Nothing: it is published as soon as it is written.
    Relaxed,
    /// It is published after the sync.
    SyncFirst,
    /// Somebody waits: the sync is hurried, and told.
    Tell(Notice),
}

/// The journal takes no more now: the disk is slower than the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal's queue is full")]
pub struct Full;

/// How long the thread is ready to wait.
pub(super) enum Patience {
    /// Until something is pushed, or the time has passed.
    Idle(Option<Duration>),
    /// The whole time, to gather more, unless somebody is in a hurry.
    Gather(Duration),
}

#[derive(Default)]
struct State {
    items: Vec<Item>,
    sleeping: Sleep,
    hurry: bool,
    closed: bool,
    lost: u64,
}

#[derive(Default, PartialEq)]
enum Sleep {
    #[default]
    No,
    Idle,
    Gathering,
}

pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    capacity: usize,
}

/// What a visit brought beside the items.
pub(super) struct Visit {
    /// Entries refused since the last visit.
    pub(super) lost: u64,
    /// No more will come.
    pub(super) closed: bool,
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
        let hurry = matches!(item, Item::Entry(_, Order::Tell(_)));
        // The last eighth is for what must not be missing: endings and decisions.
        let room = match item {
            Item::Entry(_, Order::Relaxed) => self.capacity - self.capacity / 8,
            Item::Entry(_, Order::SyncFirst | Order::Tell(_)) | Item::Mark(_) => self.capacity,
        };
        let mut state = self.state.lock();
        if state.closed || state.items.len() >= room {
            state.lost += u64::from(matches!(item, Item::Entry(..)));
            return Err(Full);
        }
        state.items.push(item);
        state.hurry |= hurry;
        let wake = match state.sleeping {
            Sleep::No => false,
            Sleep::Idle => true,
            Sleep::Gathering => hurry,
        };
        if wake {
            // One wake is enough, however many push before the thread runs.
            state.sleeping = Sleep::No;
            drop(state);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Swaps everything pushed into `items`, which must be empty, waiting as told.
    pub(super) fn take(&self, items: &mut Vec<Item>, patience: &Patience) -> Visit {
        let mut state = self.state.lock();
        match patience {
            Patience::Idle(until) if state.items.is_empty() && !state.closed => {
                state.sleeping = Sleep::Idle;
                match until {
                    Some(time) => {
                        self.wake
                            .wait_while_for(&mut state, |s| s.sleeping == Sleep::Idle, *time);
                    }
                    None => self
                        .wake
                        .wait_while(&mut state, |s| s.sleeping == Sleep::Idle),
                }
            }
            Patience::Gather(time) if !state.hurry && !state.closed => {
                state.sleeping = Sleep::Gathering;
                self.wake
                    .wait_while_for(&mut state, |s| s.sleeping == Sleep::Gathering, *time);
            }
            Patience::Idle(_) | Patience::Gather(_) => {}
        }
        state.sleeping = Sleep::No;
        state.hurry = false;
        std::mem::swap(&mut state.items, items);
        Visit {
            lost: std::mem::take(&mut state.lost),
            closed: state.closed,
        }
    }

    /// Takes no more; what is in is still written.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.sleeping = Sleep::No;
        drop(state);
        self.wake.notify_one();
    }
}
