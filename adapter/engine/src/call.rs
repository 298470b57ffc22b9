//! A call: two parties, each behind a SIP dialog of its own (a B2BUA), and what joins them.
//!
//! Everything that happens to a call comes in by [`Call::handle`] or [`Call::handle_timeout`];
//! everything it wants done comes out of [`Call::poll_output`], in the order it is to be done.
//!
//! ```text
//!            caller's INVITE                      originate
//!                  |                                  |
//!               Calling                            First        ring the first party
//!                  |                                  | answers
//!                  |                               Second       ring the second party
//!                  |                                  | answers
//!                  |                               Joining      re-INVITE the first party
//!                  +---------------> Up <-------------+
//!                                    |
//!                                  Over                         BYE, CANCEL; then Ended
//! ```
//!
//! Every stage has a deadline, so every call ends.

mod answer;
mod command;
mod compose;
mod early;
mod early_relay;
mod entropy;
mod finish;
mod hunt;
mod incoming;
mod join;
mod large;
mod leg_state;
mod pickup;
mod placeholder;
mod record;
mod redirect;
mod refer;
mod relay;
mod reliable;
mod replace;
mod session;
mod setup;
mod sips;
mod story;
mod timers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sip::{ClientId, Failure, Message, Now, ServerId};

pub use record::Recovery;
pub use redirect::Redirects;
pub use setup::{Home, Inbound, Origin, Originate, Party, Replacement, Setup, Timeouts};

use crate::key::CallKey;
use crate::leg::{Input, LegEvent, Output};
use crate::token::LegId;
use entropy::Entropy;
use hunt::Hunt;
use leg_state::Leg;
use pickup::Pickup;
use relay::Relay;
use reliable::Wish;
use story::Story;

/// A call from its first message to its last.
#[derive(Debug)]
pub struct Call {
    home: Arc<Home>,
    key: CallKey,
    entropy: Entropy,
    story: Box<Story>,
    stage: Stage,
    legs: Vec<Leg>,
    /// Requests of one party that the other has not answered yet.
    relays: Vec<Relay>,
    outputs: VecDeque<Output>,
    /// When the stage has lasted long enough.
    deadline: Duration,
    /// When the node goes down.
    drain: Option<Duration>,
    next_client: u32,
    next_leg: u16,
}

/// How far the call has come; see the drawing above.
#[derive(Debug)]
enum Stage {
    Calling(Box<Calling>),
    First(Box<Commanded>),
    Second(Box<Commanded>),
    Joining(Box<join::Joining>),
    Up,
    Over,
    Ended,
}

/// A caller waits for somebody to answer.
#[derive(Debug)]
struct Calling {
    server: ServerId,
    invite: Message,
    wish: Wish,
    /// Somebody else is about to answer in a callee's place.
    pickup: Option<Box<Pickup>>,
    hunt: Hunt,
}

/// An originated call on its way to two answers.
#[derive(Debug)]
struct Commanded {
    first: Party,
    second: Party,
    /// What both INVITEs carry besides their own, as whole lines.
    lines: Bytes,
    /// How long each party may ring.
    ring: Duration,
    hunt: Hunt,
}

impl Call {
    /// The call's name.
    #[must_use]
    pub fn key(&self) -> CallKey {
        self.key
    }

    /// Takes an input. What follows from it is in [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, now: Now, input: Input) {
        if matches!(self.stage, Stage::Ended) {
            return;
        }
        match input {
            Input::Leg { leg, event } => self.leg_event(now, leg, event),
            Input::Command {
                token,
                agent,
                id,
                command,
            } => {
                self.command(now, token, &agent, &id, command);
            }
            Input::Resolved { leg, hops } => self.resolved(now, leg, hops),
            Input::Planned { plan } => self.planned(now, plan),
            Input::Replace(replacement) => self.replace(now, *replacement),
            Input::PersistFailed => self.story.protected = false,
            Input::Fault => self.fault(now),
            Input::Drain { deadline } => self.drain = Some(deadline),
        }
        self.settle();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && matches!(self.stage, Stage::Up) {
            // It may be an hour until there is something to say again.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), in [`Now::mono`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if matches!(self.stage, Stage::Ended) {
            return None;
        }
        let legs = self.legs.iter().filter_map(Leg::timeout);
        let relays = self.relays.iter().filter_map(|relay| relay.timer_c);
        let own = [
            Some(self.deadline),
            self.drain,
            self.retry_at(),
            self.reliable_at(),
        ];
        let own = own.into_iter().flatten();
        own.chain(legs).chain(relays).min()
    }

    /// Does what has become due. May be called early or late.
    pub fn handle_timeout(&mut self, now: Now) {
        self.timers(now);
        self.settle();
    }

    fn leg_event(&mut self, now: Now, leg: LegId, event: LegEvent) {
        let Some(at) = self.legs.iter().position(|known| known.id == leg) else {
            self.stray(leg, event);
            return;
        };
        match event {
            LegEvent::Request { id, message } => self.request(now, at, id, message),
            LegEvent::Ack { message } => self.acked(now, at, &message),
            LegEvent::Cancel {
                id,
                invite,
                message,
            } => {
                self.cancelled(now, at, id, invite, &message);
            }
            LegEvent::Response { id, message } => self.response(now, at, id, message),
            LegEvent::Failed { id, why } => self.failed(now, at, id, why),
            // The leg's INVITE was refused and its dialog never was: nothing is left to undo.
            LegEvent::NoAck { .. } => {}
            LegEvent::FlowLost => self.flow_lost(now, at),
            LegEvent::Fault => self.leg_fault(now, at),
        }
    }

    /// A leg the call is done with still hears from its peer.
    fn stray(&mut self, leg: LegId, event: LegEvent) {
        if let LegEvent::Request { id, message } | LegEvent::Cancel { id, message, .. } = event {
            self.refuse(leg, id, &message, 481, None);
        }
    }

    fn response(&mut self, now: Now, at: usize, id: ClientId, message: Message) {
        let inviting = self.legs[at].inviting.as_ref();
        if inviting.is_some_and(|inviting| inviting.client == Some(id)) {
            self.invite_response(now, at, message);
        } else if let Some(relay) = self
            .relays
            .iter()
            .position(|relay| relay.is(at_id(self, at), id))
        {
            self.relay_response(now, relay, &message);
        } else if self.is_refreshing(at, id) {
            self.refresh_response(now, at, &message);
        } else if self.is_pickup(at, id) {
            self.pickup_response(now, at, &message);
        } else if self.is_join(at, id) {
            self.join_response(now, at, &message);
        } else {
            self.repeated_answer(at, &message);
        }
    }

    fn failed(&mut self, now: Now, at: usize, id: ClientId, why: Failure) {
        let inviting = self.legs[at].inviting.as_ref();
        if inviting.is_some_and(|inviting| inviting.client == Some(id)) {
            self.invite_failed(now, at, why);
        } else if let Some(relay) = self
            .relays
            .iter()
            .position(|relay| relay.is(at_id(self, at), id))
        {
            self.relay_failed(now, relay, why);
        } else if self.is_refreshing(at, id) {
            self.refresh_failed(now, at, why);
        } else if self.is_pickup(at, id) {
            self.pickup_silent(now, at);
        } else if self.is_join(at, id) {
            self.join_failed(now, None);
        }
        // A BYE or CANCEL nobody answers has done all it can.
    }

    fn leg(&self, id: LegId) -> Option<usize> {
        self.legs.iter().position(|leg| leg.id == id)
    }

    /// The other party of an answered call.
    fn other(&self, at: usize) -> Option<usize> {
        let party = self.legs[at].party;
        self.legs
            .iter()
            .position(|leg| leg.is_up() && leg.bye_due.is_none() && leg.party != party)
    }

    fn client(&mut self) -> ClientId {
        self.next_client += 1;
        ClientId(self.next_client)
    }

    fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn respond(&mut self, leg: LegId, id: ServerId, invite: bool, status: u16, bytes: Bytes) {
        self.push(Output::Respond {
            leg,
            id,
            invite,
            status,
            bytes,
        });
    }

    /// Over is over once no leg waits for anything.
    fn settle(&mut self) {
        if matches!(self.stage, Stage::Over) && self.legs.is_empty() {
            self.stage = Stage::Ended;
            self.push(Output::Ended);
        }
    }
}

fn at_id(call: &Call, at: usize) -> LegId {
    call.legs[at].id
}
