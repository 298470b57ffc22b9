//! The write-ahead gate: what a record must survive waits until the record is kept.

use std::collections::VecDeque;
use std::time::Duration;

use sip::Now;

use crate::leg::Output;

/// How long a record may take. A call that waits longer is worse than one that is not protected.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// More than a call says in [`PATIENCE`]; beyond it the gate opens rather than hoard.
const CAPACITY: usize = 256;

/// The gate of one call.
///
/// After a `Persist { ahead: true }` has been let through, every later output waits until
/// [`persisted`](Self::persisted) or the deadline. Not held up are retransmissions, 100 Trying and
/// answers to transactions other than INVITE: nothing a record says depends on them. Outputs that
/// wait for nothing cost nothing.
#[derive(Debug, Default)]
pub struct Gate {
    waiting: VecDeque<Output>,
    /// Until when it stays shut; open if `None`.
    shut: Option<Duration>,
    /// Whether the last record came too late.
    unprotected: bool,
}

impl Gate {
    /// Gives `output` back if it may be performed now.
    pub fn pass(&mut self, now: Now, output: Output) -> Option<Output> {
        if is_exempt(&output) {
            return Some(output);
        }
        if self.shut.is_some() || !self.waiting.is_empty() {
            self.waiting.push_back(output);
            if self.waiting.len() > CAPACITY {
                self.open(false);
            }
            return None;
        }
        Some(self.note(now, output))
    }

    /// The record went through, or could not be kept. Then drain
    /// [`poll_output`](Self::poll_output).
    pub fn persisted(&mut self, ok: bool) {
        if self.shut.is_some() {
            self.open(ok);
        }
    }

    /// The next output that has waited long enough.
    pub fn poll_output(&mut self, now: Now) -> Option<Output> {
        if self.shut.is_some() {
            return None;
        }
        let output = self.waiting.pop_front()?;
        if self.waiting.is_empty() {
            // A call is long and waits seldom.
            self.waiting = VecDeque::new();
        }
        Some(self.note(now, output))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), in [`Now::mono`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.shut
    }

    /// Opens the gate if its deadline has passed. Returns whether the call has to be told that its
    /// record was not kept in time ([`Input::PersistFailed`](crate::Input::PersistFailed)).
    #[must_use]
    pub fn handle_timeout(&mut self, now: Now) -> bool {
        let late = self.shut.is_some_and(|deadline| now.mono >= deadline);
        if late {
            self.open(false);
        }
        late
    }

    fn open(&mut self, protected: bool) {
        self.shut = None;
        self.unprotected = !protected;
    }

    fn note(&mut self, now: Now, mut output: Output) -> Output {
        match &mut output {
            Output::Persist {
                record: Some(_),
                ahead: true,
            } => {
                self.shut = Some(now.mono + PATIENCE);
            }
            Output::Event(event) if self.unprotected => event.data.protected = false,
            _ => {}
        }
        output
    }
}

fn is_exempt(output: &Output) -> bool {
    match output {
        Output::Send { again, .. } => *again,
        Output::Respond { invite, status, .. } => !invite || *status == 100,
        Output::Open { .. }
        | Output::Resolve { .. }
        | Output::Plan { .. }
        | Output::Request { .. }
        | Output::Close { .. }
        | Output::Event(_)
        | Output::Persist { .. }
        | Output::Reply { .. }
        | Output::Ended => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sip::ServerId;

    use super::*;
    use crate::token::LegId;

    const LEG: LegId = LegId(0);

    fn at(millis: u64) -> Now {
        Now {
            mono: Duration::from_millis(millis),
            unix_ms: millis,
        }
    }

    fn record() -> Output {
        Output::Persist {
            record: Some(Bytes::from_static(b"x")),
            ahead: true,
        }
    }

    fn respond(invite: bool, status: u16) -> Output {
        Output::Respond {
            leg: LEG,
            id: ServerId(1),
            invite,
            status,
            bytes: Bytes::new(),
        }
    }

    fn send(again: bool) -> Output {
        Output::Send {
            leg: LEG,
            again,
            bytes: Bytes::new(),
        }
    }

    #[test]
    fn what_follows_a_record_waits_until_it_is_kept() {
        let mut gate = Gate::default();
        assert!(gate.pass(at(0), respond(true, 180)).is_some());
        assert!(gate.pass(at(0), record()).is_some());
        assert!(gate.pass(at(0), respond(true, 200)).is_none());
        assert!(gate.pass(at(0), send(false)).is_none());
        assert!(gate.poll_output(at(1)).is_none());
        gate.persisted(true);
        assert!(matches!(
            gate.poll_output(at(2)),
            Some(Output::Respond { status: 200, .. })
        ));
        // In order, although the gate is open again.
        assert!(gate.pass(at(2), respond(true, 486)).is_none());
        assert!(matches!(gate.poll_output(at(2)), Some(Output::Send { .. })));
        assert!(gate.poll_output(at(2)).is_some());
        assert!(gate.poll_output(at(2)).is_none() && gate.poll_timeout().is_none());
    }

    #[test]
    fn retransmissions_100_and_other_answers_do_not_wait() {
        let mut gate = Gate::default();
        assert!(gate.pass(at(0), record()).is_some());
        for output in [send(true), respond(true, 100), respond(false, 200)] {
            assert!(gate.pass(at(0), output).is_some());
        }
    }

    #[test]
    fn the_wait_has_an_end_which_the_call_hears_of() {
        let mut gate = Gate::default();
        assert!(gate.pass(at(5), record()).is_some());
        assert!(gate.pass(at(5), respond(true, 200)).is_none());
        assert_eq!(gate.poll_timeout(), Some(Duration::from_millis(105)));
        assert!(!gate.handle_timeout(at(104)));
        assert!(gate.handle_timeout(at(105)));
        assert!(gate.poll_output(at(105)).is_some());
    }

    #[test]
    fn a_second_record_shuts_it_again_when_its_turn_comes() {
        let mut gate = Gate::default();
        assert!(gate.pass(at(0), record()).is_some());
        assert!(gate.pass(at(0), record()).is_none());
        assert!(gate.pass(at(0), send(false)).is_none());
        gate.persisted(true);
        assert!(matches!(
            gate.poll_output(at(1)),
            Some(Output::Persist { .. })
        ));
        assert!(gate.poll_output(at(1)).is_none());
        gate.persisted(false);
        assert!(gate.poll_output(at(1)).is_some());
    }
}
