//! Queries: what a node knows, gathered from its arbiters.

use std::sync::Arc;

use bus_schema::{
    Agents, Answer, CallView, Calls, Command, ErrorCode, Nodes, QueryCall, QueryCalls,
    QueryRegistrations, QueryVerb, Registrations, Text,
};
use parking_lot::Mutex;

use super::{Asked, Commands, Pending};
use crate::{call::Heard, parcel::Parcel};

/// The most entries of a page.
const PAGE: usize = bus_schema::PAGE_MAX as usize;

impl Commands {
    pub(super) fn query(&self, command: Command<QueryVerb>, mut asked: Asked) {
        // Nothing is done, so nothing is remembered.
        asked.id = command.id;
        let Some(commands) = self.this.upgrade() else {
            return;
        };
        let pending = Pending::new(commands, None, asked);
        match command.data {
            QueryVerb::Calls(wanted) => self.calls(wanted, pending),
            QueryVerb::Call(wanted) => self.one_call(&wanted, pending),
            QueryVerb::Registrations(wanted) => self.registrations(&wanted, pending),
            QueryVerb::Agents(_) => {
                let agents = Agents {
                    node: self.node(),
                    agents: self.agents.lock().all(),
                };
                pending.finish(Ok(Answer::Agents(agents)));
            }
            QueryVerb::Bans(_) => {
                let bans = self.shared.defences.all(self.shared.clock.now());
                pending.finish(Ok(Answer::Bans(self.shared.bans(&bans))));
            }
            QueryVerb::Explain(wanted) => self.explain(&wanted, pending),
            QueryVerb::Trace(wanted) => self.trace(&wanted, pending),
            QueryVerb::Nodes(_) => {
                pending.finish(Ok(Answer::Nodes(Nodes {
                    node: self.node(),
                    nodes: vec![self.shared.node_snapshot()],
                })));
            }
        }
    }

    pub(super) fn node(&self) -> Text {
        self.shared.voice.source.node().into()
    }

    fn calls(&self, wanted: QueryCalls, pending: Pending) {
        let found = Mutex::new((Vec::new(), Some(pending)));
        let gather = Arc::new(Gather {
            node: self.node(),
            wanted,
            found,
        });
        for post in self.posts.iter() {
            let share = Share(gather.clone());
            post.try_send(Parcel::Do(Box::new(move |local| {
                for call in local.calls.borrow().values() {
                    call.do_send(Heard::Show(Share(share.0.clone())));
                }
            })));
        }
    }

    fn one_call(&self, wanted: &QueryCall, pending: Pending) {
        let Some(call) = wanted.call else {
            return pending.refuse(ErrorCode::BadRequest, "data.call: missing");
        };
        let key = engine::CallKey {
            shard: call.shard(),
            id: call.ulid(),
        };
        self.on(
            self.shared.arbiter_of(key.shard),
            pending,
            move |local, pending| match local.calls.borrow().get(&key.low()) {
                Some(actor) => actor.do_send(Heard::ShowOne(pending)),
                None => pending.refuse(ErrorCode::NotFound, "no such call, or it has ended"),
            },
        );
    }

    fn registrations(&self, wanted: &QueryRegistrations, pending: Pending) {
        let most = page(wanted.limit);
        let now = self.shared.clock.unix_ms();
        let (registrations, next) = self.shared.registry.page(
            wanted.aor.as_deref(),
            wanted.after.as_deref(),
            most,
            now,
            &self.shared.listeners,
        );
        let node = self.node();
        pending.finish(Ok(Answer::Registrations(Registrations {
            node,
            registrations,
            next,
        })));
    }
}

fn page(limit: Option<u32>) -> usize {
    limit
        .and_then(|limit| usize::try_from(limit).ok())
        .map_or(PAGE, |limit| limit.min(PAGE))
}

/// Calls on their way from several arbiters into one reply, which goes when nobody holds it any
/// more: a call that ends before it was asked is simply not in it.
struct Gather {
    node: Text,
    wanted: QueryCalls,
    found: Mutex<(Vec<CallView>, Option<Pending>)>,
}

/// A part in a reply that is being gathered.
pub(crate) struct Share(Arc<Gather>);

impl Share {
    /// Adds a call if it is wanted.
    pub(crate) fn give(self, view: CallView) {
        let QueryCalls {
            state,
            agent,
            aor,
            after,
            limit: _,
        } = &self.0.wanted;
        let call = &view.call;
        let wanted = state.is_none_or(|state| state == call.state)
            && agent
                .as_ref()
                .is_none_or(|agent| call.agent.as_ref() == Some(agent))
            && aor
                .as_ref()
                .is_none_or(|aor| call.legs.iter().any(|leg| leg.aor.as_ref() == Some(aor)))
            && after.is_none_or(|after| call.call.ulid() > after.ulid());
        if wanted {
            self.0.found.lock().0.push(view);
        }
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        let (calls, pending) = self.found.get_mut();
        let mut calls = std::mem::take(calls);
        calls.sort_unstable_by_key(|view| view.call.call.ulid());
        let most = page(self.wanted.limit);
        let more = calls.len() > most;
        calls.truncate(most);
        let next = more
            .then(|| calls.last().map(|view| view.call.call))
            .flatten();
        if let Some(pending) = pending.take() {
            pending.finish(Ok(Answer::Calls(Calls {
                node: self.node.clone(),
                calls,
                next,
            })));
        }
    }
}
