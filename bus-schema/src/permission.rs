//! NATS permissions per role: because the speaker is in the subject, the server enforces who
//! speaks. Wildcards never stand inside a token.

use crate::call_ref::CallRef;
use crate::subject::{EVENT_STREAM, PREFIX, SERVICE};

/// What a connection is for. Names are tokens ([`is_token`](crate::is_token)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// An adapter node, for every tenant it serves.
    Adapter {
        /// The node.
        node: &'a str,
    },
    /// An agent: commands in its own name, offers to it, all events of its tenant.
    Agent {
        /// The agent.
        agent: &'a str,
    },
    /// An agent that may also administer.
    Operator {
        /// The agent.
        agent: &'a str,
    },
    /// An agent for one call only.
    Guest {
        /// The agent.
        agent: &'a str,
        /// The call.
        call: CallRef,
    },
    /// Listens to events and says nothing.
    Observer {
        /// Its name.
        name: &'a str,
    },
    /// Answers `policy.check`.
    Guard {
        /// Its name.
        name: &'a str,
    },
}

/// What a role may publish and subscribe to; everything else is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects it may publish on.
    pub publish: Vec<String>,
    /// Subjects it may subscribe to.
    pub subscribe: Vec<String>,
    /// Whether it may answer the requests it gets.
    pub allow_responses: bool,
    /// The prefix its client must use for reply subjects: with the shared default, anyone could
    /// read everyone's replies.
    pub inbox_prefix: String,
}

impl Role<'_> {
    /// The permissions of this role in `tenant`.
    pub fn permissions(self, tenant: &str) -> Permissions {
        let own = |tail: &str| format!("{PREFIX}.{tenant}.{tail}");
        let (name, publish, subscribe, allow_responses) = match self {
            Self::Adapter { node } => (
                node,
                vec![
                    format!("{PREFIX}.*.evt.>"),
                    format!("{PREFIX}.*.offer.>"),
                    format!("{PREFIX}.*.policy.check"),
                    format!("{PREFIX}.*.media.>"),
                    format!("{PREFIX}._node.>"),
                    "$KV.IFBUS_LEASE.>".to_owned(),
                    "$KV.IFBUS_DIALOG.>".to_owned(),
                    "$KV.IFBUS_LOC.>".to_owned(),
                    "$KV.IFBUS_IDEM.>".to_owned(),
                    "$KV.IFBUS_CFG.>".to_owned(),
                    "$JS.API.>".to_owned(),
                    "$JS.ACK.>".to_owned(),
                ],
                vec![
                    format!("{PREFIX}.*.cmd.>"),
                    format!("{PREFIX}.*.media.>"),
                    format!("{PREFIX}._node.>"),
                    "$SRV.>".to_owned(),
                ],
                true,
            ),
            Self::Agent { agent } | Self::Operator { agent } => {
                let mut publish = vec![
                    own(&format!("cmd.agent.{agent}.>")),
                    own(&format!("cmd.call.*.*.{agent}.>")),
                    own(&format!("cmd.query.{agent}.>")),
                ];
                if matches!(self, Self::Operator { .. }) {
                    publish.push(own(&format!("cmd.admin.{agent}.>")));
                }
                publish.push("$SRV.PING".to_owned());
                publish.push(format!("$SRV.INFO.{SERVICE}"));
                publish.extend(replay(tenant, agent));
                let subscribe = vec![own("evt.>"), own(&format!("offer.agent.{agent}"))];
                (agent, publish, subscribe, true)
            }
            Self::Guest { agent, call } => (
                agent,
                vec![own(&format!("cmd.call.{call}.{agent}.>"))],
                vec![own(&format!("evt.call.{call}.>"))],
                false,
            ),
            Self::Observer { name } => {
                let publish = replay(tenant, name).into();
                (name, publish, vec![own("evt.>")], false)
            }
            Self::Guard { name } => (name, vec![], vec![own("policy.check")], true),
        };
        let inbox_prefix = format!("_IB.{name}");
        let mut subscribe = subscribe;
        subscribe.push(format!("{inbox_prefix}.>"));
        Permissions {
            publish,
            subscribe,
            allow_responses,
            inbox_prefix,
        }
    }
}

/// What a consumer of the event stream named as its owner needs. The filter in the subject of the
/// create request binds it to the tenant.
fn replay(tenant: &str, name: &str) -> [String; 3] {
    [
        format!("$JS.API.CONSUMER.CREATE.{EVENT_STREAM}.{name}.{PREFIX}.{tenant}.evt.>"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{EVENT_STREAM}.{name}"),
        format!("$JS.ACK.{EVENT_STREAM}.{name}.>"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::{Subject, Topic};

    /// Whether a NATS pattern takes a subject.
    fn takes(pattern: &str, subject: &str) -> bool {
        let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
        loop {
            match (pattern.next(), subject.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(p), Some(s)) if p == s => {}
                _ => return false,
            }
        }
    }

    fn may(role: Role<'_>, topic: Topic<'_>) -> bool {
        let tenant = "acme";
        let subject = Subject { tenant, topic }.build().unwrap();
        let permissions = role.permissions(tenant);
        permissions.publish.iter().any(|p| takes(p, &subject))
    }

    #[test]
    fn an_agent_speaks_only_in_its_own_name() {
        let desk = Role::Agent { agent: "desk" };
        let call = CallRef::new(7, 1);
        let verb = "hangup";
        for (agent, allowed) in [("desk", true), ("other", false)] {
            assert_eq!(may(desk, Topic::AgentCommand { agent, verb }), allowed);
            assert_eq!(may(desk, Topic::CallCommand { call, agent, verb }), allowed);
            assert_eq!(may(desk, Topic::Query { agent, verb }), allowed);
            assert!(!may(desk, Topic::Admin { agent, verb }));
        }
        let event = "call.ended";
        assert!(!may(desk, Topic::CallEvent { call, event }));
        let operator = Role::Operator { agent: "desk" };
        assert!(may(
            operator,
            Topic::Admin {
                agent: "desk",
                verb
            }
        ));
    }

    #[test]
    fn a_guest_has_one_call() {
        let (call, other) = (CallRef::new(7, 1), CallRef::new(7, 2));
        let guest = Role::Guest {
            agent: "desk",
            call,
        };
        let (agent, verb) = ("desk", "hangup");
        assert!(may(guest, Topic::CallCommand { call, agent, verb }));
        let call = other;
        assert!(!may(guest, Topic::CallCommand { call, agent, verb }));
    }

    #[test]
    fn replies_go_to_a_private_inbox() {
        for role in [
            Role::Agent { agent: "x" },
            Role::Observer { name: "x" },
            Role::Guard { name: "x" },
        ] {
            let permissions = role.permissions("acme");
            assert!(permissions.subscribe.contains(&"_IB.x.>".to_owned()));
            assert!(
                !permissions
                    .subscribe
                    .iter()
                    .any(|s| s.starts_with("_INBOX"))
            );
        }
    }
}
