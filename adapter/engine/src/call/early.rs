//! Before the answer: ringing, early media, and requests that come too soon.

use bus_schema::{Actor, CallState, Cause, EventName, LegState, Reason, Timestamp};
use sip::{Message, Method, Now, ServerId, reply};

use super::compose;
use super::hunt::{Early, Refusal};
use super::story::cause_of_request;
use super::{Call, Stage};
use crate::headers::{self, Body};
use crate::token::LegId;

/// Early dialogs shown to a caller; a downstream that forks more widely is heard but not shown.
const EARLY_MAX: usize = 32;

impl Call {
    /// A provisional response other than 100 came on leg `at`.
    pub(super) fn progress(&mut self, now: Now, at: usize, message: &Message) {
        let status = message.status().unwrap_or(180);
        let leg = &mut self.legs[at];
        let id = leg.id;
        leg.state = match message.to_tag() {
            Some(_) => LegState::Early,
            None => LegState::Proceeding,
        };
        let party = leg.party;
        self.pass_progress(at, message, status);
        let has_media = !message.body().is_empty();
        let (state, name) = match (has_media, status) {
            (true, _) => (CallState::EarlyMedia, EventName::CallEarlyMedia),
            (false, 180) => (CallState::Ringing, EventName::CallRinging),
            (false, _) => return,
        };
        // Forks ring one after another; the state of the call changes once, and never back.
        let rank = |state| match state {
            CallState::Ringing => 1,
            CallState::EarlyMedia => 2,
            _ => 0,
        };
        if rank(state) > rank(self.story.state) {
            self.story.state = state;
        } else if party == Actor::Callee && self.story.ringing_at.is_some() {
            return;
        }
        if party == Actor::Callee {
            self.story.ringing_at.get_or_insert(Timestamp(now.unix_ms));
        }
        self.tell(now, name, Some(id), Cause::of_status(party, status));
    }

    /// Shows the caller what a callee says, in an early dialog of its own.
    fn pass_progress(&mut self, at: usize, message: &Message, status: u16) {
        // RFC 6228: 199 is for callers that asked for it, and we do not say that they did.
        if status == 199 {
            return;
        }
        let leg = self.legs[at].id;
        let Some(tag) = self.early_tag(leg, message.to_tag()) else {
            return;
        };
        let Stage::Calling(calling) = &self.stage else {
            return;
        };
        let words = String::from_utf8_lossy(message.reason());
        let mut out = reply(&calling.invite, status, &words, Some(&tag));
        self.dialog_lines(0, &calling.invite, &mut out);
        headers::copy(&mut out, message, self.trust(0), Body::Kept);
        let bytes = out.body(None, message.body());
        let (caller, server) = (self.legs[0].id, calling.server);
        self.respond(caller, server, true, status, bytes);
    }

    /// Our tag towards the caller for an early dialog of a fork; the first one has the plain token.
    pub(super) fn early_tag(&mut self, leg: LegId, remote_tag: Option<&str>) -> Option<String> {
        let token = self.token(LegId::CALLER);
        let Stage::Calling(calling) = &mut self.stage else {
            return None;
        };
        let early = &mut calling.hunt.early;
        let remote_tag = remote_tag.unwrap_or_default();
        let known = early
            .iter()
            .position(|early| early.leg == leg && *early.remote_tag == *remote_tag);
        let number = match known {
            Some(number) => number,
            None if early.len() == EARLY_MAX => return None,
            None => {
                early.push(Early {
                    leg,
                    remote_tag: remote_tag.into(),
                });
                early.len() - 1
            }
        };
        Some(match number {
            0 => token.as_str().to_owned(),
            number => format!("{token}.{number}"),
        })
    }

    /// Whether a request has the Call-ID of the INVITE of `leg` and comes from its other end: our
    /// tag alone proves nothing.
    fn is_of_early_dialog(&self, leg: LegId, message: &Message) -> bool {
        match &self.stage {
            Stage::Calling(calling) if leg == LegId::CALLER => {
                message.call_id() == calling.invite.call_id()
                    && message.from_tag() == calling.invite.from_tag()
            }
            _ => message.call_id() == Some(self.token(leg).as_str()),
        }
    }

    /// A request inside an early dialog. Nothing can be passed on before the answer: without
    /// 100rel no early dialog is sure to exist at both ends.
    pub(super) fn early_request(&mut self, now: Now, at: usize, id: ServerId, message: &Message) {
        let leg = self.legs[at].id;
        if !self.is_of_early_dialog(leg, message) {
            return self.refuse(leg, id, message, 481, None);
        }
        match message.method() {
            Some(Method::Bye) => {
                let token = self.token(leg);
                let ok = reply(message, 200, "OK", Some(token.as_str())).end();
                self.respond(leg, id, false, 200, ok);
                self.early_bye(now, at, message);
            }
            Some(Method::Options) => {
                let token = self.token(leg);
                let ok = reply(message, 200, "OK", Some(token.as_str())).end();
                self.respond(leg, id, false, 200, ok);
            }
            // It matched no INVITE.
            Some(Method::Cancel) => self.refuse(leg, id, message, 481, None),
            // RFC 3311 5.2 for UPDATE, and as good for the others: later.
            _ => self.refuse(leg, id, message, 500, Some((sip::Name::RetryAfter, "2"))),
        }
    }

    /// A caller may end an early dialog by BYE (RFC 3261 15). From a party that was called it has
    /// overtaken that party's own 2xx: it answered and hung up again.
    fn early_bye(&mut self, now: Now, at: usize, message: &Message) {
        let reasons = compose::reasons(message);
        let party = self.legs[at].party;
        match &self.legs[at].inviting {
            None => {
                let cause = cause_of_request(party, message, Reason::OriginatorCancel);
                self.give_up_caller(now, cause, &reasons);
            }
            Some(inviting) if inviting.lost.is_none() => {
                let cause = cause_of_request(party, message, Reason::NormalClearing);
                let refusal = Refusal::ours(480, cause.clone());
                self.refuse_caller(&refusal, &reasons);
                self.end(now, cause, &reasons);
            }
            // Nobody waits for it any more.
            Some(_) => {}
        }
    }
}
