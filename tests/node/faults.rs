//! A bug of ours, in each place that may have one: what it costs, and what it must not.

use actors::{Moment, Part};
use serde_json::json;
use sip::{Message, Method, Name};

use crate::{
    call::{Pair, answered},
    meter::count,
    nats::{Events, Nats},
    phone::{Out, Phone, Talk, answer},
    stage::Stage,
};

/// Calls that no bug of another may touch.
struct Others {
    up: Pair,
    ringing: Ringing,
}

impl Others {
    /// One call is up and another rings.
    async fn of(stage: &Stage) -> Self {
        Self {
            up: answered(stage.udp("carol").await, stage.udp("dave").await).await,
            ringing: rings(stage, "erin").await,
        }
    }

    /// They go on to their ends, and a new one begins.
    async fn are_well(self, stage: &Stage) {
        let Pair {
            mut alice,
            mut bob,
            mut at_alice,
            ..
        } = self.up;
        alice.hang_up(&mut at_alice, &mut bob).await;
        let Ringing {
            mut caller,
            mut callee,
            invite,
            heard,
            ..
        } = self.ringing;
        callee.accept(&heard).await;
        let ok = caller.expect(200).await;
        let mut talk = caller.ack(&invite, &ok, "").await;
        callee.request_of(Method::Ack).await;
        caller.hang_up(&mut talk, &mut callee).await;
        works(stage, "frank").await;
        stage.no_calls().await;
    }
}

/// Somebody new registers and is called.
async fn works(stage: &Stage, callee: &str) {
    let Pair {
        mut alice,
        mut bob,
        mut at_alice,
        ..
    } = answered(stage.tcp(callee).await, stage.udp("bob").await).await;
    alice.hang_up(&mut at_alice, &mut bob).await;
}

struct Ringing {
    caller: Phone,
    callee: Phone,
    invite: Out,
    /// The INVITE as the callee heard it.
    heard: Message,
    /// The dialog as the caller knows it.
    early: Talk,
}

/// `callee`, who is on TCP, rings.
async fn rings(stage: &Stage, callee: &str) -> Ringing {
    let (mut caller, mut callee) = (stage.udp("bob").await, stage.tcp(callee).await);
    callee.register().await;
    let invite = caller.invite(&callee.aor());
    caller.say(&invite).await;
    let heard = callee.request_of(Method::Invite).await;
    callee.respond(&heard, 180, "t", "", "").await;
    let early = Talk::caller(&invite, &caller.expect(180).await);
    Ringing {
        caller,
        callee,
        invite,
        heard,
        early,
    }
}

/// Hears a BYE of ours, among whatever else comes, and answers it.
async fn bye(phone: &mut Phone) {
    loop {
        let message = phone.hear().await;
        if message.method() == Some(Method::Bye) {
            let reason = message.text(Name::Reason).unwrap();
            assert!(reason.contains("internal"), "{reason}");
            return phone.ok(&message).await;
        }
    }
}

/// The caller hears that it failed, and who rings is told to stop.
async fn fails(ringing: &mut Ringing) {
    let Ringing {
        caller,
        callee,
        invite,
        heard,
        ..
    } = ringing;
    let refusal = loop {
        let answer = caller.final_answer().await;
        if answer.cseq().unwrap().method == Method::Invite {
            break answer;
        }
    };
    assert_eq!(refusal.status(), Some(500));
    caller.ack_refusal(invite, &refusal).await;
    let mut message = callee.hear().await;
    if message.method() == Some(Method::Invite) {
        // Its leg lost the transaction and makes another, for whatever is answered.
        assert_eq!(message.bytes(), heard.bytes());
        message = callee.hear().await;
    }
    assert_eq!(message.method(), Some(Method::Cancel), "{message:?}");
    callee.ok(&message).await;
    callee.reject(heard, 487).await;
}

/// The ends of calls on the bus, until the node says that it goes.
async fn ends(events: &mut Events, stage: Stage) -> Vec<String> {
    stage.stop().await;
    let mut ends = Vec::new();
    loop {
        let event = events.next().await;
        match event.name() {
            "call.ended" => ends.push(event.reason().to_owned()),
            "node.down" => return ends,
            _ => {}
        }
    }
}

fn died(part: Part) -> u64 {
    count("ifbus_panics_total", "actor", part.as_str())
}

/// A bug in `part` hits calls that are up and calls that ring, before its work and after.
async fn costs_the_call(part: Part) {
    let nats = Nats::start().await;
    let mut events = nats.events().await;
    let stage = Stage::with(&nats.bus()).await;
    let others = Others::of(&stage).await;
    for (turn, moment) in [Moment::Before, Moment::After].into_iter().enumerate() {
        let alice = stage.udp(&format!("alice{turn}")).await;
        let mut pair = answered(alice, stage.udp("bob").await).await;
        stage.node.fault(part, moment).await;
        let hit = pair.bob.within(&mut pair.at_bob, "INFO", "", "");
        pair.bob.say(&hit).await;
        bye(&mut pair.alice).await;
        bye(&mut pair.bob).await;

        // First the callee's leg is hit, then the caller's.
        let mut call = rings(&stage, &format!("callee{turn}")).await;
        stage.node.fault(part, moment).await;
        call.callee.respond(&call.heard, 183, "t", "", "").await;
        fails(&mut call).await;
        let mut call = rings(&stage, &format!("caller{turn}")).await;
        stage.node.fault(part, moment).await;
        let options = call.caller.within(&mut call.early, "OPTIONS", "", "");
        call.caller.say(&options).await;
        fails(&mut call).await;
    }
    others.are_well(&stage).await;
    assert!(died(part) >= 6);
    let ends = ends(&mut events, stage).await;
    let internal = ends.iter().filter(|reason| *reason == "internal").count();
    assert_eq!((internal, ends.len()), (6, 9), "{ends:?}");
}

#[tokio::test]
async fn one_in_a_call_ends_that_call() {
    Box::pin(costs_the_call(Part::Call)).await;
}

#[tokio::test]
async fn one_in_a_leg_ends_its_call() {
    Box::pin(costs_the_call(Part::Dialog)).await;
}

/// What asks the engine to end the call fails as well.
#[tokio::test]
async fn two_in_a_call_bury_it() {
    let nats = Nats::start().await;
    let mut events = nats.events().await;
    let stage = Stage::with(&nats.bus()).await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    for _ in 0..2 {
        stage.node.fault(Part::Call, Moment::Before).await;
    }
    let invite = bob.invite(&alice.aor());
    bob.say(&invite).await;
    let refusal = bob.expect(500).await;
    bob.ack_refusal(&invite, &refusal).await;
    alice.expect_silence().await;
    stage.no_calls().await;
    // The same INVITE would be a repeat; it is known no longer than its transaction.
    works(&stage, "carol").await;
    stage.no_calls().await;
    let ends = ends(&mut events, stage).await;
    assert_eq!(ends, ["internal", "normal_clearing"]);
}

/// The actor of a request out of any dialog, by the request that hits it.
#[tokio::test]
async fn one_in_the_front_costs_one_request() {
    let stage = Stage::start().await;
    let others = Others::of(&stage).await;
    let mut phone = stage.udp("1001").await;
    phone.domain = "digest.test".into();
    let contact = format!("Contact: {}\r\n", phone.contact());
    let register = phone.registration(&contact);
    let challenge = phone.ask(&register).await;

    stage.node.fault(Part::Front, Moment::Before).await;
    let proven = answer(&register.anew(), &challenge, "1001", "secret-of-1001");
    assert_eq!(phone.ask(&proven).await.status(), Some(500));
    // It has forgotten its nonces; whoever has one is told to take another.
    let again = answer(&proven.anew(), &challenge, "1001", "secret-of-1001");
    let stale = phone.ask(&again).await;
    let header = stale.text(Name::WwwAuthenticate).unwrap();
    assert!(header.contains("stale=true"), "{header}");
    let fresh = answer(
        &register.anew().anew().anew(),
        &stale,
        "1001",
        "secret-of-1001",
    );
    assert_eq!(phone.ask(&fresh).await.status(), Some(200));

    let mut bob = stage.udp("bob").await;
    stage.node.fault(Part::Front, Moment::Before).await;
    let invite = bob.invite("sip:1001@digest.test");
    let refusal = bob.ask(&invite).await;
    assert_eq!(refusal.status(), Some(500));
    bob.ack_refusal(&invite, &refusal).await;
    // What it did before is not undone: this call is.
    stage.node.fault(Part::Front, Moment::After).await;
    let invite = bob.invite("sip:1001@digest.test");
    bob.say(&invite).await;
    let heard = phone.request_of(Method::Invite).await;
    phone.reject(&heard, 486).await;
    let refusal = bob.expect(486).await;
    bob.ack_refusal(&invite, &refusal).await;
    others.are_well(&stage).await;
    assert_eq!(died(Part::Front), 3);
    stage.stop().await;
}

#[tokio::test]
async fn one_in_a_relay_is_answered_500() {
    let stage = Stage::start().await;
    let others = Others::of(&stage).await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    for moment in [Moment::Before, Moment::After] {
        stage.node.fault(Part::Relay, moment).await;
        let message = bob.request("MESSAGE", "sip:alice@open.test");
        let failed = bob.ask(&message).await;
        assert_eq!(failed.status(), Some(500));
        bob.forget(&failed);
        assert_eq!(bob.ask(&message).await.bytes(), failed.bytes());
        if moment == Moment::After {
            let heard = alice.request_of(Method::Message).await;
            alice.ok(&heard).await;
            alice.expect_silence().await;
        }
    }
    // And where that fails as well, it comes again as a new one.
    stage.node.fault(Part::Relay, Moment::Before).await;
    stage.node.fault(Part::Relay, Moment::Before).await;
    let message = bob.request("MESSAGE", "sip:alice@open.test");
    bob.say(&message).await;
    bob.expect_silence().await;
    bob.say(&message).await;
    let heard = alice.request_of(Method::Message).await;
    alice.ok(&heard).await;
    bob.expect(200).await;
    others.are_well(&stage).await;
    assert_eq!(died(Part::Relay), 4);
    stage.stop().await;
}

#[tokio::test]
async fn one_in_a_connections_actor_leaves_it_connected() {
    let stage = Stage::start().await;
    let others = Others::of(&stage).await;
    for moment in [Moment::Before, Moment::After] {
        let mut alice = stage.tcp("alice").await;
        alice.register().await;
        stage.node.fault(Part::Connection, moment).await;
        // Its answer is what is lost, or what the bug comes behind.
        let options = alice.request("OPTIONS", "sip:open.test");
        alice.say(&options).await;
        let more = alice.request("OPTIONS", "sip:open.test");
        let mut answer = alice.ask(&more).await;
        if moment == Moment::After {
            assert_eq!(answer.call_id(), Some(&*options.call_id));
            answer = alice.final_answer().await;
        }
        assert_eq!(answer.call_id(), Some(&*more.call_id));

        // Whoever lives on it hears that it is gone all the same.
        let Pair { alice, mut bob, .. } = answered(alice, stage.udp("bob").await).await;
        stage.node.fault(Part::Connection, Moment::Before).await;
        alice.wire.drop_connection();
        let bye = bob.request_of(Method::Bye).await;
        bob.ok(&bye).await;
        stage
            .until(|node| node.readiness().registrations == 2)
            .await;
    }
    others.are_well(&stage).await;
    assert_eq!(died(Part::Connection), 4);
    stage.stop().await;
}

#[tokio::test]
async fn one_over_a_datagram_leaves_the_socket_read() {
    let stage = Stage::start().await;
    let others = Others::of(&stage).await;
    let mut alice = stage.udp("alice").await;
    stage.node.fault(Part::UdpListener, Moment::Before).await;
    let options = alice.request("OPTIONS", "sip:open.test");
    alice.say(&options).await;
    alice.expect_silence().await;
    assert_eq!(alice.ask(&options).await.status(), Some(200));
    others.are_well(&stage).await;
    assert_eq!(died(Part::UdpListener), 1);
    stage.stop().await;
}

#[tokio::test]
async fn one_at_a_deadline_leaves_it_met() {
    // Long enough to ring first.
    let stage = Stage::with("[limits]\nring_ms = 5000\n").await;
    let mut call = rings(&stage, "alice").await;
    stage.node.fault(Part::Timers, Moment::Before).await;
    let Ringing {
        caller,
        callee,
        invite,
        heard,
        ..
    } = &mut call;
    let refusal = caller.expect(480).await;
    caller.ack_refusal(invite, &refusal).await;
    let cancel = callee.request_of(Method::Cancel).await;
    callee.ok(&cancel).await;
    callee.reject(heard, 487).await;
    stage.no_calls().await;
    works(&stage, "bob").await;
    assert_eq!(died(Part::Timers), 1);
    stage.stop().await;
}

/// What came from another thread.
#[tokio::test]
async fn one_in_a_parcel_leaves_the_arbiter_listening() {
    let stage = Stage::start().await;
    let others = Others::of(&stage).await;
    let mut alice = stage.tcp("alice").await;
    alice.expect_silence().await;
    stage.node.fault(Part::Parcel, Moment::Before).await;
    let lost = alice.request("OPTIONS", "sip:open.test");
    alice.say(&lost).await;
    alice.expect_silence().await;
    assert!(stage.node.is_alive().await);
    others.are_well(&stage).await;
    assert_eq!(died(Part::Parcel), 1);
    stage.stop().await;
}

/// The task that reads and writes it: nobody knows any more where its messages begin.
#[tokio::test]
async fn one_in_a_connections_task_closes_it() {
    let stage = Stage::start().await;
    let others = Others::of(&stage).await;
    stage.node.fault(Part::Stream, Moment::Before).await;
    let mut alice = stage.tcp("alice").await;
    alice.expect_end().await;
    let mut alice = stage.tcp("alice").await;
    alice.register().await;
    others.are_well(&stage).await;
    assert_eq!(died(Part::Stream), 1);
    stage.stop().await;
}

/// The tasks that accept run on this thread and are at work all the time; those of the next node
/// begin with the fault.
#[tokio::test]
async fn one_where_connections_are_accepted_refuses_none() {
    let before = Stage::start().await;
    before.node.fault(Part::Accept, Moment::Before).await;
    before.stop().await;
    let stage = Stage::start().await;
    for mut phone in [
        stage.tcp("alice").await,
        stage.ws("bob").await,
        stage.wss("carol").await,
    ] {
        phone.register().await;
    }
    assert_eq!(died(Part::Accept), 1);
    stage.stop().await;
}

#[tokio::test]
async fn one_in_what_happens_by_itself_waits_for_the_next_second() {
    let stage = Stage::with("[limits]\nexpires_min_s = 1\n").await;
    let mut alice = stage.udp("alice").await;
    let contact = format!("Contact: {};expires=1\r\n", alice.contact());
    let register = alice.registration(&contact);
    assert_eq!(alice.ask(&register).await.status(), Some(200));
    stage.node.fault(Part::Housekeeping, Moment::Before).await;
    stage.until(|_| died(Part::Housekeeping) == 1).await;
    stage
        .until(|node| node.readiness().registrations == 0)
        .await;
    stage.stop().await;
}

#[tokio::test]
async fn one_over_a_command_refuses_it() {
    let nats = Nats::start().await;
    let stage = Stage::with(&nats.bus()).await;
    let nothing = json!({});
    let calls = || nats.ask("cmd.query.desk.calls", &nothing);
    assert_eq!(calls().await["status"], "accepted");
    stage.node.fault(Part::Commands, Moment::Before).await;
    let refused = calls().await;
    assert_eq!(refused["code"], "internal", "{refused}");
    assert_eq!(calls().await["status"], "accepted");
    assert_eq!(died(Part::Commands), 1);
    stage.stop().await;
}
