//! Commands of agents about themselves and new calls: `cmd.agent.<agent>.<verb>`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call_ref::{CallRef, SessionId};
use crate::command::{Body, Command, check_text, verbs};
use crate::error::CommandError;
use crate::text::Text;
use crate::timestamp::Timestamp;

pub(crate) const ADDRESS_MAX: usize = 512;
const LIST_MAX: usize = 256;
const HEADERS_MAX: usize = 32;
const HEADER_VALUE_MAX: usize = 1024;
const MESSAGE_MAX: usize = 60 * 1024;

verbs! {
    /// What an agent asks of the adapter.
    pub enum AgentVerb {
        /// Be known, and take calls for addresses.
        Register(Register) = "register",
        /// Be known no longer.
        Unregister(Unregister) = "unregister",
        /// A sign of life: the lease begins anew.
        Heartbeat(Heartbeat) = "heartbeat",
        /// Join two parties in a call.
        Originate(Originate) = "originate",
        /// Send a SIP MESSAGE.
        Message(SendMessage) = "message",
    }
}

/// A command of an agent, decoded.
pub type AgentCommand = Command<AgentVerb>;

/// Makes an agent known until its lease ends. A second registration replaces the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Register {
    /// The addresses it takes calls for, `user@domain`.
    #[serde(default)]
    pub aors: Vec<Text>,
    /// What it can do, in words of its own.
    #[serde(default)]
    pub capabilities: Vec<Text>,
    /// How many calls it takes at once; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// How long it lives without a heartbeat, in milliseconds; absent: 30 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

impl Register {
    /// The shortest and longest lease that is granted, in milliseconds.
    pub const LEASE_MS: std::ops::RangeInclusive<u64> = 1000..=3_600_000;
    /// The lease of an agent that asks for none, in milliseconds.
    pub const DEFAULT_LEASE_MS: u64 = 30_000;
}

impl Body for Register {
    fn check(&self) -> Result<(), CommandError> {
        check_list("data.aors", &self.aors)?;
        check_list("data.capabilities", &self.capabilities)?;
        match self.lease_ms {
            Some(lease) if !Self::LEASE_MS.contains(&lease) => Err(CommandError::bad_field(
                "data.lease_ms",
                "not from 1000 to 3600000",
            )),
            _ => Ok(()),
        }
    }
}

/// Makes an agent unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unregister {}

impl Body for Unregister {}

/// A sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {}

impl Body for Heartbeat {}

/// Click to call: the adapter calls `from`, and when that answers, calls `to` and joins the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Originate {
    /// Who is called first: a SIP URI, or `user@domain` of a user here.
    pub from: Text,
    /// Who is called then: a SIP URI, or an address the routes lead on.
    pub to: Text,
    /// The display name both parties see for the other side; absent: the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Text>,
    /// Headers for both INVITEs: `X-…`, `Subject`, `User-to-User`, `Alert-Info`, `Call-Info`,
    /// `Priority`, `Accept-Language` or `Reply-To`, at most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Text>,
    /// How long each party may ring, in milliseconds; absent: the configured time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The trace the call belongs to (`X-IF-Trace-ID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Text>,
    /// The session the call continues; absent: a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
}

impl Originate {
    /// The shortest and longest time to ring, in milliseconds.
    pub const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 1000..=180_000;
}

impl Body for Originate {
    fn check(&self) -> Result<(), CommandError> {
        check_text("data.from", &self.from, ADDRESS_MAX)?;
        check_text("data.to", &self.to, ADDRESS_MAX)?;
        if let Some(display) = &self.display {
            check_text("data.display", display, 128)?;
        }
        if let Some(trace) = &self.trace_id {
            check_text("data.trace_id", trace, 128)?;
        }
        check_headers(&self.headers)?;
        match self.timeout_ms {
            Some(timeout) if !Self::TIMEOUT_MS.contains(&timeout) => Err(CommandError::bad_field(
                "data.timeout_ms",
                "not from 1000 to 180000",
            )),
            _ => Ok(()),
        }
    }
}

/// A SIP MESSAGE (RFC 3428) to an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SendMessage {
    /// Whom it is from: a SIP URI or `user@domain`.
    pub from: Text,
    /// Whom it is for: a SIP URI or `user@domain`.
    pub to: Text,
    /// The type of the body; absent: `text/plain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Text>,
    /// The body.
    pub body: Text,
}

impl Body for SendMessage {
    fn check(&self) -> Result<(), CommandError> {
        check_text("data.from", &self.from, ADDRESS_MAX)?;
        check_text("data.to", &self.to, ADDRESS_MAX)?;
        if let Some(content_type) = &self.content_type {
            check_text("data.content_type", content_type, 128)?;
        }
        if self.body.len() > MESSAGE_MAX {
            return Err(CommandError::bad_field("data.body", "too long").with("max", MESSAGE_MAX));
        }
        Ok(())
    }
}

fn check_list(field: &str, list: &[Text]) -> Result<(), CommandError> {
    if list.len() > LIST_MAX {
        return Err(CommandError::bad_field(field, "too many").with("max", LIST_MAX));
    }
    list.iter()
        .try_for_each(|text| check_text(field, text, ADDRESS_MAX))
}

/// A header that a dialog owns, or that names an identity, is never the agent's to set.
fn check_headers(headers: &BTreeMap<String, Text>) -> Result<(), CommandError> {
    const PERMITTED: [&str; 7] = [
        "subject",
        "user-to-user",
        "alert-info",
        "call-info",
        "priority",
        "accept-language",
        "reply-to",
    ];
    if headers.len() > HEADERS_MAX {
        return Err(CommandError::bad_field("data.headers", "too many").with("max", HEADERS_MAX));
    }
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let token = lower.len() <= 64
            && lower
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let permitted = lower.len() > 2 && lower.starts_with("x-") || PERMITTED.contains(&&*lower);
        if !token || !permitted {
            return Err(CommandError::bad_field("data.headers", "not permitted")
                .with("header", name.chars().take(64).collect::<String>()));
        }
        check_text("data.headers", value, HEADER_VALUE_MAX)?;
    }
    Ok(())
}

/// The reply to `register` and `heartbeat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// How long the agent lives without a heartbeat, in milliseconds.
    pub lease_ms: u64,
    /// When that is over.
    pub expires_at: Timestamp,
}

/// The reply to `originate`: the outcome is told by the call's events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Originated {
    /// The new call.
    pub call: CallRef,
    /// Its session.
    pub session: SessionId,
}

/// The reply to a command that has nothing more to say than that it was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {}
