//! What agents ask for themselves: presence, new calls, messages.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use bus_schema::{
    AgentVerb, Answer, CallRef, Command, CommandError, Done, ErrorCode, EventName, Originate,
    Originated, Outcome, Reason, SendMessage, SessionId, Text,
};
use engine::{
    CallKey, Party,
    route::{Plan, Refuse},
};

use super::{Asked, Commands, Pending};
use crate::{
    call::Call,
    idempotency::made_up,
    limit::refused,
    random::{random_u64, random_u128},
    relay::Relay,
};

impl Commands {
    pub(super) fn agent(
        &self,
        agent: &str,
        trace: Option<Text>,
        command: Command<AgentVerb>,
        asked: Asked,
    ) {
        let verb = command.data.word();
        let Some(pending) = self.begin(agent, verb, &command, asked) else {
            return;
        };
        let id = command.id.unwrap_or_else(|| made_up(random_u64()));
        match command.data {
            AgentVerb::Register(data) => {
                let now = self.shared.clock.unix_ms();
                let registered = self.agents.lock().register(agent, data, now);
                pending.finish(registered.map(|(lease, snapshot)| {
                    self.announce_agent(EventName::AgentRegistered, snapshot, Reason::Requested);
                    Answer::Lease(lease)
                }));
            }
            AgentVerb::Unregister(_) => {
                let gone = self.agents.lock().unregister(agent);
                if let Some(snapshot) = gone {
                    self.announce_agent(EventName::AgentUnregistered, snapshot, Reason::Requested);
                }
                pending.finish(Ok(Answer::Done(Done {})));
            }
            AgentVerb::Heartbeat(_) => {
                let lease = self
                    .agents
                    .lock()
                    .heartbeat(agent, self.shared.clock.unix_ms());
                pending.finish(lease.map(Answer::Lease));
            }
            AgentVerb::Originate(data) => self.originate(agent, id, trace, data, pending),
            AgentVerb::Message(data) => self.message(data, pending),
        }
    }

    fn originate(
        &self,
        agent: &str,
        id: Text,
        traceparent: Option<Text>,
        data: Originate,
        pending: Pending,
    ) {
        let shared = &self.shared;
        if shared.draining.load(Ordering::Relaxed) {
            return pending.refuse(ErrorCode::Draining, "the node takes no new work");
        }
        if shared.calls.load(Ordering::Relaxed) >= shared.book.load().calls_max {
            refused("calls");
            let full = CommandError::new(ErrorCode::LimitExceeded, "too many calls");
            return pending.finish(Err(full.with("limit", "calls")));
        }
        let entropy = random_u128();
        let shard = (entropy >> 96) as u8 % CallKey::SHARDS;
        let key = CallKey::new(shard, shared.clock.unix_ms(), entropy);
        let agent = Text::from(agent);
        self.on(shared.arbiter_of(shard), pending, move |local, pending| {
            let party = |address: &str| {
                let (uri, plan) = local.plan_of(address);
                let display = data.display.clone();
                (Party { uri, display }, plan)
            };
            let (first, plan) = party(&data.from);
            // Planned again when the first has answered; what cannot be now is refused now.
            let (second, later) = party(&data.to);
            if let Some(refuse) = [&plan, &later].into_iter().find_map(refusal) {
                return pending.finish(no_way(&refuse));
            }
            let call = CallRef::new(key.shard, key.id);
            let session = data.session.unwrap_or_else(|| SessionId::from(call));
            // Handed to the store before the call's own record is: what the reply promises is
            // known by the time the first INVITE leaves.
            pending.finish(Ok(Answer::Originated(Originated { call, session })));
            let originate = engine::Originate {
                agent,
                command_id: id,
                traceparent,
                trace_id: data.trace_id,
                session: Some(session),
                headers: headers(data.headers),
                ring: data.timeout_ms.map(Duration::from_millis),
                first,
                plan,
                second,
            };
            Call::originated(local, key, originate);
        });
    }

    fn message(&self, data: SendMessage, pending: Pending) {
        let arbiter = usize::try_from(random_u64() % self.posts.len() as u64).unwrap_or(0);
        self.on(arbiter, pending, move |local, pending| {
            match local.plan_of(&data.to).1 {
                Plan::Fork { groups } => {
                    pending.finish(Ok(Answer::Done(Done {})));
                    Relay::send(local, &data, groups);
                }
                Plan::Refuse(refuse) => pending.finish(no_way(&refuse)),
            }
        });
    }
}

fn headers(given: BTreeMap<String, Text>) -> Vec<(Text, Text)> {
    let given = given.into_iter();
    given.map(|(name, value)| (name.into(), value)).collect()
}

fn refusal(plan: &Plan) -> Option<Refuse> {
    match plan {
        Plan::Refuse(refuse) => Some(*refuse),
        Plan::Fork { .. } => None,
    }
}

/// Why a party cannot be reached, for an agent.
fn no_way(refusal: &Refuse) -> Outcome {
    let code = match refusal.status {
        480 => ErrorCode::NotRegistered,
        403 => ErrorCode::NotPermitted,
        400 | 416 | 484 => ErrorCode::BadRequest,
        _ => ErrorCode::NoRoute,
    };
    Err(CommandError::new(code, refusal.reason).with_status(refusal.status))
}
