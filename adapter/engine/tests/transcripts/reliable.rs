//! Reliable provisional responses (RFC 3262) and what passes before the answer.

use std::time::Duration;

use insta::assert_snapshot;
use sip::{Failure, Name};

use crate::scene::*;

const SUPPORTED: &str = "Supported: 100rel\r\n";
const REQUIRED: &str = "Require: 100rel\r\n";

fn rseq(number: u32) -> String {
    format!("Require: 100rel\r\nRSeq: {number}\r\n")
}

/// The RAck of what the caller heard last.
fn rack(scene: &Scene) -> String {
    let rseq = scene.sent[&A].text(Name::RSeq).unwrap();
    format!("RAck: {rseq} 1 INVITE\r\n")
}

/// A call of a caller with these lines, and this body.
fn call(extra: &str, body: &str) -> Scene {
    let mut scene = Scene::inbound_with(vec![vec![target(2)]], invite(extra, body));
    scene.told();
    scene
}

/// The caller acknowledges what it heard last.
fn prack(scene: &mut Scene, body: &str) {
    let rack = rack(scene);
    scene.enter_early();
    scene.request(A, "PRACK", &rack, body);
}

#[test]
fn a_description_is_answered_reliably_before_the_answer() {
    let mut scene = call(SUPPORTED, OFFER);
    assert!(
        scene
            .last_request(B, "INVITE")
            .lists(Name::Supported, "100rel")
    );
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    assert!(scene.sent[&A].lists(Name::Require, "100rel"));
    prack(&mut scene, "");
    scene.answer(B, "PRACK", 200, "bob", "");
    scene.answer_with(B, "INVITE", 180, "bob", &rseq(8), "");
    prack(&mut scene, "");
    scene.answer(B, "PRACK", 200, "bob", "");
    scene.answer(B, "INVITE", 200, "bob", "");
    scene.ack(A, "");
    scene.request(A, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE answer RSeq 79947733
    * call.early_media b early_media by callee progress 183
    b: > PRACK RAck 7 1 INVITE
    a: > 200 PRACK
    a: > 180 INVITE RSeq 79947734
    b: > PRACK RAck 8 1 INVITE
    a: > 200 PRACK
    persist ahead
    a: > 200 INVITE
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
    // INVITE, two PRACKs: the numbers of one dialog.
    assert_eq!(scene.last_request(B, "BYE").cseq().unwrap().seq, 4);
}

#[test]
fn an_offer_comes_reliably_and_is_answered_in_the_prack() {
    let mut scene = call(SUPPORTED, "");
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), OFFER);
    prack(&mut scene, ANSWER);
    scene.answer(B, "PRACK", 200, "bob", "");
    scene.answer(B, "INVITE", 200, "bob", "");
    scene.ack(A, "");
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE offer RSeq 79947733
    * call.early_media b early_media by callee progress 183
    b: > PRACK answer RAck 7 1 INVITE
    a: > 200 PRACK
    persist ahead
    a: > 200 INVITE
    * call.answered b in_progress by callee answered 200
    b: > ACK
    ");
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut scene = call(SUPPORTED, OFFER);
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    prack(&mut scene, OFFER);
    // Not while that offer has no answer.
    scene.request(B, "UPDATE", "", OFFER);
    scene.answer(B, "PRACK", 200, "bob", ANSWER);
    scene.request(B, "UPDATE", "", OFFER);
    scene.answer(A, "UPDATE", 200, "alice", ANSWER);
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE answer RSeq 79947733
    * call.early_media b early_media by callee progress 183
    b: > PRACK offer RAck 7 1 INVITE
    b: > 491 UPDATE
    a: > 200 PRACK answer
    a: > UPDATE offer
    b: > 200 UPDATE answer
    ");
}

#[test]
fn both_update_before_the_answer() {
    let mut scene = call(SUPPORTED, OFFER);
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    prack(&mut scene, "");
    scene.answer(B, "PRACK", 200, "bob", "");
    scene.request(A, "UPDATE", "", OFFER);
    scene.answer(B, "UPDATE", 200, "bob", ANSWER);
    scene.request(B, "UPDATE", "", OFFER);
    scene.answer(A, "UPDATE", 488, "alice", "");
    scene.request(B, "INFO", "", "x");
    scene.answer(A, "INFO", 200, "alice", "");
    scene.answer(B, "INVITE", 200, "bob", "");
    scene.ack(A, "");
    scene.request(B, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE answer RSeq 79947733
    * call.early_media b early_media by callee progress 183
    b: > PRACK RAck 7 1 INVITE
    a: > 200 PRACK
    b: > UPDATE offer
    a: > 200 UPDATE answer
    a: > UPDATE offer
    b: > 488 UPDATE
    a: > INFO 1 bytes
    b: > 200 INFO
    persist ahead
    a: > 200 INVITE
    * call.answered b in_progress by callee answered 200
    b: > ACK
    b: > 200 BYE
    * call.ended completed by callee normal_clearing
    forget
    b: close
    a: > BYE
    a: close
    ended
    ");
    assert_eq!(scene.last_request(A, "BYE").cseq().unwrap().seq, 3);
}

#[test]
fn what_is_not_acknowledged_is_said_again_and_then_given_up() {
    let mut scene = call(SUPPORTED, OFFER);
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    // The callee says it again, too; that is not passed on.
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    scene.wait(Duration::from_secs(32));
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > 183 INVITE answer RSeq 79947733
    * call.early_media b early_media by callee progress 183
    a: > 183 INVITE answer RSeq 79947733 again
    a: > 183 INVITE answer RSeq 79947733 again
    a: > 183 INVITE answer RSeq 79947733 again
    a: > 183 INVITE answer RSeq 79947733 again
    a: > 183 INVITE answer RSeq 79947733 again
    a: > 183 INVITE answer RSeq 79947733 again
    a: > 504 INVITE (Q.850;cause=102;text="timer_expired")
    * call.ended failed by timer timer_expired 504 timer prack
    forget
    b: > CANCEL (Q.850;cause=102;text="timer_expired")
    a: close
    b: close
    ended
    "#);
}

#[test]
fn a_lost_prack_comes_with_the_repeat() {
    let mut scene = call(SUPPORTED, OFFER);
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    scene.told();
    scene.wait(Duration::from_millis(1600));
    prack(&mut scene, "");
    scene.wait(Duration::from_secs(20));
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE answer RSeq 79947733 again
    a: > 183 INVITE answer RSeq 79947733 again
    b: > PRACK RAck 7 1 INVITE
    ");
}

#[test]
fn a_prack_of_nothing() {
    let mut scene = call(SUPPORTED, OFFER);
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    let rack = rack(&scene);
    scene.enter_early();
    scene.request(A, "PRACK", "RAck: 1 1 INVITE\r\n", "");
    scene.request(A, "PRACK", &rack.replace("INVITE", "UPDATE"), "");
    scene.request(A, "PRACK", "", "");
    scene.request(A, "PRACK", &rack, "");
    scene.request(A, "PRACK", &rack, "");
    scene.request(B, "PRACK", &rack, "");
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE answer RSeq 79947733
    * call.early_media b early_media by callee progress 183
    a: > 481 PRACK
    a: > 481 PRACK
    a: > 481 PRACK
    b: > PRACK RAck 7 1 INVITE
    a: > 481 PRACK
    b: > 481 PRACK
    ");
}

#[test]
fn what_the_callee_says_out_of_order_is_not_heard() {
    let mut scene = call(SUPPORTED, OFFER);
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(9), ANSWER);
    scene.answer_with(B, "INVITE", 183, "bob", "Require: 100rel\r\n", ANSWER);
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(0), ANSWER);
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE answer RSeq 79947733
    * call.early_media b early_media by callee progress 183
    ");
}

#[test]
fn a_caller_that_requires_it_gets_it_from_us() {
    let mut scene = call(REQUIRED, OFFER);
    assert!(
        !scene
            .last_request(B, "INVITE")
            .lists(Name::Require, "100rel")
    );
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.answer(B, "INVITE", 183, "bob", ANSWER);
    // One after the other.
    prack(&mut scene, "");
    // The answer waits until the description in the 183 is acknowledged.
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.request(A, "PRACK", "RAck: 7 1 INVITE\r\n", "");
    scene.sent.remove(&A);
    scene.wait(Duration::from_millis(600));
    prack(&mut scene, "");
    scene.ack(A, "");
    assert_snapshot!(scene.told(), @r"
    a: > 180 INVITE RSeq 79947733
    * call.ringing b ringing by callee progress 180
    * call.early_media b early_media by callee progress 183
    a: > 200 PRACK
    a: > 183 INVITE answer RSeq 79947734
    a: > 481 PRACK
    a: > 183 INVITE answer RSeq 79947734 again
    a: > 200 PRACK
    persist ahead
    a: > 200 INVITE answer
    * call.answered b in_progress by callee answered 200
    b: > ACK
    ");
}

#[test]
fn an_answer_that_waits_for_a_prack_is_ended_when_none_comes() {
    let mut scene = call(REQUIRED, OFFER);
    scene.answer(B, "INVITE", 183, "bob", ANSWER);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.told();
    let again = "a: > 183 INVITE answer RSeq";
    scene.wait(Duration::from_secs(32));
    scene.assert_ended();
    let told = scene.told();
    let rest: Vec<_> = told
        .lines()
        .filter(|line| !line.starts_with(again))
        .collect();
    assert_snapshot!(rest.join("\n"), @r#"
    a: > 504 INVITE (Q.850;cause=102;text="timer_expired")
    * call.ended failed by timer timer_expired 504 timer prack
    forget
    b: > ACK
    b: > BYE (Q.850;cause=102;text="timer_expired")
    b: close
    a: close
    ended
    "#);
}

#[test]
fn an_offer_of_a_caller_that_requires_it_has_nowhere_to_go() {
    let mut scene = call(REQUIRED, OFFER);
    scene.answer(B, "INVITE", 183, "bob", ANSWER);
    prack(&mut scene, OFFER);
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE answer RSeq 79947733
    * call.early_media b early_media by callee progress 183
    a: > 488 PRACK
    ");
}

#[test]
fn an_unreliable_description_does_not_become_an_offer() {
    let mut scene = call(REQUIRED, "");
    scene.answer(B, "INVITE", 183, "bob", OFFER);
    prack(&mut scene, "");
    scene.answer(B, "INVITE", 200, "bob", OFFER);
    scene.ack(A, ANSWER);
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE RSeq 79947733
    * call.early_media b early_media by callee progress 183
    a: > 200 PRACK
    persist ahead
    a: > 200 INVITE offer
    * call.answered b in_progress by callee answered 200
    b: > ACK answer
    ");
}

#[test]
fn a_callee_that_does_it_unasked_is_acknowledged_by_us() {
    let mut scene = call("", OFFER);
    assert!(
        !scene
            .last_request(B, "INVITE")
            .lists(Name::Supported, "100rel")
    );
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    assert!(!scene.sent[&A].lists(Name::Require, "100rel"));
    scene.answer(B, "PRACK", 200, "bob", "");
    // The 2xx need not repeat what was answered.
    scene.answer(B, "INVITE", 200, "bob", "");
    scene.ack(A, "");
    assert_snapshot!(scene.told(), @r"
    b: > PRACK RAck 7 1 INVITE
    a: > 183 INVITE answer
    * call.early_media b early_media by callee progress 183
    persist ahead
    a: > 200 INVITE answer
    * call.answered b in_progress by callee answered 200
    b: > ACK
    ");
}

#[test]
fn an_offer_of_a_callee_that_does_it_unasked_is_not_heard() {
    let mut scene = call("", "");
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), OFFER);
    assert_snapshot!(scene.told(), @"");
}

#[test]
fn forks_count_for_themselves() {
    let plan = vec![vec![target(2), target(3)]];
    let mut scene = Scene::inbound_with(plan, invite(SUPPORTED, OFFER));
    scene.told();
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    let bob = (scene.sent_tag(A), rack(&scene));
    scene.answer_with(C, "INVITE", 183, "carol", &rseq(900), ANSWER);
    let carol = (scene.sent_tag(A), rack(&scene));
    assert_ne!(bob, carol);
    prack(&mut scene, "");
    scene.answer(C, "PRACK", 200, "carol", "");
    // Carol answers, and the PRACK of bob's response has nobody to go to.
    scene.answer(C, "INVITE", 200, "carol", "");
    assert_eq!(scene.sent_tag(A), carol.0);
    scene.ack(A, "");
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.wait(Duration::from_secs(40));
    assert_snapshot!(scene.told(), @r#"
    a: > 183 INVITE answer RSeq 59947238
    * call.early_media b early_media by callee progress 183
    a: > 183 INVITE answer RSeq 152176893
    c: > PRACK RAck 900 1 INVITE
    a: > 200 PRACK
    b: > CANCEL (SIP;cause=200;text="Call completed elsewhere")
    persist ahead
    a: > 200 INVITE
    * call.answered c in_progress by callee answered 200
    * call.updated b in_progress by callee answered_elsewhere
    c: > ACK
    b: close
    "#);
}

#[test]
fn a_fork_that_leaves_answers_for_what_it_was_asked() {
    let plan = vec![vec![target(2), target(3)]];
    let mut scene = Scene::inbound_with(plan, invite(SUPPORTED, OFFER));
    scene.told();
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    prack(&mut scene, "");
    scene.answer(B, "INVITE", 486, "bob", "");
    scene.fail(B, "PRACK", Failure::Timeout);
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE answer RSeq 59947238
    * call.early_media b early_media by callee progress 183
    b: > PRACK RAck 7 1 INVITE
    a: > 481 PRACK
    b: close
    ");
}

#[test]
fn cancelled_before_the_prack() {
    let mut scene = call(SUPPORTED, OFFER);
    scene.answer_with(B, "INVITE", 183, "bob", &rseq(7), ANSWER);
    let rack = rack(&scene);
    scene.enter_early();
    scene.cancel(A, sip::ServerId(1), "");
    scene.request(A, "PRACK", &rack, "");
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: > 183 INVITE answer RSeq 79947733
    * call.early_media b early_media by callee progress 183
    a: > 200 CANCEL
    a: > 487 INVITE
    * call.ended canceled by caller originator_cancel 487
    forget
    b: > CANCEL
    a: close
    a: > 481 PRACK
    b: close
    ended
    ");
}

#[test]
fn a_prack_that_comes_after_the_answer() {
    let mut scene = call(SUPPORTED, OFFER);
    scene.answer_with(B, "INVITE", 180, "bob", &rseq(7), "");
    let rack = rack(&scene);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.request(A, "PRACK", &rack, "");
    scene.answer(B, "PRACK", 200, "bob", "");
    scene.ack(A, "");
    scene.request(A, "PRACK", &rack, "");
    assert_snapshot!(scene.told(), @r"
    a: > 180 INVITE RSeq 79947733
    * call.ringing b ringing by callee progress 180
    persist ahead
    a: > 200 INVITE answer
    * call.answered b in_progress by callee answered 200
    b: > PRACK RAck 7 1 INVITE
    a: > 200 PRACK
    b: > ACK
    a: > 481 PRACK
    ");
}

#[test]
fn an_agents_call_takes_them_alone() {
    let mut scene = Scene::originate(vec![vec![target(2)]], vec![vec![target(3)]]);
    scene.told();
    scene.answer_with(A, "INVITE", 180, "alice", &rseq(7), "");
    scene.answer(A, "PRACK", 200, "alice", "");
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    assert_snapshot!(scene.told(), @r"
    a: > PRACK RAck 7 1 INVITE
    * call.ringing a ringing by caller progress 180
    persist ahead
    a: > ACK inactive
    * call.updated a ringing by caller answered 200
    plan sip:bob@example.test
    b: open
    b: > INVITE
    ");
    assert_eq!(
        scene.sent[&A].cseq().unwrap().seq,
        1,
        "the ACK has the INVITE's number"
    );
}
