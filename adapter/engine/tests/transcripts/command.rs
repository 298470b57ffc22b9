//! Commands of agents, in every state of a call.

use std::time::Duration;

use bus_schema::{CallCommand, CallState, CallVerb, Hangup, Reason};
use engine::Input;
use insta::assert_snapshot;

use crate::scene::*;

fn hangup() -> CallCommand {
    CallCommand::new(CallVerb::Hangup(Hangup::default()))
}

#[test]
fn hangup_while_it_rings() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.hangup();
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    reply ok
    a: > 480 INVITE (Q.850;cause=16;text="normal_clearing")
    * call.ended canceled by agent normal_clearing
    forget
    b: > CANCEL (Q.850;cause=16;text="normal_clearing")
    a: close
    b: close
    ended
    "#);
    let ended = scene.events.last().unwrap();
    assert_eq!(ended.stamp.causation_id.as_deref(), Some("cmd-9"));
    assert_eq!(ended.data.cause.agent.as_deref(), Some("robot"));
}

#[test]
fn hangup_with_a_status_of_its_own() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    let reason = Some(Reason::Rejected);
    scene.command(CallCommand::new(CallVerb::Hangup(Hangup {
        reason,
        sip_status: Some(486),
        text: None,
    })));
    assert_snapshot!(scene.told(), @r#"
    reply ok
    a: > 486 INVITE (Q.850;cause=21;text="rejected")
    * call.ended rejected by agent rejected
    forget
    b: > CANCEL (Q.850;cause=21;text="rejected")
    a: close
    "#);
}

#[test]
fn hangup_before_the_ack() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.told();
    scene.hangup();
    scene.hangup();
    scene.ack(A, "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    reply ok
    * call.ended completed by agent normal_clearing
    forget
    b: > ACK
    b: > BYE (Q.850;cause=16;text="normal_clearing")
    b: close
    reply wrong_state
    a: > BYE (Q.850;cause=16;text="normal_clearing")
    a: close
    ended
    "#);
}

#[test]
fn hangup_of_an_answered_call() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.ack(A, "");
    scene.told();
    scene.hangup();
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    reply ok
    * call.ended completed by agent normal_clearing
    forget
    b: > BYE (Q.850;cause=16;text="normal_clearing")
    b: close
    a: > BYE (Q.850;cause=16;text="normal_clearing")
    a: close
    ended
    "#);
}

#[test]
fn hangup_of_an_originated_call() {
    let mut scene = Scene::originate(vec![vec![target(1)]], vec![vec![target(2)]]);
    scene.answer(A, "INVITE", 180, "alice", "");
    scene.told();
    scene.hangup();
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    reply ok
    * call.ended canceled by agent normal_clearing
    forget
    a: > CANCEL (Q.850;cause=16;text="normal_clearing")
    a: > ACK inactive
    a: > BYE (Q.850;cause=16;text="normal_clearing")
    a: close
    ended
    "#);

    let mut scene = Scene::originate(vec![vec![target(1)]], vec![vec![target(2)]]);
    scene.answer(A, "INVITE", 200, "alice", OFFER);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.told();
    scene.hangup();
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    reply ok
    * call.ended canceled by agent normal_clearing
    forget
    b: > ACK inactive
    b: > BYE (Q.850;cause=16;text="normal_clearing")
    b: close
    a: > BYE (Q.850;cause=16;text="normal_clearing")
    a: close
    ended
    "#);
}

#[test]
fn conditions_are_kept() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.command(CallCommand {
        if_state: Some(CallState::InProgress),
        ..hangup()
    });
    scene.command(CallCommand {
        if_seq: Some(1),
        ..hangup()
    });
    scene.command(CallCommand {
        deadline_ms: Some(1),
        ..hangup()
    });
    assert_snapshot!(scene.told(), @r"
    reply precondition_failed
    reply precondition_failed
    reply deadline_passed
    ");
    let seq = scene.events.last().unwrap().stamp.position.seq;
    let state = Some(CallState::Ringing);
    scene.command(CallCommand {
        if_state: state,
        if_seq: Some(seq),
        ..hangup()
    });
    assert!(scene.told().starts_with("reply ok"));
}

#[test]
fn a_draining_node_ends_the_call_at_its_deadline() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.ack(A, "");
    scene.told();
    let deadline = scene.now.mono + Duration::from_secs(5);
    scene.input(Input::Drain { deadline });
    scene.wait(Duration::from_secs(5));
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    * call.ended completed by system system_shutdown
    forget
    b: > BYE (Q.850;cause=41;text="system_shutdown")
    b: close
    a: > BYE (Q.850;cause=41;text="system_shutdown")
    a: close
    ended
    "#);
}
