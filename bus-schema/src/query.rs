//! Queries: `cmd.query.<agent>.<verb>`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::AgentSnapshot;
use crate::call::{CallSnapshot, CallState, Position};
use crate::call_ref::CallRef;
use crate::command::{Body, Command, check_text, verbs};
use crate::error::CommandError;
use crate::explain::QueryExplain;
use crate::node::NodeSnapshot;
use crate::registration::Registration;
use crate::text::Text;
use crate::trace::QueryTrace;

/// The most entries one page has, and the number where none is asked for.
pub const PAGE_MAX: u32 = 500;

verbs! {
    /// What an agent asks to see.
    pub enum QueryVerb {
        /// The calls there are.
        Calls(QueryCalls) = "calls",
        /// One call.
        Call(QueryCall) = "call",
        /// Who is registered.
        Registrations(QueryRegistrations) = "registrations",
        /// The agents there are.
        Agents(QueryAgents) = "agents",
        /// The nodes there are.
        Nodes(QueryNodes) = "nodes",
        /// Who is shut out.
        Bans(QueryBans) = "bans",
        /// Where a request would go.
        Explain(QueryExplain) = "route.explain",
        /// The messages of a call.
        Trace(QueryTrace) = "trace",
    }
}

/// A query, decoded.
pub type QueryCommand = Command<QueryVerb>;

/// The calls there are, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryCalls {
    /// Only those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CallState>,
    /// Only those made by this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Text>,
    /// Only those with this address-of-record, `user@domain`, on a leg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aor: Option<Text>,
    /// Go on after this call: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<CallRef>,
    /// At most so many, up to 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl Body for QueryCalls {
    fn check(&self) -> Result<(), CommandError> {
        check_limit(self.limit)
    }
}

/// One call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryCall {
    /// Its reference.
    #[schemars(required)]
    pub call: Option<CallRef>,
}

impl Body for QueryCall {
    fn check(&self) -> Result<(), CommandError> {
        match self.call {
            Some(_) => Ok(()),
            None => Err(CommandError::bad_field("data.call", "missing")),
        }
    }
}

/// The bindings there are, by address-of-record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryRegistrations {
    /// Only those of this address-of-record, `user@domain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aor: Option<Text>,
    /// Go on after this place: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Text>,
    /// At most so many, up to 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl Body for QueryRegistrations {
    fn check(&self) -> Result<(), CommandError> {
        if let Some(after) = &self.after {
            check_text("data.after", after, 1024)?;
        }
        check_limit(self.limit)
    }
}

/// The agents there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryAgents {}

impl Body for QueryAgents {}

/// The nodes there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryNodes {}

impl Body for QueryNodes {}

/// Who is shut out of the node that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryBans {}

impl Body for QueryBans {}

fn check_limit(limit: Option<u32>) -> Result<(), CommandError> {
    match limit {
        Some(0) => Err(CommandError::bad_field("data.limit", "0")),
        _ => Ok(()),
    }
}

/// A call and its place in the order of its events: what comes next has the next `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallView {
    /// The whole small state.
    pub call: CallSnapshot,
    /// The last event that made it.
    pub position: Position,
}

/// The reply to `calls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Calls {
    /// The node that answers.
    pub node: Text,
    /// The calls.
    pub calls: Vec<CallView>,
    /// Ask again with this `after`; absent: that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<CallRef>,
}

/// The reply to `registrations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registrations {
    /// The node that answers.
    pub node: Text,
    /// The bindings.
    pub registrations: Vec<Registration>,
    /// Ask again with this `after`; absent: that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Text>,
}

/// The reply to `agents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agents {
    /// The node that answers.
    pub node: Text,
    /// The agents.
    pub agents: Vec<AgentSnapshot>,
}

/// The reply to `nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nodes {
    /// The node that answers.
    pub node: Text,
    /// The nodes it knows, itself among them.
    pub nodes: Vec<NodeSnapshot>,
}
