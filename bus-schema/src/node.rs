//! Nodes and their line to the bus, as events and queries show them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::text::Text;
use crate::timestamp::Timestamp;
use crate::word::vocabulary;

vocabulary! {
    /// Whether a node takes new calls.
    pub enum NodeState {
        /// It does.
        Up = "up",
        /// It does not, and waits for its calls to end.
        Draining = "draining",
        /// It has left.
        Down = "down",
    }
}

/// One adapter process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSnapshot {
    /// Its name.
    pub node: Text,
    /// The version of the adapter.
    pub version: Text,
    /// Whether it takes new calls.
    pub state: NodeState,
    /// The number of its start; every event it speaks carries it or a higher one.
    pub epoch: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// How many shards it owns.
    pub shards: u32,
    /// How many calls it holds.
    pub calls: u64,
    /// How many bindings it knows.
    pub registrations: u64,
}

/// The data of a node event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeData {
    /// The node.
    pub node: NodeSnapshot,
    /// Why.
    pub cause: Cause,
}

/// A time in which a node could not publish. What it kept follows in order; `dropped` says how
/// much it could not keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BusGap {
    /// The node.
    pub node: Text,
    /// When the bus was last heard.
    pub since: Timestamp,
    /// When it was heard again.
    pub until: Timestamp,
    /// Events kept and published late.
    pub delayed: u64,
    /// Events that are lost.
    pub dropped: u64,
}

/// The data of `bus.gap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BusData {
    /// The gap.
    pub gap: BusGap,
    /// Why.
    pub cause: Cause,
}
