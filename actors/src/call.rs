//! One call: an [`engine::Call`] behind its gate, and the performance of what it decides.

use std::{rc::Rc, sync::atomic::Ordering, time::Duration};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message as Letter};
use bus_schema::{
    Actor as Who, Answer, CallCommand, CallData, CallEvent, CallReply, CallState, CallView, Cause,
    ErrorCode, EventName, Position, Reason, Stamp, Text, Timestamp,
};
use bytes::Bytes;
use engine::{
    CallKey, Caller, Gate, Hop, Inbound, Input, LegEvent, LegId, Origin, Originate, Perform,
    Replacement, ReplyToken, Setup, Transport, route::Plan,
};
use sip::{ClientId, Endpoint, Message, Method, Now, ServerId, endpoint};
use smallvec::SmallVec;

use crate::{
    commands::{Pending, Share},
    dialog::{Dialog, Order},
    fault::{Part, contain},
    journal::Last,
    local::{Local, Noted, answer_hop},
    random::{random_u64, random_u128},
    timers::{Armed, Owner},
};

/// The actor of one call.
pub(crate) struct Call {
    local: Rc<Local>,
    engine: engine::Call,
    gate: Gate,
    stage: Stage,
    armed: Armed,
    /// A panic was caught, and the engine was asked to end the call: it is not asked again.
    faulty: bool,
}

/// Everything of the actor that a decision of the engine may touch.
struct Stage {
    local: Rc<Local>,
    this: actix::WeakAddr<Call>,
    key: engine::CallKey,
    /// The transactions of a caller's or newcomer's leg that is yet to be opened.
    prepared: Option<Prepared>,
    legs: SmallVec<[(LegId, Addr<Dialog>); 2]>,
    replies: Vec<(ReplyToken, Pending)>,
    next_reply: u64,
    /// The acknowledgement the gate waits for.
    awaited: Option<u64>,
    /// `call.ended` was told.
    told_end: bool,
    ended: bool,
}

/// The INVITE that made a call, or a leg of one: its transaction, and the names it is known by.
pub(crate) struct Prepared {
    leg: LegId,
    pub(crate) endpoint: Endpoint,
    pub(crate) noted: Noted,
    /// The INVITE and its transaction.
    pub(crate) invite: (ServerId, Message),
    /// What it was answered at once.
    pub(crate) trying: Option<Bytes>,
    /// The way it came.
    pub(crate) hop: Hop,
}

/// An INVITE that asks for a party's place, and its transaction.
pub(crate) struct Newcomer {
    endpoint: Endpoint,
    trying: Option<Bytes>,
    replacement: Replacement,
}

/// What a call hears.
#[derive(Letter)]
#[rtype(result = "()")]
pub(crate) enum Heard {
    /// From a leg.
    Leg(LegId, LegEvent),
    /// From the bus.
    Command {
        agent: Box<str>,
        id: Box<str>,
        command: CallCommand,
        reply: Pending,
    },
    /// Where a target is.
    Resolved(LegId, Vec<Hop>),
    /// The way to a party that is called only now.
    Planned(Plan),
    /// Somebody wants to take a party's place.
    Replace(Box<Newcomer>),
    /// Its record was kept, or could not be.
    Persisted { token: u64, kept: bool },
    /// Show yourself in a list.
    Show(Share),
    /// Show yourself.
    ShowOne(Pending),
    /// The deadline came.
    Timeout,
    /// The node is going down.
    Drain { deadline: Duration },
}

impl Call {
    /// A caller's INVITE becomes a call.
    pub(crate) fn invited(
        local: &Rc<Local>,
        message: Message,
        hop: Hop,
        caller: &Caller,
        plan: Plan,
    ) {
        let now = local.clock.now();
        let Some((endpoint, server, trying)) = receive(local, now, &message, hop) else {
            return;
        };
        let key = CallKey::new(local.own_shard(), now.unix_ms, random_u128());
        let noted = local.note_invite(&message, key.low(), LegId::CALLER);
        let invite = (server, message.clone());
        let inbound = Inbound {
            server,
            message,
            hop,
            aor: caller.aor().cloned(),
            trusted: false,
            plan,
        };
        let prepared = Prepared {
            leg: LegId::CALLER,
            endpoint,
            noted,
            invite,
            trying,
            hop,
        };
        Self::begin(
            local,
            key,
            Origin::Inbound(Box::new(inbound)),
            Some(prepared),
        );
    }

    /// A caller's INVITE asks for the place of a party of `call`.
    pub(crate) fn replacing(
        local: &Rc<Local>,
        call: &Addr<Self>,
        message: Message,
        hop: Hop,
        caller: &Caller,
    ) {
        let now = local.clock.now();
        if let Some((endpoint, server, trying)) = receive(local, now, &message, hop) {
            let aor = caller.aor().cloned();
            call.do_send(Heard::Replace(Box::new(Newcomer {
                endpoint,
                trying,
                replacement: Replacement {
                    server,
                    message,
                    hop,
                    aor,
                },
            })));
        }
    }

    fn welcome(&mut self, now: Now, newcomer: Newcomer) {
        let Newcomer {
            endpoint,
            trying,
            replacement,
        } = newcomer;
        let Replacement {
            server,
            message,
            hop,
            ..
        } = &replacement;
        let leg = self.engine.next_leg();
        let hop = *hop;
        let prepared = Prepared {
            leg,
            endpoint,
            noted: self.local.note_invite(message, self.stage.key.low(), leg),
            invite: (*server, message.clone()),
            trying,
            hop,
        };
        if self.stage.ended || self.stage.prepared.is_some() {
            // Too late, or one too many: the leg answers for itself.
            let key = self.stage.key.low();
            let call = self.stage.this.clone();
            Dialog::open(&self.local, call, key, leg, hop, Some(prepared)).do_send(Order::Close);
            return;
        }
        self.stage.prepared = Some(prepared);
        let input = Input::Replace(Box::new(replacement));
        self.engine.handle(now, input);
    }

    /// An agent's command becomes a call.
    pub(crate) fn originated(local: &Rc<Local>, key: CallKey, originate: Originate) {
        Self::begin(local, key, Origin::Originate(Box::new(originate)), None);
    }

    fn begin(local: &Rc<Local>, key: CallKey, origin: Origin, prepared: Option<Prepared>) {
        let setup = Setup {
            key,
            home: local.shared.home.clone(),
            entropy: random_u64(),
            origin,
        };
        Self::run(local, engine::Call::new(setup, local.clock.now()), prepared);
    }

    /// Takes up what a call of the last run left behind, to end it properly.
    pub(crate) fn recovered(local: &Rc<Local>, key: CallKey, record: &[u8], last: Option<&Last>) {
        let recovery = recovery(local, last);
        let now = local.clock.now();
        let engine = contain(Part::Call, || engine::Call::recover(record, recovery, now));
        match engine.flatten() {
            Some(engine) => Self::run(local, engine, None),
            None => {
                tracing::error!(call = %key, "the record of a call cannot be read; it is dropped");
                local.shared.forget_call(key);
            }
        }
    }

    /// The same for one that is known by its last event alone.
    pub(crate) fn recovered_told(local: &Rc<Local>, last: &Last) {
        match last.snapshot() {
            Some(told) => {
                let recovery = recovery(local, Some(last));
                let engine = engine::Call::recover_told(told, recovery, local.clock.now());
                Self::run(local, engine, None);
            }
            None => tracing::error!("the last event of a call cannot be read; it never ends"),
        }
    }

    fn run(local: &Rc<Local>, engine: engine::Call, prepared: Option<Prepared>) {
        let key = engine.key();
        let local = local.clone();
        local.shared.calls.fetch_add(1, Ordering::Relaxed);
        Self::create(move |context| {
            let this = context.address();
            local.calls.borrow_mut().insert(key.low(), this.clone());
            let stage = Stage {
                local: local.clone(),
                this: this.downgrade(),
                key,
                prepared,
                legs: SmallVec::new(),
                replies: Vec::new(),
                next_reply: 0,
                awaited: None,
                told_end: false,
                ended: false,
            };
            let mut call = Self {
                local,
                engine,
                gate: Gate::default(),
                stage,
                armed: Armed::default(),
                faulty: false,
            };
            // At once: a repeat of the INVITE or its CANCEL may be next, and must find the leg.
            call.take(Heard::Timeout, context);
            call
        });
    }

    fn take(&mut self, heard: Heard, context: &mut Context<Self>) {
        let now = self.local.clock.now();
        let deadline = contain(Part::Call, || {
            self.step(now, heard);
            self.poll_timeout()
        });
        let deadline = match deadline {
            Some(deadline) => deadline,
            None => self.fail(now),
        };
        self.settle(now, deadline, context);
    }

    fn step(&mut self, now: Now, heard: Heard) {
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
                self.engine.handle(
                    now,
                    Input::Command {
                        token,
                        agent,
                        id,
                        command,
                    },
                );
            }
            Heard::Resolved(leg, hops) => self.engine.handle(now, Input::Resolved { leg, hops }),
            Heard::Planned(plan) => self.engine.handle(now, Input::Planned { plan }),
            Heard::Replace(newcomer) => self.welcome(now, *newcomer),
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
            Heard::Show(share) => share.give(self.engine.view()),
            Heard::ShowOne(pending) => pending.finish(Ok(Answer::Call(self.engine.view()))),
            Heard::Timeout => {
                self.local.timers.fired(&self.armed);
                if self.gate.handle_timeout(now) {
                    self.engine.handle(now, Input::PersistFailed);
                }
                self.engine.handle_timeout(now);
            }
            Heard::Drain { deadline } => self.engine.handle(now, Input::Drain { deadline }),
        }
        self.engine.perform(&mut self.gate, now, &mut self.stage);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        match (self.engine.poll_timeout(), self.gate.poll_timeout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn settle(&mut self, now: Now, deadline: Option<Duration>, context: &mut Context<Self>) {
        let owner = Owner::Call(self.stage.key.low());
        if self.stage.ended {
            // Asked after the call had decided to end, and before it was allowed to say so.
            for (_, pending) in std::mem::take(&mut self.stage.replies) {
                pending.refuse(ErrorCode::NotFound, "no such call, or it has ended");
            }
            self.local.timers.disarm(owner, &self.armed);
            self.local.calls.borrow_mut().remove(&self.stage.key.low());
            self.local.shared.calls.fetch_sub(1, Ordering::Relaxed);
            context.stop();
            return;
        }
        self.local
            .timers
            .arm(now.mono, owner, &self.armed, deadline);
    }

    /// A panic in a call ends that call and no other. The engine is asked to end it, so that its
    /// parties hear of it; where that fails as well, the call is buried as it is.
    fn fail(&mut self, now: Now) -> Option<Duration> {
        tracing::error!(call = %self.stage.key, "a bug ends this call");
        // Whatever was due, it was not done.
        let owner = Owner::Call(self.stage.key.low());
        self.local.timers.disarm(owner, &self.armed);
        if !std::mem::replace(&mut self.faulty, true) {
            let ending = contain(Part::Call, || {
                self.engine.handle(now, Input::Fault);
                self.engine.perform(&mut self.gate, now, &mut self.stage);
                self.poll_timeout()
            });
            if let Some(deadline) = ending {
                return deadline;
            }
        }
        self.bury();
        None
    }

    fn bury(&mut self) {
        if let Some(prepared) = self.stage.prepared.take() {
            let (leg, hop) = (prepared.leg, prepared.hop);
            self.stage.begin_leg(leg, hop, Some(prepared));
        }
        for (_, dialog) in std::mem::take(&mut self.stage.legs) {
            dialog.do_send(Order::Close);
        }
        if !self.stage.told_end {
            // What the call looked like is still there to be told, if that does not fail as well.
            let view = contain(Part::Call, || self.engine.view());
            if let Some(view) = view {
                self.local
                    .publish_call(obituary(view, self.local.clock.now()));
            }
        }
        self.local.shared.forget_call(self.stage.key);
        self.stage.ended = true;
    }
}

fn recovery(local: &Local, last: Option<&Last>) -> engine::Recovery {
    engine::Recovery {
        home: local.shared.home.clone(),
        entropy: random_u64(),
        after: last.map(|last| last.position),
        ended: last.is_some_and(|last| last.ended),
    }
}

/// Takes an INVITE into a transaction of its own, and answers it with 100, which comes back, too.
fn receive(
    local: &Local,
    now: Now,
    invite: &Message,
    hop: Hop,
) -> Option<(Endpoint, ServerId, Option<Bytes>)> {
    let mut endpoint = Endpoint::new(local.shared.endpoints.clone());
    let message = invite.clone();
    let reliable = hop.is_reliable();
    endpoint.handle(now, endpoint::Input::Received { message, reliable });
    let (mut server, mut trying) = (None, None);
    while let Some(output) = endpoint.poll_output() {
        match output {
            endpoint::Output::Transmit { bytes, .. } => {
                trying = Some(bytes.clone());
                local.send(&mut answer_hop(invite, hop), bytes, None);
            }
            endpoint::Output::Request { id, .. } => server = Some(id),
            _ => {}
        }
    }
    Some((endpoint, server?, trying))
}

/// The end of a call that died of a bug of ours.
fn obituary(view: CallView, now: Now) -> CallEvent {
    let CallView { mut call, position } = view;
    let at = Timestamp(now.unix_ms);
    call.state = CallState::ended(call.answered_at.is_some(), Reason::Internal);
    call.ended_at = Some(at);
    let stamp = Stamp {
        at,
        position: Position {
            seq: position.seq + 1,
            ..position
        },
        offset_ms: at.0.saturating_sub(call.created_at.0),
        causation_id: None,
        traceparent: None,
    };
    let cause = Cause::new(Who::System, Reason::Internal);
    let data = CallData {
        call,
        cause,
        after: None,
        protected: true,
    };
    CallEvent {
        name: EventName::CallEnded,
        stamp,
        leg: None,
        data,
    }
}

impl Actor for Call {
    type Context = Context<Self>;
}

impl Handler<Heard> for Call {
    type Result = ();

    fn handle(&mut self, heard: Heard, context: &mut Context<Self>) {
        if self.stage.ended {
            return;
        }
        self.take(heard, context);
    }
}

impl Stage {
    fn begin_leg(&mut self, leg: LegId, hop: Hop, prepared: Option<Prepared>) {
        let key = self.key.low();
        let dialog = Dialog::open(&self.local, self.this.clone(), key, leg, hop, prepared);
        self.legs.push((leg, dialog));
    }

    fn order(&self, leg: LegId, order: Order) {
        if let Some((_, dialog)) = self.legs.iter().find(|(id, _)| *id == leg) {
            dialog.do_send(order);
        }
    }
}

impl Perform for Stage {
    fn open(&mut self, leg: LegId, hop: Hop) {
        if self.legs.iter().any(|(id, _)| *id == leg) {
            self.order(leg, Order::Move(hop));
            return;
        }
        let prepared = self.prepared.take_if(|prepared| prepared.leg == leg);
        self.begin_leg(leg, hop, prepared);
    }

    fn resolve(
        &mut self,
        leg: LegId,
        host: Box<str>,
        port: Option<u16>,
        transport: Option<Transport>,
    ) {
        let this = self.this.clone();
        self.local.resolve(host, port, transport, move |hops| {
            if let Some(call) = this.upgrade() {
                call.do_send(Heard::Resolved(leg, hops));
            }
        });
    }

    fn plan(&mut self, uri: Text, trusted: bool) {
        let plan = match trusted {
            true => self.local.plan_of(&uri).1,
            // As one whom nobody knows.
            false => self.local.plan(&Caller::Foreign, &uri, None),
        };
        if let Some(call) = self.this.upgrade() {
            call.do_send(Heard::Planned(plan));
        }
    }

    fn request(
        &mut self,
        leg: LegId,
        id: ClientId,
        method: Method,
        branch: Box<str>,
        bytes: Bytes,
    ) {
        self.order(
            leg,
            Order::Request {
                id,
                method,
                branch,
                bytes,
            },
        );
    }

    fn respond(&mut self, leg: LegId, id: ServerId, status: u16, bytes: Bytes) {
        self.order(leg, Order::Respond { id, status, bytes });
    }

    fn send(&mut self, leg: LegId, bytes: Bytes) {
        self.order(leg, Order::Send(bytes));
    }

    fn close(&mut self, leg: LegId) {
        self.order(leg, Order::Close);
        self.legs.retain(|(id, _)| *id != leg);
    }

    fn event(&mut self, event: Box<CallEvent>) {
        self.told_end |= event.name == EventName::CallEnded;
        self.local.publish_call(*event);
    }

    fn persist(&mut self, record: Option<Bytes>, ahead: bool) {
        let Some(record) = record else {
            return self.local.shared.forget_call(self.key);
        };
        let awaited = self.local.persist_call(self.key, record, ahead);
        if awaited.is_some() {
            self.awaited = awaited;
        }
    }

    fn reply(&mut self, token: ReplyToken, reply: Box<CallReply>) {
        if let Some(at) = self.replies.iter().position(|(id, _)| *id == token) {
            let (_, pending) = self.replies.swap_remove(at);
            pending.finish(*reply);
        }
    }

    fn ended(&mut self) {
        for (_, dialog) in std::mem::take(&mut self.legs) {
            dialog.do_send(Order::Close);
        }
        self.ended = true;
    }
}
