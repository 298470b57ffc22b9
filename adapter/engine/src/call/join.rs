//! Originated calls (RFC 3725): two parties called one after the other, then joined. The second
//! one may ring as long as it likes.
//!
//! A phone is called without an offer; what it offers in its 2xx is answered at once, in the ACK,
//! by a placeholder without media. A browser is called with a placeholder offer, since JsSIP cannot
//! take an INVITE without one. How they are joined depends on the second party. A phone (flow III):
//!
//! ```text
//!   A                 us                  B
//!   |<-- INVITE ------|                   |
//!   |--- 200 offer -->|                   |
//!   |<-- ACK inactive-|--- INVITE ------->|   B rings
//!   |                 |<-- 200 offer' ----|
//!   |<-- INVITE offer'|                   |
//!   |--- 200 answer'->|                   |
//!   |<-- ACK ---------|--- ACK answer' -->|
//! ```
//!
//! A browser, which has answered the placeholder:
//!
//! ```text
//!   A                  us                   B
//!   |<-- INVITE blank -|                    |
//!   |--- 200 --------->|                    |
//!   |<-- ACK ----------|--- INVITE blank -->|   B rings
//!   |                  |<-- 200 ------------|
//!   |<-- INVITE -------|--- ACK ----------->|
//!   |--- 200 offer --->|--- INVITE offer -->|
//!   |                  |<-- 200 answer -----|
//!   |<-- ACK answer ---|--- ACK ----------->|
//! ```
//!
//! Flow I (A's first offer sent to B) would leave A's 2xx without its ACK while B rings, for which
//! A has 32 s of patience.

use std::time::Duration;

use bus_schema::{Actor, CallState, Cause, EventName, Reason};
use bytes::Bytes;
use sip::{ClientId, Message, Method, Name, Now, ServerId, reply};

use super::compose::{self};
use super::hunt::Hunt;
use super::leg_state::{Ack, Owed};
use super::placeholder::{self, Dtls};
use super::{Call, Party, Stage};
use crate::hop::Hop;
use crate::leg::Output;
use crate::route::Plan;
use crate::token::LegId;

/// Either party repeats its 2xx for 32 s; by then both must have agreed.
const PATIENCE: Duration = Duration::from_secs(24);

/// Both parties are up and are asked to take each other's session.
#[derive(Debug)]
pub(super) struct Joining {
    first: LegId,
    second: LegId,
    step: Step,
    content_type: Bytes,
    /// What one party has offered the other; empty while it is to offer.
    offer: Bytes,
    client: Option<ClientId>,
    /// When to ask again after 491.
    retry: Option<Duration>,
}

/// What is asked, and of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The first party, to take what the second one offers in its 2xx.
    FirstTakes,
    /// The first party, to make an offer.
    FirstOffers,
    /// The second party, to take that.
    SecondTakes,
}

impl Joining {
    /// Who is asked.
    fn asked(&self) -> LegId {
        match self.step {
            Step::FirstTakes | Step::FirstOffers => self.first,
            Step::SecondTakes => self.second,
        }
    }
}

impl Party {
    /// Its name-addr, as the other party sees it.
    pub(super) fn address(&self) -> String {
        match &self.display {
            Some(display) => {
                let display = display.replace('\\', "\\\\").replace('"', "\\\"");
                format!("\"{display}\" <{}>", self.uri)
            }
            None => format!("<{}>", self.uri),
        }
    }
}

impl Call {
    /// What an originated call offers a party behind `hop` at first: nothing to a phone.
    ///
    /// When they are joined the first one offers again, ready for either role in DTLS, and the
    /// second one keeps the role it has (RFC 8842 5.5). The two differ from the start, so that
    /// neither has to change.
    pub(super) fn first_offer(&mut self, hop: Hop) -> Option<Vec<u8>> {
        let role = match &self.stage {
            Stage::First(_) => Dtls::Server,
            Stage::Second(_) => Dtls::Client,
            Stage::Calling(_) | Stage::Joining(_) | Stage::Up | Stage::Over | Stage::Ended => {
                return None;
            }
        };
        self.is_web(hop)
            .then(|| placeholder::offer(role, &mut self.entropy))
    }

    /// The first party answered, with an answer if it `had_offer`, else with an offer.
    pub(super) fn first_answered(
        &mut self,
        now: Now,
        winner: LegId,
        cseq: u32,
        had_offer: bool,
        message: &Message,
    ) {
        let Some(at) = self.leg(winner) else { return };
        let sdp = placeholder::answer(message.body(), &mut self.entropy);
        let Some(sdp) = sdp else {
            let offer = (!had_offer).then(|| message.body_bytes());
            self.legs[at].ack = Ack::Owed(Box::new(Owed { cseq, offer }));
            let cause = Cause::new(Actor::Caller, Reason::IncompatibleMedia);
            return self.join_failed(now, Some(cause));
        };
        self.persist(true);
        let answer = (Bytes::from_static(b"application/sdp"), sdp.into());
        self.acknowledge(at, cseq, (!had_offer).then_some(answer), |_| {});
        let Stage::First(mut commanded) = core::mem::replace(&mut self.stage, Stage::Up) else {
            return;
        };
        // Its registration may have changed while the first one rang.
        let uri = commanded.second.uri.clone();
        self.deadline = now.mono + commanded.ring;
        commanded.hunt = Hunt::new(Plan::Fork { groups: Vec::new() });
        self.stage = Stage::Second(commanded);
        let cause = Cause::of_status(Actor::Caller, 200);
        self.tell(now, EventName::CallUpdated, Some(winner), cause);
        self.push(Output::Plan { uri, trusted: true });
    }

    /// The way to the second party. It is asked for once and used once.
    pub(super) fn planned(&mut self, now: Now, plan: Plan) {
        if let Stage::Second(commanded) = &mut self.stage {
            commanded.hunt = Hunt::new(plan);
            self.ring_next_group(now);
        } else {
            self.followed(now, plan);
        }
    }

    /// The second party answered, with an answer if it `had_offer`, else with an offer.
    pub(super) fn second_answered(
        &mut self,
        now: Now,
        winner: LegId,
        cseq: u32,
        had_offer: bool,
        message: &Message,
    ) {
        let Some(at) = self.leg(winner) else { return };
        let (step, offer) = if had_offer {
            (Step::FirstOffers, Bytes::new())
        } else {
            (Step::FirstTakes, message.body_bytes())
        };
        self.legs[at].ack = Ack::Owed(Box::new(Owed {
            cseq,
            offer: (!had_offer).then(|| offer.clone()),
        }));
        let first = self
            .legs
            .iter()
            .find(|leg| leg.party == Actor::Caller && leg.is_up());
        let Some(first) = first.map(|leg| leg.id) else {
            return;
        };
        let joining = Joining {
            first,
            second: winner,
            step,
            content_type: content_type(message),
            offer,
            client: None,
            retry: None,
        };
        self.stage = Stage::Joining(Box::new(joining));
        self.deadline = now.mono + PATIENCE;
        self.persist(true);
        if had_offer {
            self.acknowledge(at, cseq, None, |_| {});
        } else if message.body().is_empty() {
            let cause = Cause::new(Actor::Callee, Reason::IncompatibleMedia);
            return self.join_failed(now, Some(cause));
        }
        self.ask(now);
    }

    /// Sends the re-INVITE of the present step.
    fn ask(&mut self, now: Now) {
        let Stage::Joining(joining) = &mut self.stage else {
            return;
        };
        joining.retry = None;
        let (asked, offer, content_type) = (
            joining.asked(),
            joining.offer.clone(),
            joining.content_type.clone(),
        );
        let Some(at) = self.leg(asked) else { return };
        if self.legs[at].unacked.is_some() {
            // Its own re-INVITE is not yet acknowledged: ours would cross the ACK.
            return self.ask_later(now);
        }
        let branch = self.branch(at);
        let client = self.client();
        let method = Method::Invite;
        let Some(mut out) = self.in_dialog(at, None, method.as_str(), &branch) else {
            return;
        };
        self.put_session(at, &mut out);
        let bytes = match offer.is_empty() {
            true => out.end(),
            false => out.body(Some(&content_type), &offer),
        };
        if let Stage::Joining(joining) = &mut self.stage {
            joining.client = Some(client);
        }
        self.push(Output::Request {
            leg: asked,
            id: client,
            method,
            branch,
            bytes,
        });
    }

    /// RFC 3261 14.1: the owner of the Call-ID waits 2.1 to 4 s.
    fn ask_later(&mut self, now: Now) {
        let wait = Duration::from_millis(2100 + 10 * (self.entropy.next() % 190));
        if let Stage::Joining(joining) = &mut self.stage {
            joining.client = None;
            joining.retry = Some(now.mono + wait);
        }
    }

    pub(super) fn retry_at(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Joining(joining) => joining.retry,
            _ => None,
        }
    }

    pub(super) fn retry_join(&mut self, now: Now) {
        if self.retry_at().is_some_and(|at| now.mono >= at) {
            self.ask(now);
        }
    }

    /// Whether this is the re-INVITE that joins.
    pub(super) fn is_join(&self, at: usize, id: ClientId) -> bool {
        match &self.stage {
            Stage::Joining(joining) => {
                joining.asked() == self.legs[at].id && joining.client == Some(id)
            }
            _ => false,
        }
    }

    pub(super) fn join_response(&mut self, now: Now, at: usize, message: &Message) {
        match message.status().unwrap_or(500) {
            ..200 => {}
            200..300 => self.agreed(now, at, message),
            491 => self.ask_later(now),
            status => {
                let cause = self.cause_of(at, status, message);
                self.join_failed(now, Some(cause));
            }
        }
    }

    /// The party that was asked did what it was asked to.
    fn agreed(&mut self, now: Now, at: usize, message: &Message) {
        if let Some(dialog) = &mut self.legs[at].dialog {
            // A Contact that cannot be read leaves the target as it was.
            let _unreadable = dialog.refresh(message);
        }
        let cseq = message.cseq().map_or(0, |cseq| cseq.seq);
        self.session_granted(now, at, message);
        let Stage::Joining(joining) = &mut self.stage else {
            return;
        };
        joining.client = None;
        let other = match joining.step {
            Step::FirstOffers => {
                joining.step = Step::SecondTakes;
                joining.offer = message.body_bytes();
                joining.content_type = content_type(message);
                let is_empty = joining.offer.is_empty();
                let offer = Some(joining.offer.clone());
                self.legs[at].ack = Ack::Owed(Box::new(Owed { cseq, offer }));
                if is_empty {
                    let cause = Cause::new(Actor::Caller, Reason::IncompatibleMedia);
                    return self.join_failed(now, Some(cause));
                }
                return self.ask(now);
            }
            Step::FirstTakes => joining.second,
            Step::SecondTakes => joining.first,
        };
        let second = joining.second;
        self.stage = Stage::Up;
        self.acknowledge(at, cseq, None, |_| {});
        let Some(other) = self.leg(other) else { return };
        if let Ack::Owed(owed) = &self.legs[other].ack {
            let cseq = owed.cseq;
            let answer = (
                content_type(message),
                Bytes::copy_from_slice(message.body()),
            );
            self.acknowledge(other, cseq, Some(answer), |_| {});
        }
        self.deadline = now.mono + self.home.timeouts.call;
        self.story.answered(now);
        // What call.answered says, a restart must know.
        self.persist(true);
        debug_assert_eq!(self.story.state, CallState::InProgress);
        self.legs.shrink_to_fit();
        let cause = Cause::of_status(Actor::Callee, 200);
        self.tell(now, EventName::CallAnswered, Some(second), cause);
    }

    /// The parties cannot be joined: both hear BYE.
    pub(super) fn join_failed(&mut self, now: Now, cause: Option<Cause>) {
        let cause = cause.unwrap_or_else(|| Cause::timer("join", Reason::TimerExpired));
        let reasons = compose::reason_of(&cause);
        self.end(now, cause, &reasons);
    }

    /// The first party offers something while it waits: it gets the placeholder again.
    pub(super) fn lonely_offer(&mut self, now: Now, at: usize, id: ServerId, message: &Message) {
        let leg = self.legs[at].id;
        let is_web = self.legs[at].hop.is_some_and(|hop| self.is_web(hop));
        if is_web || self.legs[at].unacked.is_some() {
            // Another placeholder would change a browser's role in DTLS once more.
            return self.refuse(leg, id, message, 491, None);
        }
        let Some(sdp) = placeholder::answer(message.body(), &mut self.entropy) else {
            return self.refuse(leg, id, message, 488, None);
        };
        let mut out = reply(message, 200, "OK", None);
        self.dialog_lines(at, message, &mut out);
        self.grant_session(now, at, message, &mut out);
        let bytes = out.body(Some(b"application/sdp"), &sdp);
        let cseq = message.cseq().map_or(0, |cseq| cseq.seq);
        self.send_answer(now, at, id, cseq, None, bytes);
    }
}

fn content_type(message: &Message) -> Bytes {
    let value = message.header(Name::ContentType);
    Bytes::copy_from_slice(value.unwrap_or(b"application/sdp"))
}
