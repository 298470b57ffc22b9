//! Before the answer: ringing, early media, and requests that come too soon.

use bus_schema::{Actor, CallState, Cause, EventName, LegState, Reason, Timestamp};
use sip::{Message, Method, Name, Now, ServerId, reply};

use super::compose::{self, IMPLEMENTED};
use super::hunt::{Early, Refusal};
use super::reliable::Hearing;
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
        let hearing = self.hear(at, message);
        if hearing == Hearing::Nothing {
            return;
        }
        self.pass_progress(now, at, message, status, hearing);
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
    fn pass_progress(
        &mut self,
        now: Now,
        at: usize,
        message: &Message,
        status: u16,
        hearing: Hearing,
    ) {
        let theirs = match hearing {
            Hearing::Reliable(rack) => Some(rack),
            Hearing::Unreliable | Hearing::Nothing => None,
        };
        // RFC 6228: 199 is for callers that asked for it, and we do not say that they did.
        let is_shown = status != 199 && matches!(self.stage, Stage::Calling(_));
        if !is_shown && theirs.is_none() {
            return;
        }
        let leg = self.legs[at].id;
        let Some(number) = self.early_number(leg, message.to_tag()) else {
            return;
        };
        if is_shown && self.is_to_be_reliable(hearing) {
            return self.say_reliably(now, number, message, theirs);
        }
        if let Some(rack) = theirs {
            self.acknowledge_alone(at, number, rack, message);
        }
        let tag = self.tag_of_early(number);
        let Stage::Calling(calling) = &self.stage else {
            return;
        };
        if !is_shown {
            return;
        }
        let words = String::from_utf8_lossy(message.reason());
        let mut out = reply(&calling.invite, status, &words, Some(&tag));
        self.dialog_lines(0, &calling.invite, &mut out);
        headers::copy(&mut out, message, self.trust(0), Body::Kept);
        let bytes = out.body(None, message.body());
        let (caller, server) = (self.legs[0].id, calling.server);
        self.respond(caller, server, true, status, bytes);
    }

    /// The number of an early dialog of a fork.
    pub(super) fn early_number(&mut self, leg: LegId, remote_tag: Option<&str>) -> Option<usize> {
        let early = &mut self.hunt()?.early;
        let remote_tag = remote_tag.unwrap_or_default();
        let known = early
            .iter()
            .position(|early| early.leg == leg && *early.remote_tag == *remote_tag);
        match known {
            Some(number) => Some(number),
            None if early.len() == EARLY_MAX => None,
            None => {
                early.push(Early {
                    leg,
                    remote_tag: remote_tag.into(),
                    reliable: None,
                });
                Some(early.len() - 1)
            }
        }
    }

    /// Our tag towards the caller for early dialog `number`; the first one has the plain token.
    pub(super) fn tag_of_early(&self, number: usize) -> String {
        let token = self.token(LegId::CALLER);
        match number {
            0 => token.as_str().to_owned(),
            number => format!("{token}.{number}"),
        }
    }

    /// The early dialog that a request on leg `at` belongs to, if anything passes in it.
    fn early_of(&mut self, at: usize, message: &Message) -> Option<usize> {
        let leg = self.legs[at].id;
        let Stage::Calling(calling) = &mut self.stage else {
            return None;
        };
        let is_caller = leg == LegId::CALLER;
        let early = &mut calling.hunt.early;
        early.iter_mut().position(|early| {
            let dialog = early.dialog(is_caller);
            dialog.is_some_and(|dialog| dialog.owns(message)) && (is_caller || early.leg == leg)
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

    /// A request inside an early dialog. It can be passed on where something was said reliably:
    /// only then is the early dialog sure to exist at both ends.
    pub(super) fn early_request(&mut self, now: Now, at: usize, id: ServerId, request: Message) {
        let leg = self.legs[at].id;
        let message = &request;
        if !self.is_of_early_dialog(leg, message) {
            return self.refuse(leg, id, message, 481, None);
        }
        let number = self.early_of(at, message);
        if let Some(number) = number
            && let Err(fault) = self.early_order(number, leg, message)
        {
            return self.refuse(leg, id, message, fault.status, None);
        }
        if let Some(tags) = headers::unsupported(message, IMPLEMENTED) {
            return self.refuse(leg, id, message, 420, Some((Name::Unsupported, &tags)));
        }
        match (message.method(), number) {
            (Some(Method::Prack), Some(number)) if leg == LegId::CALLER => {
                self.prack(now, number, id, request);
            }
            (Some(Method::Prack), _) => self.refuse(leg, id, message, 481, None),
            (Some(Method::Update | Method::Info | Method::Message), Some(number)) => {
                self.pass_early(now, at, number, id, request);
            }
            _ => self.lonely_early_request(now, at, id, message),
        }
    }

    /// A request in an early dialog that is not passed on.
    pub(super) fn lonely_early_request(
        &mut self,
        now: Now,
        at: usize,
        id: ServerId,
        message: &Message,
    ) {
        let leg = self.legs[at].id;
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
            Some(Method::Register | Method::Publish | Method::Extension) => {
                self.refuse(leg, id, message, 405, None);
            }
            // It matched no INVITE.
            Some(Method::Cancel) => self.refuse(leg, id, message, 481, None),
            // RFC 3311 5.2 for UPDATE, and as good for the others: later.
            _ => self.refuse(leg, id, message, 500, Some((Name::RetryAfter, "2"))),
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
