//! One address, several devices.

use std::collections::HashSet;

use sip::{Method, Name};

use crate::{
    phone::{Out, Phone},
    stage::Stage,
};

/// Three devices of alice, each on another transport.
async fn devices(stage: &Stage) -> [Phone; 3] {
    let mut all = [
        stage.udp("alice").await,
        stage.tcp("alice").await,
        stage.ws("alice").await,
    ];
    for phone in &mut all {
        phone.register().await;
    }
    all
}

#[tokio::test]
async fn all_ring_one_answers_and_the_others_hear_why() {
    let stage = Stage::start().await;
    let [mut udp, mut tcp, mut ws] = devices(&stage).await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let at_udp = udp.request_of(Method::Invite).await;
    let at_tcp = tcp.request_of(Method::Invite).await;
    let at_ws = ws.request_of(Method::Invite).await;
    let mut tags = HashSet::new();
    for (phone, heard) in [(&mut udp, &at_udp), (&mut tcp, &at_tcp), (&mut ws, &at_ws)] {
        phone.respond(heard, 180, "t", "", "").await;
        let ringing = bob.expect(180).await;
        tags.insert(ringing.to_tag().unwrap().to_owned());
    }
    assert_eq!(tags.len(), 3, "an early dialog for each device");
    let _talk = ws.accept(&at_ws).await;
    let ok = bob.expect(200).await;
    let mut at_bob = bob.ack(&invite, &ok, "").await;
    ws.request_of(Method::Ack).await;
    for (phone, heard) in [(&mut udp, &at_udp), (&mut tcp, &at_tcp)] {
        let cancel = phone.request_of(Method::Cancel).await;
        let elsewhere = "SIP;cause=200;text=\"Call completed elsewhere\"";
        assert_eq!(cancel.text(Name::Reason), Some(elsewhere));
        phone.ok(&cancel).await;
        phone.reject(heard, 487).await;
    }
    bob.hang_up(&mut at_bob, &mut ws).await;
    stage.stop().await;
}

#[tokio::test]
async fn an_answer_that_comes_second_is_acknowledged_and_ended() {
    let stage = Stage::start().await;
    let [mut udp, mut tcp, mut ws] = devices(&stage).await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let at_udp = udp.request_of(Method::Invite).await;
    let at_tcp = tcp.request_of(Method::Invite).await;
    let at_ws = ws.request_of(Method::Invite).await;
    udp.accept(&at_udp).await;
    let ok = bob.expect(200).await;
    let mut at_bob = bob.ack(&invite, &ok, "").await;
    udp.request_of(Method::Ack).await;
    // Neither had said anything, so neither could be cancelled.
    tcp.accept(&at_tcp).await;
    tcp.request_of(Method::Ack).await;
    let bye = tcp.request_of(Method::Bye).await;
    let elsewhere = "SIP;cause=200;text=\"Call completed elsewhere\"";
    assert_eq!(bye.text(Name::Reason), Some(elsewhere));
    tcp.ok(&bye).await;
    ws.respond(&at_ws, 100, "", "", "").await;
    let cancel = ws.request_of(Method::Cancel).await;
    ws.ok(&cancel).await;
    ws.reject(&at_ws, 487).await;
    bob.hang_up(&mut at_bob, &mut udp).await;
    stage.stop().await;
}

#[tokio::test]
async fn the_best_refusal_wins_and_a_final_one_stops_all() {
    let stage = Stage::start().await;
    let [mut udp, mut tcp, mut ws] = devices(&stage).await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    for (phone, status) in [(&mut udp, 408), (&mut tcp, 486), (&mut ws, 500)] {
        let heard = phone.request_of(Method::Invite).await;
        phone.reject(&heard, status).await;
    }
    let refusal = bob.expect(486).await;
    bob.ack_refusal(&invite, &refusal).await;

    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let at_udp = udp.request_of(Method::Invite).await;
    udp.respond(&at_udp, 180, "t", "", "").await;
    bob.expect(180).await;
    let at_ws = ws.request_of(Method::Invite).await;
    let at_tcp = tcp.request_of(Method::Invite).await;
    tcp.respond(&at_tcp, 180, "t", "", "").await;
    bob.expect(180).await;
    ws.reject(&at_ws, 603).await;
    for (phone, heard) in [(&mut udp, &at_udp), (&mut tcp, &at_tcp)] {
        let cancel = phone.request_of(Method::Cancel).await;
        phone.ok(&cancel).await;
        phone.reject(heard, 487).await;
    }
    let refusal = bob.expect(603).await;
    bob.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

#[tokio::test]
async fn preference_decides_who_rings_first() {
    let stage = Stage::start().await;
    let mut first = stage.udp("alice").await;
    let mut second = stage.tcp("alice").await;
    for (phone, q) in [(&mut second, "0.3"), (&mut first, "0.9")] {
        let contact = format!("Contact: {};q={q}\r\n", phone.contact());
        let register = phone.registration(&contact);
        assert_eq!(phone.ask(&register).await.status(), Some(200));
    }
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = first.request_of(Method::Invite).await;
    second.expect_silence().await;
    first.reject(&heard, 486).await;
    let heard = second.request_of(Method::Invite).await;
    let _talk = second.accept(&heard).await;
    let ok = bob.expect(200).await;
    let mut at_bob = bob.ack(&invite, &ok, "").await;
    second.request_of(Method::Ack).await;
    bob.hang_up(&mut at_bob, &mut second).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_message_reaches_every_device_once() {
    let stage = Stage::start().await;
    let [mut udp, mut tcp, mut ws] = devices(&stage).await;
    let mut bob = stage.udp("bob").await;
    let message = Out {
        extra: "Content-Type: text/plain\r\nP-Asserted-Identity: <sip:x@y>\r\n".into(),
        body: "hello".into(),
        ..bob.request("MESSAGE", "sip:alice@open.test")
    };
    bob.say(&message).await;
    bob.say(&message).await;
    for phone in [&mut udp, &mut tcp, &mut ws] {
        let heard = phone.request_of(Method::Message).await;
        assert_eq!(heard.body(), b"hello");
        assert_eq!(heard.header(Name::PAssertedIdentity), None);
        phone.ok(&heard).await;
    }
    let one = bob.expect(200).await;
    bob.forget(&one);
    let again = bob.ask(&message).await;
    assert_eq!(one.bytes(), again.bytes());
    for phone in [&mut udp, &mut tcp, &mut ws] {
        phone.expect_silence().await;
    }
    stage.stop().await;
}
