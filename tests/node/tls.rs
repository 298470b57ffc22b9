//! SIP over TLS: who is shown which certificate, what is asked of clients, and renewal under way.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use config::Transport;
use rustls::{
    ClientConfig,
    pki_types::CertificateDer,
    version::{TLS12, TLS13},
};
use sip::{Method, Name};

use crate::{
    authority::{Authority, Signed, replace},
    call::{Pair, answered},
    meter,
    phone::Phone,
    stage::Stage,
    wire::{Heard, PATIENCE, Wire, shake},
};

/// The certificate that is shown to who asks for `name`.
async fn shown(at: SocketAddr, client: Arc<ClientConfig>, name: &str) -> CertificateDer<'static> {
    let stream = shake(at, client, name).await.unwrap();
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].clone()
}

/// What both sides agree to speak; none: the handshake fails, or nobody said a word of it.
async fn agreed(at: SocketAddr, client: Arc<ClientConfig>) -> Option<Option<Vec<u8>>> {
    let stream = shake(at, client, "a.test").await.ok()?;
    let (_, session) = stream.get_ref();
    Some(session.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn messages_say_that_they_come_over_tls() {
    let stage = Stage::start().await;
    let pair = answered(stage.tls("alice").await, stage.tls("bob").await).await;
    let Pair {
        mut alice,
        mut bob,
        mut at_alice,
        at_bob,
    } = pair;
    let ours = stage.at(Transport::Tls, false);
    assert!(at_bob.target.ends_with(&format!("@{ours};transport=tls")));
    assert!(at_alice.target.ends_with(&format!("@{ours};transport=tls")));
    // What comes from there goes down the callee's own connection.
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    let via = heard.text(Name::Via).unwrap();
    assert!(via.starts_with(&format!("SIP/2.0/TLS {ours};")), "{via}");
    alice.reject(&heard, 486).await;
    let refusal = bob.expect(486).await;
    bob.ack_refusal(&invite, &refusal).await;
    alice.hang_up(&mut at_alice, &mut bob).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn each_name_is_shown_its_certificate() {
    let authority = Authority::new();
    let (a, b) = (
        authority.sign(&["a.test"]),
        authority.sign(&["b.test", "*.b.test"]),
    );
    authority.put("a", &a);
    authority.put("b", &b);
    let stage = Stage::with(&format!(
        "[tls]\n{}[[tls.certificate]]\n{}",
        authority.lines("a"),
        authority.lines("b")
    ))
    .await;
    for transport in [Transport::Tls, Transport::Wss] {
        let at = stage.at(transport, false);
        for versions in [&[&TLS12][..], &[&TLS13]] {
            let client = authority.client_of(versions, None, &[]);
            assert_eq!(shown(at, client.clone(), "a.test").await, a.cert);
            assert_eq!(shown(at, client.clone(), "b.test").await, b.cert);
            assert_eq!(shown(at, client.clone(), "x.b.test").await, b.cert);
            // The default, which is for another: the client sees it and goes.
            let refused = shake(at, client.clone(), "c.test").await.unwrap_err();
            assert!(
                refused.to_string().contains("not valid for name"),
                "{refused}"
            );
            // An address is no server name: the default, too.
            assert!(shake(at, client, "127.0.0.1").await.is_err());
        }
    }
    stage.stop().await;
}

#[tokio::test]
async fn who_speaks_another_protocol_is_told_so() {
    let authority = Authority::new();
    authority.put("a", &authority.sign(&["a.test"]));
    let stage = Stage::with(&format!("[tls]\n{}", authority.lines("a"))).await;
    let (sip, web) = (
        stage.at(Transport::Tls, false),
        stage.at(Transport::Wss, false),
    );
    let client = |protocols: &[&str]| authority.client(None, protocols);
    let word = |word: &str| Some(Some(word.as_bytes().to_vec()));
    assert_eq!(agreed(sip, client(&[])).await, Some(None));
    assert_eq!(agreed(sip, client(&["sip"])).await, word("sip"));
    assert_eq!(agreed(sip, client(&["h2", "sip/2"])).await, word("sip/2"));
    assert_eq!(agreed(sip, client(&["http/1.1"])).await, None);
    assert_eq!(agreed(web, client(&[])).await, Some(None));
    assert_eq!(
        agreed(web, client(&["h2", "http/1.1"])).await,
        word("http/1.1")
    );
    assert_eq!(agreed(web, client(&["sip"])).await, None);
    stage.stop().await;
}

/// Waits until who connects is shown `expected`.
async fn until_shown(stage: &Stage, authority: &Authority, expected: &Signed) {
    let at = stage.at(Transport::Tls, false);
    let looks = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            look.tick().await;
            let client = authority.client(None, &[]);
            if shown(at, client, "a.test").await == expected.cert {
                return;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, looks).await;
    found.expect("it comes to be shown");
}

/// Waits until so many readings of certificates have come out like this.
async fn until_read(stage: &Stage, result: &str, more_than: u64) {
    let read =
        |_: &actors::Node| meter::count("ifbus_tls_reloads_total", "result", result) > more_than;
    stage.until(read).await;
}

/// A reload of the configuration reads its certificates, and takes all or nothing.
async fn reload_takes_all_or_nothing(stage: &Stage, authority: &Authority, current: &Signed) {
    let at = stage.at(Transport::Tls, false);
    let lines = authority.lines("a");
    let file = authority.path("ifbus.toml");
    let base = "[[listen]]\ntransport = \"tls\"\naddr = \"127.0.0.1:0\"\n\
                [[domain]]\nname = \"open.test\"\nauth = \"open\"\n";
    authority.put("b", &authority.sign(&["b.test"]));
    let second = format!("[[tls.certificate]]\n{}", authority.lines("b"));
    fs::write(&file, format!("{base}[tls]\n{lines}{second}")).unwrap();
    stage.node.reload(&file).unwrap();
    let client = authority.client(None, &[]);
    assert!(shake(at, client, "b.test").await.is_ok());
    let odd = second.replace("b.key", "a.key");
    fs::write(&file, format!("{base}[tls]\n{lines}{odd}")).unwrap();
    let mistakes = stage.node.reload(&file).unwrap_err();
    let key = &mistakes.errors().next().unwrap().key;
    assert_eq!(key, "tls.certificate[1].key");
    assert_eq!(
        shown(at, authority.client(None, &[]), "a.test").await,
        current.cert
    );
    assert!(
        shake(at, authority.client(None, &[]), "b.test")
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn certificates_are_renewed_while_connections_go_on() {
    let authority = Authority::new();
    let mut current = authority.sign(&["a.test"]);
    authority.put("a", &current);
    let lines = authority.lines("a");
    let stage = Stage::with(&format!("[tls]\n{lines}")).await;
    let at = stage.at(Transport::Tls, false);
    let stream = shake(at, authority.client(None, &[]), "a.test")
        .await
        .unwrap();
    let mut alice = Phone::new(Wire::secured(stream), "alice", "open.test");
    alice.register().await;
    let refused = || meter::count("ifbus_tls_reloads_total", "result", "refused");

    // Replaced: seen without a word to the node.
    let next = authority.sign_until(&["a.test"], 2050);
    authority.put("a", &next);
    until_shown(&stage, &authority, &next).await;
    current = next;

    // A pair that is none stays out, and is told of once.
    let before = refused();
    let next = authority.sign(&["a.test"]);
    replace(&authority.path("a.pem"), &next.pem);
    until_read(&stage, "refused", before).await;
    assert_eq!(
        shown(at, authority.client(None, &[]), "a.test").await,
        current.cert
    );
    // The other half comes late.
    replace(&authority.path("a.key"), &next.key.serialize_pem());
    until_shown(&stage, &authority, &next).await;
    assert_eq!(refused(), before + 1);
    current = next;

    // Half a file, and then the whole.
    let next = authority.sign(&["a.test"]);
    let half = &next.pem[..next.pem.len() / 2];
    fs::write(authority.path("a.pem"), half).unwrap();
    until_read(&stage, "refused", before + 1).await;
    assert_eq!(
        shown(at, authority.client(None, &[]), "a.test").await,
        current.cert
    );
    authority.put("a", &next);
    until_shown(&stage, &authority, &next).await;
    current = next;

    reload_takes_all_or_nothing(&stage, &authority, &current).await;

    // The connection of the beginning is still there.
    let mut bob = stage.tls("bob").await;
    let message = bob.request("MESSAGE", &alice.aor());
    bob.say(&message).await;
    let heard = alice.request_of(Method::Message).await;
    alice.ok(&heard).await;
    bob.expect(200).await;
    stage.stop().await;
}

/// Whether a client gets in: what it sends is answered. In TLS 1.3 the client is done with the
/// handshake before the server has seen its certificate.
async fn gets_in(at: SocketAddr, client: Arc<ClientConfig>) -> bool {
    let Ok(stream) = shake(at, client, "a.test").await else {
        return false;
    };
    let mut phone = Phone::new(Wire::secured(stream), "carol", "open.test");
    let options = phone.request("OPTIONS", "sip:open.test");
    let text = options.text(&phone);
    if !phone.wire.try_send(text.as_bytes()).await {
        return false;
    }
    match phone.wire.hear().await {
        Heard::Message(answer) => answer.status() == Some(200),
        Heard::KeepAlive | Heard::Closed(_) => false,
    }
}

#[tokio::test]
async fn clients_show_certificates_where_they_must() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.put("a", &authority.sign(&["a.test"]));
    let ca = authority.path("ca.pem");
    let listen = |word: &str| {
        let port = crate::port::free_port();
        format!(
            "[[listen]]\ntransport = \"tls\"\naddr = \"127.0.0.1:{port}\"\n\
             client_certs = \"{word}\"\nclient_ca = {ca:?}\n"
        )
    };
    let stage = Stage::with(&format!(
        "[tls]\n{}{}{}",
        authority.lines("a"),
        listen("required"),
        listen("optional")
    ))
    .await;
    let bound = stage.node.bound();
    let (required, optional) = (bound[bound.len() - 2].1, bound[bound.len() - 1].1);
    let known = authority.sign(&["carol.test"]);
    let stranger = other.sign(&["carol.test"]);
    let old = authority.sign_until(&["carol.test"], 2001);
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let client = |own| authority.client_of(versions, own, &[]);
        assert!(gets_in(required, client(Some(&known))).await);
        assert!(!gets_in(required, client(None)).await);
        assert!(!gets_in(required, client(Some(&stranger))).await);
        assert!(!gets_in(required, client(Some(&old))).await);
        assert!(gets_in(optional, client(Some(&known))).await);
        assert!(gets_in(optional, client(None)).await);
        // Who shows one shows a good one.
        assert!(!gets_in(optional, client(Some(&stranger))).await);
    }
    stage.stop().await;
}
