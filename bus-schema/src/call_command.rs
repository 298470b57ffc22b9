//! Commands to a call: `cmd.call.<shard>.<ulid>.<agent>.<verb>`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cause::Reason;
use crate::command::{Body, Command, check_text, verbs};
use crate::error::CommandError;
use crate::text::Text;

verbs! {
    /// What an agent asks of a call.
    pub enum CallVerb {
        /// End the call, whatever its state.
        Hangup(Hangup) = "hangup",
    }
}

/// A command to a call, decoded.
pub type CallCommand = Command<CallVerb>;

/// Ends a call: CANCEL, a refusal or BYE on each leg, as its state needs. The reply says that it
/// is under way; `call.ended` says that it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hangup {
    /// The reason told to the parties and in `call.ended`; absent: `normal_clearing`. Only a
    /// reason that ends a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The final status for a caller that was not answered, 400 to 699; absent: the reason's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// Words for the parties (`Reason` header text).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
}

impl Body for Hangup {
    fn check(&self) -> Result<(), CommandError> {
        if self.reason.is_some_and(|reason| reason.q850().is_none()) {
            return Err(CommandError::bad_field(
                "data.reason",
                "not one that ends a call",
            ));
        }
        if self
            .sip_status
            .is_some_and(|status| !(400..700).contains(&status))
        {
            return Err(CommandError::bad_field(
                "data.sip_status",
                "not from 400 to 699",
            ));
        }
        match &self.text {
            Some(text) => check_text("data.text", text, 256),
            None => Ok(()),
        }
    }
}
