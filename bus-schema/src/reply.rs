//! Replies: every command gets exactly one, at once. Outcomes are events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::{Bans, Draining, Reloaded};
use crate::agent_command::{Done, Lease, Originated};
use crate::encoding::{EncodeError, Encoding};
use crate::error::CommandError;
use crate::explain::Explained;
use crate::query::{Agents, CallView, Calls, Nodes, Registrations};
use crate::text::Text;
use crate::trace::Traced;

/// The reply to a command, on the wire: `{"status": "accepted", "id", "data"}` or
/// `{"status": "error", "id", "code", "reason", "retryable", "sip_status"?, "details"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Reply<D> {
    /// It will be done, or has been.
    Accepted {
        /// The command's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Text>,
        /// Whether this is the reply to an earlier command with the same idempotency key.
        #[serde(default, skip_serializing_if = "is_false")]
        repeated: bool,
        /// What there is to say at once.
        data: D,
    },
    /// It will not be done.
    Error {
        /// The command's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Text>,
        /// Why.
        #[serde(flatten)]
        error: CommandError,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What an accepted command has to say at once: the data of any verb's reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each variant is its type")]
pub enum Answer {
    Done(Done),
    Lease(Lease),
    Originated(Originated),
    Call(CallView),
    Calls(Calls),
    Registrations(Registrations),
    Agents(Agents),
    Nodes(Nodes),
    Reloaded(Reloaded),
    Draining(Draining),
    Bans(Bans),
    Explained(Explained),
    Traced(Traced),
}

/// How a command ended, before it is put in a [`Reply`].
pub type Outcome = Result<Answer, CommandError>;

/// How a command to a call ended.
pub type CallReply = Outcome;

impl<D> Reply<D> {
    /// The reply to the command `id`.
    pub fn new(id: Option<Text>, outcome: Result<D, CommandError>) -> Self {
        match outcome {
            Ok(data) => Self::Accepted {
                id,
                repeated: false,
                data,
            },
            Err(error) => Self::Error { id, error },
        }
    }

    /// What the command's sender goes on with.
    pub fn into_result(self) -> Result<D, CommandError> {
        match self {
            Self::Accepted { data, .. } => Ok(data),
            Self::Error { error, .. } => Err(error),
        }
    }
}

impl<D: Serialize> Reply<D> {
    /// Appends the reply as it goes on the wire.
    pub fn encode_into(&self, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encoding.encode_into(self, out)
    }
}
