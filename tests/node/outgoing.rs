//! Connections that the node makes: over TLS, to the server that is meant and to no other.

use std::net::SocketAddr;

use config::Transport;
use sip::{Method, Name};
use tokio::{
    net::{TcpListener, TcpSocket},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::{Authority, Signed},
    phone::{Phone, sdp},
    stage::Stage,
    wire::{PATIENCE, Wire},
};

/// A SIP server over TLS.
struct Server {
    socket: TcpListener,
    at: SocketAddr,
    tls: TlsAcceptor,
}

impl Server {
    async fn with(signed: &Signed) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let tls = Authority::server(signed);
        Self { socket, at, tls }
    }

    /// The next that connects, as a phone.
    async fn accept(&self) -> Phone {
        let (stream, remote) = timeout(PATIENCE, self.socket.accept())
            .await
            .unwrap()
            .unwrap();
        let stream = self.tls.accept(stream).await.unwrap();
        let wire = Wire::stream(Box::new(stream), (self.at, remote), "tls");
        Phone::new(wire, "server", "elsewhere.test")
    }
}

/// A file that believes this authority, with a route for each target.
fn file(authority: &Authority, targets: &[&str]) -> String {
    let ca = authority.path("ca.pem");
    let mut file = format!("[tls]\nca = {ca:?}\n");
    for (number, target) in targets.iter().enumerate() {
        file.push_str(&format!(
            "[[route]]\nto = \"{number}[0-9]\"\ntarget = \"uri:{target}\"\n"
        ));
    }
    file
}

#[tokio::test]
async fn a_server_is_called_over_tls_and_its_connection_is_shared() {
    let authority = Authority::new();
    let server = Server::with(&authority.sign(&["127.0.0.1", "localhost"])).await;
    let at = server.at;
    let named = format!("sip:localhost:{};transport=tls", at.port());
    let stage = Stage::with(&file(&authority, &[&format!("sips:{at}"), &named])).await;
    let ours = stage.at(Transport::Tls, false);
    let mut bob = stage.udp("bob").await;

    let invite = bob.invite("sip:01@open.test");
    bob.say(&invite).await;
    let mut peer = server.accept().await;
    let heard = peer.request_of(Method::Invite).await;
    assert_eq!(heard.uri(), Some(&*format!("sips:01@{at}")));
    let via = heard.text(Name::Via).unwrap();
    assert!(via.starts_with(&format!("SIP/2.0/TLS {ours};")), "{via}");
    let contact = heard.text(Name::Contact).unwrap();
    assert!(contact.starts_with("<sips:"), "{contact}");
    assert!(contact.ends_with(&format!("@{ours}>")), "{contact}");
    let mut at_peer = peer.accept(&heard).await;
    at_peer.cseq = 100;
    let ok = bob.expect(200).await;
    assert_eq!(ok.body(), sdp("server").as_bytes());
    // What the server hears of is encrypted, and what the caller hears of is not.
    assert!(ok.text(Name::Contact).unwrap().starts_with("<sip:"));
    let _in_dialog = bob.ack(&invite, &ok, "").await;
    peer.request_of(Method::Ack).await;

    // Another call and a MESSAGE go down the same connection, meanwhile.
    let second = bob.invite("sip:02@open.test");
    bob.say(&second).await;
    let heard = peer.request_of(Method::Invite).await;
    peer.reject(&heard, 486).await;
    let refusal = bob.expect(486).await;
    bob.ack_refusal(&second, &refusal).await;
    let message = bob.request("MESSAGE", "sip:03@open.test");
    bob.say(&message).await;
    let heard = peer.request_of(Method::Message).await;
    peer.ok(&heard).await;
    bob.expect(200).await;

    // The same server by another name has to prove that one.
    let third = bob.invite("sip:11@open.test");
    bob.say(&third).await;
    let mut by_name = server.accept().await;
    let heard = by_name.request_of(Method::Invite).await;
    let contact = heard.text(Name::Contact).unwrap();
    assert!(
        contact.ends_with(&format!("@{ours};transport=tls>")),
        "{contact}"
    );
    by_name.reject(&heard, 404).await;
    let refusal = bob.expect(404).await;
    bob.ack_refusal(&third, &refusal).await;

    peer.hang_up(&mut at_peer, &mut bob).await;
    stage.no_calls().await;
    stage.stop().await;
}

/// Calls and writes to each user; each is refused 502 before long.
async fn assert_unreachable(bob: &mut Phone, users: &[&str]) {
    for user in users {
        let uri = format!("sip:{user}@open.test");
        let invite = bob.invite(&uri);
        bob.say(&invite).await;
        let refusal = bob.expect(502).await;
        assert_eq!(refusal.call_id(), Some(&*invite.call_id), "{user}");
        bob.ack_refusal(&invite, &refusal).await;
        let message = bob.request("MESSAGE", &uri);
        bob.say(&message).await;
        let refusal = bob.expect(502).await;
        assert_eq!(refusal.call_id(), Some(&*message.call_id), "{user}");
    }
}

/// Shakes hands for ever, which must fail each time.
fn refuse_all(server: Server) {
    tokio::spawn(async move {
        while let Ok((stream, _)) = server.socket.accept().await {
            let shaken = server.tls.accept(stream).await;
            assert!(shaken.is_err(), "the node believed it");
        }
    });
}

#[tokio::test]
async fn a_server_that_is_not_who_is_meant_is_not_spoken_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut targets = Vec::new();
    for signed in [
        authority.sign(&["elsewhere.test"]),
        authority.sign_until(&["127.0.0.1"], 2001),
        other.sign(&["127.0.0.1"]),
    ] {
        let server = Server::with(&signed).await;
        targets.push(format!("sips:{}", server.at));
        refuse_all(server);
    }
    // It says nothing, and the next is not there.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    targets.push(format!("sips:{}", silent.local_addr().unwrap()));
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    targets.push(format!(
        "sip:{};transport=tls",
        closed.local_addr().unwrap()
    ));
    let targets: Vec<_> = targets.iter().map(|target| &**target).collect();
    let limits = "[limits]\nconnect_ms = 1000\n";
    let stage = Stage::with(&format!("{limits}{}", file(&authority, &targets))).await;
    let mut bob = stage.tcp("bob").await;
    assert_unreachable(&mut bob, &["01", "11", "21", "31", "41"]).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn without_authorities_of_ours_the_systems_are_asked() {
    let authority = Authority::new();
    let server = Server::with(&authority.sign(&["127.0.0.1"])).await;
    let target = format!("sips:{}", server.at);
    refuse_all(server);
    let routes = file(&authority, &[&target]);
    let (_, routes) = routes.split_once("[[route]]").unwrap();
    let stage = Stage::with(&format!("[[route]]{routes}")).await;
    let mut bob = stage.tcp("bob").await;
    assert_unreachable(&mut bob, &["01"]).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_server_is_tried_at_its_next_address() {
    let authority = Authority::new();
    // Both addresses of the name are listened on, or one of them, as the machine has it.
    let server = Server::with(&authority.sign(&["localhost"])).await;
    let target = format!("sips:localhost:{}", server.at.port());
    let stage = Stage::with(&file(&authority, &[&target])).await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:01@open.test");
    bob.say(&invite).await;
    let mut peer = server.accept().await;
    let heard = peer.request_of(Method::Invite).await;
    peer.reject(&heard, 486).await;
    let refusal = bob.expect(486).await;
    bob.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_contact_of_sips_is_for_tls() {
    let stage = Stage::start().await;
    for (mut phone, status) in [
        (stage.udp("alice").await, 400),
        (stage.tls("carol").await, 200),
    ] {
        let contact = phone.contact().replace("<sip:", "<sips:");
        let register = phone.registration(&format!("Contact: {contact}\r\n"));
        phone.say(&register).await;
        phone.expect(status).await;
        if status == 200 {
            let mut bob = stage.tls("bob").await;
            let invite = bob.invite("sips:carol@open.test");
            bob.say(&invite).await;
            let heard = phone.request_of(Method::Invite).await;
            assert!(heard.text(Name::Contact).unwrap().starts_with("<sips:"));
            phone.respond(&heard, 180, "t", "", "").await;
            let ringing = bob.expect(180).await;
            assert!(ringing.text(Name::Contact).unwrap().starts_with("<sips:"));
            phone.reject(&heard, 486).await;
            let refusal = bob.expect(486).await;
            bob.ack_refusal(&invite, &refusal).await;
        }
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_server_that_asks_who_we_are_is_shown_our_certificate() {
    let authority = Authority::new();
    let signed = authority.sign(&["127.0.0.1"]);
    let mut server = Server::with(&signed).await;
    server.tls = authority.guarded(&signed);
    authority.put("ours", &authority.sign(&["ours.test"]));
    let file = file(&authority, &[&format!("sips:{}", server.at)]);
    let ours = authority.lines("ours");
    let stage = Stage::with(&file.replacen("[tls]\n", &format!("[tls]\n{ours}"), 1)).await;
    let mut bob = stage.udp("bob").await;
    let message = bob.request("MESSAGE", "sip:01@open.test");
    bob.say(&message).await;
    let mut peer = server.accept().await;
    let heard = peer.request_of(Method::Message).await;
    peer.ok(&heard).await;
    bob.expect(200).await;
    stage.stop().await;
}
