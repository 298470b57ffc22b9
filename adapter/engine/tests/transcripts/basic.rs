//! Calls of a caller: answered, refused, given up, forked.

use std::time::Duration;

use insta::assert_snapshot;
use sip::ServerId;

use crate::scene::*;

#[test]
fn answered_and_hung_up_by_the_caller() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 100, "", "");
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.ack(A, "");
    scene.request(A, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: open
    * call.created a queued by caller requested
    b: open
    b: > INVITE offer
    a: > 180 INVITE
    * call.ringing b ringing by callee progress 180
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
fn the_caller_cancels_and_its_reason_is_passed() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.cancel(A, ServerId(1), "Reason: Q.850;cause=16;text=\"enough\"\r\n");
    scene.answer(B, "CANCEL", 200, "bob", "");
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > 200 CANCEL
    a: > 487 INVITE
    * call.ended canceled by caller originator_cancel 487
    forget
    b: > CANCEL (Q.850;cause=16;text="enough")
    a: close
    b: close
    ended
    "#);
}

#[test]
fn the_caller_cancels_while_the_callee_answers() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.cancel(A, ServerId(1), "");
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: > 200 CANCEL
    a: > 487 INVITE
    * call.ended canceled by caller originator_cancel 487
    forget
    b: > CANCEL
    a: close
    b: > ACK
    b: > BYE
    b: close
    ended
    ");
}

#[test]
fn busy() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.told();
    scene.answer(B, "INVITE", 486, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    b: close
    a: > 486 INVITE
    * call.ended busy by callee busy 486
    forget
    a: close
    ended
    ");
}

#[test]
fn no_answer() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.wait(Duration::from_secs(60));
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > CANCEL (Q.850;cause=19;text="no_answer")
    a: > 480 INVITE (Q.850;cause=19;text="no_answer")
    * call.ended no_answer by timer no_answer 480 timer ring
    forget
    a: close
    b: close
    ended
    "#);
}
