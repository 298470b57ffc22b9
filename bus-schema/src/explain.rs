//! `cmd.query.<agent>.route.explain`: where a request would go, and why, without sending it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent_command::ADDRESS_MAX;
use crate::command::{Body, check_text};
use crate::error::CommandError;
use crate::text::Text;

/// Where a call or message to an address would go now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryExplain {
    /// Who is called: `user@domain` or a SIP URI.
    #[schemars(required)]
    pub to: Text,
    /// Who calls, `user@domain`; one of our domains has proven its password. Absent: an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Text>,
}

impl Body for QueryExplain {
    fn check(&self) -> Result<(), CommandError> {
        check_text("data.to", &self.to, ADDRESS_MAX)?;
        match &self.from {
            Some(from) => check_text("data.from", from, ADDRESS_MAX),
            None => Ok(()),
        }
    }
}

/// The reply to `route.explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// The node that answers.
    pub node: Text,
    /// The Request-URI that was planned.
    pub uri: Text,
    /// What was looked at, in order, in words.
    pub steps: Vec<Text>,
    /// Whom the request goes to, those of a higher `q_milli` first and alike ones together; none:
    /// it is refused.
    pub destinations: Vec<Destination>,
    /// The SIP status it is refused with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// The reason phrase of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_reason: Option<Text>,
}

/// One place that a request goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Destination {
    /// The Request-URI it gets there.
    pub uri: Text,
    /// The address-of-record that is registered there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aor: Option<Text>,
    /// Its preference (RFC 3261 20.10) in thousandths.
    pub q_milli: u16,
    /// Transport and address, in the order in which they are tried: `udp 192.0.2.1:5060`, or
    /// `wss connection` for the one that it has to us. None: its name leads nowhere.
    pub hops: Vec<Text>,
}
