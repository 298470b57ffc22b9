//! INVITE server transaction: RFC 3261 17.2.1 figure 7 with RFC 6026 figure 5.
//!
//! ```text
//!              | INVITE: to TU, 100 sent
//!              v      INVITE: last provisional again; 1xx from TU: sent
//!         Proceeding
//!           |    \ 2xx from TU: sent
//!           |     +-----------> Accepted ----------timer L--> Terminated
//!           | 300-699 sent      INVITE absorbed, ACK to TU      ^  ^
//!           v                                                   |  |
//!        Completed --timer H: inform TU-------------------------+  |
//!           |  INVITE, timer G: response again                     |
//!           | ACK                                                  |
//!           v                                                      |
//!        Confirmed ---timer I--------------------------------------+
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::timers::{Cap, Retransmit, SIXTY_FOUR_T1, T4, earlier};
use super::{Inform, Step};

/// One INVITE that was sent to us.
#[derive(Debug)]
pub struct InviteServer {
    state: State,
    reliable: bool,
}

#[derive(Debug)]
enum State {
    /// The TU decides. `end` bounds a TU that never does.
    Proceeding {
        provisional: Option<Bytes>,
        end: Duration,
    },
    /// RFC 6026: the TU sent a 2xx and repeats it itself; repeats of the INVITE are absorbed.
    Accepted { l: Duration },
    /// A failure was sent and waits for its ACK.
    Completed {
        response: Bytes,
        g: Option<Retransmit>,
        h: Duration,
    },
    /// The ACK came; more of them are absorbed.
    Confirmed { i: Duration },
    /// Nothing is left to do.
    Terminated,
}

impl InviteServer {
    /// Starts in Proceeding; the INVITE goes to the TU. `patience` bounds a TU that never sends a
    /// final response.
    #[must_use]
    pub fn new(now: Duration, reliable: bool, patience: Duration) -> Self {
        let state = State::Proceeding {
            provisional: None,
            end: now + patience,
        };
        Self { state, reliable }
    }

    /// The INVITE arrived again.
    pub fn invite(&self) -> Step {
        match &self.state {
            State::Proceeding {
                provisional: Some(response),
                ..
            }
            | State::Completed { response, .. } => Step::transmit(response.clone()),
            State::Proceeding {
                provisional: None, ..
            }
            | State::Accepted { .. }
            | State::Confirmed { .. }
            | State::Terminated => Step::NOTHING,
        }
    }

    /// An ACK that matches this transaction arrived.
    pub fn ack(&mut self, now: Duration) -> Step {
        match &self.state {
            State::Completed { .. } => {
                self.state = if self.reliable {
                    State::Terminated
                } else {
                    State::Confirmed { i: now + T4 }
                };
                Step::NOTHING
            }
            // The ACK of a 2xx is its own transaction, but a peer may reuse the branch.
            State::Accepted { .. } => Step::inform(Inform::Message),
            State::Proceeding { .. } | State::Confirmed { .. } | State::Terminated => Step::NOTHING,
        }
    }

    /// The TU responds.
    pub fn respond(&mut self, now: Duration, status: u16, response: Bytes) -> Step {
        match &mut self.state {
            State::Proceeding { provisional, .. } => match status {
                ..=199 => {
                    *provisional = Some(response.clone());
                    Step::transmit(response)
                }
                200..=299 => {
                    self.state = State::Accepted {
                        l: now + SIXTY_FOUR_T1,
                    };
                    Step::transmit(response)
                }
                300.. => {
                    self.state = State::Completed {
                        response: response.clone(),
                        g: (!self.reliable).then(|| Retransmit::start(now)),
                        h: now + SIXTY_FOUR_T1,
                    };
                    Step::transmit(response)
                }
            },
            // The TU repeats its 2xx until the ACK comes.
            State::Accepted { .. } if (200..300).contains(&status) => Step::transmit(response),
            State::Accepted { .. }
            | State::Completed { .. }
            | State::Confirmed { .. }
            | State::Terminated => Step::NOTHING,
        }
    }

    /// A timer may be due.
    pub fn timeout(&mut self, now: Duration) -> Step {
        match &mut self.state {
            State::Proceeding { end, .. }
            | State::Accepted { l: end }
            | State::Confirmed { i: end }
                if *end <= now =>
            {
                self.state = State::Terminated;
                Step::NOTHING
            }
            State::Completed { h, .. } if *h <= now => {
                self.state = State::Terminated;
                Step::inform(Inform::NoAck)
            }
            State::Completed {
                response,
                g: Some(g),
                ..
            } if g.at <= now => {
                g.again(now, Cap::T2);
                Step::transmit(response.clone())
            }
            State::Proceeding { .. }
            | State::Accepted { .. }
            | State::Completed { .. }
            | State::Confirmed { .. }
            | State::Terminated => Step::NOTHING,
        }
    }

    /// When [`timeout`](Self::timeout) is next due.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Proceeding { end, .. }
            | State::Accepted { l: end }
            | State::Confirmed { i: end } => Some(*end),
            State::Completed { g, h, .. } => Some(earlier(*g, *h)),
            State::Terminated => None,
        }
    }

    /// Whether the machine has reached Terminated.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}
