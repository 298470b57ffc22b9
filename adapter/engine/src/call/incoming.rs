//! How a call begins.

use std::collections::VecDeque;
use std::sync::Arc;

use bus_schema::{
    Actor, CallState, Cause, Direction, EventName, LegState, Party as Named, Position, Reason,
    SessionId, Text, Timestamp,
};
use bytes::Bytes;
use sip::{Dialog, Message, Name, Now, reply};

use super::compose::IMPLEMENTED;
use super::entropy::Entropy;
use super::hunt::{Hunt, Refusal};
use super::leg_state::{Ack, Leg};
use super::reliable::Wish;
use super::setup::{Home, Inbound, Origin, Originate, Setup};
use super::sips;
use super::story::{Story, clip};
use super::{Call, Calling, Commanded, Stage, session};
use crate::headers;
use crate::key::CallKey;
use crate::leg::Output;
use crate::route::Plan;
use crate::token::{LegId, Token};

impl Call {
    /// A new call; what it wants done first is in [`poll_output`](Self::poll_output).
    #[must_use]
    pub fn new(setup: Setup, now: Now) -> Self {
        let Setup {
            key,
            home,
            entropy,
            origin,
        } = setup;
        match origin {
            Origin::Inbound(inbound) => Self::inbound(key, home, entropy, *inbound, now),
            Origin::Originate(originate) => Self::originate(key, home, entropy, *originate, now),
        }
    }

    fn inbound(key: CallKey, home: Arc<Home>, entropy: u64, inbound: Inbound, now: Now) -> Self {
        let Inbound {
            server,
            message,
            hop,
            aor,
            trusted,
            plan,
        } = inbound;
        let is_internal = match &plan {
            Plan::Fork { groups } => {
                aor.is_some() && groups.iter().flatten().any(|to| to.aor.is_some())
            }
            Plan::Refuse(_) => false,
        };
        let mut story = Story::new(key, &home, now);
        story.direction = if is_internal {
            Direction::Internal
        } else {
            Direction::Inbound
        };
        story.from = named(message.from().ok());
        story.to = named(message.to().ok());
        story.trusted = trusted;
        // Signed identity of the IF bus is believed from trusted peers only.
        story.trace_id = message
            .text(Name::IfTraceId)
            .filter(|_| trusted)
            .map(|value| clip(value).into());
        let uri = story.from.uri.clone();
        let refusal = refusal_of(&message, &home);
        let invite = message.clone();
        let stage = Stage::Calling(Box::new(Calling {
            server,
            wish: Wish::of(&invite),
            pickup: None,
            invite,
            hunt: Hunt::new(plan),
        }));
        let mut call = Self::with(key, home, entropy, story, stage, now);
        let call_id_hash = call.hash_of(message.call_id().unwrap_or_default());
        let sips = sips::of_request(&call.home, hop, &message);
        let mut caller = call.blank_leg(LegId::CALLER, Actor::Caller, uri, call_id_hash);
        caller.hop = Some(hop);
        caller.aor = aor;
        caller.sips = sips;
        call.legs.push(caller);
        call.next_leg = 1;
        call.push(Output::Open {
            leg: LegId::CALLER,
            hop,
        });
        let cause = Cause::new(Actor::Caller, Reason::Requested);
        call.tell(now, EventName::CallCreated, Some(LegId::CALLER), cause);
        match refusal {
            None => {
                call.story.state = CallState::Initiated;
                call.ring_next_group(now);
            }
            Some((status, extra)) => call.refuse_invite(now, status, extra),
        }
        call.settle();
        call
    }

    fn originate(
        key: CallKey,
        home: Arc<Home>,
        entropy: u64,
        originate: Originate,
        now: Now,
    ) -> Self {
        let Originate {
            agent,
            command_id,
            traceparent,
            trace_id,
            session,
            headers,
            ring,
            first,
            plan,
            second,
        } = originate;
        let mut story = Story::new(key, &home, now);
        story.direction = Direction::Outbound;
        story.from = Named {
            uri: first.uri.clone(),
            display: first.display.clone(),
        };
        story.to = Named {
            uri: second.uri.clone(),
            display: second.display.clone(),
        };
        story.agent = Some(agent.clone());
        story.command_id = Some(command_id.clone());
        story.traceparent = traceparent;
        if let Some(session) = session {
            story.session = session;
        }
        let lines = header_lines(&headers, trace_id.as_deref());
        story.trace_id = trace_id;
        let stage = Stage::First(Box::new(Commanded {
            first,
            second,
            lines,
            ring: ring.unwrap_or(home.timeouts.ring),
            hunt: Hunt::new(plan),
        }));
        let mut call = Self::with(key, home, entropy, story, stage, now);
        let cause = Cause::command(agent, Some(command_id), Reason::Requested);
        call.tell(now, EventName::CallCreated, None, cause);
        // The intent is kept before the first INVITE: a call that was dialled is never forgotten.
        call.persist(true);
        call.story.state = CallState::Initiated;
        call.ring_next_group(now);
        call.settle();
        call
    }

    pub(super) fn with(
        key: CallKey,
        home: Arc<Home>,
        entropy: u64,
        story: Story,
        stage: Stage,
        now: Now,
    ) -> Self {
        Self {
            home,
            key,
            entropy: Entropy::new(entropy),
            story: Box::new(story),
            stage,
            legs: Vec::with_capacity(2),
            relays: Vec::new(),
            outputs: VecDeque::new(),
            deadline: now.mono,
            drain: None,
            next_client: 0,
            next_leg: 0,
        }
    }

    pub(super) fn blank_leg(
        &mut self,
        id: LegId,
        party: Actor,
        uri: bus_schema::Text,
        call_id_hash: bus_schema::Text,
    ) -> Leg {
        Leg {
            id,
            party,
            hop: None,
            dialog: None,
            inviting: None,
            unacked: None,
            ack: Ack::None,
            late: None,
            timer: None,
            branches: self.entropy.next() as u32,
            holds: false,
            sips: false,
            bye_due: None,
            state: LegState::Trying,
            uri,
            aor: None,
            call_id_hash,
            answered_at: None,
        }
    }

    /// Refuses the INVITE of a caller that asks for what we cannot do.
    fn refuse_invite(&mut self, now: Now, status: u16, extra: Option<(Name, String)>) {
        let cause = Cause::of_status(Actor::System, status);
        if let (Some((name, value)), Stage::Calling(calling)) = (extra, &self.stage) {
            let token = self.token(LegId::CALLER);
            let words = super::compose::phrase(status);
            let mut out = reply(&calling.invite, status, words, Some(token.as_str()));
            let bytes = out.line(name, value).end();
            let server = calling.server;
            self.respond(LegId::CALLER, server, true, status, bytes);
        } else {
            let refusal = Refusal {
                status,
                cause: cause.clone(),
                message: None,
            };
            self.refuse_caller(&refusal, &Bytes::new());
        }
        self.end(now, cause, &Bytes::new());
    }
}

/// The headers an agent adds to its INVITEs, as whole lines. The trace it names is the one there
/// is.
fn header_lines(headers: &[(Text, Text)], trace_id: Option<&str>) -> Bytes {
    let trace = Name::IfTraceId.as_str();
    let mut lines = String::new();
    for (name, value) in headers {
        if trace_id.is_none() || !name.eq_ignore_ascii_case(trace) {
            lines.extend([name, ": ", value, "\r\n"]);
        }
    }
    if let Some(trace_id) = trace_id {
        lines.extend([trace, ": ", trace_id, "\r\n"]);
    }
    lines.into()
}

/// How an INVITE is refused that cannot become a call.
fn refusal_of(invite: &Message, home: &Home) -> Option<(u16, Option<(Name, String)>)> {
    if let Some(tags) = headers::unsupported(invite, IMPLEMENTED) {
        return Some((420, Some((Name::Unsupported, tags))));
    }
    if headers::max_forwards(invite).is_none() {
        return Some((483, None));
    }
    if let Some(call_id) = invite.call_id()
        && Token::parse(call_id, &home.tokens).is_some()
    {
        // It is a leg of ours that came back: with forks, one loop would make thousands of calls
        // before Max-Forwards ends it (RFC 5393).
        return Some((482, None));
    }
    if let Some(least) = session::too_small(invite, home.timeouts.session_min) {
        return Some((422, Some((Name::MinSe, least.to_string()))));
    }
    Dialog::admits(invite)
        .err()
        .map(|fault| (fault.status, None))
}

/// A party as its own header names it.
fn named(address: Option<sip::NameAddr<'_>>) -> Named {
    let Some(address) = address else {
        return Named {
            uri: "".into(),
            display: None,
        };
    };
    let display = sip::unquote(address.display);
    let display = core::str::from_utf8(&display)
        .ok()
        .map(str::trim)
        .filter(|d| !d.is_empty());
    Named {
        uri: address.uri.into(),
        display: display.map(|display| clip(display).into()),
    }
}

impl Story {
    pub(super) fn new(key: CallKey, home: &Home, now: Now) -> Self {
        let nobody = || Named {
            uri: "".into(),
            display: None,
        };
        Self {
            session: SessionId(key.id),
            direction: Direction::Inbound,
            from: nobody(),
            to: nobody(),
            agent: None,
            trace_id: None,
            traceparent: None,
            command_id: None,
            past: Vec::new(),
            state: CallState::Queued,
            position: Position {
                epoch: home.epoch,
                seq: 0,
            },
            created_at: Timestamp(now.unix_ms),
            ringing_at: None,
            answered_at: None,
            ended_at: None,
            trusted: false,
            kept: 0,
            protected: true,
        }
    }
}
