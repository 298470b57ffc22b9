//! Reliable provisional responses (RFC 3262), from end to end:
//!
//! ```text
//!   caller                us               callee
//!     |                    |<-- 183 RSeq 7 ---|
//!     |<-- 183 RSeq 41 ----|                  |   again until its PRACK
//!     |--- PRACK 41 ------>|--- PRACK 7 ----->|
//!     |<-- 200 PRACK ------|<-- 200 PRACK ----|
//! ```
//!
//! Each leg numbers its own. An offer or answer in any of these messages is between the parties.
//! A caller that requires what its callee does not do gets it from us alone; a callee that does
//! what its caller did not ask for is acknowledged by us alone, as long as no offer of its waits
//! for an answer that only the caller could give.

use std::collections::VecDeque;
use std::time::Duration;

use bus_schema::{Cause, Reason};
use bytes::Bytes;
use sip::offer::{Carrier, OfferAnswer, Side};
use sip::{Builder, Dialog, Message, Method, Name, Now, Resend, Resend1xx, ServerId, reply};

use super::hunt::{Early, Hunt};
use super::{Call, Calling, Stage};
use crate::headers::{self, Body};
use crate::leg::Output;
use crate::token::LegId;

/// What a PRACK names: the RSeq of a response and the CSeq number of its INVITE.
pub(super) type Rack = (u32, u32);

/// The option tag.
pub(super) const TAG: &str = "100rel";

/// Responses that wait for the PRACK of the one before; a callee that says more is not heard.
const QUEUE_MAX: usize = 8;

/// Whether the caller takes reliable provisional responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It says nothing of them.
    None,
    /// It supports them.
    Supports,
    /// It wants no others.
    Requires,
}

impl Wish {
    pub(super) fn of(invite: &Message) -> Self {
        if invite.lists(Name::Require, TAG) {
            Self::Requires
        } else if invite.lists(Name::Supported, TAG) {
            Self::Supports
        } else {
            Self::None
        }
    }
}

/// What an early dialog needs in which something was said reliably.
#[derive(Debug)]
pub(super) struct Reliable {
    /// The early dialog with the caller, once something was said reliably in it.
    caller: Option<Dialog>,
    /// The early dialog with the callee, once it has said something reliably.
    callee: Option<Dialog>,
    /// Who offers and who answers: the caller is `Remote`, the callee `Local`.
    offers: OfferAnswer,
    /// The callee's last RSeq; 0 before the first.
    heard: u32,
    /// Our last RSeq to the caller.
    said: u32,
    waiting: Option<Waiting>,
    /// What the callee has said since, oldest first.
    queue: VecDeque<(Message, Option<Rack>)>,
    /// The response in which we alone were given an answer: the 2xx may not repeat it.
    answer: Option<Message>,
}

/// A reliable response of ours without its PRACK.
#[derive(Debug)]
struct Waiting {
    rseq: u32,
    /// The callee's number for it; none if it did not say it reliably.
    theirs: Option<Rack>,
    resend: Resend1xx,
    has_description: bool,
}

/// A response that was still unacknowledged at the answer: its PRACK may come after it.
#[derive(Debug)]
pub(super) struct Late {
    rseq: u32,
    theirs: Option<Rack>,
    cseq: u32,
}

/// What early dialogs leave to the answered call.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    pub(super) caller: Option<Dialog>,
    pub(super) late: Option<Box<Late>>,
    pub(super) answer: Option<Message>,
}

/// How a provisional response is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// As said once.
    Unreliable,
    /// As one that waits for its PRACK.
    Reliable(Rack),
    /// Not at all: a repeat, out of order, or malformed.
    Nothing,
}

impl Call {
    /// Judges a provisional response on leg `at`.
    pub(super) fn hear(&mut self, at: usize, message: &Message) -> Hearing {
        if !message.lists(Name::Require, TAG) {
            return Hearing::Unreliable;
        }
        let Ok(cseq) = message.cseq() else {
            return Hearing::Nothing;
        };
        let (Some(rseq), Some(tag)) = (rseq_of(message), message.to_tag()) else {
            return Hearing::Nothing;
        };
        let Some(inviting) = &self.legs[at].inviting else {
            return Hearing::Nothing;
        };
        let offered = inviting.offered;
        let dialog = inviting.half.as_ref().map(|half| half.fork(message));
        if self.caller_wish() == Wish::None && !offered && !message.body().is_empty() {
            // An offer that nobody here can answer, and nobody asked for it.
            return Hearing::Nothing;
        }
        let leg = self.legs[at].id;
        let Some(number) = self.early_number(leg, Some(tag)) else {
            return Hearing::Nothing;
        };
        let Some(reliable) = self.reliable(number) else {
            return Hearing::Nothing;
        };
        // RFC 3262 4: one that is not the next one is not processed.
        if reliable.heard != 0 && rseq != reliable.heard + 1 {
            return Hearing::Nothing;
        }
        if reliable.callee.is_none() {
            let Some(Ok(dialog)) = dialog else {
                return Hearing::Nothing;
            };
            reliable.callee = Some(dialog);
        }
        reliable.heard = rseq;
        Hearing::Reliable((rseq, cseq.seq))
    }

    fn caller_wish(&self) -> Wish {
        match &self.stage {
            Stage::Calling(calling) => calling.wish,
            _ => Wish::None,
        }
    }

    /// What early dialog `number` has for reliable responses.
    fn reliable(&mut self, number: usize) -> Option<&mut Reliable> {
        let offered = match &self.stage {
            Stage::Calling(calling) => !calling.invite.body().is_empty(),
            _ => true,
        };
        let (stage, entropy) = (&mut self.stage, &mut self.entropy);
        let early = Hunt::of(stage)?.early.get_mut(number)?;
        Some(early.reliable.get_or_insert_with(|| {
            // RFC 3262 3: it begins anywhere below 2^31.
            let said = entropy.next() as u32 >> 2;
            let mut offers = OfferAnswer::new();
            // The first of all cannot clash.
            let _first = offers.apply(Side::Remote, Carrier::Invite, offered);
            Box::new(Reliable {
                caller: None,
                callee: None,
                offers,
                heard: 0,
                said,
                waiting: None,
                queue: VecDeque::new(),
                answer: None,
            })
        }))
    }

    /// Whether a response is to be said reliably to the caller.
    pub(super) fn is_to_be_reliable(&self, hearing: Hearing) -> bool {
        match self.caller_wish() {
            Wish::Requires => true,
            Wish::Supports => matches!(hearing, Hearing::Reliable(_)),
            Wish::None => false,
        }
    }

    /// Shows the caller a response of early dialog `number` reliably, once it is its turn.
    pub(super) fn say_reliably(
        &mut self,
        now: Now,
        number: usize,
        message: &Message,
        theirs: Option<Rack>,
    ) {
        let Some(reliable) = self.reliable(number) else {
            return;
        };
        if reliable.waiting.is_some() {
            if reliable.queue.len() < QUEUE_MAX {
                reliable.queue.push_back((message.clone(), theirs));
            }
            return;
        }
        reliable.said += 1;
        let rseq = reliable.said;
        let tag = self.tag_of_early(number);
        let Stage::Calling(calling) = &self.stage else {
            return;
        };
        let invite = calling.invite.clone();
        let server = calling.server;
        // What was not said reliably cannot be an offer, and must not become one.
        let body = match theirs.is_none() && invite.body().is_empty() {
            true => Body::Replaced,
            false => Body::Kept,
        };
        let status = message.status().unwrap_or(183);
        let words = String::from_utf8_lossy(message.reason());
        let mut out = reply(&invite, status, &words, Some(&tag));
        self.dialog_lines(0, &invite, &mut out);
        out.line(Name::Require, TAG).number(Name::RSeq, rseq);
        headers::copy(&mut out, message, self.trust(0), body);
        let bytes = match body {
            Body::Kept => out.body(None, message.body()),
            Body::Replaced => out.end(),
        };
        let has_description = body == Body::Kept && !message.body().is_empty();
        let resend = Resend1xx::new(now, bytes.clone());
        if let Some(reliable) = self.reliable(number) {
            if reliable.caller.is_none() {
                reliable.caller = Dialog::uas(&invite, &tag).ok();
            }
            let _said = reliable
                .offers
                .apply(Side::Local, Carrier::Reliable, has_description);
            reliable.waiting = Some(Waiting {
                rseq,
                theirs,
                resend,
                has_description,
            });
        }
        self.respond(LegId::CALLER, server, true, status, bytes);
    }

    /// Acknowledges a reliable response that the caller will not hear of as such.
    pub(super) fn acknowledge_alone(
        &mut self,
        at: usize,
        number: usize,
        rack: Rack,
        message: &Message,
    ) {
        if let Some(reliable) = self.reliable(number)
            && !message.body().is_empty()
        {
            reliable.answer = Some(message.clone());
        }
        let branch = self.branch(at);
        let client = self.client();
        let method = Method::Prack;
        let Some(mut out) = self.in_dialog(at, Some(number), method.as_str(), &branch) else {
            return;
        };
        let bytes = put_rack(&mut out, rack).end();
        let leg = self.legs[at].id;
        self.push(Output::Request {
            leg,
            id: client,
            method,
            branch,
            bytes,
        });
    }

    /// A PRACK of the caller in early dialog `number`.
    pub(super) fn prack(&mut self, now: Now, number: usize, id: ServerId, message: Message) {
        let Stage::Calling(calling) = &mut self.stage else {
            return;
        };
        let cseq = calling.invite.cseq().map_or(0, |cseq| cseq.seq);
        let early = calling.hunt.early.get_mut(number);
        let Some((leg, reliable)) = early.and_then(Early::reliable) else {
            return self.refuse(LegId::CALLER, id, &message, 481, None);
        };
        let acknowledged = reliable.waiting.as_ref().filter(|waiting| {
            let rack = rack_of(&message);
            rack == Some((waiting.rseq, cseq))
        });
        let Some(theirs) = acknowledged.map(|waiting| waiting.theirs) else {
            return self.refuse(LegId::CALLER, id, &message, 481, None);
        };
        let sdp = !message.body().is_empty();
        if theirs.is_none() && sdp {
            // The callee has sent nothing that a PRACK could answer.
            return self.refuse(LegId::CALLER, id, &message, 488, None);
        }
        if let Err(clash) = reliable.offers.apply(Side::Remote, Carrier::Prack, sdp) {
            let status = clash.status();
            let later = (status == 500).then_some((Name::RetryAfter, "3"));
            return self.refuse(LegId::CALLER, id, &message, status, later);
        }
        reliable.waiting = None;
        let next = reliable.queue.pop_front();
        match (theirs, self.leg(leg)) {
            (Some(rack), Some(at)) => self.pass_prack(now, at, Some(number), id, message, rack),
            _ => self.accept_prack(id, &message),
        }
        if let Some((next, theirs)) = next {
            self.say_reliably(now, number, &next, theirs);
        }
        self.release_answer(now, leg, number);
    }

    /// A PRACK of the caller that comes after the answer.
    pub(super) fn late_prack(&mut self, now: Now, at: usize, id: ServerId, message: Message) {
        let leg = self.legs[at].id;
        let late = self.legs[at].late.take_if(|late| {
            let rack = rack_of(&message);
            rack == Some((late.rseq, late.cseq))
        });
        let Some(late) = late else {
            return self.refuse(leg, id, &message, 481, None);
        };
        match (late.theirs, self.other(at)) {
            (Some(rack), Some(other)) => self.pass_prack(now, other, None, id, message, rack),
            _ => self.accept_prack(id, &message),
        }
    }

    fn accept_prack(&mut self, id: ServerId, message: &Message) {
        let ok = reply(message, 200, "OK", None).end();
        self.respond(LegId::CALLER, id, false, 200, ok);
    }

    fn pass_prack(
        &mut self,
        now: Now,
        at: usize,
        early: Option<usize>,
        id: ServerId,
        message: Message,
        rack: Rack,
    ) {
        self.relay_to(now, LegId::CALLER, at, early, id, message, |out| {
            put_rack(out, rack);
        });
    }

    /// Whether the answer of leg `at` has to wait: a session description that was said reliably
    /// has to be acknowledged first (RFC 3262 3). It is kept until then.
    pub(super) fn holds_answer(&mut self, at: usize, message: &Message) -> bool {
        let leg = self.legs[at].id;
        let Stage::Calling(calling) = &mut self.stage else {
            return false;
        };
        let tag = message.to_tag().unwrap_or_default();
        let early = calling.hunt.early.iter();
        let waits = early
            .filter(|early| early.leg == leg && *early.remote_tag == *tag)
            .filter_map(|early| early.reliable.as_ref()?.waiting.as_ref())
            .any(|waiting| waiting.has_description);
        if waits && let Some(inviting) = &mut self.legs[at].inviting {
            inviting.held = Some(Box::new(message.clone()));
        }
        waits
    }

    /// The answer of `leg` that has waited for this PRACK.
    fn release_answer(&mut self, now: Now, leg: LegId, number: usize) {
        let Some(at) = self.leg(leg) else { return };
        let waits = |early: &Early| {
            let reliable = early.reliable.as_ref();
            reliable.is_some_and(|reliable| reliable.waiting.is_some())
        };
        let is_waiting = self
            .hunt()
            .and_then(|hunt| hunt.early.get(number))
            .is_some_and(waits);
        let held = match &mut self.legs[at].inviting {
            Some(inviting) if !is_waiting => inviting.held.take(),
            _ => None,
        };
        if let Some(held) = held {
            self.answered(now, at, &held);
        }
    }

    /// When something said reliably is to be said again.
    pub(super) fn reliable_at(&self) -> Option<Duration> {
        let Stage::Calling(calling) = &self.stage else {
            return None;
        };
        let reliable = calling.hunt.early.iter().filter_map(Early::waiting);
        reliable
            .filter_map(|waiting| waiting.resend.poll_timeout())
            .min()
    }

    /// Says it again, or gives the caller up that does not acknowledge it (RFC 3262 3).
    pub(super) fn resend_reliable(&mut self, now: Now) {
        let Stage::Calling(calling) = &mut self.stage else {
            return;
        };
        let mut due = Vec::new();
        for early in &mut calling.hunt.early {
            let waiting = early.reliable.as_mut().and_then(|r| r.waiting.as_mut());
            due.extend(waiting.and_then(|waiting| waiting.resend.handle_timeout(now)));
        }
        for resend in due {
            match resend {
                Resend::Transmit(bytes) => self.push(Output::Send {
                    leg: LegId::CALLER,
                    again: true,
                    bytes,
                }),
                Resend::GaveUp => {
                    let cause = Cause::timer("prack", Reason::TimerExpired).with_status(504);
                    return self.abort(now, cause, Some(504));
                }
            }
        }
    }

    /// The dialog with the callee that a 2xx confirms, if it was in use before.
    pub(super) fn confirmed(&mut self, leg: LegId, message: &Message) -> Option<Dialog> {
        let tag = message.to_tag()?;
        let early = self.hunt()?.early.iter_mut();
        let mut early = early.filter(|early| early.leg == leg && *early.remote_tag == *tag);
        let mut dialog = early.next()?.reliable.as_mut()?.callee.take()?;
        dialog.confirm(message).ok()?;
        Some(dialog)
    }
}

impl Early {
    fn reliable(&mut self) -> Option<(LegId, &mut Reliable)> {
        Some((self.leg, self.reliable.as_deref_mut()?))
    }

    fn waiting(&self) -> Option<&Waiting> {
        self.reliable.as_ref()?.waiting.as_ref()
    }

    /// The dialog in which requests go to the caller, or to the callee.
    pub(super) fn dialog(&mut self, of_caller: bool) -> Option<&mut Dialog> {
        let reliable = self.reliable.as_mut()?;
        match of_caller {
            true => reliable.caller.as_mut(),
            false => reliable.callee.as_mut(),
        }
    }

    /// Whether both parties have it, so that requests can pass.
    pub(super) fn is_open(&self) -> bool {
        let reliable = self.reliable.as_ref();
        reliable.is_some_and(|reliable| reliable.caller.is_some() && reliable.callee.is_some())
    }

    pub(super) fn offers(&mut self) -> Option<&mut OfferAnswer> {
        Some(&mut self.reliable.as_mut()?.offers)
    }
}

impl Calling {
    /// What early dialog `number`, which was answered, leaves behind.
    pub(super) fn legacy(&mut self, number: Option<usize>) -> Legacy {
        let cseq = self.invite.cseq().map_or(0, |cseq| cseq.seq);
        let early = number.and_then(|number| self.hunt.early.get_mut(number));
        let Some(reliable) = early.and_then(|early| early.reliable.take()) else {
            return Legacy::default();
        };
        let Reliable {
            caller,
            waiting,
            answer,
            ..
        } = *reliable;
        let late = waiting.map(|waiting| {
            let Waiting { rseq, theirs, .. } = waiting;
            Box::new(Late { rseq, theirs, cseq })
        });
        Legacy {
            caller,
            late,
            answer,
        }
    }
}

/// The answer as a 2xx would have brought it: Content-Type and body.
pub(super) fn description(message: &Message) -> (Bytes, Bytes) {
    let value = message.header(Name::ContentType);
    let content_type = Bytes::copy_from_slice(value.unwrap_or(b"application/sdp"));
    (content_type, message.body_bytes())
}

fn put_rack(out: &mut Builder, (rseq, cseq): Rack) -> &mut Builder {
    out.line(Name::RAck, format_args!("{rseq} {cseq} INVITE"))
}

fn rseq_of(message: &Message) -> Option<u32> {
    let rseq = message.text(Name::RSeq)?.trim().parse().ok()?;
    (rseq > 0 && rseq < u32::MAX).then_some(rseq)
}

fn rack_of(prack: &Message) -> Option<Rack> {
    let mut words = prack.text(Name::RAck)?.split_ascii_whitespace();
    let rack = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some("INVITE") && words.next().is_none()).then_some(rack)
}
