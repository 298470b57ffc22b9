//! The one place that reads a clock: everything else is told the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sip::Now;
use tokio::time::Instant;

/// The process's clock: a monotonic side that starts at zero, and the wall. The monotonic side is
/// the runtime's, so that a test that pauses time pauses everything.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts the monotonic side at zero.
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Both sides at once, as the cores are given them.
    pub fn now(&self) -> Now {
        Now {
            mono: self.mono(),
            unix_ms: self.unix_ms(),
        }
    }

    /// Time since [`Clock::start`]; never goes back.
    pub fn mono(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Milliseconds since 1970 UTC, as the machine believes it now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that may read a clock"
    )]
    pub fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            })
    }

    /// The runtime's instant of a monotonic deadline.
    pub(crate) fn instant(&self, mono: Duration) -> Instant {
        self.origin + mono
    }
}
