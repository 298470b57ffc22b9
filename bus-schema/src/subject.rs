//! Subjects: the only place that spells one. Building ([`Display`](std::fmt::Display)) and reading
//! ([`Subject::parse`]) are inverse.
//!
//! The speaker's name is in the subject, so that NATS permissions enforce it.

use std::fmt::{self, Write as _};

use sha2::{Digest, Sha256};

use crate::call_ref::{CallRef, LegName};

/// What every subject of this version begins with; the tenant follows.
pub const PREFIX: &str = "ifbus.sip.v1";
/// The tenant of a file that names none.
pub const DEFAULT_TENANT: &str = "default";
/// The queue group in which ready nodes share the commands any of them can perform.
pub const QUEUE: &str = "ifbus-sip";
/// The name of the NATS micro service (`$SRV.PING.ifbus-sip`).
pub const SERVICE: &str = "ifbus-sip";
/// The JetStream stream that keeps the events.
pub const EVENT_STREAM: &str = "IFBUS_EVT";

const TOKEN_MAX: usize = 64;
const SUBJECT_MAX: usize = 256;

/// Whether a name can be one token of a subject: 1 to 64 of `[A-Za-z0-9_-]`.
pub fn is_token(text: &str) -> bool {
    (1..=TOKEN_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// One or more tokens: `hangup`, `route.explain`, `call.answered`.
fn is_tail(text: &str) -> bool {
    text.split('.').all(is_token)
}

/// How an address-of-record is named in a subject: the first 32 hex digits of SHA-256 of
/// `user@domain`, which keeps people's numbers out of subjects.
pub fn aor_hash(aor: &str) -> String {
    hash(aor)
}

/// How a SIP Call-ID is named in events: as an address-of-record is in subjects.
pub fn call_id_hash(call_id: &str) -> String {
    hash(call_id)
}

fn hash(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha256::digest(text.as_bytes());
    digest[..16]
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(HEX[usize::from(nibble)]))
        .collect()
}

/// Which way audio goes on a media subject, seen from the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the caller to the agent.
    In,
    /// From the agent to the caller.
    Out,
}

/// A subject of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject<'a> {
    /// Whose: one token.
    pub tenant: &'a str,
    /// What about.
    pub topic: Topic<'a>,
}

/// What a subject is about. Every name is a token, every verb and event one or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the fields are the tokens of the subject shown"
)]
pub enum Topic<'a> {
    /// `cmd.agent.<agent>.<verb>`
    AgentCommand { agent: &'a str, verb: &'a str },
    /// `cmd.call.<shard>.<ulid>.<agent>.<verb>`
    CallCommand {
        call: CallRef,
        agent: &'a str,
        verb: &'a str,
    },
    /// `cmd.query.<agent>.<verb>`
    Query { agent: &'a str, verb: &'a str },
    /// `cmd.admin.<agent>.<verb>`
    Admin { agent: &'a str, verb: &'a str },
    /// `offer.agent.<agent>`
    Offer { agent: &'a str },
    /// `policy.check`
    Policy,
    /// `evt.call.<shard>.<ulid>.<event>`
    CallEvent { call: CallRef, event: &'a str },
    /// `evt.reg.<hash>.<event>`
    RegEvent { hash: &'a str, event: &'a str },
    /// `evt.agent.<agent>.<event>`
    AgentEvent { agent: &'a str, event: &'a str },
    /// `evt.trunk.<name>.<event>`
    TrunkEvent { trunk: &'a str, event: &'a str },
    /// `evt.node.<node>.<event>`
    NodeEvent { node: &'a str, event: &'a str },
    /// `evt.security.<event>`
    SecurityEvent { event: &'a str },
    /// `media.<shard>.<ulid>.<leg>.<in or out>`
    Media {
        call: CallRef,
        leg: LegName,
        way: Way,
    },
}

/// A text that is no subject of this contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a subject of {PREFIX}")]
pub struct SubjectError;

impl<'a> Subject<'a> {
    /// Reads a subject; every token is checked.
    pub fn parse(text: &'a str) -> Result<Self, SubjectError> {
        parse(text).ok_or(SubjectError)
    }

    /// The subject's text, or an error where a name is not made of tokens.
    pub fn build(&self) -> Result<String, SubjectError> {
        let mut text = String::with_capacity(96);
        self.build_into(&mut text)?;
        Ok(text)
    }

    /// Appends the subject's text, or refuses where a name is not made of tokens.
    pub fn build_into(&self, text: &mut String) -> Result<(), SubjectError> {
        let start = text.len();
        let valid = self.is_valid() && write!(text, "{self}").is_ok();
        if valid && text.len() - start <= SUBJECT_MAX {
            return Ok(());
        }
        text.truncate(start);
        Err(SubjectError)
    }

    fn is_valid(&self) -> bool {
        is_token(self.tenant)
            && match self.topic {
                Topic::AgentCommand { agent, verb }
                | Topic::CallCommand { agent, verb, .. }
                | Topic::Query { agent, verb }
                | Topic::Admin { agent, verb } => is_token(agent) && is_tail(verb),
                Topic::Offer { agent } => is_token(agent),
                Topic::Policy | Topic::Media { .. } => true,
                Topic::CallEvent { event, .. } | Topic::SecurityEvent { event } => is_tail(event),
                Topic::RegEvent { hash: name, event }
                | Topic::AgentEvent { agent: name, event }
                | Topic::TrunkEvent { trunk: name, event }
                | Topic::NodeEvent { node: name, event } => is_token(name) && is_tail(event),
            }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.", self.tenant)?;
        match self.topic {
            Topic::AgentCommand { agent, verb } => write!(f, "cmd.agent.{agent}.{verb}"),
            Topic::CallCommand { call, agent, verb } => write!(f, "cmd.call.{call}.{agent}.{verb}"),
            Topic::Query { agent, verb } => write!(f, "cmd.query.{agent}.{verb}"),
            Topic::Admin { agent, verb } => write!(f, "cmd.admin.{agent}.{verb}"),
            Topic::Offer { agent } => write!(f, "offer.agent.{agent}"),
            Topic::Policy => f.write_str("policy.check"),
            Topic::CallEvent { call, event } => write!(f, "evt.call.{call}.{event}"),
            Topic::RegEvent { hash, event } => write!(f, "evt.reg.{hash}.{event}"),
            Topic::AgentEvent { agent, event } => write!(f, "evt.agent.{agent}.{event}"),
            Topic::TrunkEvent { trunk, event } => write!(f, "evt.trunk.{trunk}.{event}"),
            Topic::NodeEvent { node, event } => write!(f, "evt.node.{node}.{event}"),
            Topic::SecurityEvent { event } => write!(f, "evt.security.{event}"),
            Topic::Media { call, leg, way } => {
                let way = match way {
                    Way::In => "in",
                    Way::Out => "out",
                };
                write!(f, "media.{call}.{leg}.{way}")
            }
        }
    }
}

fn parse(text: &str) -> Option<Subject<'_>> {
    if text.len() > SUBJECT_MAX {
        return None;
    }
    let rest = text.strip_prefix(PREFIX)?.strip_prefix('.')?;
    let (tenant, rest) = rest.split_once('.')?;
    let (kind, rest) = rest.split_once('.')?;
    let topic = match kind {
        "cmd" => command(rest)?,
        "offer" => Topic::Offer {
            agent: rest.strip_prefix("agent.")?,
        },
        "policy" => (rest == "check").then_some(Topic::Policy)?,
        "evt" => event(rest)?,
        "media" => {
            let (call, rest) = call(rest)?;
            let (leg, way) = rest.split_once('.')?;
            let way = match way {
                "in" => Way::In,
                "out" => Way::Out,
                _ => return None,
            };
            let leg = leg.parse().ok()?;
            Topic::Media { call, leg, way }
        }
        _ => return None,
    };
    let subject = Subject { tenant, topic };
    subject.is_valid().then_some(subject)
}

fn command(rest: &str) -> Option<Topic<'_>> {
    let (family, rest) = rest.split_once('.')?;
    Some(match family {
        "agent" => {
            let (agent, verb) = rest.split_once('.')?;
            Topic::AgentCommand { agent, verb }
        }
        "call" => {
            let (call, rest) = call(rest)?;
            let (agent, verb) = rest.split_once('.')?;
            Topic::CallCommand { call, agent, verb }
        }
        "query" => {
            let (agent, verb) = rest.split_once('.')?;
            Topic::Query { agent, verb }
        }
        "admin" => {
            let (agent, verb) = rest.split_once('.')?;
            Topic::Admin { agent, verb }
        }
        _ => return None,
    })
}

fn event(rest: &str) -> Option<Topic<'_>> {
    let (domain, rest) = rest.split_once('.')?;
    Some(match domain {
        "call" => {
            let (call, event) = call(rest)?;
            Topic::CallEvent { call, event }
        }
        "reg" => {
            let (hash, event) = rest.split_once('.')?;
            Topic::RegEvent { hash, event }
        }
        "agent" => {
            let (agent, event) = rest.split_once('.')?;
            Topic::AgentEvent { agent, event }
        }
        "trunk" => {
            let (trunk, event) = rest.split_once('.')?;
            Topic::TrunkEvent { trunk, event }
        }
        "node" => {
            let (node, event) = rest.split_once('.')?;
            Topic::NodeEvent { node, event }
        }
        "security" => Topic::SecurityEvent { event: rest },
        _ => return None,
    })
}

/// The call's two tokens, and what follows them.
fn call(rest: &str) -> Option<(CallRef, &str)> {
    let (call, rest) = (rest.get(..CallRef::LEN)?, rest.get(CallRef::LEN..)?);
    Some((call.parse().ok()?, rest.strip_prefix('.')?))
}

/// What to subscribe to: subjects with wildcards, for one tenant (or `*` for all).
///
/// The texts are right for a tenant that [`is_token`]; nothing else is checked.
pub mod filter {
    use super::{CallRef, PREFIX};

    /// Commands to agents' own affairs, shared in the queue group.
    pub fn agent_commands(tenant: &str) -> String {
        format!("{PREFIX}.{tenant}.cmd.agent.>")
    }

    /// Commands to the calls of one shard, for its owner alone.
    pub fn call_commands(tenant: &str, shard: u8) -> String {
        format!("{PREFIX}.{tenant}.cmd.call.{shard:02}.>")
    }

    /// Commands to the calls of every shard, for a node that owns them all.
    pub fn all_call_commands(tenant: &str) -> String {
        format!("{PREFIX}.{tenant}.cmd.call.>")
    }

    /// Queries.
    pub fn queries(tenant: &str) -> String {
        format!("{PREFIX}.{tenant}.cmd.query.>")
    }

    /// Administration.
    pub fn admin(tenant: &str) -> String {
        format!("{PREFIX}.{tenant}.cmd.admin.>")
    }

    /// Every event: what the stream keeps.
    pub fn events(tenant: &str) -> String {
        format!("{PREFIX}.{tenant}.evt.>")
    }

    /// Every event of one call.
    pub fn call_events(tenant: &str, call: CallRef) -> String {
        format!("{PREFIX}.{tenant}.evt.call.{call}.>")
    }

    /// One event of every call, by its full name: `call.ended`.
    pub fn every_call(tenant: &str, event: &str) -> String {
        format!("{PREFIX}.{tenant}.evt.call.*.*.{event}")
    }
}

/// Subjects with `{parameters}` in place of names, for the generated documents.
pub(crate) mod template {
    use super::PREFIX;

    pub(crate) fn command(family: &str, verb: &str) -> String {
        match family {
            "call" => format!("{PREFIX}.{{tenant}}.cmd.call.{{shard}}.{{ulid}}.{{agent}}.{verb}"),
            _ => format!("{PREFIX}.{{tenant}}.cmd.{family}.{{agent}}.{verb}"),
        }
    }

    pub(crate) fn event(name: &str) -> String {
        let place = match name.split('.').next().unwrap_or_default() {
            "call" => "call.{shard}.{ulid}",
            "reg" => "reg.{hash}",
            "agent" => "agent.{agent}",
            "node" | "bus" => "node.{node}",
            domain => domain,
        };
        format!("{PREFIX}.{{tenant}}.evt.{place}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_contract_as_written() {
        let call = "07.01JD5Z4M3N8Q2R6T7V9W0X1Y2Z".parse().unwrap();
        let at = |topic| Subject {
            tenant: "default",
            topic,
        };
        let agent = "desk";
        for (topic, tail) in [
            (
                Topic::AgentCommand {
                    agent,
                    verb: "originate",
                },
                "cmd.agent.desk.originate",
            ),
            (
                Topic::CallCommand {
                    call,
                    agent,
                    verb: "hangup",
                },
                "cmd.call.07.01JD5Z4M3N8Q2R6T7V9W0X1Y2Z.desk.hangup",
            ),
            (
                Topic::Query {
                    agent,
                    verb: "route.explain",
                },
                "cmd.query.desk.route.explain",
            ),
            (
                Topic::CallEvent {
                    call,
                    event: "call.answered",
                },
                "evt.call.07.01JD5Z4M3N8Q2R6T7V9W0X1Y2Z.call.answered",
            ),
            (Topic::Policy, "policy.check"),
            (
                Topic::Media {
                    call,
                    leg: LegName(1),
                    way: Way::In,
                },
                "media.07.01JD5Z4M3N8Q2R6T7V9W0X1Y2Z.b.in",
            ),
        ] {
            let text = format!("ifbus.sip.v1.default.{tail}");
            assert_eq!(at(topic).build().unwrap(), text);
            assert_eq!(Subject::parse(&text), Ok(at(topic)));
        }
    }

    #[test]
    fn templates_are_subjects_with_names_left_open() {
        let filled = |template: String| {
            [
                ("{tenant}", "t"),
                ("{shard}", "07"),
                ("{ulid}", "01JD5Z4M3N8Q2R6T7V9W0X1Y2Z"),
                ("{agent}", "desk"),
                ("{hash}", "h"),
                ("{node}", "n1"),
            ]
            .iter()
            .fold(template, |text, (name, value)| text.replace(name, value))
        };
        for family in ["agent", "call", "query", "admin"] {
            let text = filled(template::command(family, "verb"));
            assert_eq!(Subject::parse(&text).unwrap().build().unwrap(), text);
        }
        for event in [
            "call.ended",
            "reg.bound",
            "agent.lost",
            "bus.gap",
            "security.ban",
        ] {
            let text = filled(template::event(event));
            assert_eq!(Subject::parse(&text).unwrap().build().unwrap(), text);
        }
    }

    #[test]
    fn a_name_that_is_no_token_is_refused() {
        for agent in ["", "a.b", "*", ">", "a b", "é", &"x".repeat(65)] {
            let subject = Subject {
                tenant: "default",
                topic: Topic::Offer { agent },
            };
            assert_eq!(subject.build(), Err(SubjectError), "{agent}");
        }
        for text in [
            "",
            "ifbus.sip.v1",
            "ifbus.sip.v1.default.cmd.agent.desk",
            "ifbus.sip.v1.default.cmd.agent.desk.",
            "ifbus.sip.v1.default.cmd.agent.desk.a..b",
            "ifbus.sip.v1.default.evt.call.07.x.call.ended",
            "ifbus.sip.v2.default.policy.check",
        ] {
            assert_eq!(Subject::parse(text), Err(SubjectError), "{text}");
        }
    }

    #[test]
    fn the_hash_is_the_first_half_of_sha_256() {
        assert_eq!(aor_hash("1001@example.test").len(), 32);
        assert_eq!(aor_hash("abc"), "ba7816bf8f01cfea414140de5dae2223");
    }

    fn topics() -> impl Strategy<Value = (String, String, CallRef, u16, u8)> {
        (
            "[A-Za-z0-9_-]{1,64}",
            "[a-z_]{1,20}(\\.[a-z_]{1,20}){0,2}",
            (0..64u8, any::<u128>()).prop_map(|(shard, ulid)| CallRef::new(shard, ulid)),
            any::<u16>(),
            0..14u8,
        )
    }

    proptest! {
        #[test]
        fn building_and_reading_are_inverse(
            tenant in "[A-Za-z0-9_-]{1,32}", (name, tail, call, leg, kind) in topics()
        ) {
            let (agent, verb, event) = (name.as_str(), tail.as_str(), tail.as_str());
            let topic = match kind {
                0 => Topic::AgentCommand { agent, verb },
                1 => Topic::CallCommand { call, agent, verb },
                2 => Topic::Query { agent, verb },
                3 => Topic::Admin { agent, verb },
                4 => Topic::Offer { agent },
                5 => Topic::Policy,
                6 => Topic::CallEvent { call, event },
                7 => Topic::RegEvent { hash: agent, event },
                8 => Topic::AgentEvent { agent, event },
                9 => Topic::TrunkEvent { trunk: agent, event },
                10 => Topic::NodeEvent { node: agent, event },
                11 => Topic::SecurityEvent { event },
                12 => Topic::Media { call, leg: LegName(leg), way: Way::In },
                _ => Topic::Media { call, leg: LegName(leg), way: Way::Out },
            };
            let subject = Subject { tenant: &tenant, topic };
            let text = subject.build().unwrap();
            prop_assert_eq!(Subject::parse(&text), Ok(subject));
        }

        #[test]
        fn hostile_text_is_refused_without_panic(text in "\\PC{0,80}") {
            prop_assert!(Subject::parse(&text).is_err());
            let framed = format!("ifbus.sip.v1.default.evt.call.{text}");
            if let Ok(subject) = Subject::parse(&framed) {
                prop_assert_eq!(subject.build().unwrap(), framed);
            }
        }
    }
}
