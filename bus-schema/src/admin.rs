//! Administration: `cmd.admin.<agent>.<verb>`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::{Body, Command, verbs};
use crate::error::CommandError;
use crate::text::Text;
use crate::timestamp::Timestamp;

verbs! {
    /// What an administrator asks of the nodes.
    pub enum AdminVerb {
        /// Read the configuration again, all or nothing.
        Reload(Reload) = "reload",
        /// Take no new calls, and leave when those there are have ended.
        Drain(Drain) = "drain",
        /// Drop all that comes from an address.
        Ban(Ban) = "ban",
        /// Let an address in again.
        Unban(Unban) = "unban",
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

/// Drops all that comes from an address, on the node that hears it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ban {
    /// The IP address; of IPv6 the /64 it is in.
    pub source: Text,
    /// For how long; absent: as long as a first offence costs (`limits.ban_s`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ban_ms: Option<u64>,
}

impl Body for Ban {
    fn check(&self) -> Result<(), CommandError> {
        check_source(&self.source)
    }
}

/// Lets an address in again, and every user who is shut out there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unban {
    /// The IP address.
    pub source: Text,
}

impl Body for Unban {
    fn check(&self) -> Result<(), CommandError> {
        check_source(&self.source)
    }
}

fn check_source(source: &str) -> Result<(), CommandError> {
    match source.parse::<core::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(CommandError::bad_field("data.source", "not an IP address")),
    }
}

/// Who is shut out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Banned {
    /// The IP address; of IPv6 the first of the /64.
    pub source: Text,
    /// Only this address-of-record, where others come from the same address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aor: Option<Text>,
    /// Until then.
    pub until: Timestamp,
    /// How often, with this time.
    pub times: u32,
}

/// The reply to `ban`, `unban` (who was let in) and the query `bans`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bans {
    /// The node that answers.
    pub node: Text,
    /// Who, by address.
    pub bans: Vec<Banned>,
}

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
