//! Transfers by the parties themselves: REFER (RFC 3515) with Replaces (RFC 3891).

use sip::{Message, Method, Name};

use crate::{
    phone::{Out, Phone, SDP, Talk, sdp},
    stage::Stage,
};

/// `caller` calls `callee`, who is registered and answers.
async fn call(caller: &mut Phone, callee: &mut Phone) -> (Talk, Talk) {
    let invite = caller.invite(&callee.aor());
    caller.say(&invite).await;
    let heard = callee.request_of(Method::Invite).await;
    let at_callee = callee.accept(&heard).await;
    let ok = caller.expect(200).await;
    let at_caller = caller.ack(&invite, &ok, "").await;
    callee.request_of(Method::Ack).await;
    (at_caller, at_callee)
}

fn tag(address: &str) -> &str {
    address.rsplit_once("tag=").unwrap().1
}

/// What the transferor says of its call: the peer's tag is to-tag.
fn replaces(talk: &Talk) -> String {
    let (theirs, mine) = (tag(&talk.remote), tag(&talk.local));
    format!("{};to-tag={theirs};from-tag={mine}", talk.call_id)
}

fn escaped(text: &str) -> String {
    text.replace('@', "%40")
        .replace(';', "%3B")
        .replace('=', "%3D")
}

/// The URI and the Replaces value of a Refer-To.
fn referred(refer: &Message) -> (String, String) {
    let address = refer.text(Name::ReferTo).unwrap();
    let (uri, headers) = address.split_once('?').unwrap();
    let value = headers
        .trim_end_matches('>')
        .strip_prefix("Replaces=")
        .unwrap();
    let value = value
        .replace("%40", "@")
        .replace("%3B", ";")
        .replace("%3D", "=");
    (uri.trim_start_matches('<').to_owned(), value)
}

async fn progress(phone: &mut Phone, talk: &mut Talk, other: &mut Phone, state: &str, says: &str) {
    let lines = format!(
        "Event: refer\r\nSubscription-State: {state}\r\nContact: {}\r\n\
         Content-Type: message/sipfrag\r\n",
        phone.contact()
    );
    let notify = phone.within(talk, "NOTIFY", &lines, says);
    phone.say(&notify).await;
    let heard = other.request_of(Method::Notify).await;
    assert_eq!(heard.body(), says.as_bytes());
    assert_eq!(heard.text(Name::SubscriptionState), Some(state));
    other.ok(&heard).await;
    phone.expect(200).await;
}

#[tokio::test]
async fn an_attended_transfer_joins_the_two_that_are_left() {
    let stage = Stage::on(3, "").await;
    let (mut alice, mut bob) = (stage.tcp("alice").await, stage.udp("bob").await);
    let mut carol = stage.ws("carol").await;
    bob.register().await;
    carol.register().await;
    let (mut with_bob, mut at_bob) = call(&mut alice, &mut bob).await;
    let (with_carol, mut at_carol) = call(&mut alice, &mut carol).await;

    // Alice names carol as she knows her: by our Contact of that call.
    let headers = escaped(&replaces(&with_carol));
    let lines = format!(
        "Contact: {}\r\nRefer-To: <{}?Replaces={headers}>\r\n",
        alice.contact(),
        with_carol.target
    );
    let refer = alice.within(&mut with_bob, "REFER", &lines, "");
    alice.say(&refer).await;
    let heard = bob.request_of(Method::Refer).await;
    bob.respond(&heard, 202, "t", "", "").await;
    alice.expect(202).await;
    let (uri, value) = referred(&heard);
    assert!(!uri.contains("transport=tcp"), "bob is on UDP: {uri}");
    let trying = "SIP/2.0 100 Trying\r\n";
    progress(&mut bob, &mut at_bob, &mut alice, "active", trying).await;

    let lines = format!("Require: replaces\r\nReplaces: {value}\r\n");
    let invite: Out = bob.invite(&uri).plus(&lines);
    bob.say(&invite).await;
    let heard = carol.request_of(Method::Invite).await;
    assert_eq!(heard.call_id(), Some(&*at_carol.call_id));
    assert_eq!(heard.body(), sdp("bob").as_bytes());
    carol.respond(&heard, 200, "t", SDP, &sdp("carol")).await;
    let ok = bob.expect(200).await;
    assert_eq!(ok.body(), sdp("carol").as_bytes());
    let _to_carol = bob.ack(&invite, &ok, "").await;
    carol.request_of(Method::Ack).await;
    let bye = alice.request_of(Method::Bye).await;
    assert_eq!(bye.call_id(), Some(&*with_carol.call_id));
    alice.ok(&bye).await;
    let done = "SIP/2.0 200 OK\r\n";
    progress(
        &mut bob,
        &mut at_bob,
        &mut alice,
        "terminated;reason=noresource",
        done,
    )
    .await;
    alice.hang_up(&mut with_bob, &mut bob).await;

    at_carol.cseq = 100;
    carol.hang_up(&mut at_carol, &mut bob).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_dialog_that_is_not_there_is_not_replaced() {
    let stage = Stage::on(3, "").await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.udp("bob").await);
    bob.register().await;
    let (mut with_bob, _) = call(&mut alice, &mut bob).await;
    let whole = replaces(&with_bob);
    let mut carol = stage.tcp("carol").await;
    for (lines, status) in [
        ("Replaces: a;to-tag=1;from-tag=2\r\n".to_owned(), 481),
        ("Replaces: a\r\n".to_owned(), 400),
        (format!("Replaces: {whole}\r\nReplaces: {whole}\r\n"), 400),
        (format!("Replaces: {whole};early-only\r\n"), 486),
        (format!("Replaces: x{whole}\r\n"), 481),
    ] {
        let invite = carol.invite("sip:bob@open.test").plus(&lines);
        let refusal = carol.ask(&invite).await;
        assert_eq!(refusal.status(), Some(status), "{lines}");
        carol.ack_refusal(&invite, &refusal).await;
    }
    alice.hang_up(&mut with_bob, &mut bob).await;
    stage.no_calls().await;
    // The same name, when the call is gone.
    let invite = carol
        .invite("sip:bob@open.test")
        .plus(&format!("Replaces: {whole}\r\n"));
    let refusal = carol.ask(&invite).await;
    assert_eq!(refusal.status(), Some(481));
    carol.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_ringing_call_is_picked_up() {
    let stage = Stage::on(3, "").await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.tcp("bob").await);
    let mut carol = stage.udp("carol").await;
    alice.register().await;
    let invite = bob.invite(&alice.aor());
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    alice.respond(&heard, 180, "t", "", "").await;
    bob.expect(180).await;

    // Carol has learned of the dialog as alice knows it, and takes it over.
    let name = replaces(&Talk::callee(&heard, "t"));
    let lines = format!("Replaces: {name};early-only\r\n");
    let pickup = carol.invite("sip:alice@open.test").plus(&lines);
    carol.say(&pickup).await;
    let ok = carol.expect(200).await;
    assert!(ok.body().windows(10).any(|line| line == b"a=inactive"));
    let mut at_carol = carol.ack(&pickup, &ok, "").await;
    let offer = carol.request_of(Method::Invite).await;
    assert_eq!(offer.body(), invite.body.as_bytes());
    let cancel = alice.request_of(Method::Cancel).await;
    alice.ok(&cancel).await;
    alice.reject(&heard, 487).await;
    carol.respond(&offer, 200, "", SDP, &sdp("carol")).await;
    let ok = bob.expect(200).await;
    assert_eq!(ok.body(), sdp("carol").as_bytes());
    bob.ack(&invite, &ok, "").await;
    carol.request_of(Method::Ack).await;
    carol.hang_up(&mut at_carol, &mut bob).await;
    stage.no_calls().await;
    stage.stop().await;
}
