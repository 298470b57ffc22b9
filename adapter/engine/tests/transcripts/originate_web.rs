//! Calls an agent makes to browsers.

use std::time::Duration;

use insta::assert_snapshot;

use crate::scene::*;

/// A browser has answered the placeholder and another one rings.
fn second_rings() -> Scene {
    let mut scene = Scene::originate(vec![vec![browser(1)]], vec![vec![browser(2)]]);
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene
}

/// The second one has answered too, and the first is asked for an offer.
fn first_is_asked() -> Scene {
    let mut scene = second_rings();
    scene.answer(B, "INVITE", 200, "bob", OFFER);
    scene.told();
    scene
}

#[test]
fn both_are_offered_something_and_joined_by_the_firsts_own_offer() {
    let mut scene = second_rings();
    scene.wait(Duration::from_secs(59));
    scene.answer(B, "INVITE", 200, "bob", OFFER);
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    // The first one's 2xx is repeated until the second one agrees.
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.request(A, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    * call.created queued by agent requested
    persist ahead
    a: open
    a: > INVITE blank, DTLS client
    persist ahead
    a: > ACK
    * call.updated a initiated by caller answered 200
    plan sip:bob@example.test
    b: open
    b: > INVITE blank, DTLS server
    * call.ringing b ringing by callee progress 180
    persist ahead
    b: > ACK
    a: > INVITE
    b: > INVITE offer
    b: > ACK
    a: > ACK answer
    persist ahead
    * call.answered b in_progress by callee answered 200
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
fn each_is_asked_again_after_glare() {
    let mut scene = first_is_asked();
    scene.answer(A, "INVITE", 491, "alice", "");
    scene.request(A, "INVITE", "", OFFER);
    scene.wait(Duration::from_secs(4));
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 491, "bob", "");
    scene.wait(Duration::from_secs(4));
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    assert_snapshot!(scene.told(), @r"
    a: > 491 INVITE
    a: > INVITE
    b: > INVITE offer
    b: > INVITE offer
    b: > ACK
    a: > ACK answer
    persist ahead
    * call.answered b in_progress by callee answered 200
    ");
}

#[test]
fn a_second_one_that_cannot_take_the_offer_ends_the_call() {
    let mut scene = first_is_asked();
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 488, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > INVITE offer
    * call.ended failed by callee incompatible_media 488
    forget
    b: > BYE (Q.850;cause=65;text="incompatible_media")
    b: close
    a: > ACK inactive
    a: > BYE (Q.850;cause=65;text="incompatible_media")
    a: close
    ended
    "#);
}

#[test]
fn a_first_one_that_offers_nothing_ends_the_call() {
    let mut scene = first_is_asked();
    scene.answer(A, "INVITE", 200, "alice", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.ended failed by caller incompatible_media
    forget
    b: > BYE (Q.850;cause=65;text="incompatible_media")
    b: close
    a: > ACK
    a: > BYE (Q.850;cause=65;text="incompatible_media")
    a: close
    ended
    "#);
}

#[test]
fn a_first_one_that_hangs_up_between_the_offers_ends_the_call() {
    let mut scene = first_is_asked();
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.request(A, "BYE", "", "");
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    b: > INVITE offer
    a: > 200 BYE
    a: > ACK inactive
    * call.ended canceled by caller normal_clearing
    forget
    b: > BYE
    b: close
    a: close
    ended
    ");
}

#[test]
fn a_silent_second_one_does_not_keep_the_first_waiting() {
    let mut scene = first_is_asked();
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.wait(Duration::from_secs(24));
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > INVITE offer
    * call.ended failed by timer timer_expired timer join
    forget
    b: > BYE (Q.850;cause=102;text="timer_expired")
    b: close
    a: > ACK inactive
    a: > BYE (Q.850;cause=102;text="timer_expired")
    a: close
    ended
    "#);
}

#[test]
fn a_phone_and_a_browser_are_each_called_in_their_own_way() {
    let mut scene = Scene::originate(vec![vec![target(1)]], vec![vec![target(2), browser(3)]]);
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.answer(C, "INVITE", 200, "bob2", OFFER);
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(C, "INVITE", 488, "bob2", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.created queued by agent requested
    persist ahead
    a: open
    a: > INVITE
    persist ahead
    a: > ACK inactive
    * call.updated a initiated by caller answered 200
    plan sip:bob@example.test
    b: open
    b: > INVITE
    c: open
    c: > INVITE blank, DTLS server
    * call.ringing b ringing by callee progress 180
    b: > CANCEL (SIP;cause=200;text="Call completed elsewhere")
    * call.updated b ringing by callee answered_elsewhere
    persist ahead
    c: > ACK
    a: > INVITE
    b: close
    c: > INVITE offer
    * call.ended failed by callee incompatible_media 488
    forget
    c: > BYE (Q.850;cause=65;text="incompatible_media")
    c: close
    a: > ACK inactive
    a: > BYE (Q.850;cause=65;text="incompatible_media")
    a: close
    ended
    "#);
}

#[test]
fn a_browser_refuses_what_a_phone_offers() {
    let mut scene = Scene::originate(vec![vec![browser(1)]], vec![vec![target(2)]]);
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.answer(A, "INVITE", 488, "alice", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.created queued by agent requested
    persist ahead
    a: open
    a: > INVITE blank, DTLS client
    persist ahead
    a: > ACK
    * call.updated a initiated by caller answered 200
    plan sip:bob@example.test
    b: open
    b: > INVITE
    persist ahead
    a: > INVITE answer
    * call.ended failed by caller incompatible_media 488
    forget
    b: > ACK inactive
    b: > BYE (Q.850;cause=65;text="incompatible_media")
    b: close
    a: > BYE (Q.850;cause=65;text="incompatible_media")
    a: close
    ended
    "#);
}
