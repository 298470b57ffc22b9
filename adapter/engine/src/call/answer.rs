//! Answers: the 2xx to an INVITE and its ACK, which goes from end to end.

use bus_schema::{Actor, Cause, EventName, Reason};
use bytes::Bytes;
use sip::{Builder, Dialog, Message, Method, Name, Now, Resend, Resend2xx, reply};

use super::compose::COMPLETED_ELSEWHERE;
use super::hunt::Refusal;
use super::leg_state::{Ack, Owed, Unacked};
use super::{Call, Stage, placeholder, reliable};
use crate::headers::{self, Body};
use crate::leg::Output;
use crate::token::LegId;

impl Call {
    /// Leg `at` answered first.
    pub(super) fn answered(&mut self, now: Now, at: usize, message: &Message) {
        let Some(dialog) = self.dialog_of_answer(at, message) else {
            // A 2xx without tag or Contact makes no dialog that could be acknowledged.
            let cause = Cause::new(self.legs[at].party, Reason::ProtocolError);
            return self.fork_refused(now, at, Refusal::ours(502, cause));
        };
        let cseq = message.cseq().map_or(1, |cseq| cseq.seq);
        let leg = &mut self.legs[at];
        leg.dialog = Some(dialog);
        let had_offer = leg.inviting.take().is_some_and(|inviting| inviting.offered);
        leg.answered(now);
        let winner = leg.id;
        self.session_granted(now, at, message);
        let losers = self.lose_all(now, &Bytes::from_static(COMPLETED_ELSEWHERE));
        match self.stage {
            Stage::Calling(_) => {
                self.answer_caller(now, winner, cseq, message);
                self.tell_losers(now, Actor::Callee, losers);
            }
            Stage::First(_) => {
                // What follows may already end the call.
                self.tell_losers(now, Actor::Caller, losers);
                self.first_answered(now, winner, cseq, had_offer, message);
            }
            Stage::Second(_) => {
                self.tell_losers(now, Actor::Callee, losers);
                self.second_answered(now, winner, cseq, had_offer, message);
            }
            Stage::Joining(_) | Stage::Up | Stage::Over | Stage::Ended => {}
        }
    }

    /// Somebody else was faster than these.
    pub(super) fn tell_losers(&mut self, now: Now, party: Actor, losers: Vec<LegId>) {
        for loser in losers.into_iter().rev() {
            let cause = Cause::new(party, Reason::AnsweredElsewhere);
            self.tell(now, EventName::CallUpdated, Some(loser), cause);
        }
    }

    /// Passes the answer of leg `winner` to the caller, once it is on record.
    pub(super) fn answer_caller(&mut self, now: Now, winner: LegId, cseq: u32, message: &Message) {
        let number = self.early_number(winner, message.to_tag());
        // Too many early dialogs for one more number: the answer has a tag of its own.
        let tag = match number {
            Some(number) => self.tag_of_early(number),
            None => format!("{}.x", self.token(LegId::CALLER)),
        };
        let Stage::Calling(mut calling) = core::mem::replace(&mut self.stage, Stage::Up) else {
            return;
        };
        let legacy = calling.legacy(number);
        let pickup = calling.pickup.take();
        let invite = &calling.invite;
        let Some(callee) = self.leg(winner) else {
            return;
        };
        // Offer and answer may both have been made reliably before.
        let offer = match (invite.body(), message.body()) {
            ([], [_, ..]) => Some(message.body_bytes()),
            _ => None,
        };
        self.legs[callee].ack = Ack::Owed(Box::new(Owed { cseq, offer }));
        self.deadline = now.mono + self.home.timeouts.call;

        let caller = &mut self.legs[0];
        // The INVITE was checked before the call began, so that its dialog can be made.
        caller.dialog = match legacy.caller {
            Some(dialog) => Some(dialog),
            None => Dialog::uas(invite, &tag).ok(),
        };
        caller.late = legacy.late;
        caller.answered(now);
        let mut out = reply(invite, 200, "OK", Some(&tag));
        self.dialog_lines(0, invite, &mut out);
        self.grant_session(now, 0, invite, &mut out);
        self.told_session(callee, invite);
        self.told_session(0, message);
        let bytes = match legacy.answer.filter(|_| message.body().is_empty()) {
            Some(earlier) => {
                headers::copy(&mut out, message, self.trust(0), Body::Replaced);
                let (content_type, body) = reliable::description(&earlier);
                out.body(Some(&content_type), &body)
            }
            None => {
                headers::copy(&mut out, message, self.trust(0), Body::Kept);
                out.body(None, message.body())
            }
        };
        self.story.answered(now);
        self.persist(true);
        let cseq = invite.cseq().map_or(0, |cseq| cseq.seq);
        self.send_answer(now, 0, calling.server, cseq, Some(winner), bytes);
        self.tell(
            now,
            EventName::CallAnswered,
            Some(winner),
            Cause::of_status(Actor::Callee, 200),
        );
        if let Some(pickup) = pickup {
            self.picked_up_too_late(now, &pickup, winner);
        }
    }

    /// Answers an INVITE on leg `at` with a 2xx that is sent again until its ACK comes.
    pub(super) fn send_answer(
        &mut self,
        now: Now,
        at: usize,
        server: sip::ServerId,
        cseq: u32,
        peer: Option<LegId>,
        bytes: Bytes,
    ) {
        let resend = Resend2xx::new(now, bytes.clone());
        let unacked = Unacked { cseq, resend, peer };
        self.legs[at].unacked = Some(Box::new(unacked));
        self.respond(self.legs[at].id, server, true, 200, bytes);
    }

    /// The ACK of a 2xx came on leg `at`.
    pub(super) fn acked(&mut self, _now: Now, at: usize, message: &Message) {
        let cseq = message.cseq().map_or(0, |cseq| cseq.seq);
        let leg = &mut self.legs[at];
        let Some(unacked) = leg.unacked.take_if(|unacked| unacked.cseq == cseq) else {
            // A repeat, or the ACK of an older 2xx.
            return;
        };
        if let Some(reasons) = leg.take_bye_due() {
            self.bye(at, &reasons);
            return self.close(at);
        }
        let peer = unacked.peer.and_then(|peer| self.leg(peer));
        if let Some(peer) = peer {
            self.told_session(peer, message);
            self.pass_ack(peer, message);
        } else {
            self.offer_callers(at);
        }
        // The call may now last for hours: nothing of its making is kept.
        self.legs.shrink_to_fit();
        self.relays.shrink_to_fit();
    }

    /// Sends the ACK that leg `at` is owed, as the other party said it.
    fn pass_ack(&mut self, at: usize, message: &Message) {
        let Ack::Owed(owed) = &self.legs[at].ack else {
            return;
        };
        let (cseq, offer) = (owed.cseq, owed.offer.is_some());
        let answer = offer.then(|| {
            let content_type = message
                .header(Name::ContentType)
                .unwrap_or(b"application/sdp");
            (
                Bytes::copy_from_slice(content_type),
                Bytes::copy_from_slice(message.body()),
            )
        });
        let trust = self.trust(at);
        self.acknowledge(at, cseq, answer, |out| {
            headers::copy(out, message, trust, Body::Replaced);
        });
    }

    /// Sends the ACK of the 2xx to our INVITE number `cseq`.
    pub(super) fn acknowledge(
        &mut self,
        at: usize,
        cseq: u32,
        answer: Option<(Bytes, Bytes)>,
        extra: impl FnOnce(&mut Builder),
    ) {
        let branch = self.branch(at);
        let number = self.legs[at].branches;
        let Some(mut out) = self.ack_head(at, cseq, &branch) else {
            return;
        };
        extra(&mut out);
        let bytes = end_with(&mut out, answer.as_ref());
        let leg = &mut self.legs[at];
        leg.ack = Ack::Sent {
            cseq,
            branch: number,
            answer: answer.map(Box::new),
        };
        let leg = leg.id;
        self.push(Output::Send {
            leg,
            again: false,
            bytes,
        });
    }

    /// A 2xx that was answered with an ACK came again: the ACK was lost (RFC 3261 13.2.2.4).
    pub(super) fn repeated_answer(&mut self, at: usize, message: &Message) {
        let is_answer = message
            .status()
            .is_some_and(|status| (200..300).contains(&status));
        let Ok(cseq) = message.cseq() else { return };
        if !is_answer || cseq.method != Method::Invite {
            return;
        }
        let dialog_tag = self.legs[at].dialog.as_ref().map(Dialog::remote_tag);
        if dialog_tag.is_some() && dialog_tag != message.to_tag() {
            // Somebody behind a proxy that forks has answered too.
            return self.decline_second_answer(at, message);
        }
        let Ack::Sent {
            cseq: sent,
            branch,
            answer,
        } = &self.legs[at].ack
        else {
            return;
        };
        if *sent != cseq.seq {
            return;
        }
        let (sent, branch) = (*sent, self.branch_again(at, *branch));
        let answer = answer.clone();
        let Some(mut out) = self.ack_head(at, sent, &branch) else {
            return;
        };
        let bytes = end_with(&mut out, answer.as_deref());
        self.push(Output::Send {
            leg: self.legs[at].id,
            again: true,
            bytes,
        });
    }

    /// Leg `at` answered although nobody wanted it to any more: ACK, then BYE (RFC 3261 13.2.2.4).
    pub(super) fn decline_answer(&mut self, at: usize, message: &Message) {
        let dialog = self.dialog_of_answer(at, message);
        let leg = &mut self.legs[at];
        if let (Some(dialog), Some(inviting)) = (dialog, &leg.inviting) {
            let cseq = message.cseq().map_or(1, |cseq| cseq.seq);
            let offer = (!inviting.offered).then(|| message.body_bytes());
            let reasons = inviting.lost.clone().unwrap_or_default();
            leg.dialog = Some(dialog);
            leg.ack = Ack::Owed(Box::new(Owed { cseq, offer }));
            self.bye(at, &reasons);
        }
        self.close(at);
    }

    /// A second answer to the same INVITE, under another tag.
    fn decline_second_answer(&mut self, at: usize, message: &Message) {
        let dialog = self.legs[at]
            .dialog
            .as_ref()
            .and_then(|first| first.fork(message).ok());
        let Some(dialog) = dialog else { return };
        let cseq = message.cseq().map_or(1, |cseq| cseq.seq);
        let had_offer = match &self.legs[at].ack {
            Ack::None => false,
            Ack::Owed(owed) => owed.offer.is_some(),
            Ack::Sent { answer, .. } => answer.is_some(),
        };
        let first = self.legs[at].dialog.replace(dialog);
        let offer = had_offer.then(|| message.body_bytes());
        let owed = Ack::Owed(Box::new(Owed { cseq, offer }));
        let ack = core::mem::replace(&mut self.legs[at].ack, owed);
        self.bye(at, &Bytes::from_static(COMPLETED_ELSEWHERE));
        self.legs[at].dialog = first;
        self.legs[at].ack = ack;
    }

    /// Sends an ACK that can wait no longer, with the placeholder if there is an offer to answer.
    pub(super) fn acknowledge_owed(&mut self, at: usize) {
        let Ack::Owed(owed) = core::mem::replace(&mut self.legs[at].ack, Ack::None) else {
            return;
        };
        let answer = owed
            .offer
            .and_then(|offer| placeholder::answer(&offer, &mut self.entropy));
        let answer = answer.map(|sdp| (Bytes::from_static(b"application/sdp"), sdp.into()));
        self.acknowledge(at, owed.cseq, answer, |_| {});
    }

    /// Sends the 2xx of leg `at` again if it is time, and gives up after 64*T1.
    pub(super) fn resend_answer(&mut self, now: Now, at: usize) {
        let leg = &mut self.legs[at];
        let id = leg.id;
        let Some(unacked) = &mut leg.unacked else {
            return;
        };
        match unacked.resend.handle_timeout(now) {
            None => {}
            Some(Resend::Transmit(bytes)) => {
                self.push(Output::Send {
                    leg: id,
                    again: true,
                    bytes,
                });
            }
            Some(Resend::GaveUp) => {
                leg.unacked = None;
                let party = leg.party;
                if let Some(reasons) = leg.take_bye_due() {
                    self.bye(at, &reasons);
                    return self.close(at);
                }
                // RFC 3261 13.3.1.4: the session is considered confirmed and is ended.
                let cause = Cause::timer("ack", Reason::TimerExpired)
                    .with_text(format!("no ACK from the {party}"));
                self.abort(now, cause, None);
            }
        }
    }
}

impl Call {
    /// The dialog that a 2xx to leg `at`'s INVITE makes.
    fn dialog_of_answer(&mut self, at: usize, message: &Message) -> Option<Dialog> {
        message.to_tag()?;
        message.contacts().next()?.ok()?;
        let leg = self.legs[at].id;
        if let Some(dialog) = self.confirmed(leg, message) {
            return Some(dialog);
        }
        let inviting = self.legs[at].inviting.as_ref()?;
        inviting.half.as_ref()?.fork(message).ok()
    }
}

fn end_with(out: &mut Builder, answer: Option<&(Bytes, Bytes)>) -> Bytes {
    match answer {
        Some((content_type, body)) if !body.is_empty() => out.body(Some(content_type), body),
        _ => out.end(),
    }
}
