//! A call that rings is answered from elsewhere: a newcomer takes the place of a callee that has
//! not answered (RFC 3891 3, an early dialog that we began).
//!
//! ```text
//!   caller            us            L rings          N
//!     |--- INVITE --->|--- INVITE --->|              |
//!     |               |<-- 180 -------|              |
//!     |               |<-- INVITE offer, Replaces: L's dialog
//!     |               |--- CANCEL --->|              |
//!     |               |--- 200 inactive ------------>|
//!     |               |<-- ACK ----------------------|
//!     |               |--- INVITE, the caller's offer|
//!     |               |<-- 200 answer ---------------|
//!     |<-- 200 answer |                              |
//! ```
//!
//! Both the caller and the newcomer have made an offer. The newcomer's is answered by a
//! placeholder, so that it can be made the caller's.

use bus_schema::{Actor, Cause, Reason};
use bytes::Bytes;
use sip::{ClientId, Dialog, Message, Method, Now, ServerId, reply};

use super::compose::COMPLETED_ELSEWHERE;
use super::hunt::Refusal;
use super::{Call, Stage, placeholder};
use crate::headers::{self, Body};
use crate::leg::Output;
use crate::token::LegId;

/// A newcomer that is to answer in a callee's place.
#[derive(Debug)]
pub(super) struct Pickup {
    leg: LegId,
    /// The re-INVITE with the caller's offer, once it is under way.
    client: Option<ClientId>,
}

impl Call {
    /// The ringing leg that `call_id` and the tags name, as its phone knows it.
    pub(super) fn ringing(&self, call_id: &str, local: &str, remote: &str) -> Option<usize> {
        let Stage::Calling(calling) = &self.stage else {
            return None;
        };
        self.legs.iter().position(|leg| {
            let token = self.token(leg.id);
            let rings = leg.inviting.as_ref().is_some_and(|i| i.lost.is_none());
            let early = calling.hunt.early.iter();
            let mut early = early.filter(|early| early.leg == leg.id);
            rings
                && token.as_str() == call_id
                && token.as_str() == local
                && early.any(|early| *early.remote_tag == *remote)
        })
    }

    /// Leg `newcomer` answers in the place of leg `at`, or is refused.
    pub(super) fn pick_up(
        &mut self,
        now: Now,
        at: usize,
        newcomer: LegId,
        server: ServerId,
        message: &Message,
    ) {
        let Some(place) = self.leg(newcomer) else {
            return;
        };
        let is_web = self.legs[place].hop.is_some_and(|hop| self.is_web(hop));
        let tag = self.token(newcomer);
        let caller_offers = match &self.stage {
            Stage::Calling(calling) => {
                calling.pickup.is_none() && !calling.invite.body().is_empty()
            }
            _ => false,
        };
        let answer = match is_web || !caller_offers {
            // Another description would change a browser's role in DTLS.
            true => None,
            false => placeholder::answer(message.body(), &mut self.entropy),
        };
        let dialog = Dialog::uas(message, tag.as_str()).ok();
        let (Some(answer), Some(dialog)) = (answer, dialog) else {
            self.refuse(newcomer, server, message, 488, None);
            return self.leave(newcomer);
        };
        let leg = &mut self.legs[place];
        leg.dialog = Some(dialog);
        leg.answered(now);
        if let Stage::Calling(calling) = &mut self.stage {
            calling.pickup = Some(Box::new(Pickup {
                leg: newcomer,
                client: None,
            }));
        }
        let mut out = reply(message, 200, "OK", Some(tag.as_str()));
        self.dialog_lines(place, message, &mut out);
        self.grant_session(now, place, message, &mut out);
        let bytes = out.body(Some(b"application/sdp"), &answer);
        let cseq = message.cseq().map_or(0, |cseq| cseq.seq);
        self.persist(true);
        self.send_answer(now, place, server, cseq, None, bytes);
        self.lose(now, at, &Bytes::from_static(COMPLETED_ELSEWHERE));
    }

    /// Leg `winner` has answered the caller: the newcomer, or somebody who was faster.
    pub(super) fn picked_up_too_late(&mut self, now: Now, pickup: &Pickup, winner: LegId) {
        if pickup.leg != winner
            && let Some(at) = self.leg(pickup.leg)
        {
            self.part(now, at, &Bytes::from_static(COMPLETED_ELSEWHERE));
        }
    }

    /// Whether somebody has picked the call up and is to take the caller's offer.
    pub(super) fn is_picked_up(&self) -> bool {
        matches!(&self.stage, Stage::Calling(calling) if calling.pickup.is_some())
    }

    /// The newcomer on leg `at` has acknowledged the placeholder: it gets the caller's offer.
    pub(super) fn offer_callers(&mut self, at: usize) {
        let leg = self.legs[at].id;
        let Stage::Calling(calling) = &self.stage else {
            return;
        };
        let is_it = |pickup: &Pickup| pickup.leg == leg && pickup.client.is_none();
        if !calling.pickup.as_deref().is_some_and(is_it) {
            return;
        }
        let invite = calling.invite.clone();
        let branch = self.branch(at);
        let client = self.client();
        let method = Method::Invite;
        let Some(mut out) = self.in_dialog(at, None, method.as_str(), &branch) else {
            return;
        };
        self.put_session(at, &mut out);
        headers::copy(&mut out, &invite, self.trust(at), Body::Kept);
        let bytes = out.body(None, invite.body());
        if let Stage::Calling(calling) = &mut self.stage
            && let Some(pickup) = &mut calling.pickup
        {
            pickup.client = Some(client);
        }
        self.push(Output::Request {
            leg,
            id: client,
            method,
            branch,
            bytes,
        });
    }

    /// Whether `id` on leg `at` is the re-INVITE with the caller's offer.
    pub(super) fn is_pickup(&self, at: usize, id: ClientId) -> bool {
        match &self.stage {
            Stage::Calling(calling) => calling
                .pickup
                .as_deref()
                .is_some_and(|pickup| pickup.leg == self.legs[at].id && pickup.client == Some(id)),
            _ => false,
        }
    }

    /// The newcomer on leg `at` takes the caller's offer, or does not.
    pub(super) fn pickup_response(&mut self, now: Now, at: usize, message: &Message) {
        match message.status().unwrap_or(500) {
            ..200 => {}
            200..300 => {
                let winner = self.legs[at].id;
                let cseq = message.cseq().map_or(0, |cseq| cseq.seq);
                if let Some(dialog) = &mut self.legs[at].dialog {
                    // A Contact that cannot be read leaves the target as it was.
                    let _unreadable = dialog.refresh(message);
                }
                self.session_granted(now, at, message);
                let losers = self.lose_all(now, &Bytes::from_static(COMPLETED_ELSEWHERE));
                self.answer_caller(now, winner, cseq, message);
                self.tell_losers(now, Actor::Callee, losers);
            }
            status => {
                let cause = self.cause_of(at, status, message);
                self.pickup_failed(now, at, Refusal::ours(status, cause));
            }
        }
    }

    /// The newcomer on leg `at` cannot answer: who rings besides still may.
    pub(super) fn pickup_failed(&mut self, now: Now, at: usize, refusal: Refusal) {
        if let Stage::Calling(calling) = &mut self.stage {
            calling.pickup = None;
        }
        let reasons = super::compose::reason_of(&refusal.cause);
        self.part(now, at, &reasons);
        if let Some(hunt) = self.hunt() {
            hunt.refused(refusal);
        }
        if !self.is_hunting() {
            self.ring_next_group(now);
        }
    }

    /// The same where nothing was answered.
    pub(super) fn pickup_silent(&mut self, now: Now, at: usize) {
        let cause = Cause::timer("timer_b", Reason::NoUserResponse);
        self.pickup_failed(now, at, Refusal::ours(408, cause));
    }
}
