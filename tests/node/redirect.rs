//! Callees that are elsewhere (3xx).

use sip::Method;

use crate::stage::Stage;

#[tokio::test]
async fn a_call_is_forwarded_to_another_user_and_no_further() {
    let stage = Stage::start().await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.tcp("bob").await);
    let mut carol = stage.ws("carol").await;
    alice.register().await;
    carol.register().await;
    let invite = bob.invite(&alice.aor());
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    let moved = format!("Contact: <{}>\r\n", carol.aor());
    alice.respond(&heard, 302, "t", &moved, "").await;
    alice.request_of(Method::Ack).await;
    let forwarded = carol.request_of(Method::Invite).await;
    assert_eq!(forwarded.body(), invite.body.as_bytes());
    let mut at_carol = carol.accept(&forwarded).await;
    let ok = bob.expect(200).await;
    bob.ack(&invite, &ok, "").await;
    carol.request_of(Method::Ack).await;
    carol.hang_up(&mut at_carol, &mut bob).await;

    // Where a stranger may not send us: the caller hears it, and may go there itself.
    let invite = bob.invite(&alice.aor());
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    let away = "Contact: <sip:alice@elsewhere.test>\r\n";
    alice.respond(&heard, 302, "t", away, "").await;
    alice.request_of(Method::Ack).await;
    let moved = bob.expect(302).await;
    let contact = moved.contacts().next().unwrap().unwrap();
    assert_eq!(contact.uri, "sip:alice@elsewhere.test");
    bob.ack_refusal(&invite, &moved).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_call_is_not_forwarded_where_the_operator_says_so() {
    let stage = Stage::with("[calls]\nredirects = \"pass\"\n").await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.udp("bob").await);
    alice.register().await;
    let invite = bob.invite(&alice.aor());
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    let moved = "Contact: <sip:bob@open.test>\r\n";
    alice.respond(&heard, 302, "t", moved, "").await;
    alice.request_of(Method::Ack).await;
    let moved = bob.expect(302).await;
    bob.ack_refusal(&invite, &moved).await;
    stage.no_calls().await;
    stage.stop().await;
}
