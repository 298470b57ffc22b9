//! A bug of ours was caught: the call ends, and its parties hear of it.

use engine::{Input, LegEvent};
use insta::assert_snapshot;

use crate::scene::*;

fn answered() -> Scene {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.ack(A, "");
    scene.told();
    scene
}

fn ringing() -> Scene {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene
}

#[test]
fn parties_that_talk_get_a_bye() {
    let mut scene = answered();
    scene.input(Input::Fault);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.ended completed by system internal
    forget
    b: > BYE (Q.850;cause=41;text="internal")
    b: close
    a: > BYE (Q.850;cause=41;text="internal")
    a: close
    ended
    "#);
}

#[test]
fn a_caller_that_waits_gets_500_and_who_rings_a_cancel() {
    let mut scene = ringing();
    scene.input(Input::Fault);
    scene.answer(B, "CANCEL", 200, "bob", "");
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > 500 INVITE (Q.850;cause=41;text="internal")
    * call.ended failed by system internal
    forget
    b: > CANCEL (Q.850;cause=41;text="internal")
    a: close
    b: close
    ended
    "#);
}

#[test]
fn an_agents_call_fails_for_both() {
    let mut scene = Scene::originate(vec![vec![target(1)]], vec![vec![target(2)]]);
    scene.answer(A, "INVITE", 200, "alice", ANSWER);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.input(Input::Fault);
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.ended failed by system internal
    forget
    b: > CANCEL (Q.850;cause=41;text="internal")
    a: > BYE (Q.850;cause=41;text="internal")
    a: close
    b: close
    ended
    "#);
}

#[test]
fn a_leg_without_its_transaction_says_its_invite_again() {
    let mut scene = ringing();
    let first = scene.last_request(B, "INVITE").bytes().clone();
    scene.leg(B, LegEvent::Fault);
    assert_eq!(scene.last_request(B, "INVITE").bytes(), &first);
    // The answer was on its way.
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > INVITE offer
    a: > 500 INVITE (Q.850;cause=41;text="internal")
    * call.ended failed by system internal
    forget
    b: > CANCEL (Q.850;cause=41;text="internal")
    a: close
    b: > ACK
    b: > BYE (Q.850;cause=41;text="internal")
    b: close
    ended
    "#);
}

#[test]
fn a_leg_that_was_cancelled_is_cancelled_again() {
    let mut scene = ringing();
    scene.hangup();
    scene.told();
    scene.leg(B, LegEvent::Fault);
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > INVITE offer
    b: > CANCEL (Q.850;cause=16;text="normal_clearing")
    b: close
    ended
    "#);
}

#[test]
fn a_fault_of_one_leg_ends_the_call_of_both() {
    let mut scene = answered();
    scene.request(A, "INFO", "", "");
    scene.told();
    scene.leg(B, LegEvent::Fault);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > 487 INFO
    * call.ended completed by system internal
    forget
    b: > BYE (Q.850;cause=41;text="internal")
    b: close
    a: > BYE (Q.850;cause=41;text="internal")
    a: close
    ended
    "#);
}
