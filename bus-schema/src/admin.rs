//! Administration: `cmd.admin.<agent>.<verb>`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::{Body, Command, verbs};
use crate::text::Text;

verbs! {
    /// What an administrator asks of the nodes.
    pub enum AdminVerb {
        /// Read the configuration again, all or nothing.
        Reload(Reload) = "reload",
        /// Take no new calls, and leave when those there are have ended.
        Drain(Drain) = "drain",
    }
}

/// A command of an administrator, decoded.
pub type AdminCommand = Command<AdminVerb>;

/// Reads the configuration again, all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reload {
    /// Only this node; absent: every node that hears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Text>,
}

impl Body for Reload {}

/// Takes no new calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drain {
    /// Only this node; absent: every node that hears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Text>,
    /// End what is left after so many milliseconds; absent: wait for the calls to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
}

impl Body for Drain {}

/// The reply to `reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// The node that did.
    pub node: Text,
    /// What changed and took effect, by the names of the knobs.
    #[serde(default)]
    pub changed: Vec<Text>,
    /// What changed and needs a restart, by the names of the knobs.
    #[serde(default)]
    pub restart: Vec<Text>,
}

/// The reply to `drain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Draining {
    /// The node that does.
    pub node: Text,
    /// How many calls it still holds.
    pub calls: u64,
}
