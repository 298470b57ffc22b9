//! REGISTER: who may, what is kept, and what a repeat gets.

use std::collections::HashSet;

use config::Transport;
use sip::{Message, Method, Name};
use tokio::net::TcpListener;

use crate::{
    nats::Nats,
    phone::{Out, Phone, answer, client, credentials},
    stage::Stage,
    wire::Wire,
};

const PASSWORD: &str = "secret-of-1001";

fn contacts(message: &Message) -> usize {
    message.contacts().count()
}

fn bind(phone: &mut Phone, lines: &str) -> Out {
    let contact = format!("Contact: {}\r\n{lines}", phone.contact());
    phone.registration(&contact)
}

async fn digest_phone(stage: &Stage) -> Phone {
    let mut phone = stage.udp("1001").await;
    phone.domain = "digest.test".into();
    phone
}

#[tokio::test]
async fn a_password_opens_and_an_answer_counts_once() {
    let stage = Stage::start().await;
    let mut phone = digest_phone(&stage).await;

    let first = bind(&mut phone, "");
    let challenge = phone.ask(&first).await;
    assert_eq!(challenge.status(), Some(401));
    let mut client = client(&challenge, "1001", PASSWORD);
    let proven = credentials(&first.anew(), &mut client);
    let ok = phone.ask(&proven).await;
    assert_eq!((ok.status(), contacts(&ok)), (Some(200), 1));

    // The same answer in another transaction is a replay: the count must rise.
    let replay = Out {
        branch: "replay".into(),
        cseq: proven.cseq + 1,
        ..proven.clone()
    };
    let refused = phone.ask(&replay).await;
    assert_eq!(refused.status(), Some(401));
    // And rises.
    let mut next = first.anew();
    next.cseq += 5;
    let refreshed = phone.ask(&credentials(&next, &mut client)).await;
    assert_eq!(refreshed.status(), Some(200));
    stage.stop().await;
}

#[tokio::test]
async fn a_repeat_over_udp_gets_the_same_answer() {
    let stage = Stage::start().await;
    let mut phone = digest_phone(&stage).await;
    let first = bind(&mut phone, "");
    let challenge = phone.ask(&first).await;
    let proven = answer(&first.anew(), &challenge, "1001", PASSWORD);
    // Twice before the answer, which waits for the disk.
    phone.say(&proven).await;
    phone.say(&proven).await;
    let one = phone.final_answer().await;
    assert_eq!(one.status(), Some(200));
    phone.forget(&one);
    let again = phone.ask(&proven).await;
    assert_eq!(one.bytes(), again.bytes());
    stage.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_challenged_and_a_wrong_name_refused() {
    let stage = Stage::start().await;
    let mut phone = digest_phone(&stage).await;
    let register = bind(&mut phone, "");
    let refused = phone.ask_as(&register, "1001", "wrong").await;
    assert_eq!(refused.status(), Some(401));
    let refused = phone
        .ask_as(&register.anew(), "1002", "secret-of-1002")
        .await;
    assert_eq!(refused.status(), Some(403));
    let refused = phone.ask_as(&register.anew(), "nobody", PASSWORD).await;
    assert_eq!(refused.status(), Some(401));
    stage.stop().await;
}

#[tokio::test]
async fn an_old_nonce_is_stale() {
    let stage = Stage::with("[limits]\nnonce_ms = 1000\n").await;
    let mut phone = digest_phone(&stage).await;
    let first = bind(&mut phone, "");
    let challenge = phone.ask(&first).await;
    let mut client = client(&challenge, "1001", PASSWORD);
    let mut next = first.anew();
    loop {
        let heard = phone.ask(&credentials(&next, &mut client)).await;
        match heard.status() {
            Some(200) => next = next.anew(),
            Some(401) => {
                let header = heard.text(Name::WwwAuthenticate).unwrap();
                assert!(header.contains("stale=true"), "{header}");
                break;
            }
            _ => panic!("{heard:?}"),
        }
    }
    stage.stop().await;
}

#[tokio::test]
async fn domains_have_their_own_rules() {
    let stage = Stage::start().await;
    let mut open = stage.udp("anybody").await;
    open.register().await;
    let mut foreign = stage.udp("1001").await;
    foreign.domain = "elsewhere.test".into();
    let register = bind(&mut foreign, "");
    assert_eq!(foreign.ask(&register).await.status(), Some(404));
    stage.stop().await;
}

#[tokio::test]
async fn bindings_are_added_refreshed_and_removed() {
    let stage = Stage::start().await;
    let mut one = stage.udp("alice").await;
    let mut two = stage.tcp("alice").await;
    one.register().await;
    let register = bind(&mut two, "Expires: 600\r\n");
    let ok = two.ask(&register).await;
    assert_eq!(contacts(&ok), 2);

    // Asking changes nothing.
    let ask = one.registration("");
    assert_eq!(contacts(&one.ask(&ask).await), 2);

    let short = bind(&mut one, "Expires: 10\r\n");
    let refused = one.ask(&short).await;
    assert_eq!(refused.status(), Some(423));
    assert_eq!(refused.text(Name::MinExpires), Some("60"));

    // Out of order within one Call-ID.
    let mut late = bind(&mut one, "");
    late.cseq = 1;
    let refused = one.ask(&late).await;
    assert!(matches!(refused.status(), Some(400 | 500)), "{refused:?}");

    let remove = bind(&mut one, "Expires: 0\r\n");
    assert_eq!(contacts(&one.ask(&remove).await), 1);

    let all = two.registration("Contact: *\r\nExpires: 60\r\n");
    assert_eq!(two.ask(&all).await.status(), Some(400));
    let all = two.registration("Contact: *\r\nExpires: 0\r\n");
    assert_eq!(contacts(&two.ask(&all).await), 0);
    stage.stop().await;
}

#[tokio::test]
async fn an_instance_has_one_binding() {
    let stage = Stage::start().await;
    let instance = ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"";
    let mut old = stage.tcp("alice").await;
    let contact = format!("Contact: {}{instance}\r\n", old.contact());
    let register = old.registration(&contact);
    assert_eq!(contacts(&old.ask(&register).await), 1);
    let mut new = stage.tcp("alice").await;
    let contact = format!("Contact: {}{instance}\r\n", new.contact());
    let register = new.registration(&contact);
    let ok = new.ask(&register).await;
    assert_eq!(contacts(&ok), 1, "{ok:?}");
    stage.stop().await;
}

#[tokio::test]
async fn a_path_is_kept_and_followed() {
    let stage = Stage::start().await;
    let mut edge = stage.udp("alice").await;
    let path = format!("<sip:{};lr>", edge.wire.local);
    let contact = "Contact: <sip:alice@192.0.2.1>\r\nSupported: path\r\n";
    let register = edge.registration(&format!("{contact}Path: {path}\r\n"));
    let ok = edge.ask(&register).await;
    assert_eq!(ok.status(), Some(200));
    assert_eq!(ok.text(Name::Path), Some(&*path));

    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = edge.request_of(Method::Invite).await;
    assert_eq!(heard.uri(), Some("sip:alice@192.0.2.1"));
    assert_eq!(heard.text(Name::Route), Some(&*path));
    edge.reject(&heard, 486).await;
    bob.expect(486).await;
    stage.stop().await;
}

#[tokio::test]
async fn registrations_survive_a_restart() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let stage = stage.restart().await;
    assert_eq!(stage.node.readiness().registrations, 1);
    let mut bob = stage.udp("bob").await;
    let message = bob.request("MESSAGE", "sip:alice@open.test");
    bob.say(&message).await;
    let heard = alice.request_of(Method::Message).await;
    alice.wire.remote = heard.source().unwrap();
    alice.ok(&heard).await;
    bob.expect(200).await;
    stage.stop().await;
}

/// A section for each listener, on a port that is free.
fn listeners(all: &[(&str, &str)]) -> String {
    let section = |(transport, addr): &(&str, &str)| {
        format!("[[listen]]\ntransport = \"{transport}\"\naddr = \"{addr}:0\"\n")
    };
    all.iter().map(section).collect()
}

#[tokio::test]
async fn registrations_follow_the_listeners_to_other_ports_and_places() {
    let (v4, v6) = ("127.0.0.1", "[::1]");
    for (listen, left) in [
        // The same on other ports.
        (
            &[("udp", v4), ("tcp", v4), ("ws", v4)][..],
            &["alice", "tim"][..],
        ),
        // Others, in another order: what was number 0 or 1 speaks something else now.
        (
            &[("ws", v4), ("udp", v6), ("tcp", v4), ("udp", v4)],
            &["alice", "tim"],
        ),
        (&[("ws", v4), ("udp", v6), ("udp", v4)], &["alice"]),
        (&[("udp", v6), ("ws", v4)], &[]),
    ] {
        let nats = Nats::start().await;
        let mut events = nats.events().await;
        let stage = Stage::with(&nats.bus()).await;
        let mut alice = stage.udp("alice").await;
        alice.register().await;
        // Nobody can connect to a browser, even where its contact looks as if.
        let mut browser = stage.ws("browser").await;
        browser.register().await;
        let mut tim = stage.tcp("tim").await;
        let reachable = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tim.wire.local = reachable.local_addr().unwrap();
        tim.register().await;

        let stage = stage.restart_on(&listeners(listen), &nats.bus()).await;
        assert_eq!(stage.node.readiness().registrations, left.len() as u64);
        let mut gone = HashSet::new();
        while gone.len() + left.len() < 3 {
            let event = events.next().await;
            if event.name() == "reg.lost" {
                let aor = event.0["data"]["registration"]["aor"].as_str().unwrap();
                let stranded = aor != "browser@open.test";
                let reason = if stranded { "restart" } else { "flow_lost" };
                assert_eq!(event.reason(), reason, "{aor}");
                gone.insert(aor.to_owned());
            }
        }
        let at = stage.node.bound().iter();
        let ws = at.clone().find(|(kind, _)| *kind == Transport::Ws);
        let mut bob = Phone::new(Wire::ws(ws.unwrap().1).await, "bob", "open.test");
        if left.contains(&"alice") {
            bob.say(&bob.request("MESSAGE", "sip:alice@open.test"))
                .await;
            let heard = alice.request_of(Method::Message).await;
            alice.wire.remote = heard.source().unwrap();
            alice.ok(&heard).await;
            bob.expect(200).await;
        }
        if left.contains(&"tim") {
            bob.say(&bob.request("MESSAGE", "sip:tim@open.test")).await;
            let (stream, _) = reachable.accept().await.unwrap();
            let mut tim = Phone::new(Wire::accepted(stream), "tim", "open.test");
            let heard = tim.request_of(Method::Message).await;
            tim.ok(&heard).await;
            bob.expect(200).await;
        }
        stage.stop().await;
    }
}

#[tokio::test]
async fn a_browser_that_is_gone_is_not_rung() {
    let stage = Stage::start().await;
    let mut bob = stage.udp("bob").await;
    let mut alice = Phone::new(
        Wire::wss(stage.at(Transport::Wss, false)).await,
        "alice",
        "open.test",
    );
    alice.register().await;
    let options = bob.request("OPTIONS", "sip:alice@open.test");
    bob.say(&options).await;
    let heard = alice.request_of(Method::Options).await;
    alice.ok(&heard).await;
    bob.expect(200).await;

    alice.wire.drop_connection();
    // The end of a connection and a datagram race: the next one that is sent after the node has
    // noticed finds nobody.
    stage
        .until(|node| node.readiness().registrations == 0)
        .await;
    let options = bob.request("OPTIONS", "sip:alice@open.test");
    assert_eq!(bob.ask(&options).await.status(), Some(480));
    stage.stop().await;
}
