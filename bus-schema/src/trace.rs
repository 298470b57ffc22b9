//! `cmd.query.<agent>.trace`: the messages of a call, as they went over the wires.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call_ref::CallRef;
use crate::command::Body;
use crate::error::CommandError;
use crate::text::Text;
use crate::timestamp::Timestamp;

/// The messages of a call, as far as they are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryTrace {
    /// Its reference; it may have ended.
    #[schemars(required)]
    pub call: Option<CallRef>,
}

impl Body for QueryTrace {
    fn check(&self) -> Result<(), CommandError> {
        match self.call {
            Some(_) => Ok(()),
            None => Err(CommandError::bad_field("data.call", "missing")),
        }
    }
}

/// The reply to `trace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traced {
    /// The node that answers.
    pub node: Text,
    /// The call.
    pub call: CallRef,
    /// The messages, oldest first.
    pub messages: Vec<TracedMessage>,
    /// Whether older ones are left out, because the reply would be too long.
    pub cut: bool,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TracedMessage {
    /// When it was sent or read.
    pub at: Timestamp,
    /// Microseconds since the first message of the trace.
    pub offset_us: u64,
    /// The leg it belongs to.
    pub leg: Text,
    /// Whether we sent it.
    pub sent: bool,
    /// With whom: `udp 192.0.2.1:5060`, or `wss connection 12`.
    pub peer: Text,
    /// The message, without what is nobody's business: credentials, keys of media, and bodies other
    /// than session descriptions.
    pub text: Text,
}
