//! Agents: what they ask for, and the way of it to a call.

use std::time::Duration;

use bus_schema::{CallCommand, CallVerb, Hangup, Reason};
use engine::route::Plan;
use engine::{CallKey, Originate, Party};

use super::World;
use crate::call::{Call, Heard};
use crate::node::{Effect, Node};

/// What an agent asks for.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Originate {
        from: String,
        to: String,
        ring: Option<Duration>,
    },
    /// Any call there is, for this reason.
    Hangup(Option<Reason>),
}

impl World {
    pub(super) fn wish(&mut self, wish: Wish) {
        let Some(node) = &mut self.node else { return };
        node.now = self.now;
        let asked = self.book.asked(wish.clone(), self.life);
        match wish {
            Wish::Originate { from, to, ring } => {
                let random = (u128::from(self.dice.next()) << 64) | u128::from(self.dice.next());
                let shard = (random >> 96) as u8 % CallKey::SHARDS;
                let key = CallKey::new(shard, self.now.unix_ms, random);
                originate(node, asked, key, &from, &to, ring);
            }
            Wish::Hangup(reason) => {
                let calls = self.disk.unfinished();
                if calls.is_empty() {
                    return self.book.nothing_asked(asked);
                }
                let key = CallKey::from(*self.dice.pick(&calls));
                let hangup = Hangup {
                    reason,
                    ..Hangup::default()
                };
                let command = CallCommand::new(CallVerb::Hangup(hangup));
                if !node.calls.contains_key(&key.low()) {
                    return self.book.not_found(asked);
                }
                let heard = Heard::Command {
                    agent: "boss".into(),
                    id: format!("cmd-{asked}").into(),
                    command,
                    reply: asked,
                };
                node.tell_call(key.low(), heard);
            }
        }
    }
}

/// As `actors/src/commands/agent.rs` does it.
fn originate(
    node: &mut Node,
    asked: u64,
    key: CallKey,
    from: &str,
    to: &str,
    ring: Option<Duration>,
) {
    let refused = |code| Err(bus_schema::CommandError::new(code, "no"));
    if node.is_draining() {
        let outcome = refused(bus_schema::ErrorCode::Draining);
        return node.effects.push(Effect::Reply(asked, Box::new(outcome)));
    }
    let (first, plan) = node.plan_of(from);
    let (second, later) = node.plan_of(to);
    if matches!(plan, Plan::Refuse(_)) || matches!(later, Plan::Refuse(_)) {
        let outcome = refused(bus_schema::ErrorCode::NoRoute);
        return node.effects.push(Effect::Reply(asked, Box::new(outcome)));
    }
    let done = Ok(bus_schema::Answer::Done(bus_schema::Done {}));
    node.effects.push(Effect::Reply(asked, Box::new(done)));
    let party = |uri| Party { uri, display: None };
    let originate = Originate {
        agent: "robot".into(),
        command_id: format!("cmd-{asked}").into(),
        traceparent: None,
        trace_id: None,
        session: None,
        headers: Vec::new(),
        ring,
        first: party(first),
        plan,
        second: party(second),
    };
    Call::originated(node, key, originate);
}
