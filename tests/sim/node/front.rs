//! The front: requests outside of any dialog, and where they go (`actors/src/front.rs`).

use std::time::Duration;

use bus_schema::Text;
use engine::route::{self, Map, Plan, Question, Refuse};
use engine::{Binding, Caller, Directory, Hop};
use sip::Message;

use super::{Knock, Node};
use crate::call::{Call, Heard};

impl Node {
    /// A request outside of any dialog.
    pub(super) fn knocked(&mut self, Knock { message, hop }: Knock) {
        if !message.is_request() {
            return;
        }
        let Some(message) = self.hand_to_transaction(message, hop) else {
            return;
        };
        let tag = || self.stateless_tag(&message);
        match engine::relay::front(&message, || false, tag) {
            engine::relay::Front::Drop => {}
            engine::relay::Front::Answer { status: _, bytes } => self.reply(&message, hop, bytes),
            engine::relay::Front::Relay => unreachable!("no phone asks outside of dialogs"),
            engine::relay::Front::Elsewhere => self.invited(message, hop),
        }
    }

    fn invited(&mut self, message: Message, hop: Hop) {
        if self.draining {
            let bytes = self.refuse(&message, 503, "Service Unavailable");
            return self.reply(&message, hop, bytes);
        }
        if self.merged.contains_key(&self.request_hash(&message)) {
            let bytes = self.refuse(&message, 482, "Loop Detected");
            return self.reply(&message, hop, bytes);
        }
        let random = self.dice.next();
        let directory = Directory {
            domains: &self.domains,
            users: &self.users,
        };
        let caller = self
            .authenticator
            .call(self.now, random, directory, &message, false);
        let caller = match caller {
            engine::Outcome::Allowed(caller) => caller,
            engine::Outcome::Challenge(challenge) => {
                let tag = self.stateless_tag(&message);
                let (status, words) = (challenge.status, challenge.reason());
                let mut out = sip::reply(&message, status, words, Some(&tag));
                challenge.write(&mut out);
                let bytes = out.end();
                return self.reply(&message, hop, bytes);
            }
            engine::Outcome::Refused { status, reason, .. } => {
                let bytes = self.refuse(&message, status, reason);
                return self.reply(&message, hop, bytes);
            }
        };
        let plan = self.plan_for(&caller, &message);
        Call::invited(self, message, hop, &caller, plan);
    }

    // ---- plans

    fn plan(&self, caller: &Caller, uri: &str, max_forwards: Option<u8>) -> Plan {
        let map = Map {
            domains: &self.domains,
            routes: &self.routes,
            listeners: &self.home.listeners,
            whereabouts: self,
        };
        let question = Question {
            caller,
            uri,
            max_forwards,
        };
        route::plan(&map, &question)
    }

    fn plan_for(&self, caller: &Caller, request: &Message) -> Plan {
        if route::has_foreign_route(request, &self.domains, &self.home.listeners) {
            return Plan::Refuse(Refuse {
                status: 403,
                reason: "Preloaded Route",
                cause: bus_schema::Reason::NotPermitted,
            });
        }
        let uri = request.uri().unwrap_or_default();
        self.plan(caller, uri, request.max_forwards())
    }

    /// Where an agent's party is: `user@domain` or a SIP URI.
    pub(crate) fn plan_of(&self, address: &str) -> (Text, Plan) {
        let uri: Text = if address.contains(':') {
            address.into()
        } else {
            format!("sip:{address}").into()
        };
        let plan = self.plan(&Caller::Trusted, &uri, None);
        (uri, plan)
    }

    /// Takes no new calls; what there is ends by `deadline`.
    pub(crate) fn drain(&mut self, deadline: Duration) {
        self.draining = true;
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for call in calls {
            self.tell_call(call, Heard::Drain { deadline });
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }
}

impl route::Whereabouts for Node {
    fn exists(&self, aor: &str) -> bool {
        self.users.contains(aor)
    }

    fn bindings(&self, aor: &str, visit: &mut dyn FnMut(&Binding)) {
        let bindings = self.bindings.get(aor);
        bindings.into_iter().flatten().for_each(visit);
    }
}
