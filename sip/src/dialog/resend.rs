//! Responses that the dialog repeats, because no transaction does: a 2xx of an INVITE until its
//! ACK (RFC 3261 13.3.1.4), a reliable provisional response until its PRACK (RFC 3262 3).

use std::time::Duration;

use bytes::Bytes;

use crate::Now;
use crate::transaction::{Cap, Retransmit, SIXTY_FOUR_T1};

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resend {
    /// Send these bytes again.
    Transmit(Bytes),
    /// 64*T1 have passed: end the dialog (2xx) or reject the INVITE with 504 (1xx).
    GaveUp,
}

/// A 2xx that waits for its ACK: repeated after T1, 2*T1 … T2, on every transport, for there may
/// be an unreliable one behind the next hop. Drop it when the ACK comes.
#[derive(Debug, Clone)]
pub struct Resend2xx(Repeat);

impl Resend2xx {
    /// The 2xx was just sent.
    #[must_use]
    pub fn new(now: Now, response: Bytes) -> Self {
        Self(Repeat::new(now, response))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due; `None` after it gave up.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.0.deadline()
    }

    /// What is due, if anything.
    pub fn handle_timeout(&mut self, now: Now) -> Option<Resend> {
        self.0.timeout(now, Cap::T2)
    }
}

/// A reliable provisional response that waits for its PRACK: repeated after T1, 2*T1, 4*T1 …
/// Drop it when the PRACK comes.
#[derive(Debug, Clone)]
pub struct Resend1xx(Repeat);

impl Resend1xx {
    /// The response was just sent.
    #[must_use]
    pub fn new(now: Now, response: Bytes) -> Self {
        Self(Repeat::new(now, response))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due; `None` after it gave up.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.0.deadline()
    }

    /// What is due, if anything.
    pub fn handle_timeout(&mut self, now: Now) -> Option<Resend> {
        self.0.timeout(now, Cap::None)
    }
}

#[derive(Debug, Clone)]
struct Repeat {
    /// Empty after it gave up.
    response: Bytes,
    timer: Retransmit,
    end: Duration,
}

impl Repeat {
    fn new(now: Now, response: Bytes) -> Self {
        Self {
            response,
            timer: Retransmit::start(now.mono),
            end: now.mono + SIXTY_FOUR_T1,
        }
    }

    fn deadline(&self) -> Option<Duration> {
        (!self.response.is_empty()).then(|| self.timer.at.min(self.end))
    }

    fn timeout(&mut self, now: Now, cap: Cap) -> Option<Resend> {
        if self.deadline()? > now.mono {
            return None;
        }
        if self.end <= now.mono {
            self.response = Bytes::new();
            return Some(Resend::GaveUp);
        }
        self.timer.again(now.mono, cap);
        Some(Resend::Transmit(self.response.clone()))
    }
}
