//! What a call tells the bus: every event carries the whole small state and a cause.

use bus_schema::{
    Actor, CallData, CallEvent, CallRef, CallSnapshot, CallState, CallView, Cause, Direction,
    EventName, Hold, LegName, LegState, Party, Position, Reason, SessionId, Stamp, Text, Timestamp,
    call_id_hash,
};
use sip::{Message, Now};

use super::Call;
use super::leg_state::Leg;
use crate::leg::Output;
use crate::token::LegId;

/// More ended legs than this are not shown.
const PAST_MAX: usize = 16;

/// What only the events need to know.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) session: SessionId,
    pub(super) direction: Direction,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) agent: Option<Text>,
    pub(super) trace_id: Option<Text>,
    pub(super) traceparent: Option<Text>,
    /// The command that made the call; the events it leads to name it.
    pub(super) command_id: Option<Text>,
    /// Legs that ended while the call went on.
    pub(super) past: Vec<bus_schema::Leg>,
    pub(super) state: CallState,
    pub(super) position: Position,
    pub(super) created_at: Timestamp,
    pub(super) ringing_at: Option<Timestamp>,
    pub(super) answered_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    /// Whether the caller may assert identities (RFC 3325).
    pub(super) trusted: bool,
    /// What the record said that was kept last; see `persist_changes`.
    pub(super) kept: u64,
    /// Whether a restart would find the call.
    pub(super) protected: bool,
}

impl Call {
    pub(super) fn reference(&self) -> CallRef {
        self.key.into()
    }

    pub(super) fn hash_of(&self, call_id: &str) -> Text {
        call_id_hash(call_id).into()
    }

    /// The state of the call, for queries.
    #[must_use]
    pub fn view(&self) -> CallView {
        CallView {
            call: self.snapshot(),
            position: self.story.position,
        }
    }

    /// How far the call has come.
    #[must_use]
    pub fn state(&self) -> CallState {
        self.story.state
    }

    fn snapshot(&self) -> CallSnapshot {
        let story = &self.story;
        CallSnapshot {
            call: self.reference(),
            session: story.session,
            state: story.state,
            direction: story.direction,
            from: story.from.clone(),
            to: story.to.clone(),
            hold: self.hold(),
            legs: self.leg_snapshots(),
            agent: story.agent.clone(),
            trace_id: story.trace_id.clone(),
            created_at: story.created_at,
            ringing_at: story.ringing_at,
            answered_at: story.answered_at,
            ended_at: story.ended_at,
        }
    }

    fn leg_snapshots(&self) -> Vec<bus_schema::Leg> {
        let present = self.legs.iter().map(|leg| self.leg_snapshot(leg));
        let mut legs: Vec<_> = self.story.past.iter().cloned().chain(present).collect();
        legs.sort_unstable_by_key(|leg| leg.leg);
        legs
    }

    /// A leg ends while the call goes on: later events still show it.
    pub(super) fn remember(&mut self, at: usize, status: Option<u16>) {
        if self.story.past.len() < PAST_MAX {
            let mut leg = self.leg_snapshot(&self.legs[at]);
            leg.state = LegState::Terminated;
            leg.sip_status = status;
            self.story.past.push(leg);
        }
    }

    fn leg_snapshot(&self, leg: &Leg) -> bus_schema::Leg {
        let is_inbound = leg.id == LegId::CALLER && self.story.agent.is_none();
        // A party that holds is `remote` on its own leg and `local` on the other's.
        let is_held = self
            .legs
            .iter()
            .any(|other| other.id != leg.id && other.holds);
        bus_schema::Leg {
            leg: LegName(leg.id.0),
            state: leg.state,
            direction: if is_inbound {
                Direction::Inbound
            } else {
                Direction::Outbound
            },
            hold: match (is_held, leg.holds) {
                (false, false) => Hold::None,
                (true, false) => Hold::Local,
                (false, true) => Hold::Remote,
                (true, true) => Hold::Both,
            },
            uri: leg.uri.clone(),
            aor: leg.aor.clone(),
            trunk: None,
            sip_call_id_hash: leg.call_id_hash.clone(),
            answered_at: leg.answered_at.map(Timestamp),
            ended_at: leg
                .inviting
                .as_ref()
                .and_then(|inviting| inviting.over_at.map(Timestamp))
                .or(self.story.ended_at),
            sip_status: None,
        }
    }

    /// Seen from the adapter both parties are far away: a hold of either is `remote`, and `both`
    /// when they hold each other.
    fn hold(&self) -> Hold {
        match self.legs.iter().filter(|leg| leg.holds).count() {
            0 => Hold::None,
            1 => Hold::Remote,
            _ => Hold::Both,
        }
    }

    /// Tells the bus. `seq` is contiguous, so nothing may be told twice or left out.
    pub(super) fn tell(&mut self, now: Now, name: EventName, leg: Option<LegId>, cause: Cause) {
        self.tell_after(now, name, leg, cause, None);
    }

    pub(super) fn tell_after(
        &mut self,
        now: Now,
        name: EventName,
        leg: Option<LegId>,
        cause: Cause,
        after: Option<Position>,
    ) {
        self.story.position.seq += 1;
        let story = &self.story;
        let event = CallEvent {
            name,
            stamp: Stamp {
                at: Timestamp(now.unix_ms),
                position: story.position,
                offset_ms: now.unix_ms.saturating_sub(story.created_at.0),
                causation_id: cause
                    .command_id
                    .clone()
                    .or_else(|| story.command_id.clone()),
                traceparent: story.traceparent.clone(),
            },
            leg: leg.map(|leg| LegName(leg.0)),
            data: CallData {
                call: self.snapshot(),
                cause,
                after,
                protected: story.protected,
            },
        };
        self.push(Output::Event(Box::new(event)));
    }

    /// What a final status of leg `at` says, with the far end's own words.
    pub(super) fn cause_of(&self, at: usize, status: u16, message: &Message) -> Cause {
        let cause = Cause::of_status(self.legs[at].party, status);
        match core::str::from_utf8(message.reason()) {
            Ok(words) if !words.is_empty() => cause.with_text(clip(words)),
            _ => cause,
        }
    }
}

/// Words of a stranger, of bounded length.
pub(super) fn clip(words: &str) -> &str {
    const WORDS_MAX: usize = 128;
    let mut end = words.len().min(WORDS_MAX);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    &words[..end]
}

/// Why a party that sent BYE or CANCEL did so: its Reason header if it has one, else `plain`.
pub(super) fn cause_of_request(actor: Actor, message: &Message, plain: Reason) -> Cause {
    let cause = Cause::new(actor, plain);
    let Some(value) = message.text(sip::Name::Reason) else {
        return cause;
    };
    let number = |name: &str| {
        let mut params = value.split(';').map(str::trim);
        params.find_map(|param| param.strip_prefix(name)?.parse::<u16>().ok())
    };
    let is_q850 = value
        .get(..5)
        .is_some_and(|word| word.eq_ignore_ascii_case("q.850"));
    match number("cause=") {
        Some(q850 @ 1..=127) if is_q850 => Cause {
            q850: Some(q850 as u8),
            reason: if plain == Reason::OriginatorCancel || q850 == 16 {
                plain
            } else {
                Reason::from_q850(q850 as u8)
            },
            ..cause
        },
        Some(status @ 300..=699) if !is_q850 => cause.with_status(status),
        _ => cause,
    }
    .with_text(clip(value))
}

impl Story {
    pub(super) fn answered(&mut self, now: Now) {
        self.state = CallState::InProgress;
        self.answered_at = Some(Timestamp(now.unix_ms));
    }
}

impl Leg {
    pub(super) fn answered(&mut self, now: Now) {
        self.state = LegState::Confirmed;
        self.answered_at = Some(now.unix_ms);
    }
}
