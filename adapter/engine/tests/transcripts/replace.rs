//! A new party in the place of one (RFC 3891), and how it is sent for (RFC 3515).

use insta::assert_snapshot;
use sip::{Failure, Message, Name};

use crate::scene::*;

/// An answered call of alice and bob.
fn answered() -> Scene {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.ack(A, "");
    scene.told();
    scene
}

/// The dialog of `leg` as its phone names it to another: to-tag is the one of its peer, us.
fn named(scene: &Scene, leg: engine::LegId) -> String {
    let (call_id, ours, theirs) = scene.dialog(leg);
    format!("Replaces: {call_id};to-tag={ours};from-tag={theirs}")
}

/// Carol's INVITE.
fn carol(lines: &str, body: &str) -> Message {
    let text = String::from_utf8_lossy(invite("LINES: 1\r\n", body).bytes())
        .replace("alice", "carol")
        .replace("z9hG4bKa1", "z9hG4bKc1")
        .replace("LINES: 1\r\n", lines);
    message(&text)
}

#[test]
fn carol_takes_alices_place() {
    let mut scene = answered();
    let lines = format!("{}\r\nRequire: replaces\r\n", named(&scene, A));
    scene.newcomer(C, carol(&lines, OFFER));
    assert!(
        scene
            .last_request(B, "INVITE")
            .header(Name::Replaces)
            .is_none()
    );
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.answer(A, "BYE", 200, "", "");
    scene.ack(C, "");
    scene.request(C, "INFO", "", "x");
    scene.answer(B, "INFO", 200, "bob", "");
    scene.request(B, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    c: open
    b: > INVITE offer
    persist ahead
    c: > 200 INVITE answer
    a: > BYE (SIP;cause=200;text="Replaced")
    a: close
    persist
    * call.updated c in_progress by caller replaced
    b: > ACK
    b: > INFO 1 bytes
    c: > 200 INFO
    b: > 200 BYE
    * call.ended completed by callee normal_clearing
    forget
    c: > BYE
    c: close
    b: close
    ended
    "#);
}

#[test]
fn carol_takes_bobs_place_and_lets_alice_offer() {
    let mut scene = answered();
    let lines = format!("{}\r\n", named(&scene, B));
    scene.newcomer(C, carol(&lines, ""));
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.ack(C, ANSWER);
    let view = scene.call.view();
    let legs: Vec<_> = view
        .call
        .legs
        .iter()
        .map(|leg| leg.state.as_str())
        .collect();
    assert_eq!(legs, ["confirmed", "terminated", "confirmed"]);
    assert_snapshot!(scene.told(), @r#"
    c: open
    a: > INVITE
    persist ahead
    c: > 200 INVITE offer
    b: > BYE (SIP;cause=200;text="Replaced")
    b: close
    persist
    * call.updated c in_progress by callee replaced
    a: > ACK answer
    "#);
}

#[test]
fn the_one_who_stays_may_be_the_one_who_names_it() {
    let mut scene = answered();
    let (call_id, ours, theirs) = scene.dialog(B);
    let lines = format!("Replaces: {call_id};to-tag={theirs};from-tag={ours}\r\n");
    scene.newcomer(C, carol(&lines, OFFER));
    // It is alice who goes.
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    assert!(scene.has_request(A, "BYE"));
}

#[test]
fn what_cannot_be_replaced() {
    let (_, ours, theirs) = answered().dialog(A);
    let whole = named(&answered(), A);
    let lines = [
        format!("{whole};early-only\r\n"),
        format!("Replaces: another;to-tag={ours};from-tag={theirs}\r\n"),
        format!("Replaces: from-alice;to-tag={ours};from-tag=x\r\n"),
        format!("{whole}\r\nRequire: foo\r\n"),
        format!("{whole}\r\nSupported: timer\r\nSession-Expires: 20\r\n"),
    ];
    let answers = lines.map(|lines| {
        let mut scene = answered();
        scene.newcomer(C, carol(&lines, OFFER));
        scene.told()
    });
    assert_snapshot!(answers.join(""), @r"
    c: open
    c: > 486 INVITE
    c: close
    c: open
    c: > 481 INVITE
    c: close
    c: open
    c: > 481 INVITE
    c: close
    c: open
    c: > 420 INVITE
    c: close
    c: open
    c: > 422 INVITE
    c: close
    ");
}

#[test]
fn an_early_dialog_has_no_place_to_take() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    let ours = scene.sent_tag(A);
    scene.told();
    let lines = format!("Replaces: from-alice;to-tag={ours};from-tag=alice\r\n");
    scene.newcomer(C, carol(&lines, OFFER));
    assert_snapshot!(scene.told(), @r"
    c: open
    c: > 481 INVITE
    c: close
    ");
}

#[test]
fn a_call_that_has_ended() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    let lines = format!("{}\r\n", named(&scene, A));
    scene.hangup();
    scene.told();
    scene.newcomer(C, carol(&lines, OFFER));
    scene.ack(A, "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    c: open
    c: > 603 INVITE
    c: close
    a: > BYE (Q.850;cause=16;text="normal_clearing")
    a: close
    ended
    "#);
}

#[test]
fn a_session_in_change_is_not_taken_over() {
    let mut scene = answered();
    scene.request(B, "INVITE", "", OFFER);
    let lines = format!("{}\r\n", named(&scene, A));
    scene.newcomer(C, carol(&lines, OFFER));
    scene.told();
    scene.answer(A, "INVITE", 200, "alice", ANSWER);
    scene.ack(B, "");
    scene.newcomer(engine::LegId(3), carol(&lines, OFFER));
    // And while it is taken over it is not changed.
    scene.request(A, "INVITE", "", OFFER);
    scene.request(B, "INVITE", "", OFFER);
    assert_snapshot!(scene.told(), @r"
    b: > 200 INVITE answer
    persist
    * call.updated b in_progress by callee renegotiated
    a: > ACK
    d: open
    b: > INVITE offer
    a: > 491 INVITE
    b: > 491 INVITE
    ");
}

#[test]
fn a_newcomer_that_is_refused_or_gives_up() {
    let mut scene = answered();
    let lines = format!("{}\r\n", named(&scene, A));
    scene.newcomer(C, carol(&lines, OFFER));
    scene.answer(B, "INVITE", 488, "bob", "");
    let next = engine::LegId(3);
    let id = scene.newcomer(next, carol(&lines, OFFER));
    scene.answer(B, "INVITE", 100, "", "");
    scene.cancel(next, id, "");
    scene.answer(B, "INVITE", 487, "bob", "");
    assert_snapshot!(scene.told(), @r"
    c: open
    b: > INVITE offer
    c: > 488 INVITE
    c: close
    d: open
    b: > INVITE offer
    d: > 200 CANCEL
    b: > CANCEL
    d: > 487 INVITE
    d: close
    ");
}

#[test]
fn a_newcomer_whose_connection_goes() {
    let mut scene = answered();
    let lines = format!("{}\r\n", named(&scene, A));
    scene.newcomer(C, carol(&lines, OFFER));
    scene.leg(C, engine::LegEvent::FlowLost);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.answer(B, "INVITE", 487, "bob", "");
    assert_snapshot!(scene.told(), @r"
    c: open
    b: > INVITE offer
    c: close
    b: > CANCEL
    ");
}

#[test]
fn the_one_who_leaves_hangs_up_too_early() {
    let mut scene = answered();
    let lines = format!("{}\r\n", named(&scene, A));
    scene.newcomer(C, carol(&lines, OFFER));
    scene.request(A, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    c: open
    b: > INVITE offer
    a: > 200 BYE
    c: > 487 INVITE
    * call.ended completed by caller normal_clearing
    forget
    c: close
    b: > BYE
    b: close
    a: close
    ended
    ");
}

#[test]
fn the_one_who_stays_is_gone() {
    let mut scene = answered();
    let lines = format!("{}\r\n", named(&scene, A));
    scene.newcomer(C, carol(&lines, OFFER));
    scene.fail(B, "INVITE", Failure::Timeout);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    c: open
    b: > INVITE offer
    c: > 408 INVITE
    c: close
    * call.ended completed by timer no_user_response 408 timer timer_f
    forget
    b: > BYE (Q.850;cause=18;text="no_user_response")
    b: close
    a: > BYE (Q.850;cause=18;text="no_user_response")
    a: close
    ended
    "#);
}

#[test]
fn a_refer_passes_with_what_becomes_of_it() {
    let mut scene = answered();
    let (call_id, ours, theirs) = scene.dialog(A);
    let replaces = format!("Replaces={call_id}%3Bto-tag%3D{ours}%3Bfrom-tag%3D{theirs}");
    let lines = format!(
        "r: \"Carol\" <sip:carol@example.test;x=y?{replaces}>;a=b\r\nRefer-Sub: true\r\n\
         Referred-By: <sip:alice@example.test>\r\n"
    );
    scene.request(A, "REFER", &lines, "");
    let heard = scene.last_request(B, "REFER").clone();
    assert_eq!(
        heard.text(Name::ReferTo).unwrap(),
        format!("\"Carol\" <sip:carol@example.test;x=y?{replaces}>;a=b")
    );
    assert!(heard.header(Name::ReferSub).is_some() && heard.header(Name::ReferredBy).is_some());
    scene.answer(B, "REFER", 202, "bob", "");
    scene.request(
        B,
        "NOTIFY",
        "Event: refer\r\nSubscription-State: active\r\n",
        "SIP/2.0 100 Trying\r\n",
    );
    scene.answer(A, "NOTIFY", 200, "alice", "");
    assert_eq!(
        scene.last_request(A, "NOTIFY").text(Name::Event),
        Some("refer")
    );

    // A Contact of ours, as alice has it from another call: bob gets one that bob can reach.
    let lines = format!("Refer-To: <sip:{ours}@192.0.2.100:5060;transport=ws?{replaces}>\r\n");
    scene.request(A, "REFER", &lines, "");
    assert_eq!(
        scene.last_request(B, "REFER").text(Name::ReferTo).unwrap(),
        format!("<sip:{ours}@192.0.2.100:5060?{replaces}>")
    );
    assert_eq!(scene.last_request(B, "REFER").all(Name::ReferTo).count(), 1);
    scene.answer(B, "REFER", 603, "bob", "");
    assert_snapshot!(scene.told(), @r"
    b: > REFER
    a: > 202 REFER
    persist
    a: > NOTIFY 20 bytes
    b: > 200 NOTIFY
    persist
    b: > REFER
    a: > 603 REFER
    ");
}
