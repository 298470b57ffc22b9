//! What passes inside a call, and by which routes.

use sip::{Message, Method, Name};

use crate::{
    phone::{Phone, Talk, sdp},
    stage::Stage,
};

const PARTS: &str = "multipart/mixed;boundary=\"=-b\"";

fn parts() -> String {
    let sdp = sdp("bob");
    format!(
        "preamble\r\n--=-b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--=-b\r\n\
         Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\
         \u{0}\u{1}\r\n\r\n--=-b--\r\n"
    )
}

fn lines(message: &Message, name: Name) -> Vec<String> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    message.all(name).map(text).collect()
}

/// bob calls alice in compact forms, with a body of parts, by way of two proxies of his.
async fn called(alice: &mut Phone, bob: &mut Phone, routes: &str) -> (Talk, Talk) {
    alice.register().await;
    let mut invite = bob.invite(&alice.aor());
    invite.extra = format!(
        "m: {}\r\nc: {PARTS}\r\nMIME-Version: 1.0\r\ns: hello\r\nk: timer\r\nj: kept\r\n\
         Record-Route: {routes}\r\n",
        bob.contact()
    );
    invite.body = parts();
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    assert_eq!(heard.body(), parts().as_bytes());
    assert_eq!(lines(&heard, Name::ContentType), [PARTS]);
    assert_eq!(lines(&heard, Name::Subject), ["hello"]);
    assert!(heard.header(Name::RecordRoute).is_none());
    let contact = format!("Content-Type: {PARTS}\r\nRecord-Route: <sip:p3.test;lr>\r\n");
    alice.respond(&heard, 200, "t", &contact, &parts()).await;
    let at_alice = Talk::callee(&heard, "t");
    let ok = bob.expect(200).await;
    assert_eq!(ok.body(), parts().as_bytes());
    assert_eq!(lines(&ok, Name::RecordRoute), [routes]);
    let at_bob = bob.ack(&invite, &ok, "").await;
    let ack = alice.request_of(Method::Ack).await;
    assert_eq!(lines(&ack, Name::Route), ["<sip:p3.test;lr>"]);
    (at_alice, at_bob)
}

#[tokio::test]
async fn routes_are_followed_both_ways_and_bodies_pass_as_they_are() {
    let stage = Stage::start().await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.tcp("bob").await);
    let routes = "<sip:p1.test;lr>, <sip:p2.test;lr>";
    let (mut at_alice, mut at_bob) = called(&mut alice, &mut bob, routes).await;
    for (method, event) in [
        ("INFO", ""),
        ("MESSAGE", ""),
        ("SUBSCRIBE", "o: dialog\r\n"),
        ("NOTIFY", "o: dialog\r\nSubscription-State: active\r\n"),
    ] {
        let lines_of = format!("c: {PARTS}\r\n{event}");
        let request = bob.within(&mut at_bob, method, &lines_of, &parts());
        bob.say(&request).await;
        let heard = alice.hear().await;
        assert_eq!(heard.method_text(), method);
        assert_eq!(heard.body(), parts().as_bytes());
        assert_eq!(lines(&heard, Name::Route), ["<sip:p3.test;lr>"]);
        assert_eq!(heard.uri(), Some(alice.contact().trim_matches(['<', '>'])));
        alice.ok(&heard).await;
        bob.expect(200).await;
    }
    let unknown = bob.within(&mut at_bob, "FROBNICATE", "", "");
    let refused = bob.ask(&unknown).await;
    assert_eq!(refused.status(), Some(405));
    assert!(refused.lists(Name::Allow, "REFER"));
    let required = bob.within(&mut at_bob, "INFO", "Require: frob, timer\r\n", "");
    let refused = bob.ask(&required).await;
    assert_eq!(refused.status(), Some(420));
    assert_eq!(refused.text(Name::Unsupported), Some("frob"));

    at_alice.cseq = 100;
    let bye = alice.within(&mut at_alice, "BYE", "", "");
    alice.say(&bye).await;
    alice.expect(200).await;
    let heard = bob.request_of(Method::Bye).await;
    assert_eq!(
        lines(&heard, Name::Route),
        ["<sip:p1.test;lr>", "<sip:p2.test;lr>"]
    );
    bob.ok(&heard).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_strict_router_finds_itself_in_the_request_uri() {
    let stage = Stage::start().await;
    let (mut alice, mut bob) = (stage.udp("alice").await, stage.udp("bob").await);
    let routes = "<sip:strict.test>, <sip:p2.test;lr>";
    let (mut at_alice, _) = called(&mut alice, &mut bob, routes).await;
    at_alice.cseq = 100;
    let bye = alice.within(&mut at_alice, "BYE", "", "");
    alice.say(&bye).await;
    alice.expect(200).await;
    let heard = bob.request_of(Method::Bye).await;
    assert_eq!(heard.uri(), Some("sip:strict.test"));
    assert_eq!(
        lines(&heard, Name::Route),
        ["<sip:p2.test;lr>".to_owned(), bob.contact()]
    );
    bob.ok(&heard).await;
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn methods_and_extensions_outside_of_calls() {
    let stage = Stage::start().await;
    let mut bob = stage.udp("bob").await;
    let unknown = bob.request("FROBNICATE", "sip:bob@open.test");
    let refused = bob.ask(&unknown).await;
    assert_eq!(refused.status(), Some(405));
    assert!(refused.lists(Name::Allow, "INVITE"));
    for header in ["Require", "Proxy-Require"] {
        let invite = bob
            .invite("sip:bob@open.test")
            .plus(&format!("{header}: 100rel, frob\r\n"));
        let refused = bob.ask(&invite).await;
        assert_eq!(refused.status(), Some(420), "{header}");
        assert_eq!(refused.text(Name::Unsupported), Some("frob"));
        bob.ack_refusal(&invite, &refused).await;
    }
    stage.no_calls().await;
    stage.stop().await;
}
