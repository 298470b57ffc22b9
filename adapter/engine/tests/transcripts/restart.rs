//! What a call leaves behind and what a restart makes of it.

use std::sync::Arc;

use bus_schema::Position;
use engine::{Call, Home, Hop, Input, NextHop, Output, Recovery, Transport};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::scene::*;

fn recovery(after: Option<Position>, ended: bool) -> Recovery {
    let home = Arc::new(Home {
        epoch: 6,
        ..(*home()).clone()
    });
    Recovery {
        home,
        entropy: 1,
        after,
        ended,
    }
}

pub(crate) fn recover(record: &[u8], after: Option<Position>) -> Option<Scene> {
    let recovery = recovery(after, false);
    let mut scene = Scene::with(Call::recover(record, recovery, start())?);
    scene.look();
    Some(scene)
}

#[test]
fn both_sides_of_an_answered_call_get_a_bye() {
    let mut before = Scene::inbound(vec![vec![target(2)]]);
    before.answer(B, "INVITE", 200, "bob", ANSWER);
    before.ack(A, "");
    let record = before.record.clone().unwrap();
    let mut scene = recover(&record, Some(Position { epoch: 5, seq: 3 })).unwrap();
    scene.assert_ended();
    let first = &scene.events[0];
    assert_eq!(first.stamp.position, Position { epoch: 6, seq: 1 });
    assert_eq!(first.data.after, Some(Position { epoch: 5, seq: 3 }));
    assert_eq!(first.data.call.from, before.events[0].data.call.from);
    let bye = scene.last_request(A, "BYE");
    assert_eq!(bye.call_id(), Some("from-alice"));
    assert!(bye.cseq().unwrap().seq > 100);
    assert_snapshot!(scene.told(), @r#"
    a: open
    b: open
    * call.recovered in_progress by system recovered
    * call.ended completed by system restart
    forget
    b: > ACK
    b: > BYE (Q.850;cause=41;text="restart")
    b: close
    a: > BYE (Q.850;cause=41;text="restart")
    a: close
    ended
    "#);
}

#[test]
fn an_answer_that_was_not_acknowledged_is() {
    let mut before = Scene::inbound(vec![vec![target(2)]]);
    before.answer(B, "INVITE", 200, "bob", ANSWER);
    let mut scene = recover(before.record.as_ref().unwrap(), None).unwrap();
    scene.assert_ended();
    assert_snapshot!(scene.told(), @r#"
    a: open
    b: open
    * call.recovered in_progress by system recovered
    * call.ended completed by system restart
    forget
    b: > ACK
    b: > BYE (Q.850;cause=41;text="restart")
    b: close
    a: > BYE (Q.850;cause=41;text="restart")
    a: close
    ended
    "#);
}

#[test]
fn an_intent_ends_as_failed() {
    let before = Scene::originate(vec![vec![target(1)]], vec![vec![target(2)]]);
    let mut scene = recover(before.record.as_ref().unwrap(), None).unwrap();
    scene.assert_ended();
    assert_eq!(scene.events[0].data.call.agent.as_deref(), Some("robot"));
    assert_snapshot!(scene.told(), @r"
    * call.recovered queued by system recovered
    * call.ended failed by system restart
    forget
    ended
    ");
}

/// The process died after it had told the end and before the record was gone.
#[test]
fn a_call_that_had_ended_does_not_end_again() {
    let mut before = Scene::inbound(vec![vec![target(2)]]);
    before.answer(B, "INVITE", 200, "bob", ANSWER);
    before.ack(A, "");
    let record = before.record.clone().unwrap();
    let after = Some(Position { epoch: 5, seq: 4 });
    let call = Call::recover(&record, recovery(after, true), start()).unwrap();
    let mut scene = Scene::with(call);
    scene.look();
    assert!(scene.is_ended && scene.events.is_empty());
    assert_snapshot!(scene.told(), @r#"
    a: open
    b: open
    forget
    b: > ACK
    b: > BYE (Q.850;cause=41;text="restart")
    b: close
    a: > BYE (Q.850;cause=41;text="restart")
    a: close
    ended
    "#);
}

/// Nobody had answered, so there is no record: what is known is what was told.
#[test]
fn a_call_that_nobody_had_answered_ends_by_its_last_event() {
    let mut before = Scene::inbound(vec![vec![target(2)]]);
    before.answer(B, "INVITE", 180, "bob", "");
    assert!(before.record.is_none());
    let last = before.events.last().unwrap().clone();
    let after = Some(last.stamp.position);
    let told = last.data.call.clone();
    let call = Call::recover_told(told, recovery(after, false), start());
    let mut scene = Scene::with(call);
    scene.look();
    scene.assert_ended();
    let first = &scene.events[0];
    assert_eq!(first.stamp.position, Position { epoch: 6, seq: 1 });
    assert_eq!(first.data.after, after);
    let ended = &scene.events[1].data.call;
    assert_eq!(ended.from, last.data.call.from);
    assert_eq!(ended.ringing_at, last.data.call.ringing_at);
    assert_eq!(ended.legs.len(), 2);
    assert_snapshot!(scene.told(), @r"
    * call.recovered ringing by system recovered
    * call.ended failed by system restart
    forget
    ended
    ");
}

#[test]
fn a_call_that_could_not_be_kept_says_so() {
    let mut scene = Scene::inbound(vec![vec![target(2)]]);
    scene.answer(B, "INVITE", 200, "bob", ANSWER);
    scene.input(engine::Input::PersistFailed);
    scene.ack(A, "");
    scene.request(A, "BYE", "", "");
    scene.assert_ended();
    assert!(!scene.events.last().unwrap().data.protected);
}

/// Their numbers are those of a run: it is the transport and the name that count.
#[test]
fn parties_are_told_by_the_listeners_there_are_now() {
    let mut before = Scene::inbound(vec![vec![target(2)]]);
    before.answer(B, "INVITE", 200, "bob", ANSWER);
    before.ack(A, "");
    let record = before.record.clone().unwrap();
    let mut after = Vec::new();
    for kept in [vec![Transport::Ws, Transport::Udp], vec![Transport::Ws]] {
        let mut listeners = home().listeners.to_vec();
        listeners.retain(|listener| kept.contains(&listener.transport));
        listeners.reverse();
        for (id, listener) in (0..).zip(&mut listeners) {
            listener.id = id;
        }
        let home = Home {
            listeners: listeners.into(),
            ..(*home()).clone()
        };
        let recovery = Recovery {
            home: Arc::new(home),
            entropy: 1,
            after: None,
            ended: false,
        };
        let mut call = Call::recover(&record, recovery, start()).unwrap();
        let hops = std::iter::from_fn(|| call.poll_output()).filter_map(|output| match output {
            Output::Open { hop, .. } => Some(hop.listener()),
            _ => None,
        });
        after.push(hops.collect::<Vec<_>>());
    }
    assert_eq!(after, [vec![1, 1], vec![]]);
}

#[test]
fn a_peer_on_a_stream_is_looked_for_and_a_websocket_is_lost() {
    let flow = |listener| {
        NextHop::Hop(Hop::Flow {
            connection: 3,
            listener,
        })
    };
    let mut after = Vec::new();
    for listener in [1, 2] {
        let mut device = target(2);
        device.hop = flow(listener);
        let mut before = Scene::inbound(vec![vec![device]]);
        before.answer(B, "INVITE", 200, "bob", ANSWER);
        let mut scene = recover(before.record.as_ref().unwrap(), None).unwrap();
        if listener == 1 {
            let transport = Transport::Tcp;
            let remote = ([192, 0, 2, 77], 5060).into();
            let hops = vec![Hop::Connect {
                transport,
                listener,
                remote,
            }];
            scene.input(Input::Resolved { leg: B, hops });
        }
        scene.assert_ended();
        after.push(scene.told());
    }
    assert_snapshot!(after.join("--\n"), @r#"
    a: open
    b: resolve 192.0.2.77
    * call.recovered in_progress by system recovered
    * call.ended completed by system restart
    forget
    a: > BYE (Q.850;cause=41;text="restart")
    a: close
    b: open
    b: > ACK
    b: > BYE (Q.850;cause=41;text="restart")
    b: close
    ended
    --
    a: open
    * call.recovered in_progress by system recovered
    * call.ended completed by system restart
    forget
    a: > BYE (Q.850;cause=41;text="restart")
    a: close
    ended
    "#);
}

#[test]
fn a_lost_flow_of_a_loser_is_no_concern_of_the_call() {
    let mut scene = Scene::inbound(vec![vec![target(2), target(3)]]);
    scene.answer(C, "INVITE", 200, "carol", ANSWER);
    scene.told();
    scene.leg(B, engine::LegEvent::FlowLost);
    assert_eq!(scene.told(), "b: close\n");
}

proptest! {
    #[test]
    fn a_damaged_record_is_no_call_and_no_crash(cut in 0usize..900, at in 0usize..900, byte: u8) {
        let mut before = Scene::inbound(vec![vec![target(2)]]);
        before.answer(B, "INVITE", 200, "bob", ANSWER);
        let mut record = before.record.clone().unwrap().to_vec();
        record.truncate(cut);
        if let Some(slot) = record.get_mut(at) {
            *slot = byte;
        }
        let recovery = recovery(None, false);
        // What it says to its peers may be as damaged as the record; it ends nevertheless.
        if let Some(mut call) = Call::recover(&record, recovery, start()) {
            let said: Vec<_> = std::iter::from_fn(|| call.poll_output()).collect();
            prop_assert!(matches!(said.last(), Some(Output::Ended)));
        }
    }
}
