//! Registrations, as events and queries show them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::text::Text;
use crate::timestamp::Timestamp;

/// One binding of an address-of-record to a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registration {
    /// The address-of-record, `user@domain`.
    pub aor: Text,
    /// The contact URI.
    pub contact: Text,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: Text,
    /// Where the REGISTER came from, `address:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Text>,
    /// The instance (`+sip.instance`, RFC 5626).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Text>,
    /// The flow of the instance (`reg-id`, RFC 5626).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reg_id: Option<u32>,
    /// The preference in thousandths: 1000 is `q=1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q_milli: Option<u16>,
    /// What the client calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Text>,
    /// When it was first bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_at: Option<Timestamp>,
    /// When it ends unless refreshed.
    pub expires_at: Timestamp,
}

/// The data of a registration event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegData {
    /// The binding, or for `reg.rejected` what was asked for.
    pub registration: Registration,
    /// How many bindings the address-of-record has after the event.
    pub bindings: u32,
    /// For `reg.rejected`: how often since the last such event of this source and reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Why.
    pub cause: Cause,
}
