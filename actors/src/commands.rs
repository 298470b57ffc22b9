//! Commands from the bus: read, looked up among those already given, carried out, answered once.

mod agent;
mod explain;
mod pending;
mod query;
mod trace;

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use bus_schema::{
    AdminVerb, AgentData, AgentSnapshot, AgentVerb, CallRef, CallVerb, Command, CommandError,
    Encoding, ErrorCode, EventName, Outcome, QueryVerb, Reason, Subject, Text, Topic,
    UnsupportedContentType, header,
};
use parking_lot::Mutex;
use serde::Serialize;

use crate::{
    ack::{Ack, AckSink, Notice},
    agents::Agents,
    bus::{self, CommandSink, Request, Responder},
    call::Heard,
    fault::{Part, contain},
    idempotency::{Idempotency, Key, Verdict, made_up},
    limit::refused,
    local::Local,
    parcel::{Parcel, Posts},
    shared::Shared,
    store::Tree,
};

pub(crate) use pending::Pending;
use pending::{Asked, response};
pub(crate) use query::Share;

/// Limits of what the bus may make us remember.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandLimits {
    /// Agents known at once.
    pub(crate) agents: usize,
    /// Commands remembered for 24 hours.
    pub(crate) idempotency_keys: usize,
}

/// What only the process itself can do.
pub(crate) trait Admin: Send + Sync + 'static {
    /// Reads the configuration again, all or nothing.
    fn reload(&self, data: bus_schema::Reload) -> Outcome;
    /// Takes no new calls and ends when the last is over, or at the deadline.
    fn drain(&self, data: bus_schema::Drain) -> Outcome;
}

/// Everything the bus can ask of a node.
pub(crate) struct Commands {
    shared: Arc<Shared>,
    posts: Posts,
    admin: Box<dyn Admin>,
    agents: Mutex<Agents>,
    given: Mutex<Idempotency>,
    /// Replies that wait until what they promise is durable.
    waiting: Mutex<HashMap<u64, (Responder, bus::Reply)>>,
    next: AtomicU64,
    this: Weak<Self>,
}

impl Commands {
    pub(crate) fn new(
        shared: Arc<Shared>,
        posts: Posts,
        admin: Box<dyn Admin>,
        limits: CommandLimits,
    ) -> Arc<Self> {
        let mut given = Idempotency::new(limits.idempotency_keys);
        let now = shared.clock.unix_ms();
        let read = shared
            .store
            .scan(Tree::Idempotency, &mut |key, _format, value| {
                given.restore(key, value, now);
            });
        if let Err(error) = read {
            tracing::error!(%error, "earlier commands are forgotten");
        }
        Arc::new_cyclic(|this| Self {
            shared,
            posts,
            admin,
            agents: Mutex::new(Agents::new(limits.agents)),
            given: Mutex::new(given),
            waiting: Mutex::default(),
            next: AtomicU64::new(1),
            this: this.clone(),
        })
    }

    /// Takes one command. It is answered exactly once, now or soon.
    fn take(&self, incoming: &Request, mut asked: Asked) {
        metrics::counter!("ifbus_commands_total").increment(1);
        let Ok((request, reply)) = encodings(incoming) else {
            let error = CommandError::new(ErrorCode::UnsupportedEncoding, "JSON or MessagePack");
            return asked.answer::<()>(Err(error));
        };
        asked.encoding = reply;
        if incoming.body.len() > self.shared.book.load().command_bytes_max {
            refused("command_bytes");
            let long = CommandError::new(ErrorCode::LimitExceeded, "the command is too long");
            return asked.answer::<()>(Err(long.with("limit", "command_bytes")));
        }
        let subject = Subject::parse(&incoming.subject).ok();
        match subject.map(|subject| subject.topic) {
            Some(Topic::AgentCommand { agent, verb }) => {
                match AgentVerb::decode(verb, request, &incoming.body) {
                    Ok(command) => self.agent(agent, traceparent(incoming), command, asked),
                    Err(error) => asked.answer::<()>(Err(error)),
                }
            }
            Some(Topic::CallCommand { call, agent, verb }) => {
                match CallVerb::decode(verb, request, &incoming.body) {
                    Ok(command) => self.call(call, agent, command, asked),
                    Err(error) => asked.answer::<()>(Err(error)),
                }
            }
            Some(Topic::Query { agent: _, verb }) => {
                match QueryVerb::decode(verb, request, &incoming.body) {
                    Ok(command) => self.query(command, asked),
                    Err(error) => asked.answer::<()>(Err(error)),
                }
            }
            Some(Topic::Admin { agent, verb }) => {
                match AdminVerb::decode(verb, request, &incoming.body) {
                    Ok(command) => self.administer(agent, command, asked),
                    Err(error) => asked.answer::<()>(Err(error)),
                }
            }
            _ => {
                let error = CommandError::new(ErrorCode::BadRequest, "not a command's subject");
                asked.answer::<()>(Err(error));
            }
        }
    }

    /// Agents whose lease is over, and commands too old to be remembered, go. To be called about
    /// once a second.
    pub(crate) fn expire(&self) {
        let now = self.shared.clock.unix_ms();
        let lost = self.agents.lock().expire(now);
        for agent in lost {
            self.announce_agent(EventName::AgentLost, agent, Reason::Expired);
        }
        let forgotten = self.given.lock().expire(now);
        for key in forgotten {
            self.shared
                .store
                .delete(Tree::Idempotency, key.bytes(), None)
                .ok();
        }
    }

    /// Begins a command: refuses late ones and repeats. What comes back is to be answered.
    fn begin<D: Serialize>(
        &self,
        agent: &str,
        verb: &'static str,
        command: &Command<D>,
        mut asked: Asked,
    ) -> Option<Pending> {
        asked.id.clone_from(&command.id);
        let now = self.shared.clock.unix_ms();
        if command.deadline_ms.is_some_and(|deadline| deadline < now) {
            let error = CommandError::new(ErrorCode::DeadlinePassed, "the deadline has passed");
            asked.answer::<()>(Err(error));
            return None;
        }
        let commands = self.this.upgrade()?;
        let Some(key) = command.key() else {
            return Some(Pending::new(commands, None, asked));
        };
        let key = Key::new(self.shared.voice.source.tenant(), agent, verb, key);
        let Ok(fingerprint) = command.fingerprint() else {
            let error = CommandError::new(ErrorCode::BadRequest, "the data cannot be written");
            asked.answer::<()>(Err(error));
            return None;
        };
        let verdict = self.given.lock().look(key, fingerprint, now);
        match verdict {
            Verdict::New => Some(Pending::new(commands, Some(key), asked)),
            Verdict::Repeat(reply) => {
                asked.answer_again(reply);
                None
            }
            Verdict::Refused(error) => {
                asked.answer::<()>(Err(error));
                None
            }
        }
    }

    /// Answers once the reply is durable, so that a repeat after a crash finds it.
    fn keep(&self, key: Key, data: serde_json::Value, asked: Asked, outcome: Outcome) {
        let Some(record) = self.given.lock().accepted(key, data) else {
            return asked.answer(outcome);
        };
        let Some(this) = self.this.upgrade() else {
            return;
        };
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(prepared) = asked.prepare(outcome) else {
            return;
        };
        self.waiting.lock().insert(token, prepared);
        let notice = Notice { sink: this, token };
        if self
            .shared
            .store
            .put(Tree::Idempotency, key.bytes(), record, Some(notice))
            .is_err()
        {
            // It is done all the same: the call is more than the memory of its command.
            self.settle(&[Ack {
                token,
                durable: false,
            }]);
        }
    }

    fn call(&self, call: CallRef, agent: &str, command: Command<CallVerb>, asked: Asked) {
        let verb = command.data.word();
        let Some(pending) = self.begin(agent, verb, &command, asked) else {
            return;
        };
        let id = command
            .id
            .clone()
            .unwrap_or_else(|| made_up(self.next.load(Ordering::Relaxed)));
        let agent: Box<str> = agent.into();
        let key = engine::CallKey {
            shard: call.shard(),
            id: call.ulid(),
        };
        let arbiter = self.shared.arbiter_of(key.shard);
        self.on(arbiter, pending, move |local, pending| {
            let calls = local.calls.borrow();
            match calls.get(&key.low()) {
                Some(actor) => actor.do_send(Heard::Command {
                    agent,
                    id: (&*id).into(),
                    command,
                    reply: pending,
                }),
                None => pending.refuse(ErrorCode::NotFound, "no such call, or it has ended"),
            }
        });
    }

    fn administer(&self, agent: &str, command: Command<AdminVerb>, asked: Asked) {
        let verb = command.data.word();
        let Some(pending) = self.begin(agent, verb, &command, asked) else {
            return;
        };
        let outcome = match command.data {
            AdminVerb::Reload(data) => self.admin.reload(data),
            AdminVerb::Drain(data) => self.admin.drain(data),
            AdminVerb::Ban(data) => self.shared.ban(&data),
            AdminVerb::Unban(data) => self.shared.unban(&data),
        };
        pending.finish(outcome);
    }

    /// Carries out `work` on an arbiter; refused if that is overloaded.
    fn on(
        &self,
        arbiter: usize,
        pending: Pending,
        work: impl FnOnce(&Rc<Local>, Pending) + Send + 'static,
    ) {
        // Handed over by a cell, so that a full inbox gives the command back to be refused.
        let cell = Arc::new(Mutex::new(Some(pending)));
        let inside = cell.clone();
        let parcel = Parcel::Do(Box::new(move |local| {
            let pending = inside.lock().take();
            if let Some(pending) = pending {
                work(local, pending);
            }
        }));
        if !self.posts[arbiter].try_send(parcel) {
            let pending = cell.lock().take();
            if let Some(pending) = pending {
                pending.refuse(ErrorCode::Overloaded, "the node is full for the moment");
            }
        }
    }

    fn announce_agent(&self, name: EventName, agent: AgentSnapshot, reason: Reason) {
        self.shared.announce(
            name,
            AgentData {
                agent,
                cause: Shared::cause(reason),
            },
        );
    }
}

/// The encoding of a command, and the one wanted for its reply.
fn encodings(request: &Request) -> Result<(Encoding, Encoding), UnsupportedContentType> {
    let encoding = Encoding::from_content_type(request.header(header::CONTENT_TYPE))?;
    Ok((encoding, encoding.of_reply(request.header(header::ACCEPT))?))
}

/// The W3C trace context of a command, if it is as long as version 00 says; a longer one could be
/// anything.
fn traceparent(request: &Request) -> Option<Text> {
    const LENGTH: usize = 55;
    let value = request.header(header::TRACEPARENT)?;
    let is_one = value.len() == LENGTH
        && value
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    is_one.then(|| value.into())
}

impl CommandSink for Commands {
    fn command(&self, request: Request, responder: Responder) {
        let asked = Asked::new(responder);
        contain(Part::Commands, || self.take(&request, asked));
    }

    fn overloaded(&self, request: &Request) -> bus::Reply {
        let encoding = encodings(request).map_or(Encoding::Json, |(_, reply)| reply);
        let error = CommandError::new(ErrorCode::Overloaded, "too many commands wait");
        response::<()>(encoding, None, Err(error), false)
    }
}

impl AckSink for Commands {
    fn settle(&self, acks: &[Ack]) {
        for ack in acks {
            let ready = self.waiting.lock().remove(&ack.token);
            if let Some((responder, response)) = ready {
                responder.send(response);
            }
        }
    }
}
