//! A call that rings is answered from elsewhere (RFC 3891, early dialogs).

use std::time::Duration;

use engine::{Hop, LegEvent, LegId};
use insta::assert_snapshot;
use sip::{Failure, Message};

use crate::scene::*;

/// Alice's call rings at bob and at dave; what names bob's dialog, as bob knows it.
fn ringing(body: &str) -> (Scene, String) {
    let plan = vec![vec![target(2), target(3)]];
    let mut scene = Scene::inbound_with(plan, invite("", body));
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.answer(C, "INVITE", 180, "dave", "");
    scene.told();
    let invite = scene.last_request(B, "INVITE");
    let (call_id, tag) = (invite.call_id().unwrap(), invite.from_tag().unwrap());
    let name = format!("Replaces: {call_id};to-tag={tag};from-tag=bob;early-only\r\n");
    (scene, name)
}

fn carol(lines: &str, body: &str) -> Message {
    let text = String::from_utf8_lossy(invite("LINES: 1\r\n", body).bytes())
        .replace("alice", "carol")
        .replace("z9hG4bKa1", "z9hG4bKc1")
        .replace("LINES: 1\r\n", lines);
    message(&text)
}

const D: LegId = LegId(3);

#[test]
fn the_newcomer_answers_the_caller() {
    let (mut scene, name) = ringing(OFFER);
    scene.newcomer(D, carol(&name, OFFER));
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.ack(D, "");
    assert_eq!(scene.last_request(D, "INVITE").body(), OFFER.as_bytes());
    scene.answer(D, "INVITE", 200, "", ANSWER);
    scene.answer(C, "INVITE", 487, "dave", "");
    scene.ack(A, "");
    scene.request(A, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    d: open
    persist ahead
    d: > 200 INVITE inactive
    b: > CANCEL (SIP;cause=200;text="Call completed elsewhere")
    b: close
    d: > INVITE offer
    c: > CANCEL (SIP;cause=200;text="Call completed elsewhere")
    persist ahead
    a: > 200 INVITE answer
    * call.answered d in_progress by callee answered 200
    * call.updated c in_progress by callee answered_elsewhere
    c: close
    d: > ACK
    a: > 200 BYE
    * call.ended completed by caller normal_clearing
    forget
    d: > BYE
    d: close
    a: close
    ended
    "#);
}

#[test]
fn a_newcomer_that_does_not_take_the_offer() {
    let (mut scene, name) = ringing(OFFER);
    scene.newcomer(D, carol(&name, OFFER));
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.ack(D, "");
    scene.answer(D, "INVITE", 488, "", "");
    // Dave still may.
    scene.answer(C, "INVITE", 200, "dave", ANSWER);
    scene.ack(A, "");
    assert_snapshot!(scene.told(), @r#"
    d: open
    persist ahead
    d: > 200 INVITE inactive
    b: > CANCEL (SIP;cause=200;text="Call completed elsewhere")
    b: close
    d: > INVITE offer
    d: > BYE (Q.850;cause=65;text="incompatible_media")
    d: close
    persist ahead
    a: > 200 INVITE answer
    * call.answered c in_progress by callee answered 200
    c: > ACK
    "#);
}

#[test]
fn somebody_else_is_faster() {
    let (mut scene, name) = ringing(OFFER);
    scene.newcomer(D, carol(&name, OFFER));
    scene.ack(D, "");
    scene.told();
    scene.answer(C, "INVITE", 200, "dave", ANSWER);
    scene.answer(D, "INVITE", 200, "", ANSWER);
    scene.ack(A, "");
    scene.answer(B, "INVITE", 487, "bob", "");
    assert_eq!(scene.open_legs(), 2);
    assert_snapshot!(scene.told(), @r#"
    persist ahead
    a: > 200 INVITE answer
    * call.answered c in_progress by callee answered 200
    d: > BYE (SIP;cause=200;text="Call completed elsewhere")
    d: close
    c: > ACK
    b: close
    "#);
}

#[test]
fn a_newcomer_that_vanishes() {
    let (mut scene, name) = ringing(OFFER);
    scene.newcomer(D, carol(&name, OFFER));
    scene.ack(D, "");
    scene.request(D, "INFO", "", "x");
    scene.fail(D, "INVITE", Failure::Timeout);
    scene.told();
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.answer(C, "INVITE", 486, "dave", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    b: close
    c: close
    a: > 486 INVITE
    * call.ended busy by callee busy 486
    forget
    a: close
    ended
    ");

    let (mut scene, name) = ringing(OFFER);
    scene.newcomer(D, carol(&name, OFFER));
    scene.told();
    scene.leg(D, LegEvent::FlowLost);
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.answer(C, "INVITE", 487, "dave", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > 480 INVITE
    * call.ended failed by callee network_out_of_order
    forget
    d: close
    c: > CANCEL (Q.850;cause=38;text="network_out_of_order")
    a: close
    b: close
    c: close
    ended
    "#);
}

#[test]
fn a_newcomer_that_hangs_up_or_never_acknowledges() {
    let (mut scene, name) = ringing(OFFER);
    scene.newcomer(D, carol(&name, OFFER));
    scene.ack(D, "");
    scene.told();
    scene.request(D, "BYE", "", "");
    assert_snapshot!(scene.told(), @r"
    d: > 200 BYE
    a: > 480 INVITE
    * call.ended canceled by callee normal_clearing
    forget
    d: close
    c: > CANCEL
    a: close
    ");

    let (mut scene, name) = ringing(OFFER);
    scene.newcomer(D, carol(&name, OFFER));
    scene.wait(Duration::from_secs(33));
    assert_eq!(scene.sent[&A].status(), Some(504));
}

#[test]
fn the_caller_gives_up_meanwhile() {
    let (mut scene, name) = ringing(OFFER);
    scene.newcomer(D, carol(&name, OFFER));
    scene.ack(D, "");
    scene.told();
    scene.cancel(A, sip::ServerId(1), "");
    assert_snapshot!(scene.told(), @r"
    a: > 200 CANCEL
    a: > 487 INVITE
    * call.ended canceled by caller originator_cancel 487
    forget
    d: > BYE
    d: close
    c: > CANCEL
    a: close
    ");
}

#[test]
fn who_cannot_pick_up() {
    // Without an offer, of a caller without one, in a browser, and for the second time.
    let mut answers = String::new();
    for (callers, own) in [(OFFER, ""), ("", OFFER)] {
        let (mut scene, name) = ringing(callers);
        scene.newcomer(D, carol(&name, own));
        answers.push_str(&scene.told());
    }
    let (mut scene, name) = ringing(OFFER);
    let flow = Hop::Flow {
        connection: 9,
        listener: 2,
    };
    scene.newcomer_by(D, carol(&name, OFFER), flow);
    scene.newcomer(LegId(4), carol(&name, OFFER));
    scene.newcomer(LegId(5), carol(&name, OFFER));
    answers.push_str(&scene.told());
    assert_snapshot!(answers, @r#"
    d: open
    d: > 488 INVITE
    d: close
    d: open
    d: > 488 INVITE
    d: close
    d: open
    d: > 488 INVITE
    d: close
    e: open
    persist ahead
    e: > 200 INVITE inactive
    b: > CANCEL (SIP;cause=200;text="Call completed elsewhere")
    f: open
    f: > 481 INVITE
    f: close
    "#);
}

#[test]
fn a_call_that_was_picked_up_and_left_behind_is_ended() {
    let (mut scene, name) = ringing(OFFER);
    scene.newcomer(D, carol(&name, OFFER));
    let record = scene.record.clone().unwrap();
    let mut scene = crate::restart::recover(&record, None).unwrap();
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    d: open
    * call.recovered queued by system recovered
    * call.ended failed by system restart
    forget
    d: > BYE (Q.850;cause=41;text="restart")
    d: close
    ended
    "#);
}
