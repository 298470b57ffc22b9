//! Why a command was refused: the closed list of codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::text::Text;
use crate::word::vocabulary;

vocabulary! {
    /// Why a command was refused. Stable words; a program decides by them and by `retryable`.
    pub enum ErrorCode {
        /// The body, a header or the subject is not what the contract says; `details` names it.
        BadRequest = "bad_request",
        /// No such verb in this family.
        UnknownVerb = "unknown_verb",
        /// Neither encoding is named by the content type.
        UnsupportedEncoding = "unsupported_encoding",
        /// No such call, agent or user.
        NotFound = "not_found",
        /// The verb makes no sense in the call's state.
        WrongState = "wrong_state",
        /// `if_state` or `if_seq` does not hold; `details` has the state and position.
        PreconditionFailed = "precondition_failed",
        /// The idempotency key was used with another body.
        IdempotencyMismatch = "idempotency_mismatch",
        /// The command with this idempotency key is still being accepted.
        InProgress = "in_progress",
        /// `deadline_ms` had passed before the command was read.
        DeadlinePassed = "deadline_passed",
        /// The agent may not do this.
        NotPermitted = "not_permitted",
        /// A policy said no.
        PolicyDenied = "policy_denied",
        /// No route leads to the destination.
        NoRoute = "no_route",
        /// The party is not registered.
        NotRegistered = "not_registered",
        /// This build or configuration cannot do it.
        Unsupported = "unsupported",
        /// A limit on calls, rates or sizes; `details` names it.
        LimitExceeded = "limit_exceeded",
        /// The node is full for the moment.
        Overloaded = "overloaded",
        /// The node takes no new work.
        Draining = "draining",
        /// Another node owns the call now.
        NotOwner = "not_owner",
        /// The bus, the disk or the media backend is out of reach.
        Unavailable = "unavailable",
        /// A fault in the adapter.
        Internal = "internal",
    }
}

impl ErrorCode {
    /// Whether the same command can succeed later without a change.
    pub const fn retryable(self) -> bool {
        match self {
            Self::InProgress
            | Self::LimitExceeded
            | Self::Overloaded
            | Self::Draining
            | Self::NotOwner
            | Self::Unavailable => true,
            Self::BadRequest
            | Self::UnknownVerb
            | Self::UnsupportedEncoding
            | Self::NotFound
            | Self::WrongState
            | Self::PreconditionFailed
            | Self::IdempotencyMismatch
            | Self::DeadlinePassed
            | Self::NotPermitted
            | Self::PolicyDenied
            | Self::NoRoute
            | Self::NotRegistered
            | Self::Unsupported
            | Self::Internal
            | Self::Unknown => false,
        }
    }

    /// The HTTP-like number for the `Nats-Service-Error-Code` header.
    pub const fn number(self) -> u16 {
        match self {
            Self::BadRequest | Self::UnknownVerb => 400,
            Self::NotPermitted | Self::PolicyDenied => 403,
            Self::NotFound | Self::NoRoute | Self::NotRegistered => 404,
            Self::WrongState | Self::IdempotencyMismatch | Self::InProgress => 409,
            Self::PreconditionFailed => 412,
            Self::UnsupportedEncoding => 415,
            Self::NotOwner => 421,
            Self::LimitExceeded => 429,
            Self::Internal | Self::Unknown => 500,
            Self::Unsupported => 501,
            Self::Overloaded | Self::Draining | Self::Unavailable => 503,
            Self::DeadlinePassed => 504,
        }
    }
}

/// A refused command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct CommandError {
    /// Which refusal.
    pub code: ErrorCode,
    /// For people; not stable.
    pub reason: Text,
    /// Whether the same command can succeed later without a change.
    pub retryable: bool,
    /// The SIP status behind it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// What the code's description promises, and more that may help.
    #[serde(default)]
    pub details: Map<String, Value>,
}

impl CommandError {
    /// The refusal `code` for a reason told to people.
    pub fn new(code: ErrorCode, reason: impl Into<Text>) -> Self {
        Self {
            code,
            reason: reason.into(),
            retryable: code.retryable(),
            sip_status: None,
            details: Map::new(),
        }
    }

    /// A body that is not what the contract says, by the field that is wrong.
    pub fn bad_field(field: &str, why: &str) -> Self {
        Self::new(ErrorCode::BadRequest, format!("{field}: {why}")).with("field", field)
    }

    /// The same with one more detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// The same with the SIP status behind it.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.sip_status = Some(status);
        self
    }
}
