//! Agents, as events and queries show them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::text::Text;
use crate::timestamp::Timestamp;

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentSnapshot {
    /// Its name: the token in its subjects.
    pub agent: Text,
    /// The addresses it takes calls for, `user@domain`.
    #[serde(default)]
    pub aors: Vec<Text>,
    /// What it says it can do.
    #[serde(default)]
    pub capabilities: Vec<Text>,
    /// How many calls it takes at once; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// When it registered.
    pub registered_at: Timestamp,
    /// When its lease ends unless it gives a sign of life.
    pub expires_at: Timestamp,
}

/// The data of an agent event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentData {
    /// The agent.
    pub agent: AgentSnapshot,
    /// Why.
    pub cause: Cause,
}
