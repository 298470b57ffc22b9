//! Whether an arbiter keeps up: how long there has been more to read than it reads at a time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// The pressure on one arbiter, from all that it reads.
#[derive(Default)]
pub(crate) struct Pressure {
    /// What it reads that had more, each time it looked.
    full: Cell<u32>,
    /// Since when there is any.
    since: Cell<Duration>,
}

impl Pressure {
    /// Whether something has had more to read without a pause for longer than `limit`.
    pub(crate) fn lasts(&self, limit: Duration, now: impl FnOnce() -> Duration) -> bool {
        self.full.get() > 0 && now().saturating_sub(self.since.get()) > limit
    }

    /// One more thing that is read.
    pub(crate) fn gauge(self: &Rc<Self>) -> Gauge {
        Gauge {
            pressure: self.clone(),
            full: false,
        }
    }
}

/// One thing that an arbiter reads.
pub(crate) struct Gauge {
    pressure: Rc<Pressure>,
    full: bool,
}

impl Gauge {
    /// It was read; `full`: as much as is taken at a time, and there may be more.
    pub(crate) fn note(&mut self, full: bool, now: impl FnOnce() -> Duration) {
        if self.full == full {
            return;
        }
        self.full = full;
        let others = self.pressure.full.get();
        if full {
            if others == 0 {
                self.pressure.since.set(now());
            }
            self.pressure.full.set(others + 1);
        } else {
            self.pressure.full.set(others.saturating_sub(1));
        }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.note(false, || Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_never_read_empty_presses() {
        let pressure = Rc::new(Pressure::default());
        let (limit, at) = (Duration::from_millis(100), Duration::from_millis);
        let (mut one, mut other) = (pressure.gauge(), pressure.gauge());
        assert!(!pressure.lasts(limit, || at(1000)));
        one.note(true, || at(1000));
        one.note(true, || at(1050));
        assert!(!pressure.lasts(limit, || at(1100)));
        assert!(pressure.lasts(limit, || at(1101)));
        other.note(true, || at(1090));
        one.note(false, || at(1100));
        assert!(
            pressure.lasts(limit, || at(1101)),
            "the other has not come up for air"
        );
        drop(other);
        assert!(!pressure.lasts(limit, || at(2000)));
    }
}
