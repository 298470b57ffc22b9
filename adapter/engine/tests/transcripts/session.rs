//! Session timers (RFC 4028).

use std::time::Duration;

use insta::assert_snapshot;
use sip::{Failure, Name};

use crate::scene::*;

const MINUTES: Duration = Duration::from_secs(60);

/// A call of a caller that says this, answered by a callee that says that.
fn answered(caller: &str, callee: &str) -> Scene {
    let mut scene = Scene::inbound_with(vec![vec![target(2)]], invite(caller, OFFER));
    scene.answer_with(B, "INVITE", 200, "bob", callee, ANSWER);
    scene.ack(A, "");
    scene
}

/// What the last message to the caller, and our INVITE to the callee, say of the session's time.
fn terms(scene: &Scene) -> String {
    let term = |message: &sip::Message| {
        let term = message.text(Name::SessionExpires).unwrap_or("none");
        let least = message.text(Name::MinSe).unwrap_or("none");
        let required = message.lists(Name::Require, "timer");
        format!("{term}, least {least}, required {required}")
    };
    let asked = term(scene.last_request(B, "INVITE"));
    let granted = term(&scene.sent[&A]);
    format!("callee: {asked}\ncaller: {granted}")
}

const JSSIP: &str = "Supported: timer\r\nSession-Expires: 120\r\nAllow: UPDATE\r\n";

#[test]
fn nobody_asks_and_nobody_is_asked() {
    let mut scene = answered("Supported: timer\r\n", "Supported: timer\r\n");
    assert_snapshot!(terms(&scene), @r"
    callee: none, least none, required false
    caller: none, least none, required false
    ");
    scene.told();
    scene.wait(60 * MINUTES);
    assert_snapshot!(scene.told(), @"");
}

#[test]
fn a_caller_that_asks_renews_it() {
    let mut scene = answered(JSSIP, "");
    assert_snapshot!(terms(&scene), @r"
    callee: 120, least none, required false
    caller: 120;refresher=uac, least none, required true
    ");
    scene.told();
    for _ in 0..3 {
        scene.wait(MINUTES);
        scene.request(
            A,
            "UPDATE",
            "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n",
            "",
        );
    }
    assert_eq!(
        scene.sent[&A].text(Name::SessionExpires),
        Some("120;refresher=uac")
    );
    // And then no more.
    scene.wait(2 * MINUTES);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > 200 UPDATE
    persist
    a: > 200 UPDATE
    a: > 200 UPDATE
    * call.ended completed by timer timer_expired timer session_expires
    forget
    b: > BYE (Q.850;cause=102;text="timer_expired")
    b: close
    a: > BYE (Q.850;cause=102;text="timer_expired")
    a: close
    ended
    "#);
}

#[test]
fn both_sides_are_renewed_as_agreed() {
    let granted = "Supported: timer\r\nRequire: timer\r\nSession-Expires: 120;refresher=uac\r\n\
                   Allow: INVITE, UPDATE\r\n";
    let mut scene = answered(
        "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\nAllow: INVITE, UPDATE\r\n",
        granted,
    );
    assert_snapshot!(terms(&scene), @r"
    callee: 120, least none, required false
    caller: 120;refresher=uas, least none, required true
    ");
    scene.told();
    for _ in 0..2 {
        scene.wait(MINUTES);
        scene.answer_with(
            A,
            "UPDATE",
            200,
            "alice",
            &granted.replace("120", "100"),
            "",
        );
        scene.answer_with(B, "UPDATE", 200, "bob", granted, "");
    }
    // Alice has it at 100 s from now on.
    scene.wait(Duration::from_secs(51));
    scene.fail(A, "UPDATE", Failure::Timeout);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > UPDATE
    a: > UPDATE
    persist
    a: > UPDATE
    b: > UPDATE
    a: > UPDATE
    * call.ended completed by timer timer_expired timer session_expires
    forget
    b: > BYE (Q.850;cause=102;text="timer_expired")
    b: close
    a: > BYE (Q.850;cause=102;text="timer_expired")
    a: close
    ended
    "#);
}

#[test]
fn a_party_without_update_is_asked_by_invite() {
    let granted = "Require: timer\r\nSession-Expires: 120;refresher=uac\r\n";
    let mut scene = answered(JSSIP, granted);
    scene.told();
    scene.wait(MINUTES);
    // It gets what it got.
    assert_eq!(scene.last_request(B, "INVITE").body(), OFFER.as_bytes());
    scene.answer_with(B, "INVITE", 200, "bob", granted, ANSWER);
    scene.answer_with(B, "INVITE", 200, "bob", granted, ANSWER);
    assert_snapshot!(scene.told(), @r"
    b: > INVITE offer
    b: > ACK
    b: > ACK again
    ");
}

#[test]
fn a_renewal_is_put_off_while_the_session_changes() {
    let granted = "Require: timer\r\nSession-Expires: 120;refresher=uac\r\n";
    let mut scene = answered("", granted);
    scene.told();
    scene.wait(Duration::from_secs(59));
    scene.request(A, "INVITE", "", OFFER);
    scene.wait(Duration::from_secs(2));
    scene.answer_with(B, "INVITE", 200, "bob", granted, ANSWER);
    scene.ack(A, "");
    scene.wait(Duration::from_secs(59));
    assert_snapshot!(scene.told(), @r"
    b: > INVITE offer
    a: > 200 INVITE answer
    persist
    * call.updated a in_progress by caller renegotiated
    b: > ACK
    ");
    scene.wait(Duration::from_secs(2));
    assert_snapshot!(scene.told(), @r"
    b: > INVITE offer
    ");
}

#[test]
fn a_session_too_short_is_refused() {
    let mut home = (*home()).clone();
    home.timeouts.session_min = Duration::from_secs(300);
    let short = invite(JSSIP, OFFER);
    let mut scene = Scene::inbound_at_with(home, vec![vec![target(2)]], short);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: open
    * call.created a queued by caller requested
    a: > 422 INVITE
    * call.ended failed by system interworking 422
    forget
    a: close
    ended
    ");
    assert_eq!(scene.sent[&A].text(Name::MinSe), Some("300"));
}

#[test]
fn a_shorter_one_later_is_refused_too() {
    let mut scene = answered(JSSIP, "");
    scene.told();
    scene.request(
        A,
        "UPDATE",
        "Supported: timer\r\nSession-Expires: 30\r\n",
        "",
    );
    assert_eq!(scene.sent[&A].text(Name::MinSe), Some("90"));
    scene.request(
        A,
        "INVITE",
        "Supported: timer\r\nSession-Expires: 30\r\n",
        OFFER,
    );
    assert_snapshot!(scene.told(), @r"
    a: > 422 UPDATE
    a: > 422 INVITE
    ");
}

#[test]
fn a_callee_that_wants_longer_is_asked_again() {
    let mut scene = Scene::inbound_with(vec![vec![target(2)]], invite(JSSIP, OFFER));
    scene.answer_with(B, "INVITE", 422, "bob", "Min-SE: 600\r\n", "");
    let again = scene.last_request(B, "INVITE");
    assert_eq!(again.cseq().unwrap().seq, 2);
    assert_eq!(again.text(Name::SessionExpires), Some("600"));
    assert_eq!(again.text(Name::MinSe), Some("600"));
    let granted = "Require: timer\r\nSession-Expires: 600;refresher=uas\r\n";
    scene.answer_with(B, "INVITE", 200, "bob", granted, ANSWER);
    scene.ack(A, "");
    assert_eq!(scene.sent[&B].cseq().unwrap().seq, 2, "the ACK's number");
    scene.request(A, "BYE", "", "");
    assert_snapshot!(scene.told(), @r"
    a: open
    * call.created a queued by caller requested
    b: open
    b: > INVITE offer
    b: open
    b: > INVITE offer
    persist ahead
    a: > 200 INVITE answer
    * call.answered b in_progress by callee answered 200
    b: > ACK
    a: > 200 BYE
    * call.ended completed by caller normal_clearing
    forget
    b: > BYE
    b: close
    a: close
    ended
    ");
}

#[test]
fn a_callee_that_is_never_content_refuses_the_call() {
    let mut scene = Scene::inbound_with(vec![vec![target(2)]], invite(JSSIP, OFFER));
    scene.answer_with(B, "INVITE", 422, "bob", "Min-SE: 600\r\n", "");
    scene.answer_with(B, "INVITE", 422, "bob", "Min-SE: 700\r\n", "");
    scene.answer_with(B, "INVITE", 422, "bob", "Min-SE: 800\r\n", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: open
    * call.created a queued by caller requested
    b: open
    b: > INVITE offer
    b: open
    b: > INVITE offer
    b: open
    b: > INVITE offer
    b: close
    a: > 422 INVITE
    * call.ended failed by callee interworking 422
    forget
    a: close
    ended
    ");
}

#[test]
fn a_renewal_that_is_too_short_is_said_again() {
    let granted = "Require: timer\r\nSession-Expires: 120;refresher=uac\r\nAllow: UPDATE\r\n";
    let mut scene = answered("", granted);
    scene.told();
    scene.wait(MINUTES);
    scene.answer_with(B, "UPDATE", 422, "bob", "Min-SE: 240\r\n", "");
    let again = scene.last_request(B, "UPDATE").text(Name::SessionExpires);
    assert_eq!(again, Some("240;refresher=uac"));
    scene.answer(B, "UPDATE", 491, "bob", "");
    scene.wait(Duration::from_secs(5));
    scene.answer(B, "UPDATE", 405, "bob", "");
    scene.wait(2 * MINUTES);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > UPDATE
    b: > UPDATE
    b: > UPDATE
    * call.ended completed by timer timer_expired timer session_expires
    forget
    b: > BYE (Q.850;cause=102;text="timer_expired")
    b: close
    a: > BYE (Q.850;cause=102;text="timer_expired")
    a: close
    ended
    "#);
}

#[test]
fn a_party_that_forgot_the_session_ends_it() {
    let granted = "Require: timer\r\nSession-Expires: 120;refresher=uac\r\nAllow: UPDATE\r\n";
    let mut scene = answered("", granted);
    scene.told();
    scene.wait(MINUTES);
    scene.answer(B, "UPDATE", 481, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > UPDATE
    * call.ended completed by callee temporary_failure 481
    forget
    b: > BYE (Q.850;cause=41;text="temporary_failure")
    b: close
    a: > BYE (Q.850;cause=41;text="temporary_failure")
    a: close
    ended
    "#);
}

#[test]
fn the_configuration_asks_everybody() {
    let mut home = (*home()).clone();
    home.timeouts.session = Some(Duration::from_secs(1800));
    // One that has never heard of it, and one that has.
    let plan = vec![vec![target(2)]];
    let mut scene = Scene::inbound_at_with(home, plan, invite("Allow: UPDATE\r\n", OFFER));
    let granted = "Require: timer\r\nSession-Expires: 1800;refresher=uas\r\n";
    scene.answer_with(B, "INVITE", 200, "bob", granted, ANSWER);
    assert_snapshot!(terms(&scene), @r"
    callee: 1800, least none, required false
    caller: 1800;refresher=uas, least none, required false
    ");
    scene.ack(A, "");
    scene.told();
    scene.wait(15 * MINUTES);
    scene.answer(A, "UPDATE", 200, "alice", "");
    scene.wait(15 * MINUTES);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > UPDATE
    persist
    * call.ended completed by timer timer_expired timer session_expires
    forget
    b: > BYE (Q.850;cause=102;text="timer_expired")
    b: close
    a: > BYE (Q.850;cause=102;text="timer_expired")
    a: close
    ended
    "#);
}

#[test]
fn an_agents_call_is_renewed_as_well() {
    let mut home = (*home()).clone();
    home.timeouts.session = Some(Duration::from_secs(200));
    let granted = "Session-Expires: 200;refresher=uac\r\nAllow: UPDATE\r\n";
    let origin = originate(vec![vec![target(2)]]);
    let mut scene = Scene::originate_at(home, origin, vec![vec![target(3)]]);
    scene.answer_with(A, "INVITE", 200, "alice", granted, OFFER);
    scene.answer_with(B, "INVITE", 200, "bob", granted, OFFER);
    scene.answer_with(A, "INVITE", 200, "alice", granted, ANSWER);
    scene.told();
    scene.wait(Duration::from_secs(100));
    assert_snapshot!(scene.told(), @r"
    b: > UPDATE
    a: > UPDATE
    ");
    assert_eq!(
        scene.last_request(A, "INVITE").text(Name::SessionExpires),
        Some("200;refresher=uac")
    );
}
