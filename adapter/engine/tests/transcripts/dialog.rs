//! Inside an answered call.

use std::time::Duration;

use insta::assert_snapshot;
use sip::Failure;

use crate::scene::*;

fn hold() -> String {
    format!("{OFFER}a=sendonly\r\n")
}

fn answered() -> Scene {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.ack(A, "");
    scene.told();
    scene
}

#[test]
fn late_offer_goes_out_in_the_200_and_back_in_the_ack() {
    let mut scene = Scene::inbound_with(vec![vec![target(2)]], invite("", ""));
    scene.answer(B, "INVITE", 200, "bob", OFFER);
    scene.ack(A, ANSWER);
    // The ACK was lost on the way.
    scene.answer(B, "INVITE", 200, "bob", OFFER);
    assert_snapshot!(scene.told(), @r"
    a: open
    * call.created a queued by caller requested
    b: open
    b: > INVITE
    persist ahead
    a: > 200 INVITE offer
    * call.answered b in_progress by callee answered 200
    b: > ACK answer
    b: > ACK answer again
    ");
}

#[test]
fn the_caller_holds_and_resumes() {
    let mut scene = answered();
    scene.request(A, "INVITE", "", &hold());
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.ack(A, "");
    scene.request(A, "INVITE", "", OFFER);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.ack(A, "");
    assert_snapshot!(scene.told(), @r"
    b: > INVITE sendonly
    a: > 200 INVITE answer
    persist
    * call.held a in_progress by caller requested
    b: > ACK
    b: > INVITE offer
    a: > 200 INVITE answer
    * call.unheld a in_progress by caller requested
    b: > ACK
    ");
    let holds: Vec<_> = scene
        .events
        .iter()
        .map(|event| event.data.call.hold.as_str())
        .collect();
    assert_eq!(holds[holds.len() - 2..], ["remote", "none"]);
}

#[test]
fn an_odd_2xx_is_passed_on_as_200() {
    let mut scene = answered();
    scene.request(A, "INVITE", "", OFFER);
    scene.answer(B, "INVITE", 202, "bob", ANSWER);
    scene.ack(A, "");
    assert_snapshot!(scene.told(), @r"
    b: > INVITE offer
    a: > 200 INVITE answer
    persist
    * call.updated a in_progress by caller renegotiated
    b: > ACK
    ");
}

/// A restart must not fall behind the CSeq numbers that were used.
#[test]
fn the_record_follows_the_numbers_of_many_requests() {
    let mut scene = answered();
    let mut kept = Vec::new();
    for number in 1..=120 {
        scene.request(A, "INFO", "", "");
        scene.answer(B, "INFO", 200, "bob", "");
        if scene.told().contains("persist") {
            kept.push(number);
        }
    }
    assert_eq!(kept, [49, 99]);
}

#[test]
fn the_callee_holds() {
    let mut scene = answered();
    scene.request(B, "INVITE", "", &hold());
    scene.answer(A, "INVITE", 200, "alice", ANSWER);
    scene.ack(B, "");
    scene.request(B, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: > INVITE sendonly
    b: > 200 INVITE answer
    persist
    * call.held b in_progress by callee requested
    a: > ACK
    b: > 200 BYE
    * call.ended completed by callee normal_clearing
    forget
    b: close
    a: > BYE
    a: close
    ended
    ");
}

#[test]
fn a_refused_hold_changes_nothing() {
    let mut scene = answered();
    scene.request(A, "INVITE", "", &hold());
    scene.answer(B, "INVITE", 488, "bob", "");
    scene.request(A, "INFO", "", "");
    scene.answer(B, "INFO", 200, "bob", "");
    assert_snapshot!(scene.told(), @r"
    b: > INVITE sendonly
    a: > 488 INVITE
    b: > INFO
    a: > 200 INFO
    persist
    ");
}

#[test]
fn glare_is_refused_on_both_sides() {
    let mut scene = answered();
    scene.request(A, "INVITE", "", &hold());
    scene.request(B, "INVITE", "", &hold());
    scene.answer(B, "INVITE", 491, "bob", "");
    assert_snapshot!(scene.told(), @r"
    b: > INVITE sendonly
    b: > 491 INVITE
    a: > 491 INVITE
    ");
}

#[test]
fn a_second_offer_before_the_first_is_answered_comes_back_later() {
    let mut scene = answered();
    scene.request(A, "INVITE", "", OFFER);
    scene.request(A, "UPDATE", "", OFFER);
    scene.request(A, "UPDATE", "", "");
    assert_snapshot!(scene.told(), @r"
    b: > INVITE offer
    a: > 500 UPDATE
    b: > UPDATE
    ");
}

#[test]
fn update_holds_too() {
    let mut scene = answered();
    scene.request(B, "UPDATE", "", &hold());
    scene.answer(A, "UPDATE", 200, "alice", ANSWER);
    assert_snapshot!(scene.told(), @r"
    a: > UPDATE sendonly
    b: > 200 UPDATE answer
    persist
    * call.held b in_progress by callee requested
    ");
}

#[test]
fn requests_pass_with_their_answers() {
    let mut scene = answered();
    for method in ["INFO", "MESSAGE", "OPTIONS", "REFER", "NOTIFY", "SUBSCRIBE"] {
        scene.request(A, method, "", "x");
        scene.answer(B, method, 202, "bob", "");
    }
    assert_snapshot!(scene.told(), @r"
    b: > INFO 1 bytes
    a: > 202 INFO
    b: > MESSAGE 1 bytes
    a: > 202 MESSAGE
    b: > OPTIONS 1 bytes
    a: > 202 OPTIONS
    b: > REFER 1 bytes
    a: > 202 REFER
    persist
    b: > NOTIFY 1 bytes
    a: > 202 NOTIFY
    b: > SUBSCRIBE 1 bytes
    a: > 202 SUBSCRIBE
    ");
}

#[test]
fn what_we_do_not_implement_is_refused() {
    let mut scene = answered();
    scene.request(A, "INVITE", "Require: foo, 100rel\r\n", OFFER);
    scene.request(A, "PRACK", "", "");
    scene.request(A, "PUBLISH", "", "");
    scene.request(B, "FOO", "", "");
    assert!(scene.sent[&B].lists(sip::Name::Allow, "UPDATE"));
    assert_snapshot!(scene.told(), @r"
    a: > 420 INVITE
    a: > 481 PRACK
    a: > 405 PUBLISH
    b: > 405 FOO
    ");
    assert_eq!(scene.sent[&A].status(), Some(405));
}

#[test]
fn an_invite_that_requires_what_we_do_not_implement() {
    let mut scene = Scene::inbound_with(
        vec![vec![target(2)]],
        invite("Require: precondition\r\nProxy-Require: foo\r\n", OFFER),
    );
    scene.assert_ended();
    assert_eq!(
        scene.sent[&A].text(sip::Name::Unsupported),
        Some("precondition, foo")
    );
    assert_snapshot!(scene.told(), @r"
    a: open
    * call.created a queued by caller requested
    a: > 420 INVITE
    * call.ended failed by system interworking 420
    forget
    a: close
    ended
    ");
}

#[test]
fn an_invite_with_no_hops_left() {
    let text = String::from_utf8_lossy(invite("", OFFER).bytes()).replace("wards: 70", "wards: 0");
    let mut scene = Scene::inbound_with(vec![vec![target(2)]], message(&text));
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: open
    * call.created a queued by caller requested
    a: > 483 INVITE
    * call.ended failed by system interworking 483
    forget
    a: close
    ended
    ");
}

#[test]
fn a_party_that_forgot_the_dialog_ends_the_call() {
    let mut scene = answered();
    scene.request(A, "INFO", "", "");
    scene.answer(B, "INFO", 481, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > INFO
    a: > 481 INFO
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
fn a_party_that_is_silent_ends_the_call() {
    let mut scene = answered();
    scene.request(B, "INFO", "", "");
    scene.fail(A, "INFO", Failure::Timeout);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > INFO
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
fn an_old_request_is_out_of_order() {
    let mut scene = answered();
    scene.request(B, "INFO", "", "");
    scene.set_seq(B, 3);
    scene.told();
    scene.request(B, "INFO", "", "");
    assert_snapshot!(scene.told(), @r"
    b: > 500 INFO
    ");
}

#[test]
fn the_callers_ack_never_comes() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.told();
    scene.wait(Duration::from_secs(32));
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > 200 INVITE answer again
    a: > 200 INVITE answer again
    a: > 200 INVITE answer again
    a: > 200 INVITE answer again
    a: > 200 INVITE answer again
    a: > 200 INVITE answer again
    a: > 200 INVITE answer again
    a: > 200 INVITE answer again
    a: > 200 INVITE answer again
    a: > 200 INVITE answer again
    * call.ended completed by timer timer_expired timer ack
    forget
    b: > ACK
    b: > BYE (Q.850;cause=102;text="timer_expired")
    b: close
    a: > BYE (Q.850;cause=102;text="timer_expired")
    a: close
    ended
    "#);
}

#[test]
fn a_lost_ack_is_sent_again() {
    let mut scene = answered();
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    assert_snapshot!(scene.told(), @r"
    b: > ACK again
    ");
}

#[test]
fn hung_up_by_the_callee_before_the_ack() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.told();
    scene.request(B, "BYE", "Reason: Q.850;cause=16\r\n", "");
    scene.ack(A, "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    b: > 200 BYE
    b: > ACK
    * call.ended completed by callee normal_clearing
    forget
    b: close
    a: > BYE (Q.850;cause=16)
    a: close
    ended
    ");
}

#[test]
fn a_relayed_reinvite_is_cancelled() {
    let mut scene = answered();
    let id = scene.request(A, "INVITE", "", OFFER);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.cancel(A, id, "");
    scene.answer(B, "INVITE", 487, "bob", "");
    assert_snapshot!(scene.told(), @r"
    b: > INVITE offer
    a: > 180 INVITE
    a: > 200 CANCEL
    b: > CANCEL
    a: > 487 INVITE
    ");
}

#[test]
fn the_longest_call_ends() {
    let mut scene = answered();
    scene.wait(Duration::from_secs(12 * 3600));
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.ended completed by timer max_duration timer max_duration
    forget
    b: > BYE (Q.850;cause=16;text="max_duration")
    b: close
    a: > BYE (Q.850;cause=16;text="max_duration")
    a: close
    ended
    "#);
}

#[test]
fn a_lost_flow_ends_the_other_side() {
    let mut scene = answered();
    scene.leg(A, engine::LegEvent::FlowLost);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.ended completed by caller network_out_of_order
    forget
    b: > BYE (Q.850;cause=38;text="network_out_of_order")
    b: close
    a: close
    ended
    "#);
}

#[test]
fn a_callers_lost_flow_cancels_the_forks() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.leg(A, engine::LegEvent::FlowLost);
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.ended failed by caller network_out_of_order
    forget
    b: > CANCEL (Q.850;cause=38;text="network_out_of_order")
    a: close
    b: close
    ended
    "#);
}

#[test]
fn a_ringing_device_that_is_gone_is_absent() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.told();
    scene.leg(B, engine::LegEvent::FlowLost);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: close
    a: > 480 INVITE (Q.850;cause=20;text="subscriber_absent")
    * call.ended failed by system subscriber_absent 480
    forget
    a: close
    ended
    "#);
}

#[test]
fn a_leg_of_ours_that_comes_back_is_a_loop() {
    let mut outward = Scene::inbound(vec![vec![target(2)]]);
    outward.told();
    let sent = outward.last_request(B, "INVITE").clone();
    let mut scene = Scene::inbound_with(vec![vec![target(3)]], sent);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: open
    * call.created a queued by caller requested
    a: > 482 INVITE
    * call.ended failed by system interworking 482
    forget
    a: close
    ended
    ");
}

#[test]
fn what_was_not_answered_when_the_call_ends_is() {
    let mut scene = answered();
    scene.request(A, "INFO", "", "");
    scene.request(A, "INVITE", "", OFFER);
    scene.request(B, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    b: > INFO
    b: > INVITE offer
    b: > 200 BYE
    a: > 487 INFO
    a: > 487 INVITE
    * call.ended completed by callee normal_clearing
    forget
    b: close
    a: > BYE
    a: close
    ended
    ");
}

#[test]
fn hung_up_by_both_at_once_before_the_ack() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.request(B, "BYE", "", "");
    scene.told();
    scene.request(A, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: > 200 BYE
    a: close
    ended
    ");
}

#[test]
fn what_passes_and_what_does_not() {
    let mut scene = Scene::inbound_with(
        vec![vec![target(2)]],
        invite(
            "Supported: 100rel, timer, replaces\r\nSession-Expires: 90\r\nX-Custom: kept\r\n\
             P-Asserted-Identity: <sip:boss@example.test>\r\nAuthorization: Digest x\r\n\
             Subject: hi\r\n",
            OFFER,
        ),
    );
    let sent = String::from_utf8(scene.last_request(B, "INVITE").bytes().to_vec()).unwrap();
    let tag = scene
        .last_request(B, "INVITE")
        .from_tag()
        .unwrap()
        .to_owned();
    let branch = scene
        .last_request(B, "INVITE")
        .top_via()
        .unwrap()
        .branch()
        .unwrap()
        .to_owned();
    scene.told();
    let sent = sent
        .replace(&branch, "BRANCH")
        .replace(&tag, "TOKEN")
        .replace("\r\n", "\n");
    assert_snapshot!(sent, @r#"
    INVITE sip:bob@192.0.2.2 SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.100:5060;branch=BRANCH;rport
    Max-Forwards: 69
    From: "Alice" <sip:alice@example.test>;tag=TOKEN
    To: <sip:bob@example.test>
    Call-ID: TOKEN
    CSeq: 1 INVITE
    Contact: <sip:TOKEN@192.0.2.100:5060>
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, MESSAGE, REFER, NOTIFY, SUBSCRIBE
    Supported: timer, replaces, norefersub, 100rel
    Session-Expires: 90
    X-Custom: kept
    Subject: hi
    Content-Type: application/sdp
    Content-Length: 87

    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 0
    "#);
}
