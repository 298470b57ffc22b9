//! RFC 3261 table 4: the timers all four machines share.

use std::time::Duration;

/// The round-trip estimate: the first retransmission interval on an unreliable transport.
pub const T1: Duration = Duration::from_millis(500);
/// The longest interval between retransmissions of a non-INVITE request or an INVITE response.
pub const T2: Duration = Duration::from_secs(4);
/// The longest a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// Timers B, F, H, J, L and M.
pub(crate) const SIXTY_FOUR_T1: Duration = Duration::from_secs(32);
/// Timer D on an unreliable transport: at least 32 s.
pub const TIMER_D: Duration = Duration::from_secs(32);

const T1_MS: u32 = 500;
const T2_MS: u32 = 4_000;

/// Whether the interval stops growing at T2 (timers E and G) or not (timer A).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cap {
    T2,
    None,
}

/// Retransmission on an unreliable transport: timers A, E and G.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retransmit {
    pub(crate) at: Duration,
    interval: Milliseconds,
}

/// Narrow, because many thousands of transactions hold one.
type Milliseconds = u32;

impl Retransmit {
    /// First after T1.
    pub(crate) fn start(now: Duration) -> Self {
        Self {
            at: now + T1,
            interval: T1_MS,
        }
    }

    /// Twice as long as the last time, but never above the cap.
    pub(crate) fn again(&mut self, now: Duration, cap: Cap) {
        let doubled = self.interval.saturating_mul(2);
        self.interval = match cap {
            Cap::T2 => doubled.min(T2_MS),
            Cap::None => doubled,
        };
        self.at = now + Duration::from_millis(u64::from(self.interval));
    }

    /// Timer E once the request is known to be received: every T2.
    pub(crate) fn every_t2(&mut self, now: Duration) {
        self.interval = T2_MS;
        self.at = now + T2;
    }
}

/// The earlier of two deadlines, of which the first may not run.
pub(crate) fn earlier(retransmit: Option<Retransmit>, end: Duration) -> Duration {
    retransmit.map_or(end, |timer| timer.at.min(end))
}
