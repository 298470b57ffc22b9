//! Ending: one terminal event, then whatever each leg still needs.

use std::time::Duration;

use bus_schema::{Actor, CallState, Cause, EventName, LegState, Reason, Timestamp};
use bytes::Bytes;
use sip::{Message, Method, Now, reply};

use super::compose::{self, Reasons, phrase};
use super::hunt::Refusal;
use super::leg_state::{Ack, Leg};
use super::{Call, Stage};
use crate::headers::{self, Body};
use crate::hop::Hop;
use crate::leg::Output;

/// A CANCEL may have to wait 64*T1 for a provisional response and then as long for a final one.
const OVER: Duration = Duration::from_secs(66);

impl Call {
    /// Ends the call: the terminal event, then CANCEL or BYE on every leg, with `reasons` in them.
    ///
    /// The record goes once the event is safe, and not with the last BYE's answer: the worst a
    /// crash in between can do is a BYE that is not repeated.
    pub(super) fn end(&mut self, now: Now, cause: Cause, reasons: &Reasons) {
        if matches!(self.stage, Stage::Over | Stage::Ended) {
            return;
        }
        self.close_story(now, cause.reason);
        self.drop_relays();
        self.tell(now, EventName::CallEnded, None, cause);
        self.part_all(now, reasons);
    }

    /// From here on the call is over, whether that was told or not.
    pub(super) fn close_story(&mut self, now: Now, reason: Reason) {
        let was_answered = self.story.answered_at.is_some();
        self.story.state = CallState::ended(was_answered, reason);
        self.story.ended_at = Some(Timestamp(now.unix_ms));
        for leg in &mut self.legs {
            leg.state = LegState::Terminated;
            leg.timer = None;
        }
        self.stage = Stage::Over;
        self.deadline = now.mono + OVER;
        self.drain = None;
    }

    /// Forgets the record and ends every leg.
    pub(super) fn part_all(&mut self, now: Now, reasons: &Reasons) {
        self.push(Output::Persist {
            record: None,
            ahead: false,
        });
        for at in (0..self.legs.len()).rev() {
            self.part(now, at, reasons);
        }
    }

    /// Ends leg `at`, however far it has come.
    pub(super) fn part(&mut self, now: Now, at: usize, reasons: &Reasons) {
        let leg = &mut self.legs[at];
        if leg.inviting.is_some() {
            if leg
                .inviting
                .as_ref()
                .is_some_and(|inviting| inviting.lost.is_none())
            {
                self.lose(now, at, reasons);
            }
        } else if leg.is_up() && leg.hop.is_none() {
            // Recovered, and it has to be found first.
            leg.bye_due = Some(Box::new(reasons.clone()));
        } else if leg.unacked.is_some() {
            // RFC 3261 15: the callee's side must not send BYE before the ACK has come.
            leg.bye_due = Some(Box::new(reasons.clone()));
        } else if leg.is_up() {
            self.bye(at, reasons);
            self.close(at);
        } else {
            self.close(at);
        }
    }

    /// Sends BYE on leg `at`, after the ACK if that is owed.
    pub(super) fn bye(&mut self, at: usize, reasons: &Reasons) {
        self.acknowledge_owed(at);
        let branch = self.branch(at);
        let client = self.client();
        let Some(mut out) = self.in_dialog(at, None, Method::Bye.as_str(), &branch) else {
            return;
        };
        let bytes = out.raw(reasons).end();
        let (leg, method) = (self.legs[at].id, Method::Bye);
        self.push(Output::Request {
            leg,
            id: client,
            method,
            branch,
            bytes,
        });
    }

    /// The call needs leg `at` no more.
    pub(super) fn close(&mut self, at: usize) {
        self.close_as(at, None);
    }

    /// The same for a leg that ended with a final status.
    pub(super) fn close_as(&mut self, at: usize, status: Option<u16>) {
        if !matches!(self.stage, Stage::Over) {
            self.remember(at, status);
        }
        let leg = self.legs.remove(at);
        self.drop_relays_of(leg.id);
        if leg.hop.is_some() {
            self.push(Output::Close { leg: leg.id });
        }
    }

    /// Nobody answered.
    pub(super) fn hunt_failed(&mut self, now: Now, refusal: Refusal) {
        // The far end's own Reason if it gave one.
        let said = refusal
            .message
            .as_ref()
            .map(compose::reasons)
            .unwrap_or_default();
        let reasons = if said.is_empty() {
            compose::reason_of(&refusal.cause)
        } else {
            said
        };
        self.refuse_caller(&refusal, &reasons);
        self.end(now, refusal.cause, &reasons);
    }

    /// Passes the best refusal to a caller that waits for an answer.
    pub(super) fn refuse_caller(&mut self, refusal: &Refusal, reasons: &Reasons) {
        let Stage::Calling(calling) = &self.stage else {
            return;
        };
        let Some(at) = self
            .legs
            .first()
            .filter(|leg| leg.id == crate::LegId::CALLER)
        else {
            return;
        };
        let (leg, id) = (at.id, calling.server);
        let status = refusal.status_for_caller();
        let token = self.token(leg);
        let words = match &refusal.message {
            Some(message) if refusal.status == status => {
                String::from_utf8_lossy(message.reason()).into_owned()
            }
            _ => phrase(status).to_owned(),
        };
        let mut out = reply(&calling.invite, status, &words, Some(token.as_str()));
        let bytes = match &refusal.message {
            Some(message) => {
                headers::copy(&mut out, message, self.trust(0), Body::Kept);
                if (300..400).contains(&status) {
                    // Where the callee is now: the caller's to decide (RFC 3261 8.1.3.4).
                    out.copy_all(message, sip::Name::Contact);
                }
                out.body(None, message.body())
            }
            None => out.raw(reasons).end(),
        };
        self.respond(leg, id, true, status, bytes);
    }

    /// A CANCEL came for an INVITE on leg `at`.
    pub(super) fn cancelled(
        &mut self,
        now: Now,
        at: usize,
        id: sip::ServerId,
        invite: sip::ServerId,
        message: &Message,
    ) {
        let leg = self.legs[at].id;
        let token = self.token(leg);
        let ok = reply(message, 200, "OK", Some(token.as_str())).end();
        self.respond(leg, id, false, 200, ok);
        let is_call = match &self.stage {
            Stage::Calling(calling) => calling.server == invite,
            _ => false,
        };
        if is_call {
            let cause =
                super::story::cause_of_request(Actor::Caller, message, Reason::OriginatorCancel);
            let cause = cause.with_status(487);
            self.give_up_caller(now, cause, &compose::reasons(message));
        } else {
            self.cancel_relay(now, leg, invite, message);
        }
    }

    /// The caller does not want the call any more: 487, and CANCEL to all that ring.
    pub(super) fn give_up_caller(&mut self, now: Now, cause: Cause, reasons: &Reasons) {
        let refusal = Refusal {
            status: 487,
            cause: cause.clone(),
            message: None,
        };
        self.refuse_caller(&refusal, &Bytes::new());
        self.end(now, cause, reasons);
    }

    /// The connection of leg `at` is gone.
    pub(super) fn flow_lost(&mut self, now: Now, at: usize) {
        if self.newcomer_lost(at) {
            return;
        }
        let party = self.legs[at].party;
        match &self.legs[at].inviting {
            Some(inviting) if inviting.lost.is_some() => return self.close(at),
            // RFC 3263 4.3: the next address, if there is one.
            Some(inviting) if !inviting.spare.is_empty() => return self.next_hop(now, at),
            Some(_) => {
                let refusal = self.unreachable(at);
                return self.fork_refused(now, at, refusal);
            }
            None => {}
        }
        if let Some(hop @ Hop::Connect { .. }) = self.legs[at].hop
            && self.legs[at].is_up()
        {
            // RFC 3261 18.4: we made it, and can make another when there is something to say.
            let leg = self.legs[at].id;
            return self.push(Output::Open { leg, hop });
        }
        self.forget_flow(at);
        let cause = Cause::new(party, Reason::NetworkOutOfOrder).with_text("flow lost");
        if self.is_picked_up() {
            // The caller is there, unless it was the one.
            self.refuse_caller(&Refusal::ours(480, cause.clone()), &Bytes::new());
        }
        let reasons = compose::reason_of(&cause);
        self.end(now, cause, &reasons);
    }

    /// A bug of ours was caught: nobody knows what else is wrong, so the call ends.
    pub(super) fn fault(&mut self, now: Now) {
        self.abort(now, Cause::new(Actor::System, Reason::Internal), None);
    }

    /// A bug of ours has cost leg `at` its transactions.
    pub(super) fn leg_fault(&mut self, now: Now, at: usize) {
        self.repeat_invite(at);
        self.fault(now);
    }

    /// Nothing more can be said on leg `at`.
    fn forget_flow(&mut self, at: usize) {
        let leg = &mut self.legs[at];
        leg.dialog = None;
        leg.unacked = None;
        leg.ack = Ack::None;
        if matches!(self.stage, Stage::Over) {
            self.close(at);
        }
    }
}

impl Leg {
    /// Whether a BYE waits for the ACK.
    pub(super) fn take_bye_due(&mut self) -> Option<Reasons> {
        self.bye_due.take().map(|reasons| *reasons)
    }
}
