//! An INVITE that is too large for a datagram.

use engine::{Home, LegEvent};
use insta::assert_snapshot;
use sip::{Failure, Message};

use crate::scene::*;

fn large() -> Message {
    invite(&format!("X-Large: {}\r\n", "a".repeat(1300)), OFFER)
}

fn called(home: Home) -> Scene {
    let mut scene = Scene::inbound_at_with(home, vec![vec![target(2)]], large());
    scene.told();
    scene
}

#[test]
fn nobody_over_tcp_gets_the_datagram() {
    let mut scene = called((*home()).clone());
    scene.leg(B, LegEvent::FlowLost);
    assert_snapshot!(scene.told(), @r#"
    b: open
    b: > INVITE offer
    "#);
    // And no more than that.
    scene.fail(B, "INVITE", Failure::Timeout);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: close
    a: > 408 INVITE (Q.850;cause=18;text="no_user_response")
    * call.ended no_answer by timer no_user_response 408 timer timer_b
    forget
    a: close
    ended
    "#);
}

#[test]
fn who_is_there_gets_no_datagram() {
    for silent in [false, true] {
        let mut scene = called((*home()).clone());
        if silent {
            scene.fail(B, "INVITE", Failure::Timeout);
        } else {
            scene.answer(B, "INVITE", 503, "bob", "");
        }
        scene.assert_ended();
        assert!(!scene.told().contains("INVITE offer"));
    }
}

#[test]
fn it_may_be_a_datagram_all_the_same() {
    let home = Home {
        large_over_tcp: false,
        ..(*home()).clone()
    };
    let mut scene = called(home);
    scene.fail(B, "INVITE", Failure::Unreachable);
    scene.assert_ended();
    assert!(!scene.told().contains("INVITE offer"));
}

#[test]
fn a_connection_of_ours_that_closes_ends_no_call() {
    let mut scene = called((*home()).clone());
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.told();
    scene.leg(B, LegEvent::FlowLost);
    assert_snapshot!(scene.told(), @"b: open");
}
