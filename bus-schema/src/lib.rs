//! The product's public contract on the bus: subjects, envelope, commands, events.
//!
//! Pure: time and entropy come in, bytes and subjects go out. The words are those of the
//! documentation in `docs/bus.md`; the JSON Schemas and the AsyncAPI document are generated from
//! these types.

mod admin;
mod agent;
mod agent_command;
mod call;
mod call_command;
mod call_ref;
mod cause;
pub mod cause_table;
mod command;
mod contract;
mod document;
mod encoding;
mod error;
mod event;
mod explain;
pub mod header;
mod node;
mod permission;
mod query;
mod registration;
mod reply;
mod security;
mod subject;
mod text;
mod timestamp;
mod trace;
mod word;

pub use admin::{
    AdminCommand, AdminVerb, Ban, Banned, Bans, Drain, Draining, Reload, Reloaded, Unban,
};
pub use agent::{AgentData, AgentSnapshot};
pub use agent_command::{
    AgentCommand, AgentVerb, Done, Heartbeat, Lease, Originate, Originated, Register, SendMessage,
    Unregister,
};
pub use call::{
    CallData, CallSnapshot, CallState, Direction, Hold, Leg, LegState, Party, Position,
};
pub use call_command::{CallCommand, CallVerb, Hangup};
pub use call_ref::{CallRef, LegName, RefError, SHARDS, SessionId};
pub use cause::{Actor, Cause, Reason};
pub use command::Command;
pub use document::{Document, generate};
pub use encoding::{DecodeError, EncodeError, Encoding, MAX_BYTES, UnsupportedContentType};
pub use error::{CommandError, ErrorCode};
pub use event::{
    AgentEvent, BusEvent, CallEvent, Envelope, Event, EventData, EventName, NodeEvent, Received,
    RegEvent, SecurityEvent, Source, Stamp,
};
pub use explain::{Destination, Explained, QueryExplain};
pub use node::{BusData, BusGap, NodeData, NodeSnapshot, NodeState};
pub use permission::{Permissions, Role};
pub use query::{
    Agents, CallView, Calls, Nodes, PAGE_MAX, QueryAgents, QueryBans, QueryCall, QueryCalls,
    QueryCommand, QueryNodes, QueryRegistrations, QueryVerb, Registrations,
};
pub use registration::{RegData, Registration};
pub use reply::{Answer, CallReply, Outcome, Reply};
pub use security::{Incident, SecurityData, Severity};
pub use subject::{
    DEFAULT_TENANT, EVENT_STREAM, PREFIX, QUEUE, SERVICE, Subject, SubjectError, Topic, Way,
    aor_hash, call_id_hash, filter, is_token,
};
pub use text::Text;
pub use timestamp::{Timestamp, TimestampError};
pub use trace::{QueryTrace, Traced, TracedMessage};
