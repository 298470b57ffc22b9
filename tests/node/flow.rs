//! Ways: connections that end, both families of addresses, arbiters that hand over.

use config::Transport;
use sip::Method;

use crate::{
    call::{Pair, answered},
    phone::Phone,
    stage::Stage,
    wire::Wire,
};

#[tokio::test]
async fn a_connection_that_goes_takes_its_binding_and_call() {
    let stage = Stage::start().await;
    let alices = [stage.ws("alice").await, stage.tls("alice").await];
    for alice in alices {
        let pair = answered(alice, stage.udp("bob").await).await;
        let Pair { alice, mut bob, .. } = pair;
        alice.wire.drop_connection();
        let bye = bob.request_of(Method::Bye).await;
        bob.ok(&bye).await;
        stage.no_calls().await;
        stage
            .until(|node| node.readiness().registrations == 0)
            .await;
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_browser_that_goes_while_it_rings_is_absent() {
    let stage = Stage::start().await;
    let mut alice = stage.wss("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    alice.respond(&heard, 180, "t", "", "").await;
    bob.expect(180).await;
    alice.wire.drop_connection();
    let refusal = bob.expect(480).await;
    bob.ack_refusal(&invite, &refusal).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_while_it_rings_stops_the_ringing() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.ws("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    alice.respond(&heard, 180, "t", "", "").await;
    bob.expect(180).await;
    bob.wire.drop_connection();
    let cancel = alice.request_of(Method::Cancel).await;
    alice.ok(&cancel).await;
    alice.reject(&heard, 487).await;
    stage.no_calls().await;
    stage.stop().await;
}

async fn on(stage: &Stage, transport: Transport, ipv6: bool, user: &str) -> Phone {
    let at = stage.at(transport, ipv6);
    let wire = match transport {
        Transport::Udp => Wire::udp(at).await,
        Transport::Tcp => Wire::tcp(at).await,
        Transport::Ws => Wire::ws(at).await,
        Transport::Wss => Wire::wss(at).await,
        Transport::Tls => Wire::tls(at).await,
    };
    Phone::new(wire, user, "open.test")
}

#[tokio::test]
async fn every_way_meets_every_way() {
    let stage = Stage::start().await;
    let ways = [
        (Transport::Udp, true),
        (Transport::Tcp, true),
        (Transport::Ws, true),
        (Transport::Udp, false),
        (Transport::Wss, false),
        (Transport::Tls, false),
        (Transport::Tls, true),
    ];
    let mut number = 0;
    for (callee, callee6) in ways {
        for (caller, caller6) in ways {
            number += 1;
            let alice = on(&stage, callee, callee6, &format!("alice{number}")).await;
            let bob = on(&stage, caller, caller6, "bob").await;
            let Pair {
                mut alice,
                mut bob,
                mut at_alice,
                mut at_bob,
            } = answered(alice, bob).await;
            if number % 2 == 0 {
                bob.hang_up(&mut at_bob, &mut alice).await;
            } else {
                alice.hang_up(&mut at_alice, &mut bob).await;
            }
        }
    }
    stage.stop().await;
}

#[tokio::test]
async fn messages_find_their_arbiter() {
    let stage = Stage::on(3, "").await;
    for number in 0..24 {
        let user = format!("alice{number}");
        let (alice, bob) = match number % 6 {
            0 => (stage.udp(&user).await, stage.udp("bob").await),
            1 => (stage.ws(&user).await, stage.tcp("bob").await),
            2 => (stage.tcp(&user).await, stage.wss("bob").await),
            3 => (stage.tls(&user).await, stage.tls("bob").await),
            4 => (stage.udp(&user).await, stage.tls("bob").await),
            _ => (stage.wss(&user).await, stage.udp("bob").await),
        };
        let Pair {
            mut alice,
            mut bob,
            mut at_bob,
            ..
        } = answered(alice, bob).await;
        let message = bob.request("MESSAGE", &alice.aor());
        bob.say(&message).await;
        let heard = alice.request_of(Method::Message).await;
        alice.ok(&heard).await;
        bob.expect(200).await;
        if number % 3 == 0 && alice.wire.transport != "udp" {
            alice.wire.drop_connection();
            let bye = bob.request_of(Method::Bye).await;
            bob.ok(&bye).await;
        } else {
            bob.hang_up(&mut at_bob, &mut alice).await;
        }
    }
    stage.no_calls().await;
    stage.stop().await;
}
