//! One address, several devices.

use std::time::Duration;

use insta::assert_snapshot;
use sip::Failure;

use crate::scene::*;

#[test]
fn the_first_to_answer_wins_and_the_others_hear_so() {
    let mut scene = Scene::inbound(vec![vec![target(2), target(3)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.answer(C, "INVITE", 183, "carol", ANSWER);
    let first = scene.sent_tag(A);
    scene.told();
    scene.answer(C, "INVITE", 200, "carol", ANSWER);
    assert_eq!(
        scene.sent_tag(A),
        first,
        "the 200 belongs to the early dialog with that answer"
    );
    scene.ack(A, "");
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.request(C, "BYE", "", "");
    scene.assert_ended();
    let loser = scene.events.last().unwrap().data.call.legs[1].clone();
    assert_eq!((loser.leg.0, loser.sip_status), (1, Some(487)));
    assert_eq!(loser.ended_at.unwrap().0, scene.now.unix_ms);
    assert_snapshot!(scene.told(), @r#"
    b: > CANCEL (SIP;cause=200;text="Call completed elsewhere")
    persist ahead
    a: > 200 INVITE answer
    * call.answered c in_progress by callee answered 200
    * call.updated b in_progress by callee answered_elsewhere
    c: > ACK
    b: close
    c: > 200 BYE
    * call.ended completed by callee normal_clearing
    forget
    c: close
    a: > BYE
    a: close
    ended
    "#);
}

#[test]
fn each_early_dialog_has_a_tag_of_its_own() {
    let mut scene = Scene::inbound(vec![vec![target(2), target(3)]]);
    scene.answer(B, "INVITE", 183, "bob", ANSWER);
    let bob = scene.sent_tag(A);
    scene.answer(C, "INVITE", 183, "carol", ANSWER);
    let carol = scene.sent_tag(A);
    scene.answer(B, "INVITE", 180, "bob", "");
    assert_ne!(bob, carol);
    assert_eq!(scene.sent_tag(A), bob);
}

#[test]
fn a_late_answer_of_a_loser_is_acknowledged_and_ended() {
    let mut scene = Scene::inbound(vec![vec![target(2), target(3)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.answer(C, "INVITE", 200, "carol", ANSWER);
    scene.told();
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.ack(A, "");
    assert_snapshot!(scene.told(), @r#"
    b: > ACK
    b: > BYE (SIP;cause=200;text="Call completed elsewhere")
    b: close
    c: > ACK
    "#);
    scene.request(A, "BYE", "", "");
    scene.assert_ended();
}

#[test]
fn a_loser_that_never_rang_is_cancelled_when_it_does() {
    let mut scene = Scene::inbound(vec![vec![target(2), target(3)]]);
    scene.answer(C, "INVITE", 200, "carol", ANSWER);
    scene.ack(A, "");
    scene.told();
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.answer(B, "INVITE", 487, "bob", "");
    assert_snapshot!(scene.told(), @r#"
    b: > CANCEL (SIP;cause=200;text="Call completed elsewhere")
    b: close
    "#);
}

#[test]
fn the_best_refusal_is_passed() {
    let mut scene = Scene::inbound(vec![vec![target(2), target(3), target(4)]]);
    scene.told();
    scene.fail(B, "INVITE", Failure::Timeout);
    scene.answer(C, "INVITE", 486, "carol", "");
    scene.answer(engine::LegId(3), "INVITE", 407, "dave", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    b: close
    c: close
    d: close
    a: > 486 INVITE
    * call.ended busy by callee busy 486
    forget
    a: close
    ended
    ");
}

#[test]
fn a_6xx_speaks_for_all() {
    let mut scene = Scene::inbound(vec![vec![target(2), target(3)], vec![target(4)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.answer(C, "INVITE", 603, "carol", "");
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    c: close
    b: > CANCEL
    a: > 603 INVITE
    * call.ended rejected by callee rejected 603
    forget
    a: close
    b: close
    ended
    ");
}

#[test]
fn groups_are_rung_one_after_another() {
    let mut scene = Scene::inbound(vec![vec![target(2)], vec![target(3)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.wait(Duration::from_secs(60));
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.answer(C, "INVITE", 200, "carol", ANSWER);
    assert_snapshot!(scene.told(), @r#"
    b: > CANCEL (Q.850;cause=19;text="no_answer")
    c: open
    c: > INVITE offer
    b: close
    persist ahead
    a: > 200 INVITE answer
    * call.answered c in_progress by callee answered 200
    "#);
}

#[test]
fn a_name_is_looked_up_and_its_hops_tried_in_turn() {
    let mut named = target(2);
    named.hop = engine::NextHop::Name {
        host: "pbx.test".into(),
        port: None,
        transport: None,
    };
    named.aor = None;
    let mut scene = Scene::inbound(vec![vec![named]]);
    let hop = |n| engine::Hop::Udp {
        listener: 0,
        remote: ([192, 0, 2, n], 5060).into(),
    };
    scene.input(engine::Input::Resolved {
        leg: B,
        hops: vec![hop(8), hop(9)],
    });
    scene.told();
    scene.answer(B, "INVITE", 503, "pbx", "");
    scene.fail(B, "INVITE", Failure::Unreachable);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: open
    b: > INVITE offer
    b: close
    a: > 502 INVITE (Q.850;cause=27;text="destination_out_of_order")
    * call.ended failed by system destination_out_of_order 502
    forget
    a: close
    ended
    "#);
}

#[test]
fn a_connection_that_does_not_come_to_be_is_another_address_s_turn() {
    let mut named = target(2);
    named.hop = engine::NextHop::Name {
        host: "pbx.test".into(),
        port: None,
        transport: Some(engine::Transport::Tcp),
    };
    named.aor = None;
    let mut scene = Scene::inbound(vec![vec![named]]);
    let hop = |n| engine::Hop::Connect {
        transport: engine::Transport::Tcp,
        listener: 1,
        remote: ([192, 0, 2, n], 5060).into(),
    };
    scene.input(engine::Input::Resolved {
        leg: B,
        hops: vec![hop(8), hop(9)],
    });
    scene.told();
    scene.leg(B, engine::LegEvent::FlowLost);
    scene.leg(B, engine::LegEvent::FlowLost);
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: open
    b: > INVITE offer
    b: close
    a: > 502 INVITE (Q.850;cause=27;text="destination_out_of_order")
    * call.ended failed by system destination_out_of_order 502
    forget
    a: close
    ended
    "#);
}

#[test]
fn a_name_that_leads_nowhere_ends_the_call() {
    let mut named = target(2);
    named.hop = engine::NextHop::Name {
        host: "pbx.test".into(),
        port: None,
        transport: None,
    };
    named.aor = None;
    let mut scene = Scene::inbound(vec![vec![named]]);
    scene.told();
    scene.input(engine::Input::Resolved {
        leg: B,
        hops: Vec::new(),
    });
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: > 502 INVITE (Q.850;cause=27;text="destination_out_of_order")
    * call.ended failed by system destination_out_of_order 502
    forget
    a: close
    ended
    "#);
}

#[test]
fn nobody_registered() {
    let mut scene = Scene::inbound(Vec::new());
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: open
    * call.created a queued by caller requested
    a: > 480 INVITE (Q.850;cause=20;text="subscriber_absent")
    * call.ended failed by system subscriber_absent 480
    forget
    a: close
    ended
    "#);
}

#[test]
fn a_fork_without_news_for_timer_c_is_given_up() {
    let mut home = (*home()).clone();
    home.timeouts.ring = Duration::from_secs(600);
    let mut scene = Scene::inbound_at(home, vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 180, "bob", "");
    scene.told();
    scene.wait(Duration::from_secs(181));
    scene.answer(B, "INVITE", 487, "bob", "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    b: > CANCEL (Q.850;cause=19;text="no_answer")
    a: > 408 INVITE (Q.850;cause=19;text="no_answer")
    * call.ended no_answer by timer no_answer 408 timer timer_c
    forget
    a: close
    b: close
    ended
    "#);
}
