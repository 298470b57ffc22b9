//! A new party takes the place of one (RFC 3891): the end of an attended transfer.
//!
//! ```text
//!   leaving A          us            C who stays         N
//!     |<=== call =====>|<=== call ====>|                 |
//!     |                |<-- INVITE, Replaces: A's dialog -|
//!     |                |--- INVITE --->|                 |
//!     |                |<-- 200 -------|                 |
//!     |                |--- 200 ------------------------>|
//!     |<-- BYE --------|<=== call ====>|<==== call =====>|
//! ```

use bus_schema::{Actor, Cause, EventName, Reason};
use bytes::Bytes;
use sip::sdp::Sdp;
use sip::{Dialog, Message, Name, Now};

use super::compose::IMPLEMENTED;
use super::leg_state::{Ack, Owed};
use super::setup::Replacement;
use super::{Call, Stage, session};
use crate::headers;
use crate::leg::Output;
use crate::replaces::Replaces;
use crate::token::LegId;

/// Why the one that is replaced hears BYE.
const REPLACED: &[u8] = b"Reason: SIP;cause=200;text=\"Replaced\"\r\n";

impl Call {
    /// The leg that the next party to come will have.
    #[must_use]
    pub fn next_leg(&self) -> LegId {
        LegId(self.next_leg)
    }

    /// Somebody wants to take a party's place.
    pub(super) fn replace(&mut self, now: Now, replacement: Replacement) {
        let Replacement {
            server,
            message,
            hop,
            aor,
        } = replacement;
        let id = self.next_leg();
        self.next_leg += 1;
        let leaving = self.leaving(&message);
        let party = match leaving {
            Ok(at) => self.legs[at].party,
            Err(_) => Actor::Caller,
        };
        let uri = message.from().map(|from| from.uri).unwrap_or_default();
        let uri = super::story::clip(uri).into();
        let call_id_hash = self.hash_of(message.call_id().unwrap_or_default());
        let mut leg = self.blank_leg(id, party, uri, call_id_hash);
        leg.hop = Some(hop);
        leg.aor = aor;
        leg.sips = super::sips::of_request(&self.home, hop, &message);
        self.legs.push(leg);
        self.push(Output::Open { leg: id, hop });
        let refusal = match leaving {
            Ok(at) => self.newcomer_refused(at, &message),
            Err(status) => Some((status, None)),
        };
        if let Some((status, extra)) = refusal {
            let extra = extra.as_ref().map(|(name, value)| (*name, &**value));
            self.refuse(id, server, &message, status, extra);
            return self.leave(id);
        }
        if let Ok(at) = leaving
            && self.legs[at].inviting.is_some()
        {
            return self.pick_up(now, at, id, server, &message);
        }
        if let Ok(at) = leaving
            && let Some(stays) = self.other(at)
        {
            let leaves = self.legs[at].id;
            self.relay_to(now, id, stays, None, server, message, |_| {});
            match self.relays.last_mut().filter(|relay| relay.is_from(id)) {
                Some(relay) => relay.replaces = Some(leaves),
                // It was refused at once.
                None => self.leave(id),
            }
        }
    }

    /// The leg that is to be replaced, or why none is.
    fn leaving(&self, message: &Message) -> Result<usize, u16> {
        let value = message.text(Name::Replaces).unwrap_or_default();
        let replaces = Replaces::parse(value).ok_or(400_u16)?;
        if matches!(self.stage, Stage::Over | Stage::Ended) {
            // RFC 3891 3: of a dialog that has ended.
            return Err(603);
        }
        let is = |dialog: &Dialog, local: &str, remote: &str| {
            dialog.call_id() == replaces.call_id
                && dialog.local_tag() == local
                && dialog.remote_tag() == remote
        };
        let (to, from) = (replaces.to_tag, replaces.from_tag);
        let named = |local, remote| {
            let dialogs = self.legs.iter().map(|leg| leg.dialog.as_ref());
            dialogs
                .map(|dialog| dialog.is_some_and(|dialog| is(dialog, local, remote)))
                .position(|named| named)
        };
        // As the leaving party knows it, or as the staying one does.
        let at = match (named(to, from), named(from, to)) {
            (Some(leaves), _) => Some(leaves),
            (None, Some(stays)) => self.other(stays),
            (None, None) => None,
        };
        if let Some(rings) = self.ringing(replaces.call_id, to, from) {
            return Ok(rings);
        }
        // A caller's early dialog is not ours to give (RFC 3891 3).
        let at = at.filter(|_| matches!(self.stage, Stage::Up));
        match at {
            Some(_) if replaces.early_only => Err(486),
            Some(at) => Ok(at),
            None => Err(481),
        }
    }

    /// How an INVITE is answered that cannot take the place of leg `at`, with a header.
    fn newcomer_refused(
        &self,
        at: usize,
        invite: &Message,
    ) -> Option<(u16, Option<(Name, String)>)> {
        if let Some(tags) = headers::unsupported(invite, IMPLEMENTED) {
            return Some((420, Some((Name::Unsupported, tags))));
        }
        if let Some(least) = session::too_small(invite, self.home.timeouts.session_min) {
            return Some((422, Some((Name::MinSe, least.to_string()))));
        }
        if let Err(fault) = Dialog::admits(invite) {
            return Some((fault.status, None));
        }
        if self.legs[at].inviting.is_some() {
            return None;
        }
        let Some(stays) = self.other(at) else {
            return Some((481, None));
        };
        let is_busy = |at: usize| {
            let leg = &self.legs[at];
            let relays = self.relays.iter().any(|relay| relay.changes(leg.id));
            relays || leg.unacked.is_some() || matches!(leg.ack, Ack::Owed(_))
        };
        (is_busy(at) || is_busy(stays)).then_some((491, None))
    }

    /// Leg `to` has taken the session of the newcomer, whose relay is number `number`.
    pub(super) fn replaced(&mut self, now: Now, number: usize, message: &Message) {
        let relay = &self.relays[number];
        let (newcomer, to) = (relay.from(), relay.to());
        let request = relay.request().clone();
        let leaves = relay.replaces;
        let Some(stays) = self.leg(to) else { return };
        let cseq = message.cseq().map_or(0, |cseq| cseq.seq);
        let offer = request.body().is_empty().then(|| message.body_bytes());
        self.legs[stays].ack = Ack::Owed(Box::new(Owed { cseq, offer }));
        let tag = self.token(newcomer);
        let dialog = Dialog::uas(&request, tag.as_str()).ok();
        let (Some(at), Some(dialog)) = (self.leg(newcomer), dialog) else {
            // It has gone, and the one who stays has taken its session: there is no way back.
            self.relays.remove(number);
            let cause = Cause::new(Actor::Caller, Reason::NetworkOutOfOrder);
            let reasons = super::compose::reason_of(&cause);
            return self.end(now, cause, &reasons);
        };
        let leg = &mut self.legs[at];
        leg.dialog = Some(dialog);
        leg.answered(now);
        leg.holds = Sdp::parse(request.body()).is_ok_and(|sdp| sdp.holds());
        let party = leg.party;
        if party == Actor::Caller {
            // What the one who leaves could assert, this one cannot.
            self.story.trusted = false;
        }
        self.persist(true);
        self.pass_response(now, number, message.status().unwrap_or(200), message);
        self.relays.remove(number);
        self.told_session(stays, &request);
        if let Some(leaving) = leaves.and_then(|leaves| self.leg(leaves)) {
            self.part(now, leaving, &Bytes::from_static(REPLACED));
        }
        self.persist(false);
        let cause = Cause::new(party, Reason::Replaced);
        self.tell(now, EventName::CallUpdated, Some(newcomer), cause);
    }

    /// Leg `id` of a newcomer is not needed: it was refused, or gave up.
    pub(super) fn leave(&mut self, id: LegId) {
        if let Some(at) = self.leg(id).filter(|at| !self.legs[*at].is_up()) {
            self.close(at);
        }
    }

    /// The connection of a newcomer is gone: whether leg `at` is one.
    pub(super) fn newcomer_lost(&mut self, at: usize) -> bool {
        let id = self.legs[at].id;
        let coming = |relay: &super::Relay| relay.replaces.is_some() && relay.is_from(id);
        let Some(number) = self.relays.iter().position(coming) else {
            return false;
        };
        self.lose_relay(number, Bytes::new());
        self.close(at);
        true
    }
}
