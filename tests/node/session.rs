//! Session timers (RFC 4028) through sockets: what is granted, refused, and renewed.

use sip::{Method, Name};

use crate::{
    phone::{SDP, sdp},
    stage::Stage,
};

#[tokio::test]
async fn a_session_is_granted_renewed_and_refused_when_too_short() {
    let stage = Stage::with("[calls]\nsession_min_s = 120\n").await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.ws("bob").await);
    alice.register().await;

    let short = "Supported: timer\r\nx: 90\r\n";
    let refused = bob.invite(&alice.aor()).plus(short);
    let refusal = bob.ask(&refused).await;
    assert_eq!(refusal.status(), Some(422));
    assert_eq!(refusal.text(Name::MinSe), Some("120"));
    bob.ack_refusal(&refused, &refusal).await;

    let invite = bob
        .invite(&alice.aor())
        .plus("k: timer\r\nSession-Expires: 300\r\nMin-SE: 120\r\n");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    assert_eq!(heard.text(Name::SessionExpires), Some("300"));
    // She wants it longer, and is asked again in the same dialog to be.
    alice.respond(&heard, 422, "t", "Min-SE: 600\r\n", "").await;
    alice.request_of(Method::Ack).await;
    let again = alice.request_of(Method::Invite).await;
    assert_eq!(again.call_id(), heard.call_id());
    assert_eq!(again.cseq().unwrap().seq, 2);
    assert_eq!(again.text(Name::SessionExpires), Some("600"));
    assert_eq!(again.text(Name::MinSe), Some("600"));
    let lines = format!("{SDP}Require: timer\r\nSession-Expires: 600;refresher=uas\r\n");
    alice.respond(&again, 200, "t", &lines, &sdp("alice")).await;

    let ok = bob.expect(200).await;
    assert_eq!(ok.text(Name::SessionExpires), Some("300;refresher=uac"));
    assert!(ok.lists(Name::Require, "timer"));
    let mut at_bob = bob.ack(&invite, &ok, "").await;
    alice.request_of(Method::Ack).await;

    // The renewal is between bob and us.
    let lines = "k: timer\r\nx: 300;refresher=uac\r\n";
    let update = bob.within(&mut at_bob, "UPDATE", lines, "");
    let renewed = bob.ask(&update).await;
    assert_eq!(renewed.status(), Some(200));
    let granted = renewed.text(Name::SessionExpires);
    assert_eq!(granted, Some("300;refresher=uac"));
    bob.hang_up(&mut at_bob, &mut alice).await;
    stage.no_calls().await;
    stage.stop().await;
}
