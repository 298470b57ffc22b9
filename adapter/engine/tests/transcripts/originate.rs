//! Calls an agent makes between two parties.

use std::time::Duration;

use engine::route::{Plan, Refuse};
use engine::{LegEvent, LegId};
use insta::assert_snapshot;
use sip::Failure;

use crate::scene::*;

fn dialled() -> Scene {
    Scene::originate(vec![vec![target(1)]], vec![vec![target(2)]])
}

/// Alice has answered and hears nothing; bob is called.
fn second_rings() -> Scene {
    let mut scene = dialled();
    scene.answer(A, "INVITE", 180, "alice", "");
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene
}

/// What call.answered has said, a restart knows.
#[test]
fn joined_and_crashed_it_was_answered() {
    let mut before = dialled();
    before.answer(A, "INVITE", 180, "alice", "");
    before.answer(A, "INVITE", 200, "alice", OFFER);
    before.answer(B, "INVITE", 200, "bob", ANSWER);
    before.answer(A, "INVITE", 200, "alice", OFFER);
    let record = before.record.clone().unwrap();
    let after = crate::restart::recover(&record, None).unwrap();
    let last = after.events.last().unwrap();
    assert_eq!(last.data.call.state, bus_schema::CallState::Completed);
}

#[test]
fn both_answer_and_are_joined() {
    let mut scene = dialled();
    scene.answer(A, "INVITE", 180, "alice", "");
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.request(B, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    * call.created queued by agent requested
    persist ahead
    a: open
    a: > INVITE
    * call.ringing a ringing by caller progress 180
    persist ahead
    a: > ACK inactive
    * call.updated a ringing by caller answered 200
    plan sip:bob@example.test
    b: open
    b: > INVITE
    * call.ringing b ringing by callee progress 180
    persist ahead
    a: > INVITE answer
    a: > ACK
    b: > ACK offer
    persist ahead
    * call.answered b in_progress by callee answered 200
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
fn the_second_rings_for_a_minute() {
    let mut scene = second_rings();
    // The first one's 200 comes again because the ACK was lost.
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.wait(Duration::from_secs(59));
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    assert_snapshot!(scene.told(), @r"
    a: > ACK inactive again
    persist ahead
    a: > INVITE answer
    a: > ACK
    b: > ACK offer
    persist ahead
    * call.answered b in_progress by callee answered 200
    ");
    assert_eq!(scene.call.state().as_str(), "in_progress");
}

#[test]
fn the_second_rejects() {
    let mut scene = second_rings();
    scene.answer(B, "INVITE", 603, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: close
    * call.ended rejected by callee rejected 603
    forget
    a: > BYE (Q.850;cause=21;text="rejected")
    a: close
    ended
    "#);
}

#[test]
fn the_second_is_busy() {
    let mut scene = second_rings();
    scene.answer(B, "INVITE", 486, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: close
    * call.ended busy by callee busy 486
    forget
    a: > BYE (Q.850;cause=17;text="busy")
    a: close
    ended
    "#);
}

#[test]
fn the_second_does_not_answer() {
    let mut scene = second_rings();
    scene.wait(Duration::from_secs(60));
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > CANCEL (Q.850;cause=19;text="no_answer")
    * call.ended no_answer by timer no_answer 480 timer ring
    forget
    a: > BYE (Q.850;cause=19;text="no_answer")
    a: close
    b: close
    ended
    "#);
}

#[test]
fn the_first_hangs_up_while_the_second_rings() {
    let mut scene = second_rings();
    scene.request(A, "BYE", "", "");
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: > 200 BYE
    * call.ended canceled by caller normal_clearing
    forget
    b: > CANCEL
    a: close
    b: close
    ended
    ");
}

#[test]
fn the_first_does_not_answer() {
    let mut scene = dialled();
    scene.told();
    scene.wait(Duration::from_secs(60));
    scene.fail(A, "INVITE", Failure::Timeout);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    * call.ended no_answer by timer no_answer 480 timer ring
    forget
    a: close
    ended
    ");
}

#[test]
fn the_first_rejects() {
    let mut scene = dialled();
    scene.told();
    scene.answer(A, "INVITE", 486, "alice", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: close
    * call.ended busy by caller busy 486
    forget
    ended
    ");
}

#[test]
fn the_first_answers_without_an_offer() {
    let mut scene = dialled();
    scene.told();
    scene.answer(A, "INVITE", 200, "alice", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.ended failed by caller incompatible_media
    forget
    a: > ACK
    a: > BYE (Q.850;cause=65;text="incompatible_media")
    a: close
    ended
    "#);
}

#[test]
fn the_first_refuses_what_the_second_offers() {
    let mut scene = second_rings();
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.answer(A, "INVITE", 488, "alice", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
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

#[test]
fn the_first_holds_while_it_waits_and_glare_is_settled() {
    let mut scene = second_rings();
    scene.request(A, "INVITE", "", OFFER);
    scene.request(A, "INFO", "", "");
    scene.ack_seq(A, 101);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.request(A, "INVITE", "", OFFER);
    scene.answer(A, "INVITE", 491, "alice", "");
    scene.wait(Duration::from_secs(4));
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    assert_snapshot!(scene.told(), @r"
    a: > 200 INVITE inactive
    a: > 480 INFO
    persist ahead
    a: > INVITE answer
    a: > 491 INVITE
    a: > INVITE answer
    a: > ACK
    b: > ACK offer
    persist ahead
    * call.answered b in_progress by callee answered 200
    ");
}

#[test]
fn the_first_is_silent_when_it_is_to_be_joined() {
    let mut scene = second_rings();
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.wait(Duration::from_secs(24));
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    persist ahead
    a: > INVITE answer
    * call.ended failed by timer timer_expired timer join
    forget
    b: > ACK inactive
    b: > BYE (Q.850;cause=102;text="timer_expired")
    b: close
    a: > BYE (Q.850;cause=102;text="timer_expired")
    a: close
    ended
    "#);
}

#[test]
fn the_second_hangs_up_before_it_is_joined() {
    let mut scene = second_rings();
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.request(B, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    persist ahead
    a: > INVITE answer
    b: > 200 BYE
    b: > ACK inactive
    * call.ended canceled by callee normal_clearing
    forget
    b: close
    a: > BYE
    a: close
    ended
    ");
}

#[test]
fn the_firsts_other_devices_stop_ringing() {
    let mut scene = Scene::originate(vec![vec![target(1), target(3)]], vec![vec![target(2)]]);
    scene.answer(A, "INVITE", 180, "alice", "");
    scene.answer(B, "INVITE", 180, "alice2", "");
    scene.told();
    scene.answer(B, "INVITE", 200, "alice2", OFFER);
    scene.answer(A, "INVITE", 487, "alice", "");
    scene.answer(C, "INVITE", 200, "bob", ANSWER);
    scene.answer(B, "INVITE", 200, "alice2", OFFER);
    scene.request(B, "BYE", "", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > CANCEL (SIP;cause=200;text="Call completed elsewhere")
    * call.updated a ringing by caller answered_elsewhere
    persist ahead
    b: > ACK inactive
    * call.updated b ringing by caller answered 200
    plan sip:bob@example.test
    c: open
    c: > INVITE
    a: close
    persist ahead
    b: > INVITE answer
    b: > ACK
    c: > ACK offer
    persist ahead
    * call.answered c in_progress by callee answered 200
    b: > 200 BYE
    * call.ended completed by caller normal_clearing
    forget
    c: > BYE
    c: close
    b: close
    ended
    "#);
}

#[test]
fn both_invites_carry_what_the_agent_gave() {
    let mut command = originate(vec![vec![target(1)]]);
    let session = bus_schema::SessionId(77);
    command.session = Some(session);
    command.trace_id = Some("trace-9".into());
    command.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    command.headers = vec![
        ("Subject".into(), "Callback".into()),
        ("x-if-trace-id".into(), "another".into()),
    ];
    command.first.display = Some("Desk \"7\"".into());
    let traceparent = command.traceparent.clone();
    let mut scene = Scene::originate_with(command, vec![vec![target(2)]]);
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    for leg in [A, B] {
        let invite = scene.last_request(leg, "INVITE");
        assert_eq!(invite.text(sip::Name::Subject), Some("Callback"));
        let traces: Vec<_> = invite.all(sip::Name::IfTraceId).collect();
        assert_eq!(traces, [b"trace-9"]);
    }
    let from = scene.last_request(B, "INVITE").text(sip::Name::From);
    assert!(from.unwrap().starts_with(r#""Desk \"7\"" <sip:alice@"#));
    for event in &scene.events {
        assert_eq!(event.data.call.session, session);
        assert_eq!(event.data.call.trace_id.as_deref(), Some("trace-9"));
        assert_eq!(event.stamp.traceparent, traceparent);
    }
}

#[test]
fn each_party_rings_as_long_as_the_agent_says() {
    let mut command = originate(vec![vec![target(1)]]);
    command.ring = Some(Duration::from_secs(5));
    let mut scene = Scene::originate_with(command, vec![vec![target(2)]]);
    scene.wait(Duration::from_secs(4));
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.wait(Duration::from_secs(4));
    scene.told();
    scene.wait(Duration::from_secs(1));
    assert_snapshot!(scene.told(), @r#"
    b: > CANCEL (Q.850;cause=19;text="no_answer")
    * call.ended no_answer by timer no_answer 480 timer ring
    forget
    a: > BYE (Q.850;cause=19;text="no_answer")
    a: close
    "#);
}

#[test]
fn the_second_has_gone_while_the_first_rang() {
    let mut scene = dialled();
    scene.plan = Plan::Refuse(Refuse {
        status: 480,
        reason: "Not Registered",
        cause: bus_schema::Reason::SubscriberAbsent,
    });
    scene.told();
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    persist ahead
    a: > ACK inactive
    * call.updated a initiated by caller answered 200
    plan sip:bob@example.test
    * call.ended failed by system subscriber_absent 480
    forget
    a: > BYE (Q.850;cause=20;text="subscriber_absent")
    a: close
    ended
    "#);
}

/// A BYE in the dialog that the leg's 2xx would have made, had it come first.
fn overtaking_bye(scene: &mut Scene, leg: LegId) {
    let invite = scene.last_request(leg, "INVITE");
    let text = |name| invite.text(name).unwrap();
    let bye = message(&format!(
        "BYE sip:x@192.0.2.100 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKo\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=x\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\n\r\n",
        text(sip::Name::To),
        text(sip::Name::From),
        text(sip::Name::CallId)
    ));
    let id = sip::ServerId(77);
    scene.leg(leg, LegEvent::Request { id, message: bye });
}

#[test]
fn a_party_whose_hang_up_overtakes_its_answer_has_hung_up() {
    let mut scene = dialled();
    scene.told();
    overtaking_bye(&mut scene, A);
    scene.answer(A, "INVITE", 200, "x", OFFER);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    a: > 200 BYE
    * call.ended canceled by caller normal_clearing
    forget
    a: > ACK inactive
    a: > BYE
    a: close
    ended
    ");

    let mut scene = second_rings();
    overtaking_bye(&mut scene, B);
    scene.answer(B, "INVITE", 200, "x", ANSWER);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    b: > 200 BYE
    * call.ended canceled by callee normal_clearing
    forget
    b: > CANCEL
    a: > BYE
    a: close
    b: > ACK inactive
    b: > BYE
    b: close
    ended
    ");

    let mut scene = Scene::inbound(vec![vec![target(2), target(3)]]);
    scene.told();
    overtaking_bye(&mut scene, C);
    scene.answer(C, "INVITE", 200, "x", ANSWER);
    scene.wait(Duration::from_secs(70));
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    c: > 200 BYE
    a: > 480 INVITE
    * call.ended canceled by callee normal_clearing
    forget
    a: close
    c: > ACK
    c: > BYE
    c: close
    b: close
    ended
    ");
}

/// A device that lost the race says BYE to nobody.
#[test]
fn a_hang_up_of_a_device_that_lost_ends_nothing() {
    let mut scene = Scene::inbound(vec![vec![target(2), target(3)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.told();
    overtaking_bye(&mut scene, C);
    assert!(!scene.events.last().unwrap().data.call.state.is_terminal());
    assert_snapshot!(scene.told(), @"c: > 200 BYE");
}
