//! Any script: whatever the peers do, a call ends once, in bounded time, and then keeps silent.

use std::time::Duration;

use bus_schema::{CallCommand, CallVerb, Hangup};
use engine::{Hop, Input, LegEvent, LegId, NextHop, Target};
use proptest::prelude::*;
use sip::{Failure, Name, ServerId};

use crate::scene::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Answer {
        leg: u16,
        method: &'static str,
        status: u16,
        tag: &'static str,
        extra: &'static str,
        body: &'static str,
    },
    /// Somebody asks for the place of a leg's phone, or of the other one.
    Replace {
        leg: u16,
        swapped: bool,
        body: &'static str,
    },
    /// The caller acknowledges what it heard last, if that was said reliably.
    Prack {
        body: &'static str,
    },
    Fail {
        leg: u16,
        method: &'static str,
        why: Failure,
    },
    Request {
        leg: u16,
        method: &'static str,
        extra: &'static str,
        body: &'static str,
    },
    Ack {
        leg: u16,
        body: &'static str,
    },
    Cancel {
        leg: u16,
        invite: u32,
    },
    FlowLost {
        leg: u16,
    },
    LegFault {
        leg: u16,
    },
    Fault,
    Resolved {
        leg: u16,
        hops: u8,
    },
    Hangup,
    PersistFailed,
    Drain {
        after: u64,
    },
    Wait {
        millis: u64,
    },
}

fn body() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => Just(OFFER),
        2 => Just(""),
        1 => Just("v=0\r\nrubbish"),
        1 => Just("v=0\r\no=a 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
                   m=audio 9 RTP/AVP 0\r\na=inactive\r\n"),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let leg = 0u16..5;
    let ours = prop::sample::select(vec![
        "INVITE", "INVITE", "INVITE", "UPDATE", "INFO", "BYE", "PRACK",
    ]);
    let theirs = prop::sample::select(vec![
        "INVITE", "INVITE", "UPDATE", "INFO", "BYE", "PRACK", "OPTIONS", "REFER", "FOO", "PUBLISH",
    ]);
    let status = prop::sample::select(vec![
        100u16, 422, 180, 180, 183, 199, 200, 200, 200, 202, 302, 401, 404, 408, 481, 486, 487,
        491, 503, 603,
    ]);
    let tag = prop::sample::select(vec!["x", "x", "x", "y"]);
    let rel = prop::sample::select(vec![
        "",
        "",
        "Require: 100rel\r\nRSeq: 1\r\n",
        "Require: 100rel\r\nRSeq: 2\r\n",
        "Require: 100rel\r\nRSeq: 3\r\n",
        "Require: timer\r\nSession-Expires: 90;refresher=uac\r\n",
        "Session-Expires: 90;refresher=uas\r\nAllow: UPDATE\r\n",
        "Min-SE: 200\r\n",
    ]);
    let extra = prop::sample::select(vec![
        "",
        "",
        "",
        "Require: 100rel\r\n",
        "Reason: Q.850;cause=17\r\n",
        "Session-Expires: 100;refresher=uac\r\nSupported: timer\r\n",
        "Session-Expires: 10\r\nSupported: timer\r\n",
    ]);
    let why = prop::sample::select(vec![
        Failure::Timeout,
        Failure::Unreachable,
        Failure::NoRoom,
    ]);
    prop_oneof![
        8 => (leg.clone(), ours.clone(), status, tag, rel, body()).prop_map(
            |(leg, method, status, tag, extra, body)| {
                Step::Answer { leg, method, status, tag, extra, body }
            }
        ),
        2 => body().prop_map(|body| Step::Prack { body }),
        1 => (leg.clone(), prop::bool::weighted(0.2), body()).prop_map(
            |(leg, swapped, body)| Step::Replace { leg, swapped, body }
        ),
        1 => (leg.clone(), ours, why).prop_map(
            |(leg, method, why)| Step::Fail { leg, method, why }
        ),
        4 => (leg.clone(), theirs, extra, body()).prop_map(
            |(leg, method, extra, body)| Step::Request { leg, method, extra, body }
        ),
        4 => (leg.clone(), body()).prop_map(|(leg, body)| Step::Ack { leg, body }),
        1 => (leg.clone(), prop_oneof![Just(1u32), 101u32..110]).prop_map(
            |(leg, invite)| Step::Cancel { leg, invite }
        ),
        1 => leg.clone().prop_map(|leg| Step::FlowLost { leg }),
        1 => leg.clone().prop_map(|leg| Step::LegFault { leg }),
        1 => Just(Step::Fault),
        1 => (leg, 0u8..3).prop_map(|(leg, hops)| Step::Resolved { leg, hops }),
        1 => Just(Step::Hangup),
        1 => Just(Step::PersistFailed),
        1 => (0u64..100).prop_map(|after| Step::Drain { after }),
        3 => (0u64..70_000).prop_map(|millis| Step::Wait { millis }),
    ]
}

fn plan() -> impl Strategy<Value = Vec<Vec<Target>>> {
    let device = (2u8..9, prop::bool::weighted(0.2)).prop_map(|(n, named)| {
        let mut device = target(n);
        if n % 3 == 0 {
            device = browser(n);
        } else if named {
            device.hop = NextHop::Name {
                host: "h".into(),
                port: None,
                transport: None,
            };
            device.aor = None;
        }
        device
    });
    prop::collection::vec(prop::collection::vec(device, 0..3), 0..3)
}

fn replace(scene: &mut Scene, leg: LegId, swapped: bool, body: &str) {
    let named = if scene.has_peer(leg) {
        scene.dialog(leg)
    } else if scene.has_request(leg, "INVITE") {
        let invite = scene.last_request(leg, "INVITE");
        let (call_id, tag) = (invite.call_id().unwrap(), invite.from_tag().unwrap());
        (call_id.into(), tag.into(), "x".into())
    } else {
        return;
    };
    let (call_id, ours, theirs) = named;
    let (to, from) = if swapped {
        (theirs, ours)
    } else {
        (ours, theirs)
    };
    let lines = format!("Replaces: {call_id};to-tag={to};from-tag={from}\r\n");
    if scene.is_ended {
        return;
    }
    let next = scene.call.next_leg();
    scene.newcomer(next, invite(&lines, body));
}

fn acknowledge(scene: &mut Scene, body: &str) {
    let rseq = scene.sent.get(&A).and_then(|sent| sent.text(Name::RSeq));
    if let Some(rseq) = rseq {
        let rack = format!("RAck: {rseq} 1 INVITE\r\n");
        scene.enter_early();
        scene.request(A, "PRACK", &rack, body);
    }
}

fn play(scene: &mut Scene, step: Step) {
    match step {
        Step::Answer {
            leg,
            method,
            status,
            tag,
            extra,
            body,
        } => {
            let leg = LegId(leg);
            if scene.has_request(leg, method) {
                let fits = match status {
                    100 => "",
                    101..200 if method == "INVITE" => "RSeq",
                    200..300 => "Session",
                    422 => "Min-SE",
                    _ => "",
                };
                let fits = !fits.is_empty() && extra.contains(fits);
                scene.answer_with(
                    leg,
                    method,
                    status,
                    if status == 100 { "" } else { tag },
                    if fits { extra } else { "" },
                    body,
                );
            }
        }
        Step::Prack { body } => acknowledge(scene, body),
        Step::Replace { leg, swapped, body } => replace(scene, LegId(leg), swapped, body),
        Step::Fail { leg, method, why } => {
            if scene.has_request(LegId(leg), method) {
                scene.fail(LegId(leg), method, why);
            }
        }
        Step::Request {
            leg,
            method,
            extra,
            body,
        } => {
            if scene.has_peer(LegId(leg)) {
                scene.request(LegId(leg), method, extra, body);
            }
        }
        Step::Ack { leg, body } => {
            if scene.has_peer(LegId(leg)) {
                scene.ack(LegId(leg), body);
            }
        }
        Step::Cancel { leg, invite } => scene.cancel(LegId(leg), ServerId(invite), ""),
        Step::FlowLost { leg } => scene.leg(LegId(leg), LegEvent::FlowLost),
        Step::LegFault { leg } => scene.leg(LegId(leg), LegEvent::Fault),
        Step::Fault => scene.input(Input::Fault),
        Step::Resolved { leg, hops } => {
            let hop = |n| Hop::Udp {
                listener: 0,
                remote: ([192, 0, 2, n], 5060).into(),
            };
            let hops = (0..hops).map(hop).collect();
            scene.input(Input::Resolved {
                leg: LegId(leg),
                hops,
            });
        }
        Step::Hangup => scene.command(CallCommand::new(CallVerb::Hangup(Hangup::default()))),
        Step::PersistFailed => scene.input(Input::PersistFailed),
        Step::Drain { after } => {
            let deadline = scene.now.mono + Duration::from_secs(after);
            scene.input(Input::Drain { deadline });
        }
        Step::Wait { millis } => scene.wait(Duration::from_millis(millis)),
    }
}

fn ends(mut scene: Scene, script: Vec<Step>) {
    for step in script {
        play(&mut scene, step);
    }
    scene.wait(Duration::from_secs(12 * 3600 + 600));
    scene.assert_ended();
    assert_eq!(scene.open_legs(), 0, "every leg that was opened is closed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_callers_call_ends(
        plan in plan(),
        late: bool,
        wish in 0..4usize,
        script in prop::collection::vec(step(), 0..40),
    ) {
        let body = if late { "" } else { OFFER };
        let wish = [
            "",
            "Supported: 100rel\r\n",
            "Require: 100rel\r\n",
            "Session-Expires: 90\r\nAllow: UPDATE\r\n",
        ][wish];
        let mut home = (*home()).clone();
        if late {
            home.redirects = engine::Redirects::Follow;
        }
        ends(Scene::inbound_at_with(home, plan, invite(wish, body)), script);
    }

    #[test]
    fn an_agents_call_ends(
        first in plan(),
        second in plan(),
        script in prop::collection::vec(step(), 0..40),
    ) {
        ends(Scene::originate(first, second), script);
    }
}
