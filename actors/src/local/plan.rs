//! Where requests go: the engine's plan, made from this node's users, routes and bindings.

use bus_schema::{Reason, Text};
use engine::{
    Caller, Demand, Target,
    location::Binding,
    route::{Map, Plan, Question, Refuse, Step},
};
use sip::Message;

use super::Local;
use crate::{book::Book, limit::refused, shared::Shared};

impl Local {
    /// Plans a request.
    pub(crate) fn plan(&self, caller: &Caller, uri: &str, max_forwards: Option<u8>) -> Plan {
        let question = Question {
            caller,
            uri,
            max_forwards,
        };
        let shared = &self.shared;
        let mut plan = shared.with_map(|map| engine::route::plan(map, &question));
        if let Plan::Fork { groups } = &mut plan {
            cut(groups, shared.book.load().forks_max);
        }
        plan
    }

    /// Plans a request that came; one that names its own way elsewhere goes nowhere.
    pub(crate) fn plan_for(&self, caller: &Caller, request: &Message) -> Plan {
        let domains = &self.shared.book.load().domains;
        if engine::route::has_foreign_route(request, domains, &self.shared.listeners) {
            return Plan::Refuse(Refuse {
                status: 403,
                reason: "Preloaded Route",
                cause: Reason::NotPermitted,
            });
        }
        self.plan(
            caller,
            request.uri().unwrap_or_default(),
            request.max_forwards(),
        )
    }

    /// Where an agent's party is: `user@domain` or a SIP URI.
    pub(crate) fn plan_of(&self, address: &str) -> (Text, Plan) {
        let uri = uri_of(address);
        // An agent may call whom a proven user may.
        let plan = self.plan(&Caller::Trusted, &uri, None);
        (uri, plan)
    }
}

/// The URI of what an agent calls an address: `user@domain` or a SIP URI.
fn uri_of(address: &str) -> Text {
    if address.contains(':') {
        address.into()
    } else {
        format!("sip:{address}").into()
    }
}

impl Shared {
    /// Shows what plans are made from now.
    fn with_map<R>(&self, plan: impl FnOnce(&Map<'_, Whereabouts<'_>>) -> R) -> R {
        let book = self.book.load();
        let whereabouts = Whereabouts {
            shared: self,
            book: &book,
        };
        plan(&Map {
            domains: &book.domains,
            routes: &book.routes,
            listeners: &self.listeners,
            whereabouts: &whereabouts,
        })
    }

    /// The plan of a request that nobody makes, and how it came to be. `from`: who would make it,
    /// `user@domain`; none: an agent.
    pub(crate) fn explain(&self, to: &str, from: Option<&str>) -> (Text, Plan, Vec<Step>) {
        let uri = uri_of(to);
        let caller = from.map_or(Caller::Trusted, |from| self.caller_of(from));
        let question = Question {
            caller: &caller,
            uri: &uri,
            max_forwards: None,
        };
        let (mut plan, steps) = self.with_map(|map| engine::route::explain(map, &question));
        if let Plan::Fork { groups } = &mut plan {
            cut(groups, self.book.load().forks_max);
        }
        (uri, plan, steps)
    }

    /// Who an address is to us, once it has shown what its domain demands.
    fn caller_of(&self, address: &str) -> Caller {
        let uri = uri_of(address);
        let Ok(uri) = sip::Uri::parse(&uri) else {
            return Caller::Foreign;
        };
        let book = self.book.load();
        let demand = book.domains.find(uri.host.host).map(|ours| ours.callers);
        match (demand, book.domains.aor(&uri)) {
            (Some(Demand::Digest), Some(aor)) => Caller::User(aor),
            (Some(Demand::Open), Some(aor)) => Caller::Claimed(aor),
            _ => Caller::Foreign,
        }
    }
}

/// Leaves the first `most` targets: an open registrar must not be an amplifier.
fn cut(groups: &mut Vec<Vec<Target>>, most: usize) {
    let mut left = most;
    for group in groups.iter_mut() {
        if group.len() > left {
            refused("forks");
            group.truncate(left);
        }
        left -= group.len();
    }
    groups.retain(|group| !group.is_empty());
}

/// Users and bindings as the engine asks for them.
struct Whereabouts<'a> {
    shared: &'a Shared,
    book: &'a Book,
}

impl engine::route::Whereabouts for Whereabouts<'_> {
    fn exists(&self, aor: &str) -> bool {
        if self.book.users.contains(aor) {
            return true;
        }
        let domain = aor
            .rsplit_once('@')
            .and_then(|(_, host)| self.book.domains.find(host));
        domain.is_some_and(|domain| domain.register == Demand::Open)
    }

    fn bindings(&self, aor: &str, visit: &mut dyn FnMut(&Binding)) {
        let now = u32::try_from(self.shared.clock.unix_ms() / 1000).unwrap_or(u32::MAX);
        self.shared
            .registry
            .locations(aor, |locations| locations.live(aor, now).for_each(visit));
    }
}

#[cfg(test)]
mod tests {
    use engine::NextHop;

    use super::*;

    fn group(count: usize) -> Vec<Target> {
        let target = Target {
            uri: "sip:a@example.test".into(),
            route: Vec::new(),
            hop: NextHop::Name {
                host: "example.test".into(),
                port: None,
                transport: None,
            },
            aor: None,
            instance: None,
            q: 1000,
        };
        vec![target; count]
    }

    #[test]
    fn no_more_than_the_limit_is_called() {
        for (groups, expected) in [
            (vec![2, 2], vec![2, 1]),
            (vec![3, 2], vec![3]),
            (vec![1], vec![1]),
            (vec![9], vec![3]),
        ] {
            let mut groups = groups.into_iter().map(group).collect();
            cut(&mut groups, 3);
            let left: Vec<_> = groups.iter().map(Vec::len).collect();
            assert_eq!(left, expected);
        }
    }
}
