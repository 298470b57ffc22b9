//! Dialogs as RFC 3261 12 has them, and whose turn it is to offer.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use sip::offer::{Carrier, Meaning, OfferAnswer, Refusal, Side, glare_wait, retry_after};
use sip::{Dialog, Half, Limits, Message, Now, Resend, Resend1xx, Resend2xx};

fn parse(text: impl Into<Bytes>) -> Message {
    Message::parse_datagram(text.into(), &Limits::default()).unwrap()
}

fn invite(extra: &str) -> Message {
    parse(format!(
        "INVITE sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: \"A\" <sip:alice@a.test>;x=1;tag=fa;y\r\n\
         To: Bob <sip:bob@b.test>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n{extra}\
         Content-Length: 0\r\n\r\n"
    ))
}

fn ok(tag: &str, extra: &str) -> Message {
    parse(format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK1\r\n\
         From: \"A\" <sip:alice@a.test>;tag=fa\r\nTo: Bob <sip:bob@b.test>;tag={tag}\r\n\
         Call-ID: c1\r\nCSeq: 7 INVITE\r\n{extra}Content-Length: 0\r\n\r\n"
    ))
}

fn in_dialog(method: &str, seq: u32, extra: &str) -> Message {
    parse(format!(
        "{method} sip:us@u.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK2\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@a.test>;tag=fa\r\nTo: <sip:bob@b.test>;tag=us\r\n\
         Call-ID: c1\r\nCSeq: {seq} {method}\r\n{extra}Content-Length: 0\r\n\r\n"
    ))
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const VIA: &str = "SIP/2.0/UDP u.test;branch=z9hG4bK9";
const ROUTES: &str = "Record-Route: <sip:p1.test;lr>, <sip:p2.test;lr>\r\n\
                      Record-Route: <sip:p3.test;lr>\r\n";

#[test]
fn the_called_side_takes_the_routes_as_written() {
    let invite = invite(&format!("{ROUTES}Contact: <sip:alice@pc.a.test>\r\n"));
    let mut dialog = Dialog::uas(&invite, "us").unwrap();
    assert_eq!(dialog.next_hop(), "sip:p1.test;lr");
    let bye = dialog.request("BYE", VIA).end();
    assert_eq!(
        text(&bye),
        "BYE sip:alice@pc.a.test SIP/2.0\r\nVia: SIP/2.0/UDP u.test;branch=z9hG4bK9\r\n\
         Route: <sip:p1.test;lr>\r\nRoute: <sip:p2.test;lr>\r\nRoute: <sip:p3.test;lr>\r\n\
         Max-Forwards: 70\r\nFrom: Bob <sip:bob@b.test>;tag=us\r\n\
         To: \"A\" <sip:alice@a.test>;x=1;y;tag=fa\r\nCall-ID: c1\r\nCSeq: 1 BYE\r\n\
         Content-Length: 0\r\n\r\n"
    );
    assert_eq!((dialog.local_seq(), dialog.remote_seq()), (1, Some(7)));
}

#[test]
fn the_calling_side_reverses_the_routes() {
    let response = ok("tb", &format!("{ROUTES}Contact: <sip:bob@pc.b.test>\r\n"));
    let mut dialog = Dialog::uac(&invite(""), &response).unwrap();
    let routes: Vec<_> = dialog.routes().collect();
    assert_eq!(
        routes,
        ["<sip:p3.test;lr>", "<sip:p2.test;lr>", "<sip:p1.test;lr>"]
    );
    let ack = dialog.ack(7, VIA).end();
    assert!(text(&ack).starts_with("ACK sip:bob@pc.b.test SIP/2.0\r\n"));
    assert!(text(&ack).contains("CSeq: 7 ACK\r\n"));
    let next = parse(dialog.request("INFO", VIA).end());
    assert_eq!(next.cseq().unwrap().seq, 8);
    assert_eq!((next.from_tag(), next.to_tag()), (Some("fa"), Some("tb")));
}

#[test]
fn a_strict_router_is_the_request_uri_and_the_target_goes_last() {
    let response = ok(
        "tb",
        "Record-Route: <sip:p2.test;lr>, <sip:p1.test;method=INVITE;x=1?h=v>\r\n\
         Contact: <sip:bob@pc.b.test>\r\n",
    );
    let mut dialog = Dialog::uac(&invite(""), &response).unwrap();
    assert_eq!(dialog.next_hop(), "sip:p1.test;method=INVITE;x=1?h=v");
    let bye = dialog.request("BYE", VIA).end();
    let expected = "BYE sip:p1.test;x=1 SIP/2.0\r\nVia: SIP/2.0/UDP u.test;branch=z9hG4bK9\r\n\
                    Route: <sip:p2.test;lr>\r\nRoute: <sip:bob@pc.b.test>\r\nMax-Forwards: 70\r\n";
    assert!(text(&bye).starts_with(expected), "{}", text(&bye));
}

#[test]
fn a_half_writes_the_invite_and_forks() {
    let mut half = Dialog::half(&Half {
        call_id: "c1",
        local: b"\"A\" <sip:alice@a.test>",
        local_tag: "fa",
        remote: b"<sips:bob@b.test>",
        target: "sips:bob@b.test",
        routes: &["<sip:out.test;lr>"],
        seq: 6,
    });
    let invite = half.request("INVITE", VIA).end();
    assert_eq!(
        text(&invite),
        "INVITE sips:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP u.test;branch=z9hG4bK9\r\n\
         Route: <sip:out.test;lr>\r\nMax-Forwards: 70\r\nFrom: \"A\" <sip:alice@a.test>;tag=fa\r\n\
         To: <sips:bob@b.test>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    let mut one = half
        .fork(&ok("t1", "Contact: <sip:b1@h.test>\r\n"))
        .unwrap();
    let two = half.fork(&ok("t2", "")).unwrap();
    assert_eq!((one.remote_tag(), two.remote_tag()), ("t1", "t2"));
    assert_eq!(
        (one.target(), two.target()),
        ("sip:b1@h.test", "sips:bob@b.test")
    );
    assert_eq!(
        one.routes().count(),
        0,
        "the preloaded route is not the dialog's"
    );
    assert!(one.is_secure());
    // The 2xx sets the route set anew.
    one.confirm(&ok("t1", &format!("{ROUTES}Contact: <sip:b1@h2.test>\r\n")))
        .unwrap();
    assert_eq!((one.routes().count(), one.target()), (3, "sip:b1@h2.test"));
    assert_eq!(half.request("INVITE", VIA).end().len(), invite.len());
    assert_eq!(half.local_seq(), 8, "again, with credentials");
}

#[test]
fn order_and_target_refresh() {
    let mut dialog = Dialog::uas(&invite("Contact: <sip:a@1.test>\r\n"), "us").unwrap();
    let status = |result: Result<(), sip::Fault>| result.map_err(|fault| fault.status);
    assert_eq!(status(dialog.receive(&in_dialog("INFO", 6, ""))), Err(500));
    assert_eq!(status(dialog.receive(&in_dialog("ACK", 7, ""))), Ok(()));
    assert_eq!(
        status(dialog.receive(&in_dialog("INFO", 90, "Contact: <sip:a@2.test>\r\n"))),
        Ok(())
    );
    assert_eq!(dialog.target(), "sip:a@1.test", "INFO refreshes nothing");
    assert_eq!(
        status(dialog.receive(&in_dialog("UPDATE", 91, "Contact: <sip:a@2.test>\r\n"))),
        Ok(())
    );
    assert_eq!(dialog.target(), "sip:a@2.test");
    let bad = in_dialog("INVITE", 92, "Contact: <<>\r\n");
    assert_eq!(status(dialog.receive(&bad)), Err(400));
    assert_eq!(
        (dialog.target(), dialog.remote_seq()),
        ("sip:a@2.test", Some(91))
    );
    assert_eq!(status(dialog.receive(&in_dialog("INVITE", 92, ""))), Ok(()));
    assert_eq!(dialog.target(), "sip:a@2.test");
    let foreign = text(in_dialog("BYE", 93, "").bytes()).replace("tag=fa", "tag=fb");
    assert_eq!(status(dialog.receive(&parse(foreign))), Err(481));
    assert!(Dialog::uas(&invite(""), "us").is_err(), "no Contact");
}

#[test]
fn a_hostile_route_set_is_refused() {
    let many = "Record-Route: <sip:p.test;lr>\r\n".repeat(33);
    let contact = "Contact: <sip:a@1.test>\r\n";
    assert!(Dialog::uas(&invite(&format!("{many}{contact}")), "us").is_err());
    let bad = format!("Record-Route: <nonsense>\r\n{contact}");
    assert!(Dialog::uas(&invite(&bad), "us").is_err());
    let folded = format!("Record-Route: <sip:p.test;lr>,\r\n <sip:q.test;lr>\r\n{contact}");
    let mut dialog = Dialog::uas(&invite(&folded), "us").unwrap();
    assert_eq!(
        parse(dialog.request("BYE", VIA).end())
            .list(sip::Name::Route)
            .count(),
        2
    );
}

#[test]
fn a_record_is_the_dialog() {
    let invite = invite(&format!("{ROUTES}Contact: <sip:alice@pc.a.test>\r\n"));
    let mut dialog = Dialog::uas(&invite, "us").unwrap();
    dialog.skip_to(1_000);
    let record = dialog.record();
    assert_eq!(Dialog::from_record(&record), Some(dialog));
    assert!(record.len() < 300, "{}", record.len());
    for end in 0..34 {
        assert_eq!(Dialog::from_record(&record[..end]), None);
    }
}

#[test]
fn a_2xx_is_repeated_up_to_t2_and_a_1xx_without_a_cap() {
    let at = |mono| Now { mono, unix_ms: 0 };
    let bytes = Bytes::from_static(b"200");
    let mut success = Resend2xx::new(at(Duration::ZERO), bytes.clone());
    let mut provisional = Resend1xx::new(at(Duration::ZERO), bytes);
    let (mut successes, mut provisionals) = (Vec::new(), Vec::new());
    while let Some(due) = success.poll_timeout() {
        successes.push((due.as_millis(), success.handle_timeout(at(due)).unwrap()));
    }
    while let Some(due) = provisional.poll_timeout() {
        provisionals.push((
            due.as_millis(),
            provisional.handle_timeout(at(due)).unwrap(),
        ));
    }
    let times = |all: &[(u128, Resend)]| all.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    let expected = [
        500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    assert_eq!(times(&successes)[..10], expected);
    assert_eq!(successes.last(), Some(&(32_000, Resend::GaveUp)));
    assert_eq!(
        times(&provisionals),
        [500, 1_500, 3_500, 7_500, 15_500, 31_500, 32_000]
    );
}

use Carrier::UpdateSuccess;
use Carrier::{Ack, Invite, Prack, PrackSuccess, Provisional, Reliable, Success, Update};
use Side::{Local, Remote};

/// Applies messages in order; the last result.
fn story(steps: &[(Side, Carrier, bool)]) -> (OfferAnswer, Vec<Result<Meaning, Refusal>>) {
    let mut state = OfferAnswer::new();
    let results = steps
        .iter()
        .map(|(by, carrier, sdp)| state.apply(*by, *carrier, *sdp))
        .collect();
    (state, results)
}

/// The six patterns of RFC 6337 table 1, from both sides.
#[test]
fn the_patterns_of_rfc_6337() {
    use Meaning::{Answer, Copy, Nothing, Offer};
    for caller in [Local, Remote] {
        let callee = caller.other();
        let patterns: [Vec<(Side, Carrier, bool, Meaning)>; 6] = [
            vec![
                (caller, Invite, true, Offer),
                (callee, Provisional, true, Copy),
                (callee, Success, true, Answer),
                (caller, Ack, false, Nothing),
            ],
            vec![
                (caller, Invite, false, Nothing),
                (callee, Provisional, true, Nothing),
                (callee, Success, true, Offer),
                (caller, Ack, true, Answer),
            ],
            vec![
                (caller, Invite, true, Offer),
                (callee, Reliable, true, Answer),
                (caller, Prack, true, Offer),
                (callee, PrackSuccess, true, Answer),
                (callee, Success, false, Nothing),
                (caller, Ack, false, Nothing),
            ],
            vec![
                (caller, Invite, false, Nothing),
                (callee, Reliable, true, Offer),
                (caller, Prack, true, Answer),
                (callee, PrackSuccess, false, Nothing),
                (callee, Success, true, Copy),
                (caller, Ack, false, Nothing),
            ],
            vec![
                (caller, Invite, true, Offer),
                (callee, Reliable, true, Answer),
                (callee, Update, true, Offer),
                (caller, UpdateSuccess, true, Answer),
                (callee, Success, false, Nothing),
                (caller, Ack, false, Nothing),
            ],
            vec![
                (caller, Invite, true, Offer),
                (callee, Success, true, Answer),
                (caller, Ack, false, Nothing),
                (caller, Update, false, Nothing),
                (callee, UpdateSuccess, false, Nothing),
            ],
        ];
        for pattern in patterns {
            let mut state = OfferAnswer::new();
            for (by, carrier, sdp, meaning) in &pattern {
                assert_eq!(
                    state.apply(*by, *carrier, *sdp),
                    Ok(*meaning),
                    "{pattern:?}"
                );
            }
            assert!(state.agreed() && state.may_invite() && state.may_update());
        }
    }
}

#[test]
fn glare() {
    let refused = |steps: &[(Side, Carrier, bool)]| *story(steps).1.last().unwrap();
    assert_eq!(
        refused(&[(Local, Invite, true), (Remote, Invite, true)]),
        Err(Refusal::Pending)
    );
    assert_eq!(
        refused(&[(Remote, Invite, true), (Remote, Invite, true)]),
        Err(Refusal::Overlapping)
    );
    assert_eq!(
        refused(&[(Local, Update, true), (Remote, Update, true)]),
        Err(Refusal::Pending)
    );
    assert_eq!(
        refused(&[(Remote, Update, true), (Remote, Update, true)]),
        Err(Refusal::Overlapping)
    );
    assert_eq!(
        refused(&[(Local, Update, true), (Remote, Invite, true)]),
        Err(Refusal::Pending)
    );
    assert_eq!(
        refused(&[(Remote, Invite, true), (Local, Update, true)]),
        Err(Refusal::Pending)
    );
    // An offer in a 2xx stands until its ACK.
    let late = [(Remote, Invite, false), (Local, Success, true)];
    let (mut state, _) = story(&late);
    assert!(!state.may_invite() && !state.may_update());
    assert_eq!(state.apply(Remote, Invite, true), Err(Refusal::Pending));
    // Two UPDATEs without offers may cross.
    let (state, results) = story(&[(Local, Update, false), (Remote, Update, false)]);
    assert!(results.iter().all(|result| *result == Ok(Meaning::Nothing)));
    assert!(!state.may_update());
    assert_eq!(
        (Refusal::Pending.status(), Refusal::Overlapping.status()),
        (491, 500)
    );
    for entropy in 0..1_000 {
        let (owner, other) = (glare_wait(true, entropy), glare_wait(false, entropy));
        assert!((2_100..=4_000).contains(&owner.as_millis()) && other.as_millis() <= 2_000);
        assert!(retry_after(entropy) <= 10);
    }
}

#[test]
fn a_missing_answer_is_said_and_a_failure_rolls_back() {
    let (_, results) = story(&[(Local, Invite, true), (Remote, Success, false)]);
    assert_eq!(results[1], Ok(Meaning::Missing));
    let (_, results) = story(&[(Local, Invite, false), (Remote, Success, false)]);
    assert_eq!(results[1], Ok(Meaning::Missing));
    let (state, results) = story(&[
        (Remote, Invite, false),
        (Local, Success, true),
        (Remote, Ack, false),
    ]);
    assert_eq!(results[2], Ok(Meaning::Missing));
    assert!(!state.agreed());
    for (carrier, by) in [
        (Invite, Local),
        (Update, Local),
        (Invite, Remote),
        (Update, Remote),
    ] {
        let (mut state, _) = story(&[(by, carrier, true)]);
        assert_eq!(state.offered_by(), Some(by));
        state.fail(by, carrier);
        assert_eq!(state, OfferAnswer::new());
    }
}

proptest! {
    /// Nothing panics, and when all requests have failed or ended nothing is pending.
    #[test]
    fn any_order_of_messages_can_be_wound_up(
        steps in proptest::collection::vec((any::<bool>(), 0..9usize, any::<bool>()), 0..40),
    ) {
        let all = [
            Invite, Provisional, Reliable, Prack, PrackSuccess, Success, Ack, Update, UpdateSuccess,
        ];
        let mut state = OfferAnswer::new();
        for (local, carrier, sdp) in steps {
            let by = if local { Local } else { Remote };
            let before = state.clone();
            if state.apply(by, all[carrier], sdp).is_err() {
                prop_assert_eq!(&state, &before);
            }
        }
        for by in [Local, Remote] {
            for request in [Invite, Prack, Update, Ack] {
                state.fail(by, request);
            }
        }
        prop_assert!(state.may_invite() && state.may_update() && state.offered_by().is_none());
    }

    /// A record is read or refused, never more.
    #[test]
    fn any_record_is_safe(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut record = vec![1, 3];
        record.extend_from_slice(&bytes);
        if let Some(mut dialog) = Dialog::from_record(&record) {
            dialog.request("BYE", VIA).end();
            prop_assert_eq!(Dialog::from_record(&dialog.record()), Some(dialog));
        }
    }
}
