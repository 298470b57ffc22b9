//! One request outside of dialogs on its way to several targets: an [`engine::relay::Relay`] with
//! the transactions it needs.

use std::rc::Rc;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message as Letter};
use bytes::Bytes;
use engine::{
    CallKey, Hop, LegId, Target,
    relay::{Fork, RELAY_TIME, Relay as Engine, RelayInput, RelayOrigin, RelayOutput, RelaySetup},
};
use sip::{ClientId, Endpoint, Failure, Message, ServerId, Transmitter};
use smallvec::SmallVec;

use crate::{
    local::{Local, answer_hop},
    random::random_u128,
    timers::{Armed, Owner},
};

/// The actor.
pub(crate) struct Relay {
    local: Rc<Local>,
    engine: Engine,
    endpoint: Endpoint,
    /// The request that is relayed, and the way back; none for an agent's message.
    server: Option<Server>,
    forks: SmallVec<[(Fork, Hop); 2]>,
    armed: Armed,
    ended: bool,
}

/// The transaction of the request that is relayed.
struct Server {
    id: ServerId,
    way: Hop,
    /// The name by which repeats of the request find the relay.
    noted: Option<u64>,
}

/// The request that is relayed came again.
#[derive(Letter)]
#[rtype(result = "()")]
pub(crate) struct Again(pub(crate) Message);

/// A response to one of its requests.
#[derive(Letter)]
#[rtype(result = "()")]
pub(crate) struct Received {
    pub(crate) fork: u16,
    pub(crate) message: Message,
}

/// The connection under one of its requests is gone, or did not come up.
#[derive(Letter)]
#[rtype(result = "()")]
pub(crate) struct FlowLost(pub(crate) u16);

/// The deadline came.
#[derive(Letter)]
#[rtype(result = "()")]
pub(crate) struct Timeout;

/// A name was looked up.
#[derive(Letter)]
#[rtype(result = "()")]
struct Resolved(Fork, Vec<Hop>);

impl Relay {
    /// Relays a request.
    pub(crate) fn start(local: &Rc<Local>, request: Message, hop: Hop, groups: Vec<Vec<Target>>) {
        let mut endpoint = Endpoint::new(local.shared.endpoints.clone());
        let now = local.clock.now();
        let input = sip::endpoint::Input::Received {
            message: request.clone(),
            reliable: hop.is_reliable(),
        };
        endpoint.handle(now, input);
        let mut server = None;
        while let Some(output) = endpoint.poll_output() {
            if let sip::endpoint::Output::Request { id, message: _ } = output {
                server = Some((id, answer_hop(&request, hop)));
            }
        }
        let noted = local.transaction_hash(&request);
        let server = server.map(|(id, way)| Server { id, way, noted });
        Self::run(
            local,
            endpoint,
            server,
            RelayOrigin::Request {
                request,
                trusted: false,
            },
            groups,
        );
    }

    /// Sends an agent's message.
    pub(crate) fn send(
        local: &Rc<Local>,
        data: &bus_schema::SendMessage,
        groups: Vec<Vec<Target>>,
    ) {
        let uri = |text: &str| -> Box<str> {
            if text.contains(':') {
                text.into()
            } else {
                format!("sip:{text}").into()
            }
        };
        let content_type = data.content_type.as_deref().unwrap_or("text/plain");
        let origin = RelayOrigin::Command {
            from: uri(&data.from),
            to: uri(&data.to),
            content_type: content_type.into(),
            body: Bytes::copy_from_slice(data.body.as_bytes()),
        };
        Self::run(
            local,
            Endpoint::new(local.shared.endpoints.clone()),
            None,
            origin,
            groups,
        );
    }

    fn run(
        local: &Rc<Local>,
        endpoint: Endpoint,
        server: Option<Server>,
        origin: RelayOrigin,
        groups: Vec<Vec<Target>>,
    ) {
        let now = local.clock.now();
        let setup = RelaySetup {
            key: CallKey::new(local.own_shard(), now.unix_ms, random_u128()),
            tokens: local.shared.token_key,
            listeners: local.shared.listeners.clone(),
            limit: RELAY_TIME,
        };
        let key = setup.key.low();
        let engine = Engine::new(now, setup, origin, groups);
        let local = local.clone();
        Self::create(move |context| {
            local.relays.borrow_mut().insert(key, context.address());
            if let Some(noted) = server.as_ref().and_then(|server| server.noted) {
                local.relayed.borrow_mut().insert(noted, key);
            }
            context.notify(Timeout);
            Self {
                local,
                engine,
                endpoint,
                server,
                forks: SmallVec::new(),
                armed: Armed::default(),
                ended: false,
            }
        });
    }

    /// Performs what the engine and the transactions want, until neither wants anything.
    fn settle(&mut self, context: &mut Context<Self>) {
        loop {
            if let Some(output) = self.engine.poll_output() {
                self.perform(output, context);
            } else if let Some(output) = self.endpoint.poll_output() {
                self.heard(output);
            } else {
                break;
            }
        }
        let key = self.engine.key().low();
        if self.ended && self.endpoint.is_empty() {
            self.local.timers.disarm(Owner::Relay(key), &self.armed);
            self.local.relays.borrow_mut().remove(&key);
            for (fork, hop) in &self.forks {
                self.local.unbind(hop, key, LegId(fork.0));
            }
            if let Some(noted) = self.server.as_ref().and_then(|server| server.noted) {
                self.local.relayed.borrow_mut().remove(&noted);
            }
            context.stop();
            return;
        }
        let deadline = match (self.engine.poll_timeout(), self.endpoint.poll_timeout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let now = self.local.clock.mono();
        self.local
            .timers
            .arm(now, Owner::Relay(key), &self.armed, deadline);
    }

    fn perform(&mut self, output: RelayOutput, context: &Context<Self>) {
        let now = self.local.clock.now();
        match output {
            RelayOutput::Resolve {
                fork,
                host,
                port,
                transport,
            } => {
                let this = context.address().downgrade();
                self.local.resolve(host, port, transport, move |hops| {
                    if let Some(relay) = this.upgrade() {
                        relay.do_send(Resolved(fork, hops));
                    }
                });
            }
            RelayOutput::Request {
                fork,
                hop,
                method,
                branch,
                bytes,
            } => {
                self.forks.retain(|(known, _)| *known != fork);
                self.forks.push((fork, hop));
                self.local
                    .bind(&hop, self.engine.key().low(), LegId(fork.0));
                let id = ClientId(u32::from(fork.0));
                let reliable = hop.is_reliable();
                let input = sip::endpoint::Input::Request {
                    id,
                    method,
                    branch,
                    bytes,
                    reliable,
                };
                self.endpoint.handle(now, input);
            }
            RelayOutput::Respond { status, bytes } => {
                if let Some(Server { id, .. }) = self.server {
                    let input = sip::endpoint::Input::Respond { id, status, bytes };
                    self.endpoint.handle(now, input);
                }
            }
            RelayOutput::Ended => self.ended = true,
        }
    }

    fn heard(&mut self, output: sip::endpoint::Output) {
        use sip::endpoint::Output;
        match output {
            Output::Transmit {
                who: Transmitter::Server(_),
                bytes,
            } => {
                if let Some(Server { mut way, .. }) = self.server {
                    self.local.send(&mut way, bytes, None);
                }
            }
            Output::Transmit {
                who: Transmitter::Client(id),
                bytes,
            } => {
                let local = self.local.clone();
                let hop = self
                    .forks
                    .iter_mut()
                    .find(|(fork, _)| u32::from(fork.0) == id.0);
                let key = self.engine.key().low();
                let sent = hop
                    .is_some_and(|(fork, hop)| local.send(hop, bytes, Some((key, LegId(fork.0)))));
                if !sent {
                    let now = self.local.clock.now();
                    self.endpoint
                        .handle(now, sip::endpoint::Input::Unreachable { id });
                }
            }
            Output::Response { id, message } => {
                if let Some(fork) = fork(id) {
                    self.engine.handle(RelayInput::Response {
                        fork,
                        response: message,
                    });
                }
            }
            Output::Failed { id, why } => {
                if let Some(fork) = fork(id) {
                    let unreachable = !matches!(why, Failure::Timeout);
                    self.engine.handle(RelayInput::Failed { fork, unreachable });
                }
            }
            Output::Request { .. }
            | Output::Ack { .. }
            | Output::Cancel { .. }
            | Output::Stray { .. }
            | Output::NoAck { .. }
            | Output::Refused { .. }
            | Output::Ended { .. } => {}
        }
    }
}

fn fork(id: ClientId) -> Option<Fork> {
    u16::try_from(id.0).ok().map(Fork)
}

impl Actor for Relay {
    type Context = Context<Self>;
}

impl Handler<Received> for Relay {
    type Result = ();

    fn handle(&mut self, received: Received, context: &mut Context<Self>) {
        let reliable = self
            .forks
            .iter()
            .find(|(fork, _)| fork.0 == received.fork)
            .is_some_and(|(_, hop)| hop.is_reliable());
        let input = sip::endpoint::Input::Received {
            message: received.message,
            reliable,
        };
        self.endpoint.handle(self.local.clock.now(), input);
        self.settle(context);
    }
}

impl Handler<Again> for Relay {
    type Result = ();

    fn handle(&mut self, Again(message): Again, context: &mut Context<Self>) {
        let reliable = self
            .server
            .as_ref()
            .is_some_and(|server| server.way.is_reliable());
        let input = sip::endpoint::Input::Received { message, reliable };
        self.endpoint.handle(self.local.clock.now(), input);
        self.settle(context);
    }
}

impl Handler<Resolved> for Relay {
    type Result = ();

    fn handle(&mut self, Resolved(fork, hops): Resolved, context: &mut Context<Self>) {
        self.engine.handle(RelayInput::Resolved { fork, hops });
        self.settle(context);
    }
}

impl Handler<FlowLost> for Relay {
    type Result = ();

    fn handle(&mut self, FlowLost(fork): FlowLost, context: &mut Context<Self>) {
        let id = ClientId(u32::from(fork));
        let now = self.local.clock.now();
        self.endpoint
            .handle(now, sip::endpoint::Input::Unreachable { id });
        self.settle(context);
    }
}

impl Handler<Timeout> for Relay {
    type Result = ();

    fn handle(&mut self, _: Timeout, context: &mut Context<Self>) {
        let now = self.local.clock.now();
        self.local.timers.fired(&self.armed);
        self.endpoint.handle_timeout(now);
        self.engine.handle_timeout(now);
        self.settle(context);
    }
}
