//! What a call begins with.

use std::sync::Arc;
use std::time::Duration;

use bus_schema::{SessionId, Text};
use sip::{Message, ServerId};

use super::redirect::Redirects;
use crate::hop::{Hop, Listeners};
use crate::key::CallKey;
use crate::route::Plan;
use crate::token::TokenKey;

/// What all calls of a tenant on a node share.
#[derive(Clone, Debug)]
pub struct Home {
    /// Rises at every start and takeover; part of every event's position.
    pub epoch: u64,
    /// Our listeners, for Via and Contact.
    pub listeners: Listeners,
    /// What tags, branches and Call-IDs are signed with.
    pub tokens: TokenKey,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What is done with a callee that is elsewhere.
    pub redirects: Redirects,
    /// Whether an INVITE too large for a datagram is tried over TCP first (RFC 3261 18.1.1).
    pub large_over_tcp: bool,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long each group of targets may ring.
    pub ring: Duration,
    /// Timer C (RFC 3261 16.6): how long an INVITE may stay without news, more than 3 minutes.
    pub timer_c: Duration,
    /// How long an answered call may last.
    pub call: Duration,
    /// The session timer (RFC 4028) we ask for where nobody does; none if `None`.
    pub session: Option<Duration>,
    /// The shortest session timer we grant, 90 s at least.
    pub session_min: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            ring: Duration::from_secs(60),
            timer_c: Duration::from_secs(181),
            call: Duration::from_secs(12 * 3600),
            session: None,
            session_min: Duration::from_secs(90),
        }
    }
}

/// A call about to be.
#[derive(Debug)]
pub struct Setup {
    /// Its name.
    pub key: CallKey,
    /// What it shares with others.
    pub home: Arc<Home>,
    /// Random bits, for this call only.
    pub entropy: u64,
    /// Who wants it.
    pub origin: Origin,
}

/// Who wants a call.
#[derive(Debug)]
pub enum Origin {
    /// A caller's INVITE.
    Inbound(Box<Inbound>),
    /// An agent's command.
    Originate(Box<Originate>),
}

/// A caller's INVITE, authenticated and planned.
#[derive(Debug)]
pub struct Inbound {
    /// Its transaction on leg `a`.
    pub server: ServerId,
    /// The INVITE.
    pub message: Message,
    /// Where it came from and what the caller is talked to by.
    pub hop: Hop,
    /// The caller's address-of-record if it is a user of ours.
    pub aor: Option<Arc<str>>,
    /// Whether identity headers from there are believed.
    pub trusted: bool,
    /// Where to look for the callee, or why not to.
    pub plan: Plan,
}

/// An INVITE, authenticated, that asks to take the place of a party (RFC 3891).
#[derive(Debug)]
pub struct Replacement {
    /// Its transaction, on [`Call::next_leg`](crate::Call::next_leg).
    pub server: ServerId,
    /// The INVITE.
    pub message: Message,
    /// Where it came from and what the newcomer is talked to by.
    pub hop: Hop,
    /// The newcomer's address-of-record if it is a user of ours.
    pub aor: Option<Arc<str>>,
}

/// A command to call two parties and join them (RFC 3725).
#[derive(Debug)]
pub struct Originate {
    /// The agent.
    pub agent: Text,
    /// The command, for causes.
    pub command_id: Text,
    /// W3C trace context to be copied into events.
    pub traceparent: Option<Text>,
    /// The `X-IF-Trace-ID` of what led to it; both parties' INVITEs carry it.
    pub trace_id: Option<Text>,
    /// The logical call that this one continues; a new one if `None`.
    pub session: Option<SessionId>,
    /// More headers of both parties' INVITEs, name and value, already found harmless.
    pub headers: Vec<(Text, Text)>,
    /// How long each party may ring; [`Timeouts::ring`] if `None`.
    pub ring: Option<Duration>,
    /// Rung first.
    pub first: Party,
    /// Where to look for the first party, or why not to.
    pub plan: Plan,
    /// Rung when the first has answered, by a plan made then
    /// ([`Output::Plan`](crate::Output::Plan)).
    pub second: Party,
}

/// One party of an originated call.
#[derive(Debug)]
pub struct Party {
    /// Its URI, as the other party sees it in From.
    pub uri: Text,
    /// Its name, as the other party sees it.
    pub display: Option<Text>,
}
