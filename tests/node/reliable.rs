//! Reliable provisional responses (RFC 3262) and UPDATE before the answer, through sockets.

use sip::{Message, Method, Name};

use crate::{
    phone::{Out, Phone, SDP, Talk, sdp},
    stage::Stage,
};

/// The PRACK of a response that bob, who sent `invite`, has heard.
fn prack(bob: &Phone, invite: &Out, heard: &Message, lines: &str, body: &str) -> (Talk, Out) {
    let mut talk = Talk::caller(invite, heard);
    let rseq = heard.text(Name::RSeq).unwrap();
    let rack = format!("RAck: {rseq} {} INVITE\r\n{lines}", invite.cseq);
    let prack = bob.within(&mut talk, "PRACK", &rack, body);
    (talk, prack)
}

fn reliably(phone: &Phone, rseq: u32) -> String {
    let contact = phone.contact();
    format!("Require: 100rel\r\nRSeq: {rseq}\r\nContact: {contact}\r\n")
}

#[tokio::test]
async fn early_media_is_agreed_on_reliably_and_updated() {
    let stage = Stage::start().await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.tcp("bob").await);
    alice.register().await;
    let invite = bob.invite(&alice.aor()).plus("Supported: 100rel\r\n");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    assert!(heard.lists(Name::Supported, "100rel"));
    let lines = format!("{}{SDP}", reliably(&alice, 4711));
    alice.respond(&heard, 183, "t", &lines, &sdp("alice")).await;
    let progress = bob.expect(183).await;
    assert!(progress.lists(Name::Require, "100rel"));
    assert_ne!(progress.text(Name::RSeq), Some("4711"));

    let (mut talk, said) = prack(&bob, &invite, &progress, "", "");
    bob.say(&said).await;
    let heard_prack = alice.request_of(Method::Prack).await;
    assert_eq!(heard_prack.text(Name::RAck), Some("4711 1 INVITE"));
    alice.ok(&heard_prack).await;
    bob.expect(200).await;

    let update = bob.within(&mut talk, "UPDATE", SDP, &sdp("bob again"));
    bob.say(&update).await;
    let heard_update = alice.request_of(Method::Update).await;
    assert_eq!(heard_update.body(), sdp("bob again").as_bytes());
    alice
        .respond(&heard_update, 200, "t", SDP, &sdp("alice again"))
        .await;
    assert_eq!(bob.expect(200).await.body(), sdp("alice again").as_bytes());

    // The answer was given: the 200 brings none.
    alice.respond(&heard, 200, "t", "", "").await;
    let ok = bob.expect(200).await;
    assert!(ok.body().is_empty());
    assert_eq!(ok.to_tag(), progress.to_tag());
    bob.ack_in(&talk, invite.cseq, "").await;
    alice.request_of(Method::Ack).await;
    bob.hang_up(&mut talk, &mut alice).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_response_without_prack_is_said_again_and_a_plain_phone_is_served() {
    let stage = Stage::start().await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.udp("bob").await);
    alice.register().await;
    // A caller that wants it of a callee that has never heard of it.
    let invite = bob.invite(&alice.aor()).plus("Require: 100rel\r\n");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    assert!(!heard.lists(Name::Require, "100rel"));
    alice.respond(&heard, 180, "t", "", "").await;
    let ringing = bob.expect(180).await;
    bob.forget(&ringing);
    let again = bob.expect(180).await;
    assert_eq!(again.bytes(), ringing.bytes());
    let (mut talk, said) = prack(&bob, &invite, &ringing, "", "");
    bob.say(&said).await;
    bob.expect(200).await;
    alice.respond(&heard, 200, "t", SDP, &sdp("alice")).await;
    bob.expect(200).await;
    bob.ack_in(&talk, invite.cseq, "").await;
    alice.request_of(Method::Ack).await;
    bob.hang_up(&mut talk, &mut alice).await;
    stage.no_calls().await;
    stage.stop().await;
}
