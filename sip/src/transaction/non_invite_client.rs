//! Non-INVITE client transaction: RFC 3261 17.1.2 figure 6.
//!
//! ```text
//!             | request sent
//!             v         timer E: request sent
//!          Trying ------------------------------+ timer F, transport error: inform TU
//!           |  | 200-699                         \
//!       1xx |  +------------> Completed --timer K--> Terminated
//!           v                  ^   (repeats dropped)  ^
//!       Proceeding --200-699---+                      |
//!         timer E: request sent                       |
//!         +----timer F, transport error: inform TU ---+
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::timers::{Cap, Retransmit, SIXTY_FOUR_T1, T4, earlier};
use super::{Failure, Inform, Step};

/// One request other than INVITE that we sent.
#[derive(Debug)]
pub struct NonInviteClient {
    state: State,
    reliable: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing heard: timer E repeats at T1, 2*T1, 4*T1 ... T2.
    Trying {
        request: Bytes,
        e: Option<Retransmit>,
        f: Duration,
    },
    /// A provisional was heard: timer E repeats every T2.
    Proceeding {
        request: Bytes,
        e: Option<Retransmit>,
        f: Duration,
    },
    /// The final response was given to the TU; its repeats are dropped until timer K.
    Completed { k: Duration },
    /// Nothing is left to do.
    Terminated,
}

impl NonInviteClient {
    /// Starts in Trying. The step transmits the request.
    #[must_use]
    pub fn new(now: Duration, request: Bytes, reliable: bool) -> (Self, Step) {
        let state = State::Trying {
            request: request.clone(),
            e: (!reliable).then(|| Retransmit::start(now)),
            f: now + SIXTY_FOUR_T1,
        };
        (Self { state, reliable }, Step::transmit(request))
    }

    /// A response arrived.
    pub fn response(&mut self, now: Duration, status: u16) -> Step {
        match &mut self.state {
            State::Trying { .. } | State::Proceeding { .. } if status >= 200 => {
                self.state = if self.reliable {
                    State::Terminated
                } else {
                    State::Completed { k: now + T4 }
                };
                Step::inform(Inform::Message)
            }
            State::Trying { request, e, f } => {
                let request = std::mem::take(request);
                let mut e = *e;
                if let Some(e) = &mut e {
                    e.every_t2(now);
                }
                self.state = State::Proceeding { request, e, f: *f };
                Step::inform(Inform::Message)
            }
            State::Proceeding { .. } => Step::inform(Inform::Message),
            State::Completed { .. } | State::Terminated => Step::NOTHING,
        }
    }

    /// The transport could not deliver (RFC 3261 17.1.4).
    pub fn unreachable(&mut self) -> Step {
        match self.state {
            State::Trying { .. } | State::Proceeding { .. } => {
                self.state = State::Terminated;
                Step::inform(Inform::Failed(Failure::Unreachable))
            }
            State::Completed { .. } | State::Terminated => Step::NOTHING,
        }
    }

    /// A timer may be due.
    pub fn timeout(&mut self, now: Duration) -> Step {
        match &mut self.state {
            State::Trying { f, .. } | State::Proceeding { f, .. } if *f <= now => {
                self.state = State::Terminated;
                Step::inform(Inform::Failed(Failure::Timeout))
            }
            State::Trying {
                request,
                e: Some(e),
                ..
            } if e.at <= now => {
                e.again(now, Cap::T2);
                Step::transmit(request.clone())
            }
            State::Proceeding {
                request,
                e: Some(e),
                ..
            } if e.at <= now => {
                e.every_t2(now);
                Step::transmit(request.clone())
            }
            State::Completed { k } if *k <= now => {
                self.state = State::Terminated;
                Step::NOTHING
            }
            State::Trying { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Terminated => Step::NOTHING,
        }
    }

    /// When [`timeout`](Self::timeout) is next due.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Trying { e, f, .. } | State::Proceeding { e, f, .. } => Some(earlier(*e, *f)),
            State::Completed { k } => Some(*k),
            State::Terminated => None,
        }
    }

    /// Whether the machine has reached Terminated.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}
