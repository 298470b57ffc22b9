//! One timer queue for everything on an arbiter.
//!
//! A timer per transaction would be a wake-up per transaction. Here each owner has one deadline,
//! deadlines share ticks, and one task sleeps for the earliest of them.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::Duration,
};

use tokio::sync::Notify;

use crate::clock::Clock;

/// Near deadlines share ticks of this length...
const FINE: Duration = Duration::from_millis(8);
/// ...and those further off than `COARSE_FROM` share longer ones.
const COARSE: Duration = Duration::from_millis(64);
const COARSE_FROM: Duration = Duration::from_secs(1);

/// Whose deadline it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) enum Owner {
    /// The call with this key.
    Call(u64),
    /// A leg of a call.
    Leg(u64, u16),
    /// A forked request outside any dialog.
    Relay(u64),
}

/// The deadline an owner has in the queue, kept by the owner.
#[derive(Debug, Default)]
pub(crate) struct Armed(Cell<Option<Duration>>);

/// The queue.
#[derive(Default)]
pub(crate) struct Timers {
    queue: RefCell<BTreeSet<(Duration, Owner)>>,
    earlier: Notify,
}

impl Timers {
    /// Makes `owner` fire at or soon after `deadline`. A later deadline than the armed one costs
    /// nothing: the owner is woken once early and arms again.
    pub(crate) fn arm(
        &self,
        now: Duration,
        owner: Owner,
        armed: &Armed,
        deadline: Option<Duration>,
    ) {
        let Some(deadline) = deadline else { return };
        let tick = round_up(now, deadline);
        if let Some(at) = armed.0.get() {
            if at <= tick {
                return;
            }
            self.queue.borrow_mut().remove(&(at, owner));
        }
        armed.0.set(Some(tick));
        let mut queue = self.queue.borrow_mut();
        let first = queue.first().is_none_or(|(at, _)| tick < *at);
        queue.insert((tick, owner));
        if first {
            self.earlier.notify_one();
        }
    }

    /// Forgets an owner that ends.
    pub(crate) fn disarm(&self, owner: Owner, armed: &Armed) {
        if let Some(at) = armed.0.take() {
            self.queue.borrow_mut().remove(&(at, owner));
        }
    }

    /// An owner that was fired holds no deadline any more.
    pub(crate) fn fired(&self, armed: &Armed) {
        armed.0.set(None);
    }

    /// Deadlines waiting.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Fires owners for ever, the due ones of a tick together.
    pub(crate) async fn run(&self, clock: Clock, mut fire: impl FnMut(Owner)) {
        loop {
            let next = self.queue.borrow().first().map(|(at, _)| *at);
            match next {
                None => self.earlier.notified().await,
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(clock.instant(at)) => {}
                        () = self.earlier.notified() => continue,
                    }
                    let now = clock.now().mono;
                    while let Some(owner) = self.pop_due(now) {
                        fire(owner);
                    }
                }
            }
        }
    }

    fn pop_due(&self, now: Duration) -> Option<Owner> {
        let mut queue = self.queue.borrow_mut();
        if queue.first().is_some_and(|(at, _)| *at <= now) {
            return queue.pop_first().map(|(_, owner)| owner);
        }
        None
    }
}

fn round_up(now: Duration, deadline: Duration) -> Duration {
    let grain = if deadline.saturating_sub(now) >= COARSE_FROM {
        COARSE
    } else {
        FINE
    };
    let (grain, at) = (grain.as_nanos(), deadline.as_nanos());
    let rounded = at.div_ceil(grain).saturating_mul(grain);
    Duration::from_nanos(u64::try_from(rounded).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fires_in_order_not_early_and_forgets_the_disarmed() {
        let clock = Clock::start();
        let timers = Timers::default();
        let (a, b, c) = (Armed::default(), Armed::default(), Armed::default());
        let now = clock.now().mono;
        timers.arm(
            now,
            Owner::Call(1),
            &a,
            Some(now + Duration::from_millis(700)),
        );
        timers.arm(
            now,
            Owner::Call(2),
            &b,
            Some(now + Duration::from_millis(30)),
        );
        timers.arm(
            now,
            Owner::Call(3),
            &c,
            Some(now + Duration::from_millis(300)),
        );
        timers.disarm(Owner::Call(3), &c);
        let fired = RefCell::new(Vec::new());
        let run = timers.run(clock, |owner| {
            fired.borrow_mut().push((clock.now().mono, owner));
        });
        assert!(
            tokio::time::timeout(Duration::from_secs(2), run)
                .await
                .is_err()
        );
        let fired = fired.into_inner();
        assert_eq!(fired.len(), 2);
        assert_eq!(fired[0].1, Owner::Call(2));
        assert!(fired[0].0 >= Duration::from_millis(30) && fired[0].0 < Duration::from_millis(45));
        assert_eq!(fired[1].1, Owner::Call(1));
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn a_later_deadline_keeps_the_armed_one_and_an_earlier_replaces_it() {
        let timers = Timers::default();
        let armed = Armed::default();
        let at = |ms| Some(Duration::from_millis(ms));
        timers.arm(Duration::ZERO, Owner::Relay(1), &armed, at(500));
        timers.arm(Duration::ZERO, Owner::Relay(1), &armed, at(900));
        assert_eq!(timers.len(), 1);
        timers.arm(Duration::ZERO, Owner::Relay(1), &armed, at(100));
        assert_eq!(timers.len(), 1);
        assert!(
            armed
                .0
                .get()
                .is_some_and(|at| at <= Duration::from_millis(104))
        );
    }
}
