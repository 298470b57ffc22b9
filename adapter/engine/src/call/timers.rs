//! What becomes due.

use bus_schema::{Cause, Reason};
use sip::Now;

use super::compose;
use super::hunt::Refusal;
use super::{Call, Stage};

impl Call {
    pub(super) fn timers(&mut self, now: Now) {
        for at in (0..self.legs.len()).rev() {
            let due = self.legs.get(at).and_then(|leg| leg.timeout());
            if due.is_some_and(|due| now.mono >= due) {
                self.leg_timer(now, at);
            }
        }
        for number in (0..self.relays.len()).rev() {
            let due = self.relays.get(number).and_then(|relay| relay.timer_c);
            if due.is_some_and(|due| now.mono >= due) {
                self.relay_timer_c(now, number);
            }
        }
        self.resend_reliable(now);
        self.retry_join(now);
        if now.mono >= self.deadline {
            self.deadline_passed(now);
        }
        if self.drain.is_some_and(|drain| now.mono >= drain) {
            self.drain = None;
            let cause = Cause::new(bus_schema::Actor::System, Reason::SystemShutdown);
            self.abort(now, cause, None);
        }
    }

    fn leg_timer(&mut self, now: Now, at: usize) {
        self.session_timer(now, at);
        if at < self.legs.len() {
            self.resend_answer(now, at);
        }
        let Some(leg) = self.legs.get_mut(at) else {
            return;
        };
        let Some(inviting) = &mut leg.inviting else {
            return;
        };
        if inviting.timer_c.is_none_or(|due| now.mono < due) {
            return;
        }
        // RFC 3261 16.8: CANCEL if anything came back, else as if a 408 had.
        inviting.timer_c = None;
        let cause = Cause::timer("timer_c", Reason::NoAnswer);
        let refusal = Refusal::ours(408, cause);
        self.lose(now, at, &compose::reason_of(&refusal.cause));
        self.fork_gave_up(now, refusal);
    }

    fn deadline_passed(&mut self, now: Now) {
        match self.stage {
            Stage::Calling(_) | Stage::First(_) | Stage::Second(_) => self.ring_timeout(now),
            Stage::Joining(_) => self.join_failed(now, None),
            Stage::Up => {
                let cause = Cause::timer("max_duration", Reason::MaxDuration);
                let reasons = compose::reason_of(&cause);
                self.end(now, cause, &reasons);
            }
            Stage::Over => {
                for at in (0..self.legs.len()).rev() {
                    self.close(at);
                }
            }
            Stage::Ended => {}
        }
    }

    /// Ends the call from outside, whatever its stage. A caller that waits gets `status`.
    pub(super) fn abort(&mut self, now: Now, cause: Cause, status: Option<u16>) {
        let reasons = compose::reason_of(&cause);
        let status = status.or_else(|| cause.reason.sip_status()).unwrap_or(480);
        let refusal = Refusal {
            status,
            cause: cause.clone(),
            message: None,
        };
        self.refuse_caller(&refusal, &reasons);
        self.end(now, cause, &reasons);
    }

    /// A fork has been told to stop; its answer is not waited for.
    fn fork_gave_up(&mut self, now: Now, refusal: Refusal) {
        if let Some(hunt) = self.hunt() {
            hunt.refused(refusal);
        }
        if !self.is_hunting() && self.hunt().is_some() {
            self.ring_next_group(now);
        }
    }
}
