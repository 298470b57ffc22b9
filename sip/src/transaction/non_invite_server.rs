//! Non-INVITE server transaction: RFC 3261 17.2.2 figure 8, as RFC 4320 amends it.
//!
//! ```text
//!             | request: to TU
//!             v
//!          Trying      (repeats of the request are dropped)
//!           |  \ 200-699 from TU: sent
//!       1xx |   +-----------> Completed ---timer J---> Terminated
//!           v                  ^  request: response again
//!       Proceeding --200-699---+
//!         request: last provisional again
//! ```
//!
//! RFC 4320: a response after 64*T1 helps nobody, for the client has given up; a TU that has not
//! answered by then finds the transaction gone, and no 408 is ever sent.

use std::time::Duration;

use bytes::Bytes;

use super::Step;
use super::timers::SIXTY_FOUR_T1;

/// One request other than INVITE and ACK that was sent to us.
#[derive(Debug)]
pub struct NonInviteServer {
    state: State,
    reliable: bool,
}

#[derive(Debug)]
enum State {
    /// The TU has the request. `end` is the client's timer F.
    Trying { end: Duration },
    /// The TU sent a provisional.
    Proceeding { provisional: Bytes, end: Duration },
    /// The final response was sent and answers every repeat until timer J.
    Completed { response: Bytes, j: Duration },
    /// Nothing is left to do.
    Terminated,
}

impl NonInviteServer {
    /// Starts in Trying; the request goes to the TU.
    #[must_use]
    pub fn new(now: Duration, reliable: bool) -> Self {
        Self {
            state: State::Trying {
                end: now + SIXTY_FOUR_T1,
            },
            reliable,
        }
    }

    /// The request arrived again.
    pub fn request(&self) -> Step {
        match &self.state {
            State::Proceeding {
                provisional: response,
                ..
            }
            | State::Completed { response, .. } => Step::transmit(response.clone()),
            State::Trying { .. } | State::Terminated => Step::NOTHING,
        }
    }

    /// The TU responds.
    pub fn respond(&mut self, now: Duration, status: u16, response: Bytes) -> Step {
        match self.state {
            State::Trying { end } | State::Proceeding { end, .. } => {
                self.state = match status {
                    ..=199 => State::Proceeding {
                        provisional: response.clone(),
                        end,
                    },
                    200.. if self.reliable => State::Terminated,
                    // A copy of its exact size: it stays 32 s, and at a registrar there are
                    // tens of thousands, while a buffer just written has room to spare.
                    200.. => State::Completed {
                        response: Bytes::copy_from_slice(&response),
                        j: now + SIXTY_FOUR_T1,
                    },
                };
                Step::transmit(response)
            }
            State::Completed { .. } | State::Terminated => Step::NOTHING,
        }
    }

    /// A timer may be due.
    pub fn timeout(&mut self, now: Duration) -> Step {
        match self.state {
            State::Trying { end }
            | State::Proceeding { end, .. }
            | State::Completed { j: end, .. }
                if end <= now =>
            {
                self.state = State::Terminated;
            }
            State::Trying { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Terminated => {}
        }
        Step::NOTHING
    }

    /// When [`timeout`](Self::timeout) is next due.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Trying { end }
            | State::Proceeding { end, .. }
            | State::Completed { j: end, .. } => Some(end),
            State::Terminated => None,
        }
    }

    /// Whether the machine has reached Terminated.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}
