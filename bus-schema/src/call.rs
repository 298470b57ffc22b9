//! The state of a call, as events and queries show it. Hold is an axis of its own, never a state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call_ref::{CallRef, LegName, SessionId};
use crate::cause::{Cause, Reason};
use crate::text::Text;
use crate::timestamp::Timestamp;
use crate::word::vocabulary;

vocabulary! {
    /// How far a call has come. Each call reaches exactly one of the terminal ones (from
    /// `completed` on), and `completed` only if it was answered.
    pub enum CallState {
        /// Accepted, not yet dialled.
        Queued = "queued",
        /// Dialled: no sign from the far end yet.
        Initiated = "initiated",
        /// The far end rings.
        Ringing = "ringing",
        /// Media before the answer.
        EarlyMedia = "early_media",
        /// Answered.
        InProgress = "in_progress",
        /// Ended after it was answered.
        Completed = "completed",
        /// The callee was busy.
        Busy = "busy",
        /// Nobody answered.
        NoAnswer = "no_answer",
        /// Given up before the answer.
        Canceled = "canceled",
        /// Declined, forbidden or not permitted.
        Rejected = "rejected",
        /// It could not be set up.
        Failed = "failed",
    }
}

impl CallState {
    /// Whether nothing follows it.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Completed
            | Self::Busy
            | Self::NoAnswer
            | Self::Canceled
            | Self::Rejected
            | Self::Failed => true,
            Self::Queued
            | Self::Initiated
            | Self::Ringing
            | Self::EarlyMedia
            | Self::InProgress
            | Self::Unknown => false,
        }
    }

    /// The terminal state of a call that ended for `reason`.
    pub fn ended(answered: bool, reason: Reason) -> Self {
        if answered {
            return Self::Completed;
        }
        match reason {
            Reason::Busy => Self::Busy,
            Reason::NoAnswer | Reason::NoUserResponse => Self::NoAnswer,
            Reason::OriginatorCancel
            | Reason::NormalClearing
            | Reason::Requested
            | Reason::AnsweredElsewhere
            | Reason::Transferred => Self::Canceled,
            Reason::Rejected
            | Reason::Unwanted
            | Reason::Unauthorized
            | Reason::NotPermitted
            | Reason::IdentityFailed
            | Reason::PolicyDenied
            | Reason::ApprovalDenied => Self::Rejected,
            Reason::Progress
            | Reason::Answered
            | Reason::Renegotiated
            | Reason::Recovered
            | Reason::Started
            | Reason::Expired
            | Reason::FlowLost
            | Reason::Replaced
            | Reason::RateLimited
            | Reason::BusLost
            | Reason::SubscriberAbsent
            | Reason::NumberChanged
            | Reason::Redirected
            | Reason::DestinationOutOfOrder
            | Reason::InvalidNumber
            | Reason::NoRoute
            | Reason::NormalUnspecified
            | Reason::Congestion
            | Reason::NetworkOutOfOrder
            | Reason::TemporaryFailure
            | Reason::IncompatibleMedia
            | Reason::TimerExpired
            | Reason::ProtocolError
            | Reason::Interworking
            | Reason::MaxDuration
            | Reason::MediaTimeout
            | Reason::GatewayDown
            | Reason::SrtpError
            | Reason::SystemShutdown
            | Reason::Restart
            | Reason::FailoverTimeout
            | Reason::Internal
            | Reason::AgentLost
            | Reason::ConcurrencyLimit
            | Reason::Inactivity
            | Reason::Unknown => Self::Failed,
        }
    }
}

vocabulary! {
    /// The state of a leg's dialog (RFC 4235).
    pub enum LegState {
        /// The INVITE is out or in, and nothing has come back.
        Trying = "trying",
        /// A provisional response without a tag.
        Proceeding = "proceeding",
        /// A provisional response with a tag: an early dialog.
        Early = "early",
        /// Answered.
        Confirmed = "confirmed",
        /// Over.
        Terminated = "terminated",
    }
}

vocabulary! {
    /// Who has put it on hold (RFC 3264: sendonly, recvonly, inactive).
    pub enum Hold {
        /// Nobody.
        None = "none",
        /// Our side of the leg.
        Local = "local",
        /// The party at the far end of the leg.
        Remote = "remote",
        /// Both.
        Both = "both",
    }
}

vocabulary! {
    /// Which way a call or a leg goes, seen from the adapter.
    pub enum Direction {
        /// To the adapter.
        Inbound = "inbound",
        /// From the adapter.
        Outbound = "outbound",
        /// Between two users registered here.
        Internal = "internal",
    }
}

/// A party, as its From or To says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Party {
    /// Its SIP URI.
    pub uri: Text,
    /// Its display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Text>,
}

/// One leg: the dialog with one party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leg {
    /// Its name in the call.
    pub leg: LegName,
    /// Its dialog's state.
    pub state: LegState,
    /// `inbound` if the party called us, `outbound` if we called it.
    pub direction: Direction,
    /// Who has put it on hold.
    pub hold: Hold,
    /// The party's URI: the From of an inbound leg, the request-URI of an outbound one.
    pub uri: Text,
    /// The address-of-record, `user@domain`, where the party is one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aor: Option<Text>,
    /// The trunk it goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<Text>,
    /// The first 32 hex digits of SHA-256 of the leg's Call-ID.
    pub sip_call_id_hash: Text,
    /// When it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The final status that ended it before an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
}

/// The whole small state of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallSnapshot {
    /// The call.
    pub call: CallRef,
    /// The logical call across transfers.
    pub session: SessionId,
    /// How far it has come.
    pub state: CallState,
    /// Which way it goes.
    pub direction: Direction,
    /// Who calls.
    pub from: Party,
    /// Who was asked for.
    pub to: Party,
    /// Who has put it on hold: the legs' holds taken together.
    pub hold: Hold,
    /// The legs that are, and those that ended while the call goes on.
    pub legs: Vec<Leg>,
    /// The agent whose command made the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Text>,
    /// The trace id (`X-IF-Trace-ID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Text>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it first rang.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ringing_at: Option<Timestamp>,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// A place in a call's order of events. Later epochs come after earlier ones, whatever the `seq`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Position {
    /// Rises at takeover and at every start of the process.
    pub epoch: u64,
    /// Contiguous within an epoch, from 1.
    pub seq: u64,
}

/// The data of a call event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallData {
    /// The whole state after the event.
    pub call: CallSnapshot,
    /// Why.
    pub cause: Cause,
    /// `call.recovered` only: the last event of the epoch before, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
    /// False if it went out before what it says was safe on disk or on the other nodes.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub protected: bool,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_true(value: &bool) -> bool {
    *value
}
