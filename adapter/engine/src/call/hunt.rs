//! The search for somebody who answers: groups of targets, their forks, the best refusal.

use std::time::Duration;

use bus_schema::{Actor, Cause, LegState, Reason};
use bytes::Bytes;
use sip::{Failure, Message, Method, Now};

use super::compose::{self, Face, Reasons};
use super::leg_state::Inviting;
use super::redirect::Followed;
use super::reliable::Reliable;
use super::{Call, Stage, sips};
use crate::hop::{Hop, NextHop, Target};
use crate::leg::Output;
use crate::route::Plan;
use crate::token::LegId;

/// More targets than this are not rung at once: an open registrar must not be an amplifier.
pub(super) const FORKS_MAX: usize = 16;

/// The search for one party.
#[derive(Debug)]
pub(super) struct Hunt {
    /// The groups still to be rung, the next one last.
    groups: Vec<Vec<Target>>,
    best: Option<Refusal>,
    /// The early dialogs shown to the caller, in the order they came to be.
    pub(super) early: Vec<Early>,
    /// The redirections that were followed, if there were any.
    pub(super) followed: Option<Box<Followed>>,
}

/// An early dialog of a fork (RFC 3261 12.1): the caller sees it under a tag of its own, so that
/// the session descriptions of different callees stay apart.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) leg: LegId,
    pub(super) remote_tag: Box<str>,
    /// What it needs for reliable responses, if there are any.
    pub(super) reliable: Option<Box<Reliable>>,
}

/// Why a fork did not answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) cause: Cause,
    /// What the fork said, if it said anything.
    pub(super) message: Option<Message>,
}

impl Refusal {
    pub(super) fn ours(status: u16, cause: Cause) -> Self {
        Self {
            status,
            cause: cause.with_status(status),
            message: None,
        }
    }

    /// RFC 3261 16.7 step 6: 6xx, else the lowest class; in the 4xx class what the caller can do
    /// something about, and last a challenge, which only we could answer.
    fn rank(&self) -> u16 {
        match self.status {
            600.. => 0,
            300..=399 => 1,
            415 | 420 | 484 | 488 => 2,
            486 | 480 => 3,
            401 | 407 => 6,
            408 => 5,
            400..=499 => 4,
            _ => 7,
        }
    }

    /// The status the caller gets. A challenge of the callee's side is none that the caller could
    /// answer, and 503 would make it avoid us (RFC 3261 16.7 step 6).
    pub(super) fn status_for_caller(&self) -> u16 {
        match self.status {
            401 | 407 => 403,
            503 if self.message.is_some() => 500,
            status => status,
        }
    }
}

impl Hunt {
    pub(super) fn new(plan: Plan) -> Self {
        let (groups, best) = match plan {
            Plan::Fork { mut groups } => {
                groups.reverse();
                (groups, None)
            }
            Plan::Refuse(refuse) => {
                let cause = Cause::new(Actor::System, refuse.cause);
                (Vec::new(), Some(Refusal::ours(refuse.status, cause)))
            }
        };
        Self {
            groups,
            best,
            early: Vec::new(),
            followed: None,
        }
    }

    /// These groups are rung next.
    pub(super) fn add(&mut self, groups: Vec<Vec<Target>>) {
        self.groups.extend(groups.into_iter().rev());
    }

    /// The search of a stage, if it is one of searching.
    pub(super) fn of(stage: &mut Stage) -> Option<&mut Self> {
        match stage {
            Stage::Calling(calling) => Some(&mut calling.hunt),
            Stage::First(commanded) | Stage::Second(commanded) => Some(&mut commanded.hunt),
            Stage::Joining(_) | Stage::Up | Stage::Over | Stage::Ended => None,
        }
    }

    pub(super) fn refused(&mut self, refusal: Refusal) {
        if self
            .best
            .as_ref()
            .is_none_or(|best| refusal.rank() < best.rank())
        {
            self.best = Some(refusal);
        }
    }
}

impl Call {
    pub(super) fn hunt(&mut self) -> Option<&mut Hunt> {
        Hunt::of(&mut self.stage)
    }

    /// Rings the next group, or gives up if there is none.
    pub(super) fn ring_next_group(&mut self, now: Now) {
        loop {
            let group = self.hunt().and_then(|hunt| hunt.groups.pop());
            let Some(group) = group else {
                return self.give_up(now);
            };
            self.ring_anew(now);
            for target in group.into_iter().take(FORKS_MAX) {
                self.fork(now, target);
            }
            if self.is_hunting() {
                return;
            }
        }
    }

    /// Nobody is left to ask.
    fn give_up(&mut self, now: Now) {
        let best = self.hunt().and_then(|hunt| hunt.best.take());
        let refusal = best.unwrap_or_else(|| {
            Refusal::ours(480, Cause::new(Actor::System, Reason::SubscriberAbsent))
        });
        self.hunt_failed(now, refusal);
    }

    /// Whether a fork may still answer, or is yet to come.
    pub(super) fn is_hunting(&self) -> bool {
        let awaits = match &self.stage {
            Stage::Calling(calling) => calling.hunt.awaits(),
            _ => false,
        };
        awaits || self.is_picked_up() || self.has_ringing()
    }

    /// The time to ring begins anew.
    pub(super) fn ring_anew(&mut self, now: Now) {
        self.deadline = now.mono + self.ring_time();
    }

    /// Whether a fork may still answer.
    pub(super) fn has_ringing(&self) -> bool {
        let inviting = self.legs.iter().filter_map(|leg| leg.inviting.as_ref());
        inviting.filter(|inviting| inviting.lost.is_none()).count() > 0
    }

    pub(super) fn fork(&mut self, now: Now, target: Target) {
        let id = LegId(self.next_leg);
        self.next_leg += 1;
        let party = match self.stage {
            Stage::First(_) => Actor::Caller,
            _ => Actor::Callee,
        };
        let hop = match &target.hop {
            NextHop::Hop(hop) => Some(*hop),
            NextHop::Name {
                host,
                port,
                transport,
            } => {
                let (host, port, transport) = (host.clone(), *port, *transport);
                self.push(Output::Resolve {
                    leg: id,
                    host,
                    port,
                    transport,
                });
                None
            }
        };
        let uri = target.uri.as_ref().into();
        let aor = target.aor.clone();
        let call_id_hash = self.hash_of(self.token(id).as_str());
        let sips = sips::of_target(&target);
        let inviting = Inviting {
            client: None,
            branch: "".into(),
            bytes: Bytes::new(),
            offered: match &self.stage {
                Stage::Calling(calling) => !calling.invite.body().is_empty(),
                _ => false,
            },
            target,
            seq: 1,
            session: match &self.stage {
                Stage::Calling(calling) => self.session_asked(Some(&calling.invite)),
                _ => self.session_asked(None),
            },
            spare: Vec::new(),
            by_udp: None,
            half: None,
            provisional: false,
            lost: None,
            cancelled: false,
            over_at: None,
            timer_c: None,
            held: None,
        };
        let mut leg = self.blank_leg(id, party, uri, call_id_hash);
        leg.inviting = Some(Box::new(inviting));
        leg.aor = aor;
        leg.sips = sips;
        self.legs.push(leg);
        if let Some(hop) = hop {
            self.send_invite(now, self.legs.len() - 1, hop);
        }
    }

    /// Sends leg `at`'s INVITE to a hop, its first or the next one (RFC 3263 4.3).
    pub(super) fn send_invite(&mut self, now: Now, at: usize, hop: Hop) {
        self.legs[at].hop = Some(hop);
        let branch = self.branch(at);
        let client = self.client();
        let offer = self.first_offer(hop);
        if let Some(inviting) = &mut self.legs[at].inviting
            && !matches!(self.stage, Stage::Calling(_))
        {
            inviting.offered = offer.is_some();
        }
        let offer = offer.as_deref();
        let invite = match &self.stage {
            Stage::Calling(calling) => {
                let face = Face::Passed(&calling.invite);
                self.invite(at, &branch, &face)
            }
            Stage::First(commanded) => {
                let (from, to) = (commanded.second.address(), commanded.first.address());
                self.invite(
                    at,
                    &branch,
                    &Face::Ours {
                        from: &from,
                        to: &to,
                        lines: &commanded.lines,
                        offer,
                    },
                )
            }
            Stage::Second(commanded) => {
                let (from, to) = (commanded.first.address(), commanded.second.address());
                self.invite(
                    at,
                    &branch,
                    &Face::Ours {
                        from: &from,
                        to: &to,
                        lines: &commanded.lines,
                        offer,
                    },
                )
            }
            Stage::Joining(_) | Stage::Up | Stage::Over | Stage::Ended => return,
        };
        let Some((bytes, half)) = invite else { return };
        if self.goes_over_tcp(now, at, hop, bytes.len()) {
            return;
        }
        let timer_c = now.mono + self.home.timeouts.timer_c;
        let leg = &mut self.legs[at];
        let id = leg.id;
        if let Some(inviting) = &mut leg.inviting {
            inviting.half = Some(half);
            inviting.client = Some(client);
            inviting.branch = branch.clone();
            inviting.bytes = bytes.clone();
            inviting.provisional = false;
            inviting.timer_c = Some(timer_c);
        }
        self.push(Output::Open { leg: id, hop });
        let method = Method::Invite;
        self.push(Output::Request {
            leg: id,
            id: client,
            method,
            branch,
            bytes,
        });
    }

    /// The answer to a look-up.
    pub(super) fn resolved(&mut self, now: Now, leg: LegId, mut hops: Vec<Hop>) {
        let Some(at) = self.leg(leg) else { return };
        let Some(inviting) = &mut self.legs[at].inviting else {
            return self.found(at, hops.first().copied());
        };
        if inviting.client.is_some() {
            return;
        }
        if inviting.lost.is_some() {
            return self.close(at);
        }
        hops.reverse();
        let first = hops.pop();
        inviting.spare = hops;
        match first {
            Some(hop) => self.send_invite(now, at, hop),
            None => {
                let cause = Cause::new(Actor::System, Reason::DestinationOutOfOrder);
                self.fork_refused(now, at, Refusal::ours(502, cause));
            }
        }
    }

    /// A response to leg `at`'s INVITE.
    pub(super) fn invite_response(&mut self, now: Now, at: usize, message: Message) {
        let status = message.status().unwrap_or(500);
        let timer_c = now.mono + self.home.timeouts.timer_c;
        let Some(inviting) = &mut self.legs[at].inviting else {
            return;
        };
        inviting.keep_to_tcp();
        let is_lost = inviting.lost.is_some();
        let has_spare = !inviting.spare.is_empty();
        match status {
            ..200 => {
                inviting.provisional = true;
                if is_lost {
                    return self.cancel(at);
                }
                if status > 100 {
                    inviting.timer_c = Some(timer_c);
                    self.progress(now, at, &message);
                }
            }
            200..300 if is_lost => self.decline_answer(at, &message),
            200..300 if self.holds_answer(at, &message) => {}
            200..300 => self.answered(now, at, &message),
            300.. if is_lost => self.close_as(at, Some(status)),
            503 if has_spare => self.next_hop(now, at),
            422 if self.ask_longer_session(at, &message) => self.same_hop(now, at),
            300.. => {
                let cause = self.cause_of(at, status, &message);
                let message = Some(message);
                let refusal = Refusal {
                    status,
                    cause,
                    message,
                };
                if let Some(refusal) = self.follow(now, at, refusal) {
                    self.fork_refused(now, at, refusal);
                }
            }
        }
    }

    /// Leg `at`'s INVITE got no final response.
    pub(super) fn invite_failed(&mut self, now: Now, at: usize, why: Failure) {
        let Some(inviting) = &mut self.legs[at].inviting else {
            return;
        };
        if inviting.lost.is_some() {
            return self.close(at);
        }
        if why == Failure::Timeout {
            inviting.keep_to_tcp();
        }
        if !inviting.spare.is_empty() {
            return self.next_hop(now, at);
        }
        let refusal = match why {
            Failure::Timeout => Refusal::ours(408, Cause::timer("timer_b", Reason::NoUserResponse)),
            Failure::Unreachable => self.unreachable(at),
            Failure::NoRoom => Refusal::ours(503, Cause::new(Actor::System, Reason::Congestion)),
        };
        self.fork_refused(now, at, refusal);
    }

    /// A registered device that is gone is absent; another element is out of order.
    pub(super) fn unreachable(&self, at: usize) -> Refusal {
        match self.legs[at].aor {
            Some(_) => Refusal::ours(480, Cause::new(Actor::System, Reason::SubscriberAbsent)),
            None => Refusal::ours(
                502,
                Cause::new(Actor::System, Reason::DestinationOutOfOrder),
            ),
        }
    }

    /// The callee of leg `at` wants a longer session (RFC 4028 7.3): whether it is asked again.
    fn ask_longer_session(&mut self, at: usize, message: &Message) -> bool {
        let Some(inviting) = &mut self.legs[at].inviting else {
            return false;
        };
        let raised = inviting.session.and_then(|asked| asked.raised(message));
        if raised.is_some() {
            inviting.session = raised;
            inviting.seq += 1;
        }
        raised.is_some()
    }

    fn same_hop(&mut self, now: Now, at: usize) {
        if let Some(hop) = self.legs[at].hop {
            self.send_invite(now, at, hop);
        }
    }

    pub(super) fn next_hop(&mut self, now: Now, at: usize) {
        let next = self.legs[at]
            .inviting
            .as_mut()
            .and_then(|inviting| inviting.spare.pop());
        if let Some(hop) = next {
            self.send_invite(now, at, hop);
        }
    }

    /// Leg `at` will not answer.
    pub(super) fn fork_refused(&mut self, now: Now, at: usize, refusal: Refusal) {
        let status = refusal.status;
        let is_final = status >= 600;
        if let Some(hunt) = self.hunt() {
            hunt.refused(refusal);
            if is_final {
                // RFC 3261 16.7 step 5: a 6xx speaks for all.
                hunt.groups.clear();
                hunt.followed = None;
            }
        }
        if let Some(inviting) = &mut self.legs[at].inviting {
            inviting.over_at = Some(now.unix_ms);
        }
        self.close_as(at, Some(status));
        if is_final {
            self.lose_all(now, &Bytes::new());
        }
        if !self.is_hunting() {
            self.ring_next_group(now);
        }
    }

    /// Nobody of this group has answered in time.
    pub(super) fn ring_timeout(&mut self, now: Now) {
        let cause = Cause::timer("ring", Reason::NoAnswer);
        self.lose_all(now, &compose::reason_of(&cause));
        if let Some(hunt) = self.hunt() {
            hunt.refused(Refusal::ours(480, cause));
        }
        self.ring_next_group(now);
    }

    /// Nobody wants the answers of the forks that are still out: these.
    pub(super) fn lose_all(&mut self, now: Now, reasons: &Reasons) -> Vec<LegId> {
        let mut losers = Vec::new();
        for at in (0..self.legs.len()).rev() {
            let inviting = &self.legs[at].inviting;
            if inviting
                .as_ref()
                .is_some_and(|inviting| inviting.lost.is_none())
            {
                losers.push(self.legs[at].id);
                self.lose(now, at, reasons);
            }
        }
        losers
    }

    /// Nobody wants the answer of leg `at`: it gets a CANCEL as soon as it may.
    pub(super) fn lose(&mut self, now: Now, at: usize, reasons: &Reasons) {
        let leg = &mut self.legs[at];
        let Some(inviting) = &mut leg.inviting else {
            return;
        };
        leg.state = LegState::Terminated;
        inviting.over_at = Some(now.unix_ms);
        inviting.lost = Some(reasons.clone());
        // The transaction itself ends by timer B, or 64*T1 after the CANCEL.
        inviting.timer_c = None;
        if let Some(held) = inviting.held.take() {
            self.decline_answer(at, &held);
        } else if inviting.client.is_none() {
            self.close(at);
        } else if inviting.provisional {
            self.cancel(at);
        }
    }

    fn cancel(&mut self, at: usize) {
        let leg = &mut self.legs[at];
        let id = leg.id;
        let Some(inviting) = &mut leg.inviting else {
            return;
        };
        if core::mem::replace(&mut inviting.cancelled, true) {
            return;
        }
        let reasons = inviting.lost.clone().unwrap_or_default();
        let branch = inviting.branch.clone();
        let Some(bytes) = Self::cancel_of(&inviting.bytes, &reasons) else {
            return;
        };
        let client = self.client();
        let method = Method::Cancel;
        self.push(Output::Request {
            leg: id,
            id: client,
            method,
            branch,
            bytes,
        });
    }

    /// Begins the transaction of leg `at`'s INVITE anew. To the peer it is a repeat, and its answer
    /// finds somebody who acknowledges it.
    pub(super) fn repeat_invite(&mut self, at: usize) {
        let leg = &mut self.legs[at];
        let id = leg.id;
        let Some(inviting) = &mut leg.inviting else {
            return;
        };
        let Some(client) = inviting.client else {
            return;
        };
        let was_cancelled = core::mem::take(&mut inviting.cancelled);
        let (branch, bytes) = (inviting.branch.clone(), inviting.bytes.clone());
        let method = Method::Invite;
        self.push(Output::Request {
            leg: id,
            id: client,
            method,
            branch,
            bytes,
        });
        if was_cancelled {
            self.cancel(at);
        }
    }

    fn ring_time(&self) -> Duration {
        let ring = self.home.timeouts.ring;
        match &self.stage {
            // RFC 3261 13.3.1: the caller may limit how long its INVITE is good for.
            Stage::Calling(calling) => match calling.invite.expires() {
                Some(seconds) => ring.min(Duration::from_secs(u64::from(seconds))),
                None => ring,
            },
            Stage::First(commanded) | Stage::Second(commanded) => commanded.ring,
            Stage::Joining(_) | Stage::Up | Stage::Over | Stage::Ended => ring,
        }
    }
}
