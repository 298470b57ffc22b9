//! Time as an input.

use std::time::Duration;

/// The two clocks of one moment. Whoever owns a socket reads them; nothing below it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since an epoch of the holder's choice: timers count in it.
    pub mono: Duration,
    /// Wall clock, milliseconds since the Unix epoch: what outlives a restart counts in it.
    pub unix_ms: u64,
}

impl Now {
    /// The same moment `by` later, on both clocks.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self {
            mono: self.mono + by,
            unix_ms: self.unix_ms.saturating_add(ms),
        }
    }
}
