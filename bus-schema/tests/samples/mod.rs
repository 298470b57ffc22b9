//! One sample of every message of the contract, built from the types.

#![allow(dead_code, reason = "each test binary takes the samples it needs")]

mod bans;
mod explain;
mod replies;
mod trace;

use std::collections::BTreeMap;

use bus_schema::*;
use serde::Serialize;

/// A message in both encodings, and how it is read.
pub(crate) struct Sample {
    /// The name of its schema.
    pub(crate) schema: String,
    /// The name of its example.
    pub(crate) name: String,
    pub(crate) json: Vec<u8>,
    pub(crate) msgpack: Vec<u8>,
    pub(crate) decode: fn(Encoding, &[u8]) -> Result<(), String>,
}

const BEGIN: u64 = 1_795_253_400_000;
const CALL: CallRef = CallRef::mint(7, BEGIN, 0x1234_5678_9abc_def0_1234);

fn at(ms: u64) -> Timestamp {
    Timestamp(BEGIN + ms)
}

fn t(text: &str) -> Text {
    text.into()
}

pub(crate) fn source() -> Source {
    Source::new("default", "n1")
}

pub(crate) fn leg(name: u16, state: LegState, answered: Option<u64>, ended: Option<u64>) -> Leg {
    let (uri, aor, direction) = if name == 0 {
        (
            "sip:1001@example.test",
            "1001@example.test",
            Direction::Inbound,
        )
    } else {
        (
            "sip:1002@192.0.2.7:5062",
            "1002@example.test",
            Direction::Outbound,
        )
    };
    Leg {
        leg: LegName(name),
        state,
        direction,
        hold: Hold::None,
        uri: t(uri),
        aor: Some(t(aor)),
        trunk: None,
        sip_call_id_hash: call_id_hash(&format!("call-id-{name}")).into(),
        answered_at: answered.map(at),
        ended_at: ended.map(at),
        sip_status: None,
    }
}

pub(crate) fn snapshot(state: CallState) -> CallSnapshot {
    let rang = (state >= CallState::Ringing).then(|| at(180));
    let answered = matches!(state, CallState::InProgress | CallState::Completed).then_some(4210);
    let ended = state.is_terminal().then_some(64_210);
    let leg_state = match (answered, ended, rang) {
        (_, Some(_), _) => LegState::Terminated,
        (Some(_), ..) => LegState::Confirmed,
        (.., Some(_)) => LegState::Early,
        _ => LegState::Trying,
    };
    CallSnapshot {
        call: CALL,
        session: CALL.into(),
        state,
        direction: Direction::Internal,
        from: Party {
            uri: t("sip:1001@example.test"),
            display: Some(t("Ada")),
        },
        to: Party {
            uri: t("sip:1002@example.test"),
            display: None,
        },
        hold: Hold::None,
        legs: vec![
            leg(0, leg_state, answered, ended),
            leg(1, leg_state, answered, ended),
        ],
        agent: None,
        trace_id: None,
        created_at: at(0),
        ringing_at: rang,
        answered_at: answered.map(at),
        ended_at: ended.map(at),
    }
}

pub(crate) fn call_event(name: EventName) -> CallEvent {
    use EventName as E;
    let (state, cause, seq, ms, leg) = match name {
        E::CallCreated => {
            let cause = Cause::new(Actor::Caller, Reason::Requested);
            (CallState::Initiated, cause, 1, 0, None)
        }
        E::CallRinging => {
            let cause = Cause::of_status(Actor::Callee, 180);
            (CallState::Ringing, cause, 2, 180, Some(1))
        }
        E::CallEarlyMedia => {
            let cause = Cause::of_status(Actor::Callee, 183);
            (CallState::EarlyMedia, cause, 3, 900, Some(1))
        }
        E::CallAnswered => {
            let cause = Cause::of_status(Actor::Callee, 200);
            (CallState::InProgress, cause, 4, 4210, Some(1))
        }
        E::CallHeld | E::CallUnheld | E::CallUpdated => {
            let cause = Cause::new(Actor::Callee, Reason::Renegotiated);
            (CallState::InProgress, cause, 5, 20_000, Some(1))
        }
        E::CallRecovered => {
            let cause = Cause::new(Actor::System, Reason::Recovered);
            (CallState::InProgress, cause, 1, 30_000, None)
        }
        _ => {
            let cause = Cause::command("desk", Some(t("cmd-7")), Reason::NormalClearing);
            (CallState::Completed, cause, 8, 64_210, None)
        }
    };
    let mut call = snapshot(state);
    if name == E::CallHeld {
        call.hold = Hold::Remote;
        call.legs[1].hold = Hold::Remote;
    }
    let recovered = name == E::CallRecovered;
    Event {
        name,
        stamp: Stamp {
            at: at(ms),
            position: Position {
                epoch: if recovered { 4 } else { 3 },
                seq,
            },
            offset_ms: ms,
            causation_id: (name == E::CallEnded).then(|| t("cmd-7")),
            traceparent: None,
        },
        leg: leg.map(LegName),
        data: CallData {
            call,
            cause,
            after: recovered.then_some(Position { epoch: 3, seq: 5 }),
            protected: true,
        },
    }
}

fn registration() -> Registration {
    Registration {
        aor: t("1001@example.test"),
        contact: t("sip:1001@192.0.2.6:5060"),
        transport: t("udp"),
        source: Some(t("192.0.2.6:5060")),
        instance: Some(t("urn:uuid:00000000-0000-1000-8000-000a95a0e128")),
        reg_id: Some(1),
        q_milli: Some(1000),
        user_agent: Some(t("phone/1.0")),
        bound_at: Some(at(0)),
        expires_at: at(3_600_000),
    }
}

fn agent() -> AgentSnapshot {
    AgentSnapshot {
        agent: t("desk"),
        aors: vec![t("6000@example.test")],
        capabilities: vec![t("speech")],
        capacity: Some(4),
        registered_at: at(0),
        expires_at: at(30_000),
    }
}

fn node(state: NodeState) -> NodeSnapshot {
    NodeSnapshot {
        node: t("n1"),
        version: t("0.1.0"),
        state,
        epoch: 3,
        started_at: at(0),
        shards: 64,
        calls: 2,
        registrations: 120,
    }
}

fn other<D>(name: EventName, data: D) -> Event<D> {
    Event {
        name,
        stamp: Stamp {
            at: at(0),
            position: Position { epoch: 3, seq: 41 },
            offset_ms: 0,
            causation_id: None,
            traceparent: None,
        },
        leg: None,
        data,
    }
}

fn event<D: EventData>(event: &Event<D>) -> Sample {
    let encoded = |encoding| {
        let mut out = Vec::new();
        event.encode_into(&source(), encoding, &mut out).unwrap();
        out
    };
    Sample {
        schema: format!("evt.{}", event.name),
        name: format!("evt.{}", event.name),
        json: encoded(Encoding::Json),
        msgpack: encoded(Encoding::MsgPack),
        decode: |encoding, bytes| match Received::decode(encoding, bytes) {
            Ok(Received::Other(envelope)) => Err(format!("unknown type {}", envelope.kind)),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn events() -> Vec<Sample> {
    use EventName as E;
    EventName::ALL
        .iter()
        .map(|&name| match name {
            E::CallCreated
            | E::CallRinging
            | E::CallEarlyMedia
            | E::CallAnswered
            | E::CallHeld
            | E::CallUnheld
            | E::CallUpdated
            | E::CallEnded
            | E::CallRecovered => event(&call_event(name)),
            E::RegBound
            | E::RegRefreshed
            | E::RegExpired
            | E::RegRemoved
            | E::RegLost
            | E::RegRejected => {
                let (actor, reason, bindings) = match name {
                    E::RegExpired => (Actor::Timer, Reason::Expired, 0),
                    E::RegLost => (Actor::System, Reason::FlowLost, 0),
                    E::RegRemoved => (Actor::User, Reason::Requested, 0),
                    E::RegRejected => (Actor::System, Reason::Unauthorized, 1),
                    _ => (Actor::User, Reason::Requested, 1),
                };
                event(&other(
                    name,
                    RegData {
                        registration: registration(),
                        bindings,
                        count: (name == E::RegRejected).then_some(3),
                        cause: Cause::new(actor, reason),
                    },
                ))
            }
            E::AgentRegistered | E::AgentUnregistered | E::AgentLost => {
                let cause = match name {
                    E::AgentLost => Cause::timer("lease", Reason::Expired),
                    _ => Cause::command("desk", Some(t("cmd-1")), Reason::Requested),
                };
                let agent = agent();
                event(&other(name, AgentData { agent, cause }))
            }
            E::NodeUp | E::NodeDraining | E::NodeDown => {
                let (state, actor, reason) = match name {
                    E::NodeUp => (NodeState::Up, Actor::System, Reason::Started),
                    E::NodeDraining => (NodeState::Draining, Actor::Operator, Reason::Requested),
                    _ => (NodeState::Down, Actor::Operator, Reason::SystemShutdown),
                };
                let cause = Cause::new(actor, reason);
                let node = node(state);
                event(&other(name, NodeData { node, cause }))
            }
            E::BusGap => event(&other(
                name,
                BusData {
                    gap: BusGap {
                        node: t("n1"),
                        since: at(0),
                        until: at(5000),
                        delayed: 12,
                        dropped: 0,
                    },
                    cause: Cause::new(Actor::System, Reason::BusLost),
                },
            )),
            E::SecurityAuthFailed
            | E::SecurityRateLimited
            | E::SecurityMalformed
            | E::SecurityNotPermitted
            | E::SecurityBan
            | E::SecurityUnban
            | E::SecurityCertificate => event(&other(
                name,
                SecurityData {
                    incident: Incident {
                        severity: Severity::Warn,
                        source: Some(t("198.51.100.9")),
                        transport: Some(t("udp")),
                        aor: Some(t("1001@example.test")),
                        count: 5,
                        until: (name == E::SecurityBan).then(|| at(600_000)),
                    },
                    cause: Cause::new(Actor::System, Reason::Unauthorized),
                },
            )),
        })
        .collect()
}

fn encoded<T: Serialize>(value: &T) -> (Vec<u8>, Vec<u8>) {
    (
        Encoding::Json.encode(value).unwrap(),
        Encoding::MsgPack.encode(value).unwrap(),
    )
}

fn command<V: Serialize>(
    family: &str,
    word: &str,
    command: &Command<V>,
    decode: fn(Encoding, &[u8]) -> Result<(), String>,
) -> Sample {
    let (json, msgpack) = encoded(command);
    Sample {
        schema: format!("cmd.{family}.{word}"),
        name: format!("cmd.{family}.{word}"),
        json,
        msgpack,
        decode,
    }
}

/// A sample whose verb's decoder is the family's own, with the word fixed.
macro_rules! sample {
    ($samples:ident, $Verb:ident, $family:literal, $word:literal, $command:expr) => {
        $samples.push(command($family, $word, &$command, |encoding, bytes| {
            $Verb::decode($word, encoding, bytes)
                .map(|_| ())
                .map_err(|error| error.to_string())
        }))
    };
}

fn commands() -> Vec<Sample> {
    let mut samples = Vec::new();
    let register = Register {
        aors: vec![t("6000@example.test")],
        capabilities: vec![t("speech")],
        capacity: Some(4),
        lease_ms: Some(30_000),
    };
    sample!(
        samples,
        AgentVerb,
        "agent",
        "register",
        Command::new(register).with_id("cmd-1")
    );
    sample!(
        samples,
        AgentVerb,
        "agent",
        "unregister",
        Command::new(Unregister {})
    );
    sample!(
        samples,
        AgentVerb,
        "agent",
        "heartbeat",
        Command::new(Heartbeat {})
    );
    let originate = Originate {
        from: t("1001@example.test"),
        to: t("1002@example.test"),
        display: Some(t("Click to call")),
        headers: BTreeMap::from([("X-Case".to_owned(), t("4711"))]),
        timeout_ms: Some(30_000),
        trace_id: Some(t("5f2d9c3a71e4")),
        session: None,
    };
    let mut frame = Command::new(originate).with_id("cmd-2");
    frame.idempotency_key = Some(t("case-4711-first-try"));
    frame.deadline_ms = Some(BEGIN + 5000);
    sample!(samples, AgentVerb, "agent", "originate", frame);
    let message = SendMessage {
        from: t("6000@example.test"),
        to: t("1001@example.test"),
        content_type: None,
        body: t("Your appointment is at ten."),
    };
    sample!(
        samples,
        AgentVerb,
        "agent",
        "message",
        Command::new(message).with_id("cmd-3")
    );
    let hangup = Hangup {
        reason: Some(Reason::NormalClearing),
        sip_status: None,
        text: Some(t("handled")),
    };
    let mut frame = Command::new(hangup).with_id("cmd-7");
    frame.if_state = Some(CallState::InProgress);
    frame.if_seq = Some(4);
    frame.if_epoch = Some(3);
    sample!(samples, CallVerb, "call", "hangup", frame);
    let calls = QueryCalls {
        state: Some(CallState::InProgress),
        limit: Some(100),
        ..QueryCalls::default()
    };
    sample!(samples, QueryVerb, "query", "calls", Command::new(calls));
    let call = QueryCall { call: Some(CALL) };
    sample!(samples, QueryVerb, "query", "call", Command::new(call));
    let registrations = QueryRegistrations {
        aor: Some(t("1001@example.test")),
        ..QueryRegistrations::default()
    };
    sample!(
        samples,
        QueryVerb,
        "query",
        "registrations",
        Command::new(registrations)
    );
    sample!(
        samples,
        QueryVerb,
        "query",
        "agents",
        Command::new(QueryAgents {})
    );
    sample!(
        samples,
        QueryVerb,
        "query",
        "nodes",
        Command::new(QueryNodes {})
    );
    sample!(
        samples,
        QueryVerb,
        "query",
        "bans",
        Command::new(QueryBans {})
    );
    let explain = Command::new(explain::question());
    sample!(samples, QueryVerb, "query", "route.explain", explain);
    let trace = Command::new(trace::question());
    sample!(samples, QueryVerb, "query", "trace", trace);
    let node = Some(t("n1"));
    let reload = Command::new(Reload { node });
    sample!(samples, AdminVerb, "admin", "reload", reload);
    let drain = Drain {
        node: Some(t("n1")),
        within_ms: Some(600_000),
    };
    sample!(samples, AdminVerb, "admin", "drain", Command::new(drain));
    let ban = Command::new(bans::ban());
    sample!(samples, AdminVerb, "admin", "ban", ban);
    let unban = Command::new(bans::unban());
    sample!(samples, AdminVerb, "admin", "unban", unban);
    samples
}

/// One sample of every message.
pub(crate) fn all() -> Vec<Sample> {
    let mut samples = commands();
    samples.extend(replies::replies());
    samples.extend(events());
    samples
}
