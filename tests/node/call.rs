//! Calls between two phones, from the first INVITE to the last BYE.

use sip::{Message, Method, Name};

use crate::{
    phone::{Out, Phone, SDP, Talk, sdp},
    stage::Stage,
};

/// Two ends of an answered call.
pub(crate) struct Pair {
    pub(crate) alice: Phone,
    pub(crate) bob: Phone,
    pub(crate) at_alice: Talk,
    pub(crate) at_bob: Talk,
}

/// `bob` calls `alice`, who is registered, and she answers.
pub(crate) async fn answered(mut alice: Phone, mut bob: Phone) -> Pair {
    alice.register().await;
    let invite = bob.invite(&alice.aor());
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    assert_eq!(heard.body(), invite.body.as_bytes());
    alice.respond(&heard, 180, "t", "", "").await;
    bob.expect(180).await;
    let mut at_alice = alice.accept(&heard).await;
    let ok = bob.expect(200).await;
    assert_eq!(ok.body(), sdp(&alice.user).as_bytes());
    let at_bob = bob.ack(&invite, &ok, "").await;
    let ack = alice.request_of(Method::Ack).await;
    assert!(ack.body().is_empty());
    at_alice.cseq = 100;
    Pair {
        alice,
        bob,
        at_alice,
        at_bob,
    }
}

#[tokio::test]
async fn a_call_rings_is_answered_and_ended_by_the_caller() {
    let stage = Stage::start().await;
    let pair = answered(stage.udp("alice").await, stage.udp("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        mut at_bob,
        ..
    } = pair;
    bob.hang_up(&mut at_bob, &mut alice).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_call_is_ended_by_the_callee_across_transports() {
    let stage = Stage::start().await;
    let pair = answered(stage.ws("alice").await, stage.tcp("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        mut at_alice,
        ..
    } = pair;
    alice.hang_up(&mut at_alice, &mut bob).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_caller_proves_who_it_is() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.wss("1001").await;
    bob.domain = "digest.test".into();
    let invite = bob.invite("sip:alice@open.test");
    let challenge = bob.ask(&invite).await;
    bob.ack_refusal(&invite, &challenge).await;
    let proven = crate::phone::answer(&invite.anew(), &challenge, "1001", "secret-of-1001");
    bob.say(&proven).await;
    let heard = alice.request_of(Method::Invite).await;
    assert!(heard.header(Name::ProxyAuthorization).is_none());
    let _talk = alice.accept(&heard).await;
    let ok = bob.expect(200).await;
    let mut at_bob = bob.ack(&proven, &ok, "").await;
    alice.request_of(Method::Ack).await;
    bob.hang_up(&mut at_bob, &mut alice).await;

    // In somebody else's name: proven, and refused.
    let mut theft = bob.invite("sip:alice@open.test");
    theft.from = theft.from.replace("1001", "1002");
    let refused = bob.ask_as(&theft, "1001", "secret-of-1001").await;
    assert_eq!(refused.status(), Some(403));
    stage.stop().await;
}

#[tokio::test]
async fn refusals_reach_the_caller_as_they_are() {
    let stage = Stage::start().await;
    let mut alice = stage.tcp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    for status in [486, 480, 603, 488, 404] {
        let invite = bob.invite("sip:alice@open.test");
        bob.say(&invite).await;
        let heard = alice.request_of(Method::Invite).await;
        alice.reject(&heard, status).await;
        let refusal = bob.expect(status).await;
        bob.ack_refusal(&invite, &refusal).await;
    }
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn nobody_answers() {
    let stage = Stage::with("[limits]\nring_ms = 1000\n").await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    alice.respond(&heard, 180, "t", "", "").await;
    // A second is short: it may be over before the 180 has come through.
    let refusal = bob.final_answer().await;
    assert_eq!(refusal.status(), Some(480), "{refusal:?}");
    bob.ack_refusal(&invite, &refusal).await;
    let cancel = alice.request_of(Method::Cancel).await;
    alice.ok(&cancel).await;
    alice.reject(&heard, 487).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_caller_cancels() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    alice.respond(&heard, 180, "t", "", "").await;
    bob.expect(180).await;
    let cancel = invite.cancel();
    let ok = bob.ask(&cancel).await;
    assert_eq!(ok.cseq().unwrap().method, Method::Cancel);
    let refusal = bob.expect(487).await;
    bob.ack_refusal(&invite, &refusal).await;
    bob.forget(&ok);
    let again = bob.ask(&cancel).await;
    assert_eq!(again.bytes(), ok.bytes());
    let cancel = alice.request_of(Method::Cancel).await;
    assert_eq!(
        cancel.top_via().unwrap().branch(),
        heard.top_via().unwrap().branch()
    );
    alice.ok(&cancel).await;
    alice.reject(&heard, 487).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_cancel_waits_until_the_callee_is_heard() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    let ok = bob.ask(&invite.cancel()).await;
    assert_eq!(ok.cseq().unwrap().method, Method::Cancel);
    let refusal = bob.expect(487).await;
    bob.ack_refusal(&invite, &refusal).await;
    alice.respond(&heard, 180, "t", "", "").await;
    let cancel = alice.request_of(Method::Cancel).await;
    alice.ok(&cancel).await;
    alice.reject(&heard, 487).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_cancel_that_crosses_the_answer_changes_nothing() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    let _talk = alice.accept(&heard).await;
    let ok = bob.expect(200).await;
    let late = bob.ask(&invite.cancel()).await;
    assert_eq!(late.status(), Some(200));
    assert_eq!(late.cseq().unwrap().method, Method::Cancel);
    let mut at_bob = bob.ack(&invite, &ok, "").await;
    alice.request_of(Method::Ack).await;
    bob.hang_up(&mut at_bob, &mut alice).await;
    stage.stop().await;
}

#[tokio::test]
async fn an_offer_may_come_with_the_answer() {
    let stage = Stage::start().await;
    let mut alice = stage.ws("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = Out {
        extra: format!("Contact: {}\r\n", bob.contact()),
        body: String::new(),
        ..bob.invite("sip:alice@open.test")
    };
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    assert!(heard.body().is_empty());
    let _talk = alice.accept(&heard).await;
    let ok = bob.expect(200).await;
    assert_eq!(ok.body(), sdp("alice").as_bytes());
    let mut at_bob = bob.ack(&invite, &ok, &sdp("bob")).await;
    let ack = alice.request_of(Method::Ack).await;
    assert_eq!(ack.body(), sdp("bob").as_bytes());
    bob.hang_up(&mut at_bob, &mut alice).await;
    stage.stop().await;
}

/// `one` offers anew and `other` answers; both bodies pass as they are.
async fn renegotiate(one: &mut Phone, talk: &mut Talk, other: &mut Phone, offer: &str) {
    let invite = one.within(talk, "INVITE", SDP, offer);
    one.say(&invite).await;
    let heard = other.request_of(Method::Invite).await;
    assert_eq!(heard.body(), offer.as_bytes());
    let answer = format!("{}a=answer\r\n", sdp(&other.user));
    other.respond(&heard, 200, "t", SDP, &answer).await;
    let ok = one.expect(200).await;
    assert_eq!(ok.body(), answer.as_bytes());
    one.ack_in(talk, invite.cseq, "").await;
    other.request_of(Method::Ack).await;
}

#[tokio::test]
async fn both_hold_and_resume() {
    let stage = Stage::start().await;
    let pair = answered(stage.ws("alice").await, stage.udp("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        mut at_alice,
        mut at_bob,
    } = pair;
    let hold = |user: &str| sdp(user).replace("sendrecv", "sendonly");
    renegotiate(&mut bob, &mut at_bob, &mut alice, &hold("bob")).await;
    renegotiate(&mut bob, &mut at_bob, &mut alice, &sdp("bob")).await;
    renegotiate(&mut alice, &mut at_alice, &mut bob, &hold("alice")).await;
    renegotiate(&mut alice, &mut at_alice, &mut bob, &sdp("alice")).await;
    bob.hang_up(&mut at_bob, &mut alice).await;
    stage.stop().await;
}

#[tokio::test]
async fn offers_that_cross_are_told_to_wait() {
    let stage = Stage::start().await;
    let pair = answered(stage.udp("alice").await, stage.udp("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        mut at_alice,
        mut at_bob,
    } = pair;
    let from_bob = bob.within(&mut at_bob, "INVITE", SDP, &sdp("bob"));
    bob.say(&from_bob).await;
    let heard = alice.request_of(Method::Invite).await;
    let from_alice = alice.within(&mut at_alice, "INVITE", SDP, &sdp("alice"));
    alice.say(&from_alice).await;
    let pending = alice.expect(491).await;
    alice.ack_refusal(&from_alice, &pending).await;
    alice.respond(&heard, 491, "t", "", "").await;
    alice.request_of(Method::Ack).await;
    let pending = bob.expect(491).await;
    bob.ack_refusal(&from_bob, &pending).await;
    // Glare is no reason to end anything.
    renegotiate(&mut alice, &mut at_alice, &mut bob, &sdp("alice")).await;
    bob.hang_up(&mut at_bob, &mut alice).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_hold_that_is_withdrawn_leaves_the_call() {
    let stage = Stage::start().await;
    let pair = answered(stage.udp("alice").await, stage.udp("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        mut at_bob,
        ..
    } = pair;
    let invite = bob.within(&mut at_bob, "INVITE", SDP, &sdp("bob"));
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    alice.respond(&heard, 180, "t", "", "").await;
    bob.expect(180).await;
    let ok = bob.ask(&invite.cancel()).await;
    assert_eq!(ok.cseq().unwrap().method, Method::Cancel);
    let cancel = alice.request_of(Method::Cancel).await;
    alice.ok(&cancel).await;
    alice.reject(&heard, 487).await;
    let refusal = bob.expect(487).await;
    bob.ack_refusal(&invite, &refusal).await;
    renegotiate(&mut bob, &mut at_bob, &mut alice, &sdp("bob")).await;
    bob.hang_up(&mut at_bob, &mut alice).await;
    stage.stop().await;
}

#[tokio::test]
async fn requests_inside_a_call_pass_both_ways() {
    let stage = Stage::start().await;
    let pair = answered(stage.tcp("alice").await, stage.ws("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        mut at_alice,
        mut at_bob,
    } = pair;
    for (method, lines, body) in [
        (
            "INFO",
            "Content-Type: application/dtmf-relay\r\n",
            "Signal=5\r\n",
        ),
        ("MESSAGE", "Content-Type: text/plain\r\n", "hello"),
        ("OPTIONS", "", ""),
        (
            "UPDATE",
            SDP,
            "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
        ),
        (
            "NOTIFY",
            "Event: talk\r\nSubscription-State: active\r\n",
            "",
        ),
        ("SUBSCRIBE", "Event: talk\r\nX-Odd: kept\r\n", "whatever"),
    ] {
        let out = bob.within(&mut at_bob, method, lines, body);
        passes(&mut bob, &out, &mut alice).await;
        let out = alice.within(&mut at_alice, method, lines, body);
        passes(&mut alice, &out, &mut bob).await;
    }
    bob.hang_up(&mut at_bob, &mut alice).await;
    stage.stop().await;
}

async fn passes(one: &mut Phone, out: &Out, other: &mut Phone) {
    one.say(out).await;
    let heard = other.hear().await;
    assert_eq!(heard.method_text(), out.method);
    assert_eq!(heard.body(), out.body.as_bytes());
    other
        .respond(&heard, 200, "t", "X-Answer: kept\r\n", "")
        .await;
    let ok = one.expect(200).await;
    assert_eq!(ok.other("X-Answer").next(), Some(&b"kept"[..]));
}

#[tokio::test]
async fn what_is_out_of_order_in_a_dialog_is_refused() {
    let stage = Stage::start().await;
    let pair = answered(stage.udp("alice").await, stage.udp("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        at_bob,
        ..
    } = pair;
    let mut talk = Talk { cseq: 10, ..at_bob };
    let info = bob.within(&mut talk, "INFO", "", "");
    passes(&mut bob, &info, &mut alice).await;
    let old = Out {
        branch: "old".into(),
        cseq: 5,
        ..info
    };
    assert_eq!(bob.ask(&old).await.status(), Some(500));
    let odd = bob.within(&mut talk, "INFO", "Require: teleport\r\n", "");
    let refused = bob.ask(&odd).await;
    assert_eq!(refused.status(), Some(420));
    assert_eq!(refused.text(Name::Unsupported), Some("teleport"));
    bob.hang_up(&mut talk, &mut alice).await;
    // It is gone now.
    let late = bob.within(&mut talk, "INFO", "", "");
    assert_eq!(bob.ask(&late).await.status(), Some(481));
    stage.stop().await;
}

#[tokio::test]
async fn a_bye_from_another_port_is_answered_there() {
    let stage = Stage::start().await;
    let pair = answered(stage.udp("alice").await, stage.udp("bob").await).await;
    let Pair {
        mut alice,
        mut at_bob,
        ..
    } = pair;
    let mut third = stage.udp("bob").await;
    let bye = third.within(&mut at_bob, "BYE", "Reason: SIP;cause=600\r\n", "");
    let ok = third.ask(&bye).await;
    assert_eq!(ok.status(), Some(200));
    let heard = alice.request_of(Method::Bye).await;
    assert_eq!(heard.text(Name::Reason), Some("SIP;cause=600"));
    alice.ok(&heard).await;
    stage.no_calls().await;
    // And again, as its answer may have been lost.
    third.forget(&ok);
    let again = third.ask(&bye).await;
    assert!(matches!(again.status(), Some(200 | 481)), "{again:?}");
    stage.stop().await;
}

#[tokio::test]
async fn an_answer_is_repeated_until_it_is_acknowledged() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    let _talk = alice.accept(&heard).await;
    let first = bob.expect(200).await;
    bob.forget(&first);
    let second = bob.expect(200).await;
    assert_eq!(first.bytes(), second.bytes());
    let mut at_bob = bob.ack(&invite, &second, "").await;
    alice.request_of(Method::Ack).await;
    bob.hang_up(&mut at_bob, &mut alice).await;
    stage.stop().await;
}

#[tokio::test]
async fn the_ends_see_only_us() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test").plus(
        "P-Asserted-Identity: <sip:boss@open.test>\r\nRemote-Party-ID: <sip:boss@open.test>\r\n\
         X-IF-Hazard: none\r\nSubject: kept\r\nX-Custom: kept\r\n",
    );
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    for name in [Name::PAssertedIdentity, Name::RemotePartyId, Name::IfHazard] {
        assert_eq!(heard.header(name), None, "{heard:?}");
    }
    assert_eq!(heard.text(Name::Subject), Some("kept"));
    assert_eq!(heard.other("X-Custom").next(), Some(&b"kept"[..]));
    assert_eq!(heard.all(Name::Via).count(), 1);
    assert_ne!(heard.call_id(), Some(&*invite.call_id));
    assert_ne!(heard.from_tag(), Some(from_tag(&invite)));
    assert_eq!(heard.max_forwards(), Some(69));
    let bobs = bob.wire.local.port().to_string();
    assert!(!heard.text(Name::Contact).unwrap().contains(&bobs));
    alice.reject(&heard, 486).await;
    let refusal: Message = bob.expect(486).await;
    bob.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

fn from_tag(out: &Out) -> &str {
    out.from.split_once("tag=").unwrap().1
}
