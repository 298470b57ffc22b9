//! Events: CloudEvents 1.0, structured, with our extension attributes.

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::AgentData;
use crate::call::{CallData, Position};
use crate::call_ref::{CallRef, LegName, SessionId};
use crate::encoding::{DecodeError, EncodeError, Encoding};
use crate::node::{BusData, NodeData};
use crate::registration::RegData;
use crate::security::SecurityData;
use crate::subject::{Subject, SubjectError, Topic, aor_hash};
use crate::text::{Short, Text};
use crate::timestamp::Timestamp;

/// The names of the events: the tail of the subject, and between `ifbus.sip.` and `.v1` the
/// CloudEvents `type`.
macro_rules! event_names {
    ($( #[doc = $doc:literal] $Variant:ident = $name:literal ),+ $(,)?) => {
        /// The name of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventName { $( #[doc = $doc] $Variant ),+ }

        impl EventName {
            /// Every event, in the order of the contract.
            pub const ALL: &'static [Self] = &[ $( Self::$Variant ),+ ];

            /// The full name, `call.answered`.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$Variant => $name ),+ }
            }

            /// The CloudEvents `type`, `ifbus.sip.call.answered.v1`.
            pub const fn type_uri(self) -> &'static str {
                match self { $( Self::$Variant => concat!("ifbus.sip.", $name, ".v1") ),+ }
            }

            /// What it says, in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $( Self::$Variant => $doc ),+ }.trim()
            }

            /// The event a CloudEvents `type` names, if this version knows it.
            pub fn from_type(text: &str) -> Option<Self> {
                match text {
                    $( concat!("ifbus.sip.", $name, ".v1") => Some(Self::$Variant), )+
                    _ => None,
                }
            }
        }
    };
}

event_names! {
    /// A call began: an INVITE was let in, or an originate was accepted.
    CallCreated = "call.created",
    /// The far end rings.
    CallRinging = "call.ringing",
    /// Media before the answer.
    CallEarlyMedia = "call.early_media",
    /// The far end answered.
    CallAnswered = "call.answered",
    /// A party, or our side, put it on hold.
    CallHeld = "call.held",
    /// The hold is over.
    CallUnheld = "call.unheld",
    /// Something else of the state changed.
    CallUpdated = "call.updated",
    /// The one terminal event of a call.
    CallEnded = "call.ended",
    /// The first event of a new epoch.
    CallRecovered = "call.recovered",
    /// A new binding.
    RegBound = "reg.bound",
    /// A binding's time was extended.
    RegRefreshed = "reg.refreshed",
    /// A binding's time ran out.
    RegExpired = "reg.expired",
    /// The user took the binding away.
    RegRemoved = "reg.removed",
    /// The connection of the binding is gone.
    RegLost = "reg.lost",
    /// A REGISTER was refused; summed up per source and reason.
    RegRejected = "reg.rejected",
    /// An agent registered.
    AgentRegistered = "agent.registered",
    /// An agent unregistered.
    AgentUnregistered = "agent.unregistered",
    /// An agent's lease ran out.
    AgentLost = "agent.lost",
    /// A node takes calls.
    NodeUp = "node.up",
    /// A node takes no new calls.
    NodeDraining = "node.draining",
    /// A node leaves.
    NodeDown = "node.down",
    /// A node could not publish for a time.
    BusGap = "bus.gap",
    /// Wrong credentials, summed up per source.
    SecurityAuthFailed = "security.auth_failed",
    /// A source passed a limit per source.
    SecurityRateLimited = "security.rate_limited",
    /// What came is no SIP, or breaks its rules.
    SecurityMalformed = "security.malformed",
    /// Somebody wants to speak in another's name, or to be relayed elsewhere.
    SecurityNotPermitted = "security.not_permitted",
    /// A source was shut out.
    SecurityBan = "security.ban",
    /// A source was let in again.
    SecurityUnban = "security.unban",
    /// Our certificate ends soon, or has ended.
    SecurityCertificate = "security.certificate",
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who speaks: the same for every event of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    tenant: Text,
    node: Text,
    uri: Text,
}

impl Source {
    /// The node `node` of `tenant`.
    pub fn new(tenant: &str, node: &str) -> Self {
        Self {
            tenant: tenant.into(),
            node: node.into(),
            uri: format!("ifbus://sip/{node}").into(),
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The CloudEvents `source`, `ifbus://sip/<node>`.
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

/// When and in which order an event happened, and after what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The moment.
    pub at: Timestamp,
    /// Its place: per call for call events, per node for all others.
    pub position: Position,
    /// Milliseconds since the call began; 0 elsewhere.
    pub offset_ms: u64,
    /// The id of the command or event that caused it.
    pub causation_id: Option<Text>,
    /// W3C trace context.
    pub traceparent: Option<Text>,
}

/// The data of a domain's events.
pub trait EventData: Serialize + DeserializeOwned {
    /// The subject's topic for the event `event` of this data.
    fn topic<'a>(&'a self, event: &'a str, room: &'a mut String) -> Topic<'a>;
    /// The CloudEvents `subject`: the call, the hashed address, the agent, the node, the source.
    fn about<'a>(&'a self, room: &'a mut String) -> &'a str;
    /// The call, where there is one.
    fn call(&self) -> Option<(CallRef, SessionId)> {
        None
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<D> {
    /// What happened.
    pub name: EventName,
    /// When, in which order, after what.
    pub stamp: Stamp,
    /// The leg it is about, where it is about one.
    pub leg: Option<LegName>,
    /// The state after it, and the cause.
    pub data: D,
}

/// An event of a call.
pub type CallEvent = Event<CallData>;
/// An event of a registration.
pub type RegEvent = Event<RegData>;
/// An event of an agent.
pub type AgentEvent = Event<AgentData>;
/// An event of a node.
pub type NodeEvent = Event<NodeData>;
/// An event of a node's line to the bus.
pub type BusEvent = Event<BusData>;
/// A security event.
pub type SecurityEvent = Event<SecurityData>;

/// The wire form that is written.
#[derive(Serialize)]
struct Wire<'a, D> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a str,
    time: Timestamp,
    tenant: &'a str,
    epoch: u64,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leg: Option<LegName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offsetms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a D,
}

/// An event as it is on the wire: CloudEvents 1.0 attributes, our extensions, and `data`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Envelope<D> {
    /// `1.0`.
    pub specversion: Text,
    /// Unique: `<call>:<epoch>:<seq>`, or `<node>:<epoch>:<seq>` outside calls.
    pub id: Text,
    /// `ifbus://sip/<node>`.
    pub source: Text,
    /// `ifbus.sip.<event>.v1`.
    #[serde(rename = "type")]
    pub kind: Text,
    /// The call, hashed address-of-record, agent or node the event is about.
    pub subject: Text,
    /// When it happened.
    pub time: Timestamp,
    /// Whose.
    pub tenant: Text,
    /// Rises at takeover and at every start.
    pub epoch: u64,
    /// Contiguous within an epoch, per call; outside calls it only rises, per source.
    pub seq: u64,
    /// The logical call across transfers.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// The call.
    #[serde(default)]
    pub call: Option<CallRef>,
    /// The leg the event is about.
    #[serde(default)]
    pub leg: Option<LegName>,
    /// Milliseconds since the call began.
    #[serde(default)]
    pub offsetms: Option<u64>,
    /// The id of the command or event that caused it.
    #[serde(default)]
    pub causationid: Option<Text>,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<Text>,
    /// The state after the event, and the cause.
    pub data: D,
}

impl<D: EventData> Event<D> {
    /// The CloudEvents `id`, also the `Nats-Msg-Id`: `<call>:<epoch>:<seq>`, or
    /// `<node>:<epoch>:<seq>` outside calls.
    pub fn id(&self, source: &Source) -> String {
        self.short_id(source)
            .map(|id| id.as_str().to_owned())
            .unwrap_or_default()
    }

    fn short_id(&self, source: &Source) -> Result<Short<128>, fmt::Error> {
        let Position { epoch, seq } = self.stamp.position;
        match self.data.call() {
            Some((call, _)) => Short::format(format_args!("{call}:{epoch}:{seq}")),
            None => Short::format(format_args!("{}:{epoch}:{seq}", source.node)),
        }
    }

    /// Appends the subject it is published on.
    pub fn subject_into(&self, source: &Source, out: &mut String) -> Result<(), SubjectError> {
        let mut room = String::new();
        let subject = Subject {
            tenant: &source.tenant,
            topic: self.data.topic(self.name.as_str(), &mut room),
        };
        subject.build_into(out)
    }

    /// Appends the event as it goes on the wire; `out` is as it was after an error.
    pub fn encode_into(
        &self,
        source: &Source,
        encoding: Encoding,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let id = self
            .short_id(source)
            .map_err(|error| EncodeError::new(&error))?;
        let of_call = self.data.call();
        let mut room = String::new();
        let wire = Wire {
            specversion: "1.0",
            id: id.as_str(),
            source: &source.uri,
            kind: self.name.type_uri(),
            subject: self.data.about(&mut room),
            time: self.stamp.at,
            tenant: &source.tenant,
            epoch: self.stamp.position.epoch,
            seq: self.stamp.position.seq,
            session: of_call.map(|(_, session)| session),
            call: of_call.map(|(call, _)| call),
            leg: self.leg,
            offsetms: of_call.map(|_| self.stamp.offset_ms),
            causationid: self.stamp.causation_id.as_deref(),
            traceparent: self.stamp.traceparent.as_deref(),
            data: &self.data,
        };
        encoding.encode_into(&wire, out)
    }
}

/// An event of any domain, as an observer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Of a call.
    Call(Envelope<CallData>),
    /// Of a registration.
    Reg(Envelope<RegData>),
    /// Of an agent.
    Agent(Envelope<AgentData>),
    /// Of a node.
    Node(Envelope<NodeData>),
    /// Of a node's line to the bus.
    Bus(Envelope<BusData>),
    /// Of security.
    Security(Envelope<SecurityData>),
    /// Of a later version.
    Other(Envelope<Value>),
}

impl Received {
    /// Reads an event by its `type`; an unknown type keeps its data as it is.
    pub fn decode(encoding: Encoding, bytes: &[u8]) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "type")]
            kind: Text,
        }
        let Kind { kind } = encoding.decode(bytes)?;
        let name = kind
            .strip_prefix("ifbus.sip.")
            .and_then(|rest| rest.strip_suffix(".v1"))
            .unwrap_or_default();
        Ok(match name.split('.').next().unwrap_or_default() {
            "call" => Self::Call(encoding.decode(bytes)?),
            "reg" => Self::Reg(encoding.decode(bytes)?),
            "agent" => Self::Agent(encoding.decode(bytes)?),
            "node" => Self::Node(encoding.decode(bytes)?),
            "bus" => Self::Bus(encoding.decode(bytes)?),
            "security" => Self::Security(encoding.decode(bytes)?),
            _ => Self::Other(encoding.decode(bytes)?),
        })
    }
}

impl<D> Envelope<D> {
    /// The event's name, if this version knows it.
    pub fn name(&self) -> Option<EventName> {
        EventName::from_type(&self.kind)
    }

    /// Its place in its order.
    pub const fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            seq: self.seq,
        }
    }
}

impl EventData for CallData {
    fn topic<'a>(&'a self, event: &'a str, _: &'a mut String) -> Topic<'a> {
        let call = self.call.call;
        Topic::CallEvent { call, event }
    }
    fn about<'a>(&'a self, room: &'a mut String) -> &'a str {
        *room = self.call.call.to_string();
        room
    }
    fn call(&self) -> Option<(CallRef, SessionId)> {
        Some((self.call.call, self.call.session))
    }
}

impl EventData for RegData {
    fn topic<'a>(&'a self, event: &'a str, room: &'a mut String) -> Topic<'a> {
        *room = aor_hash(&self.registration.aor);
        Topic::RegEvent { hash: room, event }
    }
    fn about<'a>(&'a self, room: &'a mut String) -> &'a str {
        *room = aor_hash(&self.registration.aor);
        room
    }
}

impl EventData for AgentData {
    fn topic<'a>(&'a self, event: &'a str, _: &'a mut String) -> Topic<'a> {
        let agent = &self.agent.agent;
        Topic::AgentEvent { agent, event }
    }
    fn about<'a>(&'a self, _: &'a mut String) -> &'a str {
        &self.agent.agent
    }
}

impl EventData for NodeData {
    fn topic<'a>(&'a self, event: &'a str, _: &'a mut String) -> Topic<'a> {
        let node = &self.node.node;
        Topic::NodeEvent { node, event }
    }
    fn about<'a>(&'a self, _: &'a mut String) -> &'a str {
        &self.node.node
    }
}

impl EventData for BusData {
    fn topic<'a>(&'a self, event: &'a str, _: &'a mut String) -> Topic<'a> {
        let node = &self.gap.node;
        Topic::NodeEvent { node, event }
    }
    fn about<'a>(&'a self, _: &'a mut String) -> &'a str {
        &self.gap.node
    }
}

impl EventData for SecurityData {
    fn topic<'a>(&'a self, event: &'a str, _: &'a mut String) -> Topic<'a> {
        Topic::SecurityEvent { event }
    }
    fn about<'a>(&'a self, _: &'a mut String) -> &'a str {
        self.incident.source.as_deref().unwrap_or("unknown")
    }
}
