//! One request outside of dialogs on its way to several targets: an [`engine::relay::Relay`] with
//! the transactions it needs.

use std::{rc::Rc, time::Duration};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message as Letter};
use bytes::Bytes;
use engine::{
    CallKey, Hop, LegId, Target,
    relay::{Fork, RELAY_TIME, Relay as Engine, RelayInput, RelayOrigin, RelayOutput, RelaySetup},
};
use sip::{ClientId, Endpoint, Failure, Message, ServerId, Transmitter};
use smallvec::SmallVec;

use crate::{
    fault::{Part, contain},
    local::{Local, answer_hop},
    random::random_u128,
    timers::{Armed, Owner},
};

/// The actor.
pub(crate) struct Relay {
    local: Rc<Local>,
    key: u64,
    /// None after a panic: it decides nothing more.
    engine: Option<Engine>,
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
    request: Message,
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
                server = Some(Server {
                    id,
                    request: request.clone(),
                    way: answer_hop(&request, hop),
                    noted: local.transaction_hash(&request),
                });
            }
        }
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
            large_over_tcp: local.shared.home.large_over_tcp,
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
                key,
                engine: Some(engine),
                endpoint,
                server,
                forks: SmallVec::new(),
                armed: Armed::default(),
                ended: false,
            }
        });
    }

    /// Does `work` and what follows from it.
    fn work(&mut self, context: &mut Context<Self>, work: impl FnOnce(&mut Self)) {
        let deadline = contain(Part::Relay, || {
            work(self);
            self.drain(context);
            self.poll_timeout()
        });
        let deadline = match deadline {
            Some(deadline) => deadline,
            None => self.fail(context),
        };
        self.settle(deadline, context);
    }

    fn tell(&mut self, input: RelayInput) {
        if let Some(engine) = &mut self.engine {
            engine.handle(input);
        }
    }

    /// After a panic the request is answered 500, by a transaction made anew.
    fn fail(&mut self, context: &Context<Self>) -> Option<Duration> {
        self.local
            .timers
            .disarm(Owner::Relay(self.key), &self.armed);
        self.engine = None;
        self.ended = true;
        self.endpoint.reset();
        let answered = contain(Part::Relay, || {
            self.refuse();
            self.drain(context);
            self.poll_timeout()
        });
        if answered.is_none() {
            self.endpoint.reset();
        }
        answered.flatten()
    }

    fn refuse(&mut self) {
        let Some(Server { request, way, .. }) = &self.server else {
            return;
        };
        let now = self.local.clock.now();
        let bytes = self.local.refuse(request, 500, "Server Internal Error");
        let input = sip::endpoint::Input::Received {
            message: request.clone(),
            reliable: way.is_reliable(),
        };
        self.endpoint.handle(now, input);
        while let Some(output) = self.endpoint.poll_output() {
            if let sip::endpoint::Output::Request { id, message: _ } = output {
                let status = 500;
                let input = sip::endpoint::Input::Respond { id, status, bytes };
                return self.endpoint.handle(now, input);
            }
        }
    }

    /// Performs what the engine and the transactions want, until neither wants anything.
    fn drain(&mut self, context: &Context<Self>) {
        loop {
            if let Some(output) = self.engine.as_mut().and_then(Engine::poll_output) {
                self.perform(output, context);
            } else if let Some(output) = self.endpoint.poll_output() {
                self.heard(output);
            } else {
                break;
            }
        }
    }

    fn poll_timeout(&self) -> Option<Duration> {
        let engine = self.engine.as_ref().and_then(Engine::poll_timeout);
        match (engine, self.endpoint.poll_timeout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn settle(&mut self, deadline: Option<Duration>, context: &mut Context<Self>) {
        let key = self.key;
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
                self.local.bind(&hop, self.key, LegId(fork.0));
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
                if let Some(Server { way, .. }) = &self.server {
                    let mut way = *way;
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
                let key = self.key;
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
                    self.tell(RelayInput::Response {
                        fork,
                        response: message,
                    });
                }
            }
            Output::Failed { id, why } => {
                if let Some(fork) = fork(id) {
                    let unreachable = !matches!(why, Failure::Timeout);
                    self.tell(RelayInput::Failed { fork, unreachable });
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
        let now = self.local.clock.now();
        self.work(context, |relay| relay.endpoint.handle(now, input));
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
        let now = self.local.clock.now();
        self.work(context, |relay| relay.endpoint.handle(now, input));
    }
}

impl Handler<Resolved> for Relay {
    type Result = ();

    fn handle(&mut self, Resolved(fork, hops): Resolved, context: &mut Context<Self>) {
        self.work(context, |relay| {
            relay.tell(RelayInput::Resolved { fork, hops });
        });
    }
}

impl Handler<FlowLost> for Relay {
    type Result = ();

    fn handle(&mut self, FlowLost(fork): FlowLost, context: &mut Context<Self>) {
        let id = ClientId(u32::from(fork));
        let now = self.local.clock.now();
        let input = sip::endpoint::Input::Unreachable { id };
        self.work(context, |relay| relay.endpoint.handle(now, input));
    }
}

impl Handler<Timeout> for Relay {
    type Result = ();

    fn handle(&mut self, _: Timeout, context: &mut Context<Self>) {
        let now = self.local.clock.now();
        self.local.timers.fired(&self.armed);
        self.work(context, |relay| {
            relay.endpoint.handle_timeout(now);
            if let Some(engine) = &mut relay.engine {
                engine.handle_timeout(now);
            }
        });
    }
}
