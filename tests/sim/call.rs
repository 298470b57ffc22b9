//! One call as the node runs it: `actors/src/call.rs` without its mailbox.

use bus_schema::{
    CallCommand, CallEvent, CallRef, CallState, CommandError, ErrorCode, EventName, LegState,
    Outcome, Reason, Text,
};
use bytes::Bytes;
use engine::{
    CallKey, Caller, Gate, Hop, Inbound, Input, LegEvent, LegId, Origin, Originate, Perform,
    ReplyToken, Setup, Transport, route::Plan,
};
use sip::{ClientId, Endpoint, Failure, Message, Method, Now, ServerId, endpoint};

use crate::faults::{Plant, Strike};
use crate::leg::{Leg, Noted, Order};
use crate::node::{Effect, Node, Owner, Seat, answer_hop};

/// The INVITE that made a call: its transaction, and the names it is known by.
pub(crate) struct Prepared {
    pub(crate) endpoint: Endpoint,
    pub(crate) noted: Noted,
    pub(crate) invite: (ServerId, Message),
}

/// What a call hears.
pub(crate) enum Heard {
    Leg(LegId, LegEvent),
    Command {
        agent: Box<str>,
        id: Box<str>,
        command: CallCommand,
        /// The agent's own number for it.
        reply: u64,
    },
    Resolved(LegId, Vec<Hop>),
    Planned(Plan),
    Persisted {
        token: u64,
        kept: bool,
    },
    Timeout,
    Drain {
        deadline: std::time::Duration,
    },
}

/// What a call heard, as far as it can be why the call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It was made, or taken up again.
    Begun,
    /// A party's request in its dialog, or for its INVITE.
    Request(Method),
    Cancel,
    /// A response to this method.
    Response(Method, u16),
    Failed(Failure),
    FlowLost,
    /// A bug of ours.
    Fault,
    /// An agent's command; whether it was taken.
    Command(CallCommand),
    Resolved(usize),
    Planned(Option<u16>),
    Timeout,
    Other,
}

/// What decided a call, and how far it had come.
#[derive(Clone, Debug)]
pub(crate) struct Stimulus {
    pub(crate) what: What,
    pub(crate) leg: Option<LegId>,
    pub(crate) at: Now,
    /// The state before.
    pub(crate) state: CallState,
    /// Final refusals of INVITEs so far, the caller's timers included, in the order they came.
    pub(crate) refusals: Vec<u16>,
    /// The legs that had answered.
    pub(crate) answered: Vec<LegId>,
}

/// The actor.
pub(crate) struct Call {
    engine: engine::Call,
    gate: Gate,
    stage: Stage,
    /// A panic was caught, and the engine was asked to end the call.
    faulty: bool,
    refusals: Vec<u16>,
}

/// Everything of the actor that a decision of the engine may touch.
pub(crate) struct Stage {
    key: CallKey,
    prepared: Option<Prepared>,
    legs: Vec<LegId>,
    replies: Vec<(ReplyToken, u64)>,
    next_reply: u64,
    awaited: Option<u64>,
    ended: bool,
}

/// The stage in its node.
struct Acting<'a> {
    node: &'a mut Node,
    stage: &'a mut Stage,
}

impl Call {
    /// A caller's INVITE becomes a call.
    pub(crate) fn invited(
        node: &mut Node,
        message: Message,
        hop: Hop,
        caller: &Caller,
        plan: Plan,
    ) {
        let now = node.now;
        let mut endpoint = Endpoint::new(node.endpoints.clone());
        let received = endpoint::Input::Received {
            message: message.clone(),
            reliable: hop.is_reliable(),
        };
        endpoint.handle(now, received);
        let mut server = None;
        while let Some(output) = endpoint.poll_output() {
            match output {
                endpoint::Output::Transmit { bytes, .. } => {
                    node.send(&mut answer_hop(&message, hop), bytes, None);
                }
                endpoint::Output::Request { id, .. } => server = Some(id),
                _ => {}
            }
        }
        let Some(server) = server else { return };
        let random = (u128::from(node.dice.next()) << 64) | u128::from(node.dice.next());
        let key = CallKey::new(node.own_shard(), now.unix_ms, random);
        let noted = node.note_invite(&message, key.low());
        let call_id = message.call_id().unwrap_or_default().into();
        node.effects.push(Effect::Named(key, call_id));
        let prepared = Prepared {
            endpoint,
            noted,
            invite: (server, message.clone()),
        };
        let inbound = Inbound {
            server,
            message,
            hop,
            aor: caller.aor().cloned(),
            trusted: false,
            plan,
        };
        let origin = Origin::Inbound(Box::new(inbound));
        Self::begin(node, key, origin, Some(prepared));
    }

    /// An agent's command becomes a call.
    pub(crate) fn originated(node: &mut Node, key: CallKey, originate: Originate) {
        let origin = Origin::Originate(Box::new(originate));
        Self::begin(node, key, origin, None);
    }

    fn begin(node: &mut Node, key: CallKey, origin: Origin, prepared: Option<Prepared>) {
        let setup = Setup {
            key,
            home: node.home.clone(),
            entropy: node.dice.next(),
            origin,
        };
        let engine = engine::Call::new(setup, node.now);
        Self::run(node, engine, prepared);
    }

    /// Takes up what a call of the last run left behind, to end it properly.
    pub(crate) fn recovered(
        node: &mut Node,
        key: CallKey,
        record: &[u8],
        last: Option<&CallEvent>,
    ) {
        let recovery = recovery(node, last);
        let engine = engine::Call::recover(record, recovery, node.now);
        let engine = engine.unwrap_or_else(|| panic!("the record of {key} cannot be read"));
        Self::run(node, engine, None);
    }

    /// The same for one that is known by its last event alone.
    pub(crate) fn recovered_told(node: &mut Node, last: &CallEvent) {
        let recovery = recovery(node, Some(last));
        let told = last.data.call.clone();
        let engine = engine::Call::recover_told(told, recovery, node.now);
        Self::run(node, engine, None);
    }

    fn run(node: &mut Node, engine: engine::Call, prepared: Option<Prepared>) {
        let key = engine.key();
        node.calls.insert(key.low(), Seat::new(None));
        let stage = Stage {
            key,
            prepared,
            legs: Vec::new(),
            replies: Vec::new(),
            next_reply: 0,
            awaited: None,
            ended: false,
        };
        let mut call = Box::new(Self {
            engine,
            gate: Gate::default(),
            stage,
            faulty: false,
            refusals: Vec::new(),
        });
        if call.engine.state().is_terminal() {
            call.note(node, What::Begun, None, CallState::Queued, Vec::new());
        }
        // At once: a repeat of the INVITE or its CANCEL may be next, and must find the leg.
        call.take(node, Heard::Timeout);
        node.sit(call);
    }

    pub(crate) fn key(&self) -> CallKey {
        self.stage.key
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage.ended
    }

    pub(crate) fn describe(&self) -> String {
        let due = (self.engine.poll_timeout(), self.gate.poll_timeout());
        format!(
            "call {}: {:?}, due {due:?}",
            CallRef::from(self.stage.key),
            self.engine.state()
        )
    }

    pub(crate) fn take(&mut self, node: &mut Node, heard: Heard) {
        let strike = match self.faulty {
            // A second one would bury it, and that is not tried here.
            true => None,
            false => node.strikes(self.stage.key.low()),
        };
        match strike {
            Some(Strike::Before) => node.lost(&heard),
            Some(Strike::After) | None => self.read(node, heard),
        }
        if strike.is_some() && !self.stage.ended {
            self.fail(node);
        }
        self.settle(node);
    }

    /// A panic was caught: the engine is asked to end the call.
    fn fail(&mut self, node: &mut Node) {
        self.faulty = true;
        node.disarm(Owner::Call(self.stage.key.low()));
        let was = self.engine.state();
        self.engine.handle(node.now, Input::Fault);
        if self.engine.state().is_terminal() && !was.is_terminal() {
            self.note(node, What::Fault, None, was, Vec::new());
        }
        self.perform(node);
    }

    fn read(&mut self, node: &mut Node, heard: Heard) {
        let now = node.now;
        let (what, leg) = what(&heard);
        self.count(&what, leg);
        let was = self.engine.state();
        let answered = self.answered();
        self.hear(node, now, heard);
        if self.engine.state().is_terminal() && !was.is_terminal() {
            self.note(node, what, leg, was, answered);
        }
        self.perform(node);
    }

    fn perform(&mut self, node: &mut Node) {
        let now = node.now;
        let mut acting = Acting {
            node,
            stage: &mut self.stage,
        };
        self.engine.perform(&mut self.gate, now, &mut acting);
    }

    fn hear(&mut self, node: &mut Node, now: Now, heard: Heard) {
        match heard {
            Heard::Leg(leg, event) => self.engine.handle(now, Input::Leg { leg, event }),
            Heard::Command {
                agent,
                id,
                command,
                reply,
            } => {
                let token = ReplyToken(self.stage.next_reply);
                self.stage.next_reply += 1;
                self.stage.replies.push((token, reply));
                let input = Input::Command {
                    token,
                    agent,
                    id,
                    command,
                };
                self.engine.handle(now, input);
            }
            Heard::Resolved(leg, hops) => self.engine.handle(now, Input::Resolved { leg, hops }),
            Heard::Planned(plan) => self.engine.handle(now, Input::Planned { plan }),
            Heard::Persisted { token, kept } => {
                // A late word about an earlier record says nothing about this one.
                if self.stage.awaited == Some(token) {
                    self.stage.awaited = None;
                    self.gate.persisted(kept);
                    if !kept {
                        self.engine.handle(now, Input::PersistFailed);
                    }
                }
            }
            Heard::Timeout => {
                node.fired(Owner::Call(self.stage.key.low()));
                if self.gate.handle_timeout(now) {
                    self.engine.handle(now, Input::PersistFailed);
                }
                self.engine.handle_timeout(now);
            }
            Heard::Drain { deadline } => self.engine.handle(now, Input::Drain { deadline }),
        }
    }

    fn settle(&mut self, node: &mut Node) {
        if self.stage.ended {
            // Asked after the call had decided to end, and before it was allowed to say so.
            for (_, asked) in std::mem::take(&mut self.stage.replies) {
                let error = CommandError::new(ErrorCode::NotFound, "it has ended");
                let reply = Effect::Reply(asked, Box::new(Err(error)));
                node.effects.push(reply);
            }
            return;
        }
        let deadline = match (self.engine.poll_timeout(), self.gate.poll_timeout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        node.arm(Owner::Call(self.stage.key.low()), deadline);
    }

    fn answered(&self) -> Vec<LegId> {
        let view = self.engine.view();
        let answered = view
            .call
            .legs
            .iter()
            .filter(|leg| leg.answered_at.is_some() && leg.state == LegState::Confirmed);
        answered.map(|leg| LegId(leg.leg.0)).collect()
    }

    /// Counts the refusal of an INVITE that somebody still waits for.
    fn count(&mut self, what: &What, leg: Option<LegId>) {
        if matches!(what, What::Planned(_)) {
            if !self.answered().is_empty() {
                // The second party of an originated call is looked for from here on.
                self.refusals.clear();
            } else if matches!(what, What::Planned(None)) {
                // A redirect is followed, and is no refusal then; those before it are.
                let is_redirect = |status: &u16| (300..400).contains(status);
                if let Some(at) = self.refusals.iter().rposition(is_redirect) {
                    self.refusals.remove(at);
                }
            }
        }
        let (What::Response(Method::Invite, 300..=u16::MAX), Some(leg)) = (what, leg) else {
            return;
        };
        let view = self.engine.view();
        let leg = view.call.legs.iter().find(|known| known.leg.0 == leg.0);
        let waits = |state| {
            matches!(
                state,
                LegState::Trying | LegState::Proceeding | LegState::Early
            )
        };
        if let (Some(leg), What::Response(_, status)) = (leg, what)
            && waits(leg.state)
        {
            self.refusals.push(*status);
        }
    }

    fn note(
        &self,
        node: &mut Node,
        what: What,
        leg: Option<LegId>,
        state: CallState,
        answered: Vec<LegId>,
    ) {
        let stimulus = Stimulus {
            what,
            leg,
            at: node.now,
            state,
            refusals: self.refusals.clone(),
            answered,
        };
        let over = Effect::Over(self.stage.key, Box::new(stimulus));
        node.effects.push(over);
    }
}

fn recovery(node: &mut Node, last: Option<&CallEvent>) -> engine::Recovery {
    engine::Recovery {
        home: node.home.clone(),
        entropy: node.dice.next(),
        after: last.map(|last| last.stamp.position),
        ended: node.ground.plant != Plant::EndAgain
            && last.is_some_and(|last| last.name == EventName::CallEnded),
    }
}

/// What a letter says.
fn what(heard: &Heard) -> (What, Option<LegId>) {
    match heard {
        Heard::Leg(leg, event) => {
            let what = match event {
                LegEvent::Request { message, .. } => {
                    What::Request(message.method().unwrap_or(Method::Extension))
                }
                LegEvent::Cancel { .. } => What::Cancel,
                LegEvent::Response { message, .. } => {
                    let method = message.cseq().map_or(Method::Extension, |cseq| cseq.method);
                    What::Response(method, message.status().unwrap_or_default())
                }
                LegEvent::Failed { why, .. } => What::Failed(*why),
                LegEvent::FlowLost => What::FlowLost,
                LegEvent::Fault => What::Fault,
                LegEvent::Ack { .. } | LegEvent::NoAck { .. } => What::Other,
            };
            (what, Some(*leg))
        }
        Heard::Command { command, .. } => (What::Command(command.clone()), None),
        Heard::Resolved(leg, hops) => (What::Resolved(hops.len()), Some(*leg)),
        Heard::Planned(Plan::Refuse(refuse)) => (What::Planned(Some(refuse.status)), None),
        Heard::Planned(Plan::Fork { .. }) => (What::Planned(None), None),
        Heard::Timeout => (What::Timeout, None),
        Heard::Persisted { .. } | Heard::Drain { .. } => (What::Other, None),
    }
}

impl Acting<'_> {
    fn order(&mut self, leg: LegId, order: Order) {
        if self.stage.legs.contains(&leg) {
            self.node.tell_leg(self.stage.key.low(), leg, order);
        }
    }
}

impl Perform for Acting<'_> {
    fn open(&mut self, leg: LegId, hop: Hop) {
        let involved = Effect::Involved(self.stage.key, leg, hop);
        self.node.effects.push(involved);
        if self.stage.legs.contains(&leg) {
            return self.order(leg, Order::Move(hop));
        }
        let prepared = self.stage.prepared.take_if(|_| leg == LegId::CALLER);
        let key = self.stage.key.low();
        Leg::open(self.node, key, leg, hop, prepared);
        self.stage.legs.push(leg);
    }

    fn resolve(
        &mut self,
        leg: LegId,
        host: Box<str>,
        port: Option<u16>,
        transport: Option<Transport>,
    ) {
        let owner = Owner::Leg(self.stage.key.low(), leg.0);
        let transport = transport.unwrap_or(Transport::Udp);
        let resolve = Effect::Resolve(owner, host, port, transport);
        self.node.effects.push(resolve);
    }

    fn plan(&mut self, uri: Text, _trusted: bool) {
        let (_, plan) = self.node.plan_of(&uri);
        let key = self.stage.key.low();
        self.node.tell_call(key, Heard::Planned(plan));
    }

    fn request(
        &mut self,
        leg: LegId,
        id: ClientId,
        method: Method,
        branch: Box<str>,
        bytes: Bytes,
    ) {
        let request = Order::Request {
            id,
            method,
            branch,
            bytes,
        };
        self.order(leg, request);
    }

    fn respond(&mut self, leg: LegId, id: ServerId, status: u16, bytes: Bytes) {
        self.order(leg, Order::Respond { id, status, bytes });
    }

    fn send(&mut self, leg: LegId, bytes: Bytes) {
        self.order(leg, Order::Send(bytes));
    }

    fn close(&mut self, leg: LegId) {
        self.order(leg, Order::Close);
        self.stage.legs.retain(|known| *known != leg);
    }

    fn event(&mut self, mut event: Box<CallEvent>) {
        match self.node.ground.plant {
            Plant::EndTwice if event.name == EventName::CallEnded => {
                self.node.effects.push(Effect::Event(event.clone()));
            }
            Plant::WrongCause if event.data.cause.reason == Reason::Busy => {
                event.data.cause.reason = Reason::Rejected;
            }
            _ => {}
        }
        self.node.effects.push(Effect::Event(event));
    }

    fn persist(&mut self, record: Option<Bytes>, ahead: bool) {
        let Some(record) = record else {
            if self.node.ground.plant != Plant::KeepRecord {
                self.node.effects.push(Effect::Forget(self.stage.key));
            }
            return;
        };
        let awaited = self.node.persist(self.stage.key, record, ahead);
        if awaited.is_some() {
            self.stage.awaited = awaited;
        }
    }

    fn reply(&mut self, token: ReplyToken, reply: Box<Outcome>) {
        let replies = &mut self.stage.replies;
        if let Some(at) = replies.iter().position(|(id, _)| *id == token) {
            let (_, asked) = replies.swap_remove(at);
            self.node.effects.push(Effect::Reply(asked, reply));
        }
    }

    fn ended(&mut self) {
        for leg in std::mem::take(&mut self.stage.legs) {
            let key = self.stage.key.low();
            self.node.tell_leg(key, leg, Order::Close);
        }
        self.stage.ended = true;
    }
}
