//! Security events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::text::Text;
use crate::timestamp::Timestamp;
use crate::word::vocabulary;

vocabulary! {
    /// How much it matters.
    pub enum Severity {
        /// For the record.
        Info = "info",
        /// Worth a look.
        Warn = "warn",
        /// Look now.
        Alert = "alert",
        /// The service is at stake.
        Critical = "critical",
    }
}

/// What was seen, and from where. Events of one source are summed up, not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// How much it matters.
    pub severity: Severity,
    /// The address it came from; none: from more sources than are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Text>,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Text>,
    /// The address-of-record that was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aor: Option<Text>,
    /// How often since the last such event.
    pub count: u64,
    /// Until when the source is shut out; of a certificate, when it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The data of a security event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecurityData {
    /// What was seen.
    pub incident: Incident,
    /// Why.
    pub cause: Cause,
}
