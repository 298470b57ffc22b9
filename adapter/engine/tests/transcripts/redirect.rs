//! Callees that are elsewhere.

use engine::route::{Plan, Refuse};
use engine::{Home, LegId, Redirects};
use insta::assert_snapshot;
use sip::Name;

use crate::scene::*;

fn following() -> Home {
    let mut home = (*home()).clone();
    home.redirects = Redirects::Follow;
    home
}

fn to(contact: &str) -> String {
    format!("Contact: <{contact}>\r\n")
}

/// The next Contact leads to this device.
fn leads_to(scene: &mut Scene, n: u8) {
    scene.plan = Plan::Fork {
        groups: vec![vec![target(n)]],
    };
}

#[test]
fn a_contact_is_rung_in_the_callees_place() {
    let mut scene = Scene::inbound_at(following(), vec![vec![target(2)]]);
    scene.told();
    leads_to(&mut scene, 9);
    let moved = to("sip:carol@example.test;x=y?Subject=no");
    scene.answer_with(B, "INVITE", 302, "bob", &moved, "");
    scene.answer(C, "INVITE", 180, "carol", "");
    scene.answer(C, "INVITE", 200, "carol", ANSWER);
    scene.ack(A, "");
    assert_snapshot!(scene.told(), @r"
    * call.updated b initiated by callee redirected 302
    plan sip:carol@example.test;x=y
    b: close
    c: open
    c: > INVITE offer
    a: > 180 INVITE
    * call.ringing c ringing by callee progress 180
    persist ahead
    a: > 200 INVITE answer
    * call.answered c in_progress by callee answered 200
    c: > ACK
    ");
    assert!(
        scene
            .last_request(C, "INVITE")
            .header(Name::Subject)
            .is_none()
    );
}

#[test]
fn nobody_is_sent_in_circles() {
    let mut scene = Scene::inbound_at(following(), vec![vec![target(2)]]);
    scene.told();
    leads_to(&mut scene, 9);
    scene.answer_with(B, "INVITE", 302, "bob", &to("sip:carol@example.test"), "");
    let back = "Contact: <sip:bob@example.test>, <sip:carol@example.test>\r\n";
    scene.answer_with(C, "INVITE", 302, "carol", back, "");
    scene.assert_ended();
    assert_eq!(
        scene.sent[&A].contacts().count(),
        2,
        "the one that was not followed"
    );
    assert_snapshot!(scene.told(), @r"
    * call.updated b initiated by callee redirected 302
    plan sip:carol@example.test
    b: close
    c: open
    c: > INVITE offer
    c: close
    a: > 302 INVITE
    * call.ended failed by callee redirected 302
    forget
    a: close
    ended
    ");
}

#[test]
fn what_we_may_not_ring_the_caller_may() {
    let mut scene = Scene::inbound_at(following(), vec![vec![target(2)]]);
    scene.told();
    scene.plan = Plan::Refuse(Refuse {
        status: 403,
        reason: "Relaying Denied",
        cause: bus_schema::Reason::NotPermitted,
    });
    let away = "Contact: <sip:carol@elsewhere.test>;q=0.5, <mailto:carol@x>\r\n";
    scene.answer_with(B, "INVITE", 302, "bob", away, "");
    scene.assert_ended();
    assert_eq!(scene.sent[&A].contacts().count(), 2);
    assert_snapshot!(scene.told(), @r"
    * call.updated b initiated by callee redirected 302
    plan sip:carol@elsewhere.test
    b: close
    a: > 302 INVITE
    * call.ended failed by callee redirected 302
    forget
    a: close
    ended
    ");
}

#[test]
fn as_many_as_one_call_may_follow() {
    let mut scene = Scene::inbound_at(following(), vec![vec![target(2)]]);
    for n in 1..=6 {
        leads_to(&mut scene, 9);
        let contact = to(&format!("sip:{n}@example.test"));
        let leg = LegId(n);
        assert!(!scene.is_ended, "{n}");
        scene.answer_with(leg, "INVITE", 302, "x", &contact, "");
    }
    scene.assert_ended();
    assert_eq!(scene.sent[&A].status(), Some(302));
}

#[test]
fn others_ring_on() {
    let plan = vec![vec![target(2), target(3)]];
    let mut scene = Scene::inbound_at(following(), plan);
    scene.told();
    leads_to(&mut scene, 9);
    let moved = "Contact: <sip:carol@example.test>\r\n";
    scene.answer_with(B, "INVITE", 301, "bob", moved, "");
    let d = LegId(3);
    scene.answer(d, "INVITE", 486, "dave", "");
    scene.answer(C, "INVITE", 200, "carol", ANSWER);
    assert_snapshot!(scene.told(), @r"
    * call.updated b initiated by callee redirected 301
    plan sip:carol@example.test
    b: close
    d: open
    d: > INVITE offer
    d: close
    persist ahead
    a: > 200 INVITE answer
    * call.answered c in_progress by callee answered 200
    ");
}

#[test]
fn a_caller_that_is_to_know_is_told() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.told();
    scene.answer_with(B, "INVITE", 302, "bob", &to("sip:carol@example.test"), "");
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r"
    b: close
    a: > 302 INVITE
    * call.ended failed by callee redirected 302
    forget
    a: close
    ended
    ");
}
