//! What must be true of every run, whatever went wrong in it.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_schema::{Actor, CallEvent, CallRef, CallState, EventName, Reason};
use engine::CallKey;
use sip::{Failure, Method};

use crate::book::Wished;
use crate::cause;
use crate::phone::{Asked, Phone, Session};
use crate::world::{Wish, World};

/// 64*T1, and what a late timer or a slow way adds.
const REQUEST: Duration = Duration::from_secs(40);

/// A BYE may have to wait for an ACK that never comes, and may be late itself.
const TOLD: Duration = Duration::from_secs(80);

/// An arbiter that pauses hears that late.
const PAUSE: Duration = Duration::from_secs(2);

/// Everything that is wrong with a world that has come to rest.
pub(crate) fn check(world: &World) -> Vec<String> {
    let mut wrong = world.book.failures.clone();
    match &world.node {
        Some(node) => wrong.extend(node.residue().into_iter().map(|it| format!("left: {it}"))),
        None => wrong.push("the node is not there".into()),
    }
    for (key, _) in world.disk.records() {
        wrong.push(format!("left: the record of {key}"));
    }
    of_agents(world, &mut wrong);
    for phone in &world.phones {
        of_phone(world, phone, &mut wrong);
    }
    of_calls(world, &mut wrong);
    wrong
}

// ---- agents

fn of_agents(world: &World, wrong: &mut Vec<String>) {
    for (number, wished) in &world.book.wishes {
        let Wished {
            wish,
            life,
            replies,
            accepted,
        } = wished;
        let survived = *life == world.epoch();
        if *replies != 1 && (survived || *replies != 0) {
            wrong.push(format!("command {number} {wish:?} got {replies} replies"));
        }
        let id = format!("cmd-{number}");
        let made = world.disk.journal.iter().filter(|event| {
            event.name == EventName::CallCreated
                && event.data.cause.command_id.as_deref() == Some(&id)
        });
        let expected = usize::from(*accepted && matches!(wish, Wish::Originate { .. }));
        let made = made.count();
        if made != expected && (survived || made > expected) {
            wrong.push(format!("command {number} {wish:?} made {made} calls"));
        }
    }
}

// ---- phones

fn of_phone(world: &World, phone: &Phone, wrong: &mut Vec<String>) {
    if phone.dead {
        return;
    }
    let name = format!("p{}", phone.index);
    let lossless = world.weather.is_lossless();
    let left = phone.residue();
    wrong.extend(
        left.into_iter()
            .map(|it| format!("{name} is left with {it}")),
    );
    for session in &phone.sessions {
        of_session(world, phone, session, wrong);
    }
    for asked in phone.asked.values() {
        let what = format!(
            "{name}: {} {} of {}",
            asked.cseq, asked.method, asked.call_id
        );
        match asked.outcomes[..] {
            [Ok(_)] => {}
            [Err(_)] if lossless && asked.is_first_invite() => {
                wrong.push(format!("{what} got no answer"));
            }
            [Err(why)] if is_excused(world, phone, asked, why) => {}
            [] => wrong.push(format!("{what} came to no end")),
            _ => wrong.push(format!("{what} ended with {:?}", asked.outcomes)),
        }
    }
}

/// Who talks is told when the call has ended: nobody is left talking to nobody.
fn of_session(world: &World, phone: &Phone, session: &Session, wrong: &mut Vec<String>) {
    let tokens = &world.ground.tokens;
    let (true, Some(over_at)) = (session.up, session.over_at) else {
        return;
    };
    let Some(key) = world.book.call_of(&session.call_id, tokens) else {
        return;
    };
    let facts = world.book.calls.get(&key);
    let ends = facts.into_iter().flat_map(|facts| &facts.over);
    let Some(ended_at) = ends.map(|(_, stimulus)| stimulus.at.mono).min() else {
        return;
    };
    let excused = world.book.has_lost(&session.call_id, tokens)
        || world.book.was_away(ended_at, ended_at + TOLD)
        // Whose connection is gone cannot be told.
        || world.book.has_broken(phone.index, ended_at - PAUSE, ended_at + TOLD);
    if over_at > ended_at + TOLD && !excused {
        let (name, call_id) = (phone.index, &session.call_id);
        wrong.push(format!("p{name} was not told that {call_id} had ended"));
    }
}

/// Whether a request had a reason not to be answered: something of its call was lost, the process
/// was away, or somebody in the call has gone silent.
fn is_excused(world: &World, phone: &Phone, asked: &Asked, why: Failure) -> bool {
    let tokens = &world.ground.tokens;
    if why == Failure::NoRoom {
        return false;
    }
    if world.book.has_lost(&asked.call_id, tokens) {
        return true;
    }
    let lasts = match asked.method {
        // An INVITE that got its 100 waits for as long as a phone has patience.
        Method::Invite => Duration::from_secs(700),
        _ => REQUEST,
    };
    if world.book.was_away(asked.at, asked.at + lasts) {
        return true;
    }
    let key = world.book.call_of(&asked.call_id, tokens);
    let facts = key.and_then(|key| world.book.calls.get(&key));
    let mut others = facts
        .into_iter()
        .flat_map(|facts| facts.legs.values().flatten().flatten())
        .filter(|index| **index != phone.index);
    // The node always answers a first INVITE and a BYE itself.
    let passed_on = asked.is_passed_on();
    passed_on && others.any(|index| world.phones[*index].dead)
}

// ---- calls

fn of_calls(world: &World, wrong: &mut Vec<String>) {
    let mut calls: BTreeMap<CallRef, Vec<&CallEvent>> = BTreeMap::new();
    for event in &world.disk.journal {
        calls.entry(event.data.call.call).or_default().push(event);
    }
    for (call, events) in &calls {
        let mut say = |what: String| wrong.push(format!("{call}: {what}"));
        of_events(events, &mut say);
        if let Some(ended) = events.last() {
            let facts = world.book.calls.get(&CallKey::from(*call));
            cause::check(world, events, ended, facts, &mut say);
            of_caller(world, ended, &mut say);
        }
    }
}

/// What the bus was told of a call is what its caller heard.
fn of_caller(world: &World, ended: &CallEvent, say: &mut dyn FnMut(String)) {
    let (call, cause) = (&ended.data.call, &ended.data.cause);
    let key = CallKey::from(call.call);
    if call.agent.is_some() || matches!(cause.reason, Reason::Restart | Reason::NetworkOutOfOrder) {
        return;
    }
    if world.book.was_struck(key) {
        // A panic may cost the very answer: 500 stands in for it.
        return;
    }
    let tokens = &world.ground.tokens;
    let asked = world.phones.iter().flat_map(|phone| phone.asked.values());
    let finals = asked.filter(|asked| {
        asked.is_first_invite() && world.book.call_of(&asked.call_id, tokens) == Some(key)
    });
    let expected = match cause.sip_status {
        _ if call.answered_at.is_some() => 200,
        Some(401 | 407) => 403,
        // A far end's 503 would make the caller avoid us.
        Some(503) if cause.actor != Actor::System => 500,
        Some(status) => status,
        None => cause.reason.sip_status().unwrap_or(480),
    };
    for asked in finals {
        match asked.outcomes[..] {
            [Ok(status)] if status != expected && status != 407 => {
                say(format!("the caller heard {status}, not {expected}"));
            }
            _ => {}
        }
    }
}

fn of_events(events: &[&CallEvent], say: &mut dyn FnMut(String)) {
    let ended = |event: &&&CallEvent| event.name == EventName::CallEnded;
    let ends = events.iter().filter(ended).count();
    if ends != 1 {
        say(format!("{ends} terminal events"));
    }
    if events
        .last()
        .is_some_and(|last| last.name != EventName::CallEnded)
    {
        say("its last event is not its end".into());
    }
    let mut before: Option<&CallEvent> = None;
    for event in events {
        of_event(before, event, say);
        before = Some(event);
    }
}

fn of_event(before: Option<&CallEvent>, event: &CallEvent, say: &mut dyn FnMut(String)) {
    let at = event.stamp.position;
    let name = event.name;
    let is_new = before.is_none_or(|before| before.stamp.position.epoch < at.epoch);
    let last = before.map_or(0, |before| before.stamp.position.seq);
    match is_new {
        true if at.seq != 1 => say(format!("epoch {} begins with {}", at.epoch, at.seq)),
        false if at.seq != last + 1 => say(format!("{} follows {last}", at.seq)),
        _ => {}
    }
    let begins = matches!(name, EventName::CallCreated | EventName::CallRecovered);
    if begins != is_new || (name == EventName::CallCreated && before.is_some()) {
        say(format!("{name} at {at:?}"));
    }
    let data = &event.data;
    let (state, answered) = (data.call.state, data.call.answered_at.is_some());
    if state.is_terminal() != (name == EventName::CallEnded) {
        say(format!("{name} in state {state}"));
    }
    if (state == CallState::Completed) != (state.is_terminal() && answered) {
        say(format!("{state}, answered: {answered}"));
    }
    if name == EventName::CallRecovered {
        let known = before.map(|before| before.stamp.position);
        if known.is_some() && data.after != known {
            say(format!("recovered after {:?}, not {known:?}", data.after));
        }
    }
    if !is_new && let Some(before) = before {
        let was = before.data.call.state;
        if rank(state) < rank(was) {
            say(format!("from {was} back to {state}"));
        }
    }
}

/// States only rise.
fn rank(state: CallState) -> u8 {
    match state {
        CallState::Queued => 0,
        CallState::Initiated => 1,
        CallState::Ringing => 2,
        CallState::EarlyMedia => 3,
        CallState::InProgress => 4,
        _ => 5,
    }
}
