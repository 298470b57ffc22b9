//! Requests that are too large for a datagram, and connections that the node keeps or makes again.

use sip::{Method, Name};
use tokio::{net::TcpListener, time::timeout};

use crate::{
    phone::{Out, Phone},
    stage::Stage,
    wire::{Heard, PATIENCE, Wire},
};

fn large(invite: &Out) -> Out {
    invite.plus(&format!("X-Large: {}\r\n", "a".repeat(1300)))
}

async fn accept(server: &TcpListener) -> Phone {
    let accepted = timeout(PATIENCE, server.accept()).await.unwrap();
    Phone::new(Wire::accepted(accepted.unwrap().0), "alice", "open.test")
}

#[tokio::test]
async fn a_large_invite_goes_over_tcp_to_who_listens_there() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let server = TcpListener::bind(alice.wire.local).await.unwrap();
    let mut bob = stage.tcp("bob").await;
    let invite = large(&bob.invite("sip:alice@open.test"));
    bob.say(&invite).await;
    let mut by_tcp = accept(&server).await;
    let heard = by_tcp.request_of(Method::Invite).await;
    assert!(heard.text(Name::Via).unwrap().starts_with("SIP/2.0/TCP"));
    assert!(
        heard
            .text(Name::Contact)
            .unwrap()
            .ends_with(";transport=tcp>")
    );
    let _at_alice = by_tcp.accept(&heard).await;
    let ok = bob.expect(200).await;
    let mut at_bob = bob.ack(&invite, &ok, "").await;
    by_tcp.request_of(Method::Ack).await;
    // The phone closes what is idle; the call goes on, and is ended over another connection.
    by_tcp.wire.finish().await;
    let message = bob.request("MESSAGE", "sip:alice@open.test");
    bob.say(&message).await;
    let short = alice.request_of(Method::Message).await;
    alice.ok(&short).await;
    bob.expect(200).await;
    let bye = bob.within(&mut at_bob, "BYE", "", "");
    bob.say(&bye).await;
    bob.expect(200).await;
    let mut again = accept(&server).await;
    let bye = again.request_of(Method::Bye).await;
    again.ok(&bye).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_large_invite_goes_over_udp_to_who_does_not() {
    for (more, tcp) in [("", false), ("[calls]\nlarge_over_tcp = false\n", true)] {
        let stage = Stage::with(more).await;
        let mut alice = stage.udp("alice").await;
        alice.register().await;
        // Nobody listens, or nobody is to be asked.
        let server = TcpListener::bind(alice.wire.local).await.unwrap();
        if !tcp {
            drop(server);
        }
        let mut bob = stage.tcp("bob").await;
        let invite = large(&bob.invite("sip:alice@open.test"));
        bob.say(&invite).await;
        let heard = alice.request_of(Method::Invite).await;
        assert!(heard.text(Name::Via).unwrap().starts_with("SIP/2.0/UDP"));
        alice.reject(&heard, 486).await;
        let refusal = bob.expect(486).await;
        bob.ack_refusal(&invite, &refusal).await;
        stage.stop().await;
    }
}

#[tokio::test]
async fn connections_of_ours_are_kept_open() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap();
    let stage = Stage::with(&format!(
        "[limits]\nping_ms = 1000\n[[route]]\nto = \"1\"\ntarget = \"uri:sip:{at};transport=tcp\"\n"
    ))
    .await;
    let mut bob = stage.udp("bob").await;
    let message = bob.request("MESSAGE", "sip:1@open.test");
    bob.say(&message).await;
    let mut peer = accept(&server).await;
    let heard = peer.request_of(Method::Message).await;
    peer.ok(&heard).await;
    bob.expect(200).await;
    assert!(matches!(peer.wire.hear().await, Heard::KeepAlive));
    stage.stop().await;
}
