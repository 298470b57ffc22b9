//! What a stranger meets: who is let in, where it leads, and what is refused.

use config::Transport;
use sip::{Message, Method, Name};
use tokio::net::{TcpSocket, UdpSocket};

use crate::{
    phone::{Out, Phone},
    stage::Stage,
};

/// Asks and acknowledges the refusal of an INVITE.
async fn refused(phone: &mut Phone, out: &Out) -> Message {
    let answer = phone.ask(out).await;
    if out.method == "INVITE" {
        phone.ack_refusal(out, &answer).await;
    }
    answer
}

async fn assert_refused(phone: &mut Phone, out: &Out, status: u16) -> Message {
    let answer = refused(phone, out).await;
    assert_eq!(answer.status(), Some(status), "{out:?} {answer:?}");
    answer
}

#[tokio::test]
async fn addresses_that_lead_nowhere() {
    let stage = Stage::start().await;
    let mut bob = stage.udp("bob").await;
    for (uri, status) in [
        // Anybody may register at an open domain, so anybody may exist.
        ("sip:ghost@open.test", 480),
        ("sip:open.test", 484),
        ("sip:x@elsewhere.test", 403),
        ("tel:+123", 416),
    ] {
        for method in ["INVITE", "MESSAGE"] {
            let out = match method {
                "INVITE" => bob.invite(uri),
                _ => bob.request(method, uri),
            };
            assert_refused(&mut bob, &out, status).await;
        }
    }
    let mut known = stage.udp("1001").await;
    known.domain = "digest.test".into();
    let theirs = |uri: &str| known.invite(uri);
    let (nobody, silent) = (
        theirs("sip:9999@digest.test"),
        theirs("sip:1002@digest.test"),
    );
    for (invite, status) in [(nobody, 404), (silent, 480)] {
        let answer = known.ask_as(&invite, "1001", "secret-of-1001").await;
        assert_eq!(answer.status(), Some(status), "{answer:?}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn options_are_answered_for_us_and_by_users() {
    let stage = Stage::start().await;
    let mut alice = stage.tcp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let us = bob.request("OPTIONS", "sip:open.test");
    let ours = bob.ask(&us).await;
    assert!(ours.text(Name::Allow).unwrap().contains("INVITE"));
    let user = bob.request("OPTIONS", "sip:alice@open.test");
    bob.say(&user).await;
    let heard = alice.request_of(Method::Options).await;
    alice
        .respond(&heard, 200, "t", "Allow: INVITE, ODD\r\n", "")
        .await;
    bob.expect(200).await;
    stage.stop().await;
}

#[tokio::test]
async fn requests_that_may_not_be() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let at = "sip:alice@open.test";

    let unknown = bob.request("DANCE", at);
    let answer = assert_refused(&mut bob, &unknown, 405).await;
    assert!(answer.text(Name::Allow).unwrap().contains("INVITE"));
    for method in ["BYE", "INFO", "UPDATE", "PRACK", "NOTIFY", "CANCEL"] {
        let stray = bob.request(method, at);
        assert_refused(&mut bob, &stray, 481).await;
    }
    let mut reinvite = bob.invite(at);
    reinvite.to.push_str(";tag=nobody");
    assert_refused(&mut bob, &reinvite, 481).await;

    for method in ["INVITE", "MESSAGE"] {
        for (line, status) in [
            ("Max-Forwards: 0\r\n", 483),
            ("Require: teleport\r\n", 420),
            ("Route: <sip:192.0.2.1;lr>\r\n", 403),
        ] {
            let out = match method {
                "INVITE" => bob.invite(at),
                _ => bob.request(method, at),
            };
            let answer = assert_refused(&mut bob, &out.plus(line), status).await;
            let unsupported = (status == 420).then_some("teleport");
            assert_eq!(answer.text(Name::Unsupported), unsupported);
        }
    }
    // Ours is a way to ourselves.
    let route = format!("Route: <sip:{};lr>\r\n", stage.at(Transport::Udp, false));
    let invite = bob.invite(at).plus(&route);
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    assert!(heard.header(Name::Route).is_none());
    alice.reject(&heard, 486).await;
    let refusal = bob.expect(486).await;
    bob.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

#[tokio::test]
async fn loops_and_merged_requests_are_found() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    // The same request by another way.
    let merged = Out {
        branch: "another-way".into(),
        ..invite.clone()
    };
    assert_refused(&mut bob, &merged, 482).await;
    // What we sent comes back to us.
    let spiral = Out {
        call_id: heard.call_id().unwrap().into(),
        ..bob.invite("sip:alice@open.test")
    };
    assert_refused(&mut bob, &spiral, 482).await;
    alice.reject(&heard, 486).await;
    let refusal = bob.expect(486).await;
    bob.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_forged_token_leads_nowhere() {
    let stage = Stage::start().await;
    let mut alice = stage.udp("alice").await;
    alice.register().await;
    let mut bob = stage.udp("bob").await;
    let invite = bob.invite("sip:alice@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    let tag = heard.from_tag().unwrap();
    let forged: String = tag.chars().rev().collect();
    let mut bye = bob.request("BYE", "sip:alice@open.test");
    bye.to.push_str(&format!(";tag={forged}"));
    assert_refused(&mut bob, &bye, 481).await;
    // A genuine one, of a dialog that is another's: its Call-ID and tags do not fit.
    let mut bye = bob.request("BYE", "sip:alice@open.test");
    bye.to.push_str(&format!(";tag={tag}"));
    assert_refused(&mut bob, &bye, 481).await;
    alice.reject(&heard, 486).await;
    let refusal = bob.expect(486).await;
    bob.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

#[tokio::test]
async fn routes_lead_on_or_refuse() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap();
    let stage = Stage::with(&format!(
        "[[route]]\nto = \"6[0-9]{{3}}\"\ntarget = \"uri:sip:{at}\"\n\
         [[route]]\nto = \"7.*\"\ntarget = \"reject:410\"\n\
         [[route]]\nto = \"8.*\"\ntarget = \"uri:sip:alice@open.test\"\n",
    ))
    .await;
    let mut alice = stage.tcp("alice").await;
    alice.register().await;
    let mut bob = stage.ws("bob").await;

    let gone = bob.invite("sip:700@open.test");
    assert_refused(&mut bob, &gone, 410).await;

    let invite = bob.invite("sip:6123@open.test");
    bob.say(&invite).await;
    let mut buffer = vec![0; 65_535];
    let (length, from) = server.recv_from(&mut buffer).await.unwrap();
    let text = std::str::from_utf8(&buffer[..length]).unwrap();
    assert!(
        text.starts_with(&format!("INVITE sip:6123@{at} SIP/2.0\r\n")),
        "{text}"
    );
    let bytes = bytes::Bytes::copy_from_slice(&buffer[..length]);
    let heard = Message::parse_datagram(bytes, &sip::Limits::default()).unwrap();
    let busy = sip::reply(&heard, 486, "Busy", Some("x")).end();
    server.send_to(&busy, from).await.unwrap();
    let refusal = bob.expect(486).await;
    bob.ack_refusal(&invite, &refusal).await;

    let invite = bob.invite("sip:8@open.test");
    bob.say(&invite).await;
    let heard = alice.request_of(Method::Invite).await;
    alice.reject(&heard, 603).await;
    let refusal = bob.expect(603).await;
    bob.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

#[tokio::test]
async fn what_cannot_be_reached_fails_in_time() {
    // Bound, so that nobody else listens there, and not listening.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let tcp = closed.local_addr().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let udp = silent.local_addr().unwrap();
    let stage = Stage::with(&format!(
        "[[route]]\nto = \"1\"\ntarget = \"uri:sip:x@nowhere.invalid\"\n\
         [[route]]\nto = \"2\"\ntarget = \"uri:sip:{tcp};transport=tcp\"\n\
         [[route]]\nto = \"3\"\ntarget = \"uri:sip:{udp}\"\n\
         [[route]]\nto = \"4\"\ntarget = \"uri:sips:{tcp}\"\n",
    ))
    .await;
    let mut bob = stage.tcp("bob").await;
    // Asked together, as silence is told from slowness after 32 s only.
    let asked = [("1", 502), ("2", 502), ("3", 408), ("4", 502)].map(|(user, status)| {
        let uri = format!("sip:{user}@open.test");
        (bob.invite(&uri), bob.request("MESSAGE", &uri), status)
    });
    for (invite, message, _) in &asked {
        bob.say(invite).await;
        bob.say(message).await;
    }
    for _ in 0..asked.len() * 2 {
        let answer = bob.final_answer().await;
        let call_id = answer.call_id().unwrap();
        let (invite, _, status) = asked
            .iter()
            .find(|(invite, message, _)| invite.call_id == call_id || message.call_id == call_id)
            .unwrap();
        // RFC 4320: what is no INVITE gets no 408.
        let is_invite = invite.call_id == call_id;
        let expected = if *status == 408 && !is_invite {
            480
        } else {
            *status
        };
        assert_eq!(answer.status(), Some(expected), "{invite:?} {answer:?}");
        if is_invite {
            bob.ack_refusal(invite, &answer).await;
        }
    }
    stage.no_calls().await;
    stage.stop().await;
}
