//! Inside an answered call: what one party asks is asked of the other.

use std::time::Duration;

use bus_schema::{Cause, EventName, Reason};
use bytes::Bytes;
use sip::sdp::Sdp;
use sip::{Builder, ClientId, Failure, Message, Method, Name, Now, ServerId, reply};

use super::compose::{self, IMPLEMENTED, phrase};
use super::hunt::Refusal;
use super::leg_state::{Ack, Owed};
use super::{Call, Stage, reliable, session};
use crate::headers::{self, Body};
use crate::leg::Output;
use crate::token::LegId;

/// More than this many unanswered requests of a party at once are refused.
const RELAYS_MAX: usize = 16;

/// A request of one party that the other has not answered yet.
#[derive(Debug)]
pub(super) struct Relay {
    from: LegId,
    server: ServerId,
    /// The request as it came, for the response.
    request: Message,
    to: LegId,
    /// The early dialog it passes in, before the answer.
    pub(super) early: Option<usize>,
    /// The leg whose place the asker is to take.
    pub(super) replaces: Option<LegId>,
    client: ClientId,
    branch: Box<str>,
    /// What was sent on, for a CANCEL; empty unless it is an INVITE.
    bytes: Bytes,
    provisional: bool,
    /// The asker gave up; why.
    lost: Option<compose::Reasons>,
    /// Timer C, for an INVITE.
    pub(super) timer_c: Option<Duration>,
}

impl Relay {
    /// Whether this is the one that `client` of leg `to` carries.
    pub(super) fn is(&self, to: LegId, client: ClientId) -> bool {
        self.to == to && self.client == client
    }

    pub(super) fn is_from(&self, leg: LegId) -> bool {
        self.from == leg
    }

    pub(super) fn from(&self) -> LegId {
        self.from
    }

    pub(super) fn to(&self) -> LegId {
        self.to
    }

    pub(super) fn request(&self) -> &Message {
        &self.request
    }

    fn is_invite(&self) -> bool {
        self.request.method() == Some(Method::Invite)
    }

    /// Whether it may change the session of leg `leg`.
    pub(super) fn changes(&self, leg: LegId) -> bool {
        (self.from == leg || self.to == leg) && self.offers()
    }

    /// Whether it may change the session.
    fn offers(&self) -> bool {
        match self.request.method() {
            Some(Method::Invite) => true,
            Some(Method::Update) => !self.request.body().is_empty(),
            _ => false,
        }
    }
}

impl Call {
    /// A request inside the dialog of leg `at`.
    pub(super) fn request(&mut self, now: Now, at: usize, id: ServerId, message: Message) {
        let leg = self.legs[at].id;
        let Some(method) = message.method() else {
            return;
        };
        let Some(dialog) = &mut self.legs[at].dialog else {
            return match self.stage {
                Stage::Over | Stage::Ended => self.refuse(leg, id, &message, 481, None),
                _ => self.early_request(now, at, id, message),
            };
        };
        let order = dialog.receive(&message);
        if let Err(fault) = order {
            return self.refuse(leg, id, &message, fault.status, None);
        }
        if let Some(tags) = headers::unsupported(&message, IMPLEMENTED) {
            return self.refuse(leg, id, &message, 420, Some((Name::Unsupported, &tags)));
        }
        let is_over = matches!(self.stage, Stage::Over | Stage::Ended);
        if matches!(method, Method::Invite | Method::Update)
            && !is_over
            && self.refuse_small(leg, id, &message)
        {
            return;
        }
        match (method, &self.stage) {
            (Method::Bye, _) => self.bye_received(now, at, id, &message),
            (_, Stage::Over | Stage::Ended) => self.refuse(leg, id, &message, 481, None),
            // The transaction layer keeps INVITE, ACK and CANCEL apart; these two have no meaning
            // here.
            (Method::Ack | Method::Cancel, _) => self.refuse(leg, id, &message, 481, None),
            (Method::Prack, _) => self.late_prack(now, at, id, message),
            (Method::Register | Method::Publish | Method::Extension, _) => {
                self.refuse(leg, id, &message, 405, None);
            }
            (Method::Update, _) if session::is_refresh(&message) => {
                self.refreshed(now, at, id, &message);
            }
            (_, Stage::Calling(_) | Stage::Second(_) | Stage::Joining(_)) => {
                self.lonely_request(now, at, id, &message);
            }
            (_, Stage::First(_) | Stage::Up) => {
                self.pass_request(now, at, id, method, message);
            }
        }
    }

    fn bye_received(&mut self, now: Now, at: usize, id: ServerId, message: &Message) {
        let leg = self.legs[at].id;
        let ok = reply(message, 200, "OK", None).end();
        self.respond(leg, id, false, 200, ok);
        let party = self.legs[at].party;
        // An ACK is owed even to one that has hung up: else it repeats its 2xx for 32 s.
        self.acknowledge_owed(at);
        let gone = &mut self.legs[at];
        gone.dialog = None;
        gone.unacked = None;
        gone.bye_due = None;
        if matches!(self.stage, Stage::Over) {
            // Ours was still waiting for the ACK.
            return self.close(at);
        }
        let cause = super::story::cause_of_request(party, message, Reason::NormalClearing);
        // One that has picked up may leave before the caller is answered.
        self.refuse_caller(&Refusal::ours(480, cause.clone()), &Bytes::new());
        self.end(now, cause, &compose::reasons(message));
    }

    fn pass_request(
        &mut self,
        now: Now,
        at: usize,
        id: ServerId,
        method: Method,
        message: Message,
    ) {
        let from = self.legs[at].id;
        let Some(other) = self.other(at) else {
            return self.refuse(from, id, &message, 481, None);
        };
        if let Some(status) = self.glare(at, other, method, &message) {
            // RFC 3261 14.2: 500 says when to come back.
            let later = (status == 500).then_some((Name::RetryAfter, "3"));
            return self.refuse(from, id, &message, status, later);
        }
        self.relay_to(now, from, other, None, id, message, |_| {});
    }

    /// Asks leg `other` what leg `from` has asked, in an early dialog or the one that is answered;
    /// with the lines of `extra`.
    #[expect(
        clippy::too_many_arguments,
        reason = "a request, its way, and what it gets on it"
    )]
    pub(super) fn relay_to(
        &mut self,
        now: Now,
        from: LegId,
        other: usize,
        early: Option<usize>,
        id: ServerId,
        message: Message,
        extra: impl FnOnce(&mut Builder),
    ) {
        if headers::max_forwards(&message).is_none() {
            return self.refuse(from, id, &message, 483, None);
        }
        let to = self.legs[other].id;
        if self
            .relays
            .iter()
            .filter(|relay| relay.from == from)
            .count()
            >= RELAYS_MAX
        {
            return self.refuse(from, id, &message, 503, Some((Name::RetryAfter, "2")));
        }
        let branch = self.branch(other);
        let client = self.client();
        let method = message.method().unwrap_or(Method::Extension);
        let text = message.method_text();
        let Some(mut out) = self.in_dialog(other, early, text, &branch) else {
            return self.refuse(from, id, &message, 481, None);
        };
        extra(&mut out);
        if matches!(method, Method::Invite | Method::Update) {
            self.put_session(other, &mut out);
        }
        let trust = self.trust(other);
        match self.refer_to(other, &message) {
            None => headers::copy(&mut out, &message, trust, Body::Kept),
            Some(refer_to) => {
                out.line(Name::ReferTo, refer_to);
                headers::copy_but(&mut out, &message, trust, Body::Kept, Name::ReferTo);
            }
        }
        let bytes = out.body(None, message.body());
        let is_invite = method == Method::Invite;
        self.relays.push(Relay {
            from,
            server: id,
            to,
            early,
            replaces: None,
            client,
            branch: branch.clone(),
            bytes: if is_invite {
                bytes.clone()
            } else {
                Bytes::new()
            },
            provisional: false,
            lost: None,
            timer_c: is_invite.then(|| now.mono + self.home.timeouts.timer_c),
            request: message,
        });
        self.push(Output::Request {
            leg: to,
            id: client,
            method,
            branch,
            bytes,
        });
    }

    /// Whether the session cannot be changed now: the status that says so.
    fn glare(&self, at: usize, other: usize, method: Method, message: &Message) -> Option<u16> {
        let offers =
            method == Method::Invite || (method == Method::Update && !message.body().is_empty());
        if !offers {
            return None;
        }
        let (leg, peer) = (&self.legs[at], &self.legs[other]);
        let mine = self
            .relays
            .iter()
            .any(|relay| relay.from == leg.id && relay.offers());
        // Or a newcomer's.
        let theirs = self
            .relays
            .iter()
            .any(|relay| relay.from != leg.id && relay.offers());
        let owed = |ack: &Ack| matches!(ack, Ack::Owed(_));
        if theirs || leg.unacked.is_some() || peer.unacked.is_some() || owed(&peer.ack) {
            Some(491)
        } else if mine || owed(&leg.ack) {
            Some(500)
        } else {
            None
        }
    }

    /// A response to relay number `number`.
    pub(super) fn relay_response(&mut self, now: Now, number: usize, message: &Message) {
        let status = message.status().unwrap_or(500);
        let timer_c = now.mono + self.home.timeouts.timer_c;
        let relay = &mut self.relays[number];
        let is_invite = relay.is_invite();
        if status < 200 {
            relay.provisional = true;
            if relay.lost.is_some() {
                self.cancel_relayed(number);
            } else if is_invite && status > 100 {
                relay.timer_c = Some(timer_c);
                // RFC 3262 3: who requires 100rel is told nothing unreliably. Inside a call nothing
                // depends on it.
                if !relay.request.lists(Name::Require, reliable::TAG) {
                    self.pass_response(now, number, status, message);
                }
            }
            return;
        }
        let to = relay.to;
        if (200..300).contains(&status) {
            self.relay_succeeded(now, number, message);
        } else {
            self.pass_response(now, number, status, message);
            let relay = self.relays.remove(number);
            if relay.replaces.is_some() {
                self.leave(relay.from);
            }
            if relay.early.is_some() {
                // The INVITE that made the early dialog is still there to say how that ends.
                return self.early_relay_failed(&relay);
            }
            // RFC 3261 12.2.1.2 with RFC 5057 5.1: these end the dialog, unless what is unknown is
            // a subscription.
            let ends = matches!(status, 408 | 481) && ends_dialog(relay.request.method());
            if let (true, Some(at)) = (ends, self.leg(to)) {
                let cause = self.cause_of(at, status, message);
                let reasons = compose::reason_of(&cause);
                self.end(now, cause, &reasons);
            }
        }
    }

    fn relay_succeeded(&mut self, now: Now, number: usize, message: &Message) {
        if self.relays[number].replaces.is_some() {
            if let Some(dialog) = self.leg(self.relays[number].to) {
                self.target_refreshed(dialog, None, message);
                self.session_granted(now, dialog, message);
            }
            return self.replaced(now, number, message);
        }
        let (Some(from), Some(to)) = (
            self.leg(self.relays[number].from),
            self.leg(self.relays[number].to),
        ) else {
            return;
        };
        let is_invite = self.relays[number].is_invite();
        let refreshes = is_invite || self.relays[number].request.method() == Some(Method::Update);
        let early = self.relays[number].early;
        if refreshes {
            self.target_refreshed(to, early, message);
        }
        if early.is_some() {
            return self.early_relay_succeeded(now, number, message);
        }
        if refreshes {
            self.session_granted(now, to, message);
        }
        if is_invite {
            let relay = &self.relays[number];
            let offer = relay
                .request
                .body()
                .is_empty()
                .then(|| message.body_bytes());
            let cseq = message.cseq().map_or(0, |cseq| cseq.seq);
            self.legs[to].ack = Ack::Owed(Box::new(Owed { cseq, offer }));
        }
        self.pass_response(now, number, message.status().unwrap_or(200), message);
        let relay = self.relays.remove(number);
        self.persist_changes();
        if refreshes {
            self.renegotiated(now, from, to, &relay.request, message);
        }
    }

    fn target_refreshed(&mut self, at: usize, early: Option<usize>, message: &Message) {
        if let Some(dialog) = self.dialog(at, early) {
            // A Contact that cannot be read leaves the target as it was.
            let _unreadable = dialog.refresh(message);
        }
    }

    /// Leg `leg` has gone before the answer: what it was asked has none.
    pub(super) fn drop_relays_of(&mut self, leg: LegId) {
        if self.relays.is_empty() {
            return;
        }
        let (gone, rest) = core::mem::take(&mut self.relays)
            .into_iter()
            .partition(|relay| relay.to == leg || (relay.from == leg && relay.replaces.is_none()));
        self.relays = rest;
        let gone: Vec<Relay> = gone;
        for relay in gone.iter().filter(|relay| relay.to == leg) {
            self.refuse(relay.from, relay.server, &relay.request, 481, None);
        }
    }

    /// Passes a response back to who asked.
    pub(super) fn pass_response(
        &mut self,
        now: Now,
        number: usize,
        status: u16,
        message: &Message,
    ) {
        let relay = &self.relays[number];
        let Some(at) = self.leg(relay.from) else {
            return;
        };
        let (server, is_invite, to) = (relay.server, relay.is_invite(), relay.to);
        let cseq = relay.request.cseq().map_or(0, |cseq| cseq.seq);
        let mut words = String::from_utf8_lossy(message.reason());
        let mut status = status;
        let accepts = is_invite && (200..300).contains(&status);
        if accepts {
            // As with the first INVITE of a call: no other 2xx means anything to it.
            (status, words) = (200, phrase(200).into());
        }
        // A newcomer's request has no tag of ours yet.
        let tag = self.token(relay.from);
        let mut out = reply(&relay.request, status, &words, Some(tag.as_str()));
        if status < 300 && (is_invite || relay.request.method() == Some(Method::Update)) {
            self.dialog_lines(at, &relay.request, &mut out);
            if status >= 200 && relay.early.is_none() {
                let request = relay.request.clone();
                self.grant_session(now, at, &request, &mut out);
            }
        }
        headers::copy(&mut out, message, self.trust(at), Body::Kept);
        let bytes = out.body(None, message.body());
        if accepts {
            self.send_answer(now, at, server, cseq, Some(to), bytes);
        } else {
            let leg = self.legs[at].id;
            self.respond(leg, server, is_invite, status, bytes);
        }
    }

    /// Relay number `number` got no final response: the other party is gone.
    pub(super) fn relay_failed(&mut self, now: Now, number: usize, why: Failure) {
        let relay = self.relays.remove(number);
        let party = self.leg(relay.to).map(|at| self.legs[at].party);
        let status = match why {
            Failure::Timeout => 408,
            Failure::Unreachable | Failure::NoRoom => 503,
        };
        // RFC 4320 4.2: a 408 to anything but INVITE comes too late to be of use.
        if status != 408 || relay.is_invite() {
            self.refuse(relay.from, relay.server, &relay.request, status, None);
        }
        if relay.replaces.is_some() {
            self.leave(relay.from);
        }
        if relay.early.is_some() {
            return self.early_relay_failed(&relay);
        }
        let Some(party) = party else { return };
        let cause = match why {
            Failure::NoRoom => return,
            Failure::Timeout => Cause::timer("timer_f", Reason::NoUserResponse).with_status(408),
            Failure::Unreachable => Cause::new(party, Reason::NetworkOutOfOrder),
        };
        let reasons = compose::reason_of(&cause);
        self.end(now, cause, &reasons);
    }

    /// The call ends before these were answered (RFC 3261 15.1.2).
    pub(super) fn drop_relays(&mut self) {
        for relay in core::mem::take(&mut self.relays) {
            self.refuse(relay.from, relay.server, &relay.request, 487, None);
        }
    }

    /// The asker of a relayed INVITE gave up.
    pub(super) fn cancel_relay(
        &mut self,
        _now: Now,
        from: LegId,
        invite: ServerId,
        message: &Message,
    ) {
        let number = self
            .relays
            .iter()
            .position(|relay| relay.from == from && relay.server == invite && relay.is_invite());
        if let Some(number) = number {
            self.lose_relay(number, compose::reasons(message));
        }
    }

    /// Nobody wants the answer of relay number `number`.
    pub(super) fn lose_relay(&mut self, number: usize, reasons: compose::Reasons) {
        self.relays[number].lost = Some(reasons);
        if self.relays[number].provisional {
            self.cancel_relayed(number);
        }
    }

    fn cancel_relayed(&mut self, number: usize) {
        let relay = &mut self.relays[number];
        let Some(reasons) = relay.lost.take() else {
            return;
        };
        relay.timer_c = None;
        let (leg, branch) = (relay.to, relay.branch.clone());
        let Some(bytes) = Self::cancel_of(&relay.bytes, &reasons) else {
            return;
        };
        let client = self.client();
        self.push(Output::Request {
            leg,
            id: client,
            method: Method::Cancel,
            branch,
            bytes,
        });
    }

    /// Timer C of a relayed INVITE (RFC 3261 16.8).
    pub(super) fn relay_timer_c(&mut self, now: Now, number: usize) {
        let relay = &mut self.relays[number];
        relay.timer_c = None;
        relay.lost = Some(Bytes::new());
        if relay.provisional {
            self.cancel_relayed(number);
        } else {
            self.relay_failed(now, number, Failure::Timeout);
        }
    }

    /// The session was agreed anew: who holds, and what to call it.
    fn renegotiated(
        &mut self,
        now: Now,
        from: usize,
        to: usize,
        request: &Message,
        response: &Message,
    ) {
        self.told_session(to, request);
        self.told_session(from, response);
        // The offer is in the request, or else in the response.
        let (offerer, offer) = match request.body() {
            [] => (to, response.body()),
            offer => (from, offer),
        };
        let Ok(sdp) = Sdp::parse(offer) else { return };
        let holds = sdp.holds();
        let leg = &mut self.legs[offerer];
        let (id, party) = (leg.id, leg.party);
        let before = core::mem::replace(&mut leg.holds, holds);
        let (name, reason) = match (before, holds) {
            (false, true) => (EventName::CallHeld, Reason::Requested),
            (true, false) => (EventName::CallUnheld, Reason::Requested),
            _ => (EventName::CallUpdated, Reason::Renegotiated),
        };
        self.tell(now, name, Some(id), Cause::new(party, reason));
    }

    /// A request of a party that has nobody to talk to yet.
    fn lonely_request(&mut self, now: Now, at: usize, id: ServerId, message: &Message) {
        let leg = self.legs[at].id;
        match message.method() {
            Some(Method::Options) => {
                let ok = reply(message, 200, phrase(200), None).end();
                self.respond(leg, id, false, 200, ok);
            }
            Some(Method::Invite) if matches!(self.stage, Stage::Second(_)) => {
                self.lonely_offer(now, at, id, message);
            }
            // A re-INVITE of ours is under way.
            Some(Method::Invite | Method::Update) => self.refuse(leg, id, message, 491, None),
            _ => self.refuse(leg, id, message, 480, None),
        }
    }
}

/// Which requests belong to the INVITE usage of the dialog itself.
fn ends_dialog(method: Option<Method>) -> bool {
    match method {
        Some(
            Method::Invite
            | Method::Update
            | Method::Info
            | Method::Options
            | Method::Bye
            | Method::Prack,
        ) => true,
        Some(
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Message
            | Method::Refer
            | Method::Notify
            | Method::Subscribe
            | Method::Publish
            | Method::Extension,
        )
        | None => false,
    }
}
