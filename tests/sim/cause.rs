//! Whether a call says the truth about its end: what decided it is known, letter by letter.

use std::time::Duration;

use bus_schema::{Actor, CallEvent, CallState, CallVerb, Cause, EventName, Reason};
use engine::LegId;
use sip::{Failure, Method};

use crate::book::Facts;
use crate::call::{Stimulus, What};
use crate::world::{Wish, World};

/// Checks the cause of `ended` against what decided the call.
pub(crate) fn check(
    world: &World,
    events: &[&CallEvent],
    ended: &CallEvent,
    facts: Option<&Facts>,
    say: &mut dyn FnMut(String),
) {
    if ended.name != EventName::CallEnded {
        return;
    }
    let cause = &ended.data.cause;
    let epoch = ended.stamp.position.epoch;
    if cause.reason == Reason::Restart {
        let begins = events
            .iter()
            .rev()
            .find(|it| it.stamp.position.epoch == epoch);
        let recovered = events.iter().any(|event| {
            event.name == EventName::CallRecovered && event.stamp.position.epoch == epoch
        });
        if !recovered || begins.is_none() || world.book.outages.is_empty() {
            say("a restart that was none".into());
        }
        return;
    }
    let over = facts.and_then(|facts| facts.over.iter().find(|(life, _)| *life == epoch));
    let Some((_, stimulus)) = over else {
        return say("it ended, and nothing decided it".into());
    };
    let is_commanded = ended.data.call.agent.is_some();
    let told = truth(world, ended, stimulus, is_commanded);
    if let Err(expected) = told {
        say(format!(
            "{} {} {:?} {:?} is not true: {expected}; {stimulus:?}",
            cause.actor, cause.reason, cause.sip_status, cause.timer
        ));
    }
}

fn expect(is_so: bool, expected: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(expected()) }
}

/// What the cause must be, if it is not that.
fn truth(
    world: &World,
    ended: &CallEvent,
    stimulus: &Stimulus,
    is_commanded: bool,
) -> Result<(), String> {
    let cause = &ended.data.cause;
    let said = (cause.actor, cause.reason);
    let party = |leg: Option<LegId>| {
        let leg = leg.map_or(0, |leg| leg.0);
        let legs = &ended.data.call.legs;
        let at = legs.iter().position(|known| known.leg.0 == leg);
        party_of(ended, at, leg, is_commanded)
    };
    let is_answered = ended.data.call.answered_at.is_some();
    match &stimulus.what {
        What::Cancel => expect(said == (Actor::Caller, Reason::OriginatorCancel), || {
            "the caller gave up".into()
        }),
        What::Request(Method::Bye) => {
            let who = party(stimulus.leg);
            // A caller may end an early dialog by BYE; a callee has answered and hung up.
            let early = !is_commanded && !is_answered && who == Actor::Caller;
            let reason = match early {
                true => Reason::OriginatorCancel,
                false => Reason::NormalClearing,
            };
            expect(said == (who, reason), || format!("{who} hung up: {reason}"))
        }
        What::Command(command) => {
            let CallVerb::Hangup(hangup) = &command.data;
            let reason = hangup.reason.unwrap_or(Reason::NormalClearing);
            let agent = cause.agent.as_deref() == Some("boss");
            expect(said == (Actor::Agent, reason) && agent, || {
                format!("an agent ended it: {reason}")
            })
        }
        What::Response(method, status) => {
            of_response(stimulus, cause, *method, *status, party(stimulus.leg))
        }
        What::Failed(why) => of_failure(stimulus, cause, *why),
        What::FlowLost => expect(
            matches!(
                cause.reason,
                Reason::NetworkOutOfOrder
                    | Reason::SubscriberAbsent
                    | Reason::DestinationOutOfOrder
            ) || best_of(stimulus, cause),
            || "a connection broke".into(),
        ),
        What::Fault => expect(said == (Actor::System, Reason::Internal), || {
            "a bug of ours ended it".into()
        }),
        What::Begun => expect(
            matches!(
                cause.reason,
                Reason::InvalidNumber
                    | Reason::SubscriberAbsent
                    | Reason::NotPermitted
                    | Reason::NoRoute
            ) && cause.actor == Actor::System,
            || "it could not begin".into(),
        ),
        What::Planned(Some(status)) => {
            expect(cause.sip_status == Some(*status), || format!("{status}"))
        }
        What::Resolved(0) => expect(
            cause.reason == Reason::DestinationOutOfOrder || best_of(stimulus, cause),
            || "there is no such place".into(),
        ),
        What::Timeout => of_timer(world, ended, stimulus),
        What::Request(_) | What::Resolved(_) | What::Planned(None) | What::Other => {
            Err("nothing that ends a call".into())
        }
    }
}

/// Whose leg it is.
fn party_of(ended: &CallEvent, at: Option<usize>, leg: u16, is_commanded: bool) -> Actor {
    if !is_commanded {
        return if leg == 0 {
            Actor::Caller
        } else {
            Actor::Callee
        };
    }
    // The first party's forks come first, and nobody of the second is called before one answered.
    let legs = &ended.data.call.legs;
    let first = legs.iter().position(|leg| leg.answered_at.is_some());
    match (at, first) {
        (Some(at), Some(first)) if at > first => Actor::Callee,
        _ => Actor::Caller,
    }
}

fn of_response(
    stimulus: &Stimulus,
    cause: &Cause,
    method: Method,
    status: u16,
    party: Actor,
) -> Result<(), String> {
    let inside = stimulus
        .leg
        .is_some_and(|leg| stimulus.answered.contains(&leg));
    if (method != Method::Invite || inside) && status >= 300 {
        // To a request inside the call: 481 and 408 end it, and a refusal to be joined.
        return expect(
            cause.sip_status == Some(status) && cause.actor == party,
            || format!("{party} said {status}"),
        );
    }
    if status < 300 {
        return expect(
            matches!(
                cause.reason,
                Reason::IncompatibleMedia | Reason::ProtocolError
            ),
            || "an answer of no use".into(),
        );
    }
    expect(best_of(stimulus, cause) || is_ring(cause), || {
        format!("the best of {:?}", stimulus.refusals)
    })
}

/// Whether the cause is the best refusal there was (RFC 3261 16.7).
fn best_of(stimulus: &Stimulus, cause: &Cause) -> bool {
    let best = stimulus.refusals.iter().min_by_key(|status| rank(**status));
    let Some(status) = cause.sip_status else {
        return false;
    };
    let is_theirs = best == Some(&status) && cause.reason == Reason::from_sip(status);
    let ours = matches!(
        (status, cause.reason),
        (408, Reason::NoUserResponse | Reason::NoAnswer)
            | (480, Reason::NoAnswer | Reason::SubscriberAbsent)
            | (502, Reason::DestinationOutOfOrder)
    );
    is_theirs || (ours && best.is_none_or(|best| rank(status) <= rank(*best)))
}

fn rank(status: u16) -> u16 {
    match status {
        600.. => 0,
        300..=399 => 1,
        415 | 420 | 484 | 488 => 2,
        486 | 480 => 3,
        401 | 407 => 6,
        408 => 5,
        400..=499 => 4,
        _ => 7,
    }
}

fn is_ring(cause: &Cause) -> bool {
    cause.timer.as_deref() == Some("ring") && cause.reason == Reason::NoAnswer
}

fn of_failure(stimulus: &Stimulus, cause: &Cause, why: Failure) -> Result<(), String> {
    let is_so = match why {
        Failure::Timeout => cause.reason == Reason::NoUserResponse,
        Failure::Unreachable => matches!(
            cause.reason,
            Reason::SubscriberAbsent | Reason::DestinationOutOfOrder | Reason::NetworkOutOfOrder
        ),
        Failure::NoRoom => cause.reason == Reason::Congestion,
    };
    expect(is_so || best_of(stimulus, cause) || is_ring(cause), || {
        format!("a request came to nothing: {why:?}")
    })
}

/// How long each party may ring, if an agent said.
fn commanded_ring(world: &World, ended: &CallEvent) -> Option<Duration> {
    let id = ended.stamp.causation_id.as_deref()?;
    let number = id.strip_prefix("cmd-")?.parse().ok()?;
    match world.book.wishes.get(&number)?.wish {
        Wish::Originate { ring, .. } => ring,
        Wish::Hangup(_) => None,
    }
}

fn of_timer(world: &World, ended: &CallEvent, stimulus: &Stimulus) -> Result<(), String> {
    let cause = &ended.data.cause;
    let timeouts = world.ground.timeouts;
    let call = &ended.data.call;
    let unix = stimulus.at.unix_ms;
    let passed = |since: u64| Duration::from_millis(unix.saturating_sub(since));
    if cause.reason == Reason::SystemShutdown {
        return expect(world.weather.drain.is_some(), || "nobody drains".into());
    }
    let is_so = match cause.timer.as_deref() {
        Some("ring") => {
            let least = commanded_ring(world, ended).unwrap_or(timeouts.ring);
            stimulus.state != CallState::InProgress && passed(call.created_at.0) >= least
        }
        Some("max_duration") => call
            .answered_at
            .is_some_and(|at| passed(at.0) >= timeouts.call),
        Some("ack") => passed(call.created_at.0) >= Duration::from_secs(32),
        Some("join") => passed(call.created_at.0) >= Duration::from_secs(24),
        Some("timer_c") => passed(call.created_at.0) >= timeouts.timer_c,
        _ => best_of(stimulus, cause),
    };
    expect(is_so, || "time was not up".into())
}
