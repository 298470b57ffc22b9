//! INVITE client transaction: RFC 3261 17.1.1 figure 5 with RFC 6026 figure 3.
//!
//! ```text
//!              | INVITE sent
//!              v            timer A: INVITE sent
//!          Calling --------------------------------+ timer B, transport error: inform TU
//!           |  |  \ 2xx                             \
//!       1xx |  |   +-----------> Accepted ---timer M--> Terminated
//!           v  | 300-699: ACK    ^   2xx to TU        ^   ^
//!      Proceeding ---2xx---------+                    |   |
//!              | 300-699: ACK                         |   |
//!              +--------------> Completed ---timer D--+   |
//!                               300-699: ACK again        |
//!                               transport error: inform --+
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::timers::{Cap, Retransmit, SIXTY_FOUR_T1, TIMER_D, earlier};
use super::{Failure, Inform, Step};

/// One INVITE we sent, until its answer has surely been heard.
#[derive(Debug)]
pub struct InviteClient {
    state: State,
    reliable: bool,
    /// How long Proceeding may last without a CANCEL.
    patience: Duration,
}

#[derive(Debug)]
enum State {
    /// The INVITE is repeated (timer A) until something is heard or timer B ends it.
    Calling {
        invite: Bytes,
        a: Option<Retransmit>,
        b: Duration,
    },
    /// Provisional responses come. `end` bounds a TU that never cancels, and a peer that does not
    /// answer after a CANCEL (RFC 3261 9.1).
    Proceeding { invite: Bytes, end: Duration },
    /// RFC 6026: a 2xx came; repeats of it, also from other forks, still reach the TU.
    Accepted { m: Duration },
    /// A failure came and was acknowledged; its repeats are acknowledged again.
    Completed { ack: Bytes, d: Duration },
    /// Nothing is left to do.
    Terminated,
}

impl InviteClient {
    /// Starts in Calling. The step transmits the INVITE. `patience` bounds a TU that has no
    /// timer C: it is how long provisional responses alone are waited on.
    #[must_use]
    pub fn new(now: Duration, invite: Bytes, reliable: bool, patience: Duration) -> (Self, Step) {
        let state = State::Calling {
            invite: invite.clone(),
            a: (!reliable).then(|| Retransmit::start(now)),
            b: now + SIXTY_FOUR_T1,
        };
        (
            Self {
                state,
                reliable,
                patience,
            },
            Step::transmit(invite),
        )
    }

    /// A response arrived. `ack` makes the ACK of a failure response out of the INVITE's bytes.
    pub fn response(
        &mut self,
        now: Duration,
        status: u16,
        ack: impl FnOnce(&Bytes) -> Option<Bytes>,
    ) -> Step {
        match &mut self.state {
            State::Calling { invite, .. } | State::Proceeding { invite, .. } => match status {
                ..=199 => {
                    if let State::Calling { invite, .. } = &mut self.state {
                        let invite = std::mem::take(invite);
                        self.state = State::Proceeding {
                            invite,
                            end: now + self.patience,
                        };
                    }
                    Step::inform(Inform::Message)
                }
                200..=299 => {
                    self.state = State::Accepted {
                        m: now + SIXTY_FOUR_T1,
                    };
                    Step::inform(Inform::Message)
                }
                300.. => {
                    let ack = ack(invite);
                    self.state = match &ack {
                        Some(ack) if !self.reliable => State::Completed {
                            ack: ack.clone(),
                            d: now + TIMER_D,
                        },
                        Some(_) | None => State::Terminated,
                    };
                    Step {
                        transmit: ack,
                        inform: Some(Inform::Message),
                    }
                }
            },
            State::Accepted { .. } if (200..300).contains(&status) => Step::inform(Inform::Message),
            State::Completed { ack, .. } if status >= 300 => Step::transmit(ack.clone()),
            State::Accepted { .. } | State::Completed { .. } | State::Terminated => Step::NOTHING,
        }
    }

    /// The TU sent a CANCEL: without a final response within 64*T1 the INVITE counts as
    /// cancelled and the transaction ends (RFC 3261 9.1).
    pub fn cancelled(&mut self, now: Duration) {
        match &mut self.state {
            State::Proceeding { end, .. } => {
                *end = (*end).min(now + SIXTY_FOUR_T1);
            }
            // Timer B is already the limit, or the race is over.
            State::Calling { .. }
            | State::Accepted { .. }
            | State::Completed { .. }
            | State::Terminated => {}
        }
    }

    /// The transport could not deliver (RFC 3261 17.1.4).
    pub fn unreachable(&mut self) -> Step {
        match self.state {
            State::Calling { .. } | State::Completed { .. } => {
                self.state = State::Terminated;
                Step::inform(Inform::Failed(Failure::Unreachable))
            }
            // The peer has been heard: what failed was a repeat.
            State::Proceeding { .. } | State::Accepted { .. } | State::Terminated => Step::NOTHING,
        }
    }

    /// A timer may be due.
    pub fn timeout(&mut self, now: Duration) -> Step {
        match &mut self.state {
            State::Calling { b: end, .. } | State::Proceeding { end, .. } if *end <= now => {
                self.state = State::Terminated;
                Step::inform(Inform::Failed(Failure::Timeout))
            }
            State::Calling {
                invite, a: Some(a), ..
            } if a.at <= now => {
                a.again(now, Cap::None);
                Step::transmit(invite.clone())
            }
            State::Accepted { m: end } | State::Completed { d: end, .. } if *end <= now => {
                self.state = State::Terminated;
                Step::NOTHING
            }
            State::Calling { .. }
            | State::Proceeding { .. }
            | State::Accepted { .. }
            | State::Completed { .. }
            | State::Terminated => Step::NOTHING,
        }
    }

    /// When [`timeout`](Self::timeout) is next due.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Calling { a, b, .. } => Some(earlier(*a, *b)),
            State::Proceeding { end, .. }
            | State::Accepted { m: end }
            | State::Completed { d: end, .. } => Some(*end),
            State::Terminated => None,
        }
    }

    /// The INVITE's bytes, until its final response came.
    #[must_use]
    pub const fn invite(&self) -> Option<&Bytes> {
        match &self.state {
            State::Calling { invite, .. } | State::Proceeding { invite, .. } => Some(invite),
            State::Accepted { .. } | State::Completed { .. } | State::Terminated => None,
        }
    }

    /// Whether the machine has reached Terminated.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}
