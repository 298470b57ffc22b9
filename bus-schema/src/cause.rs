//! Why something happened: carried by every event.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cause_table;
use crate::text::Text;
use crate::word::vocabulary;

vocabulary! {
    /// Who made it happen.
    pub enum Actor {
        /// The party that called.
        Caller = "caller",
        /// The party that was called.
        Callee = "callee",
        /// An agent, by a command.
        Agent = "agent",
        /// An agent in a supervisor's role, by a command.
        Supervisor = "supervisor",
        /// A person or device that registers.
        User = "user",
        /// Whoever administers the adapter.
        Operator = "operator",
        /// The adapter itself.
        System = "system",
        /// A policy, ours or a guard's.
        Policy = "policy",
        /// A trunk's far end.
        Carrier = "carrier",
        /// A timer; `timer` names it.
        Timer = "timer",
    }
}

vocabulary! {
    /// What happened, in one word. Those that end a call have a Q.850 cause and a SIP status in
    /// the cause table.
    pub enum Reason {
        /// A command or a request asked for it.
        Requested = "requested",
        /// The far end said how it is getting on (a provisional response).
        Progress = "progress",
        /// The far end answered.
        Answered = "answered",
        /// Offer and answer were exchanged again (re-INVITE, UPDATE).
        Renegotiated = "renegotiated",
        /// State was taken up again after a restart or a takeover.
        Recovered = "recovered",
        /// The process came up.
        Started = "started",
        /// Its time ran out without a refresh.
        Expired = "expired",
        /// The connection it depended on is gone.
        FlowLost = "flow_lost",
        /// A newer one took its place.
        Replaced = "replaced",
        /// Credentials were missing or wrong.
        Unauthorized = "unauthorized",
        /// A limit on a rate was passed.
        RateLimited = "rate_limited",
        /// The bus was out of reach.
        BusLost = "bus_lost",

        /// A party hung up.
        NormalClearing = "normal_clearing",
        /// The callee is busy.
        Busy = "busy",
        /// The callee's equipment did not respond.
        NoUserResponse = "no_user_response",
        /// It rang and nobody answered.
        NoAnswer = "no_answer",
        /// The callee is not registered.
        SubscriberAbsent = "subscriber_absent",
        /// The callee declined.
        Rejected = "rejected",
        /// The number is no longer in use.
        NumberChanged = "number_changed",
        /// The callee is elsewhere (3xx).
        Redirected = "redirected",
        /// Another of the forked legs answered.
        AnsweredElsewhere = "answered_elsewhere",
        /// The callee's equipment cannot be reached.
        DestinationOutOfOrder = "destination_out_of_order",
        /// There is no such number.
        InvalidNumber = "invalid_number",
        /// No route leads there.
        NoRoute = "no_route",
        /// Ended, and nothing more is known.
        NormalUnspecified = "normal_unspecified",
        /// No capacity on the way.
        Congestion = "congestion",
        /// The network failed.
        NetworkOutOfOrder = "network_out_of_order",
        /// A failure that may pass.
        TemporaryFailure = "temporary_failure",
        /// The caller may not call there.
        NotPermitted = "not_permitted",
        /// No common codec or media transport.
        IncompatibleMedia = "incompatible_media",
        /// A protocol timer ran out; `timer` names it.
        TimerExpired = "timer_expired",
        /// A message broke the protocol.
        ProtocolError = "protocol_error",
        /// The far end's status has no better word.
        Interworking = "interworking",
        /// The caller gave up before the answer.
        OriginatorCancel = "originator_cancel",
        /// The call went on elsewhere by a transfer.
        Transferred = "transferred",
        /// The longest allowed duration was reached.
        MaxDuration = "max_duration",
        /// No media arrived for too long.
        MediaTimeout = "media_timeout",
        /// The trunk is down.
        GatewayDown = "gateway_down",
        /// SRTP could not be set up or read.
        SrtpError = "srtp_error",
        /// The callee does not want such calls (607, 608).
        Unwanted = "unwanted",
        /// The caller's identity is missing, invalid or stale (STIR).
        IdentityFailed = "identity_failed",
        /// The adapter is being shut down or drained.
        SystemShutdown = "system_shutdown",
        /// The adapter came up again after a crash and could not keep the call.
        Restart = "restart",
        /// A takeover could not reach the parties.
        FailoverTimeout = "failover_timeout",
        /// A fault in the adapter.
        Internal = "internal",
        /// The agent that held the call is gone.
        AgentLost = "agent_lost",
        /// A limit on calls at once was reached.
        ConcurrencyLimit = "concurrency_limit",
        /// A policy said no.
        PolicyDenied = "policy_denied",
        /// An approval that was needed was refused.
        ApprovalDenied = "approval_denied",
        /// Nothing was heard for too long.
        Inactivity = "inactivity",
    }
}

impl Reason {
    /// The Q.850 cause number of a reason that ends a call.
    pub fn q850(self) -> Option<u8> {
        cause_table::row(self).and_then(|row| row.q850)
    }

    /// The final status that refuses an INVITE for this reason, where there is one.
    pub fn sip_status(self) -> Option<u16> {
        cause_table::row(self).and_then(|row| row.sip_status)
    }

    /// The reason a far end's final status of 300 to 699 gives.
    pub fn from_sip(status: u16) -> Self {
        cause_table::reason_of_status(status)
    }

    /// The reason a Q.850 cause number gives, as in a `Reason: Q.850` header.
    pub fn from_q850(cause: u8) -> Self {
        cause_table::reason_of_q850(cause)
    }
}

/// Why: who, what, and every layer's own word for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// Who made it happen.
    pub actor: Actor,
    /// What happened.
    pub reason: Reason,
    /// The name of the agent, where the actor is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Text>,
    /// The command that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<Text>,
    /// The SIP status that said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// The Q.850 cause (ITU-T Q.850), from the wire or the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q850: Option<u8>,
    /// The timer that fired, by the name its RFC gives it (`timer_b`, `timer_c`,
    /// `session_expires`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<Text>,
    /// The policy or rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Text>,
    /// The far end's own words: reason phrase or `Reason` header text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
}

impl Cause {
    /// A cause with the Q.850 number of its reason and nothing else.
    pub fn new(actor: Actor, reason: Reason) -> Self {
        Self {
            actor,
            reason,
            agent: None,
            command_id: None,
            sip_status: None,
            q850: reason.q850(),
            timer: None,
            policy: None,
            text: None,
        }
    }

    /// What a SIP status of the far end says: 1xx is progress, 2xx an answer, others by the table.
    pub fn of_status(actor: Actor, status: u16) -> Self {
        let reason = match status {
            0..=199 => Reason::Progress,
            200..=299 => Reason::Answered,
            _ => Reason::from_sip(status),
        };
        Self {
            sip_status: Some(status),
            q850: if status < 300 {
                None
            } else {
                cause_table::q850_of_status(status).or_else(|| reason.q850())
            },
            ..Self::new(actor, reason)
        }
    }

    /// What an agent's command asked for.
    pub fn command(agent: impl Into<Text>, command_id: Option<Text>, reason: Reason) -> Self {
        Self {
            agent: Some(agent.into()),
            command_id,
            ..Self::new(Actor::Agent, reason)
        }
    }

    /// A timer that ran out, by the name its RFC gives it.
    pub fn timer(timer: impl Into<Text>, reason: Reason) -> Self {
        Self {
            timer: Some(timer.into()),
            ..Self::new(Actor::Timer, reason)
        }
    }

    /// The same with the SIP status that was sent or received.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.sip_status = Some(status);
        self
    }

    /// The same with the far end's own words.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Text>) -> Self {
        self.text = Some(text.into());
        self
    }
}
