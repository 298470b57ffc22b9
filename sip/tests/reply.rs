//! Responses: what is copied, and what the transport saw.

#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use bytes::Bytes;
use sip::{Limits, Message, Name, reply};

fn request(via: &str) -> Message {
    let text = format!(
        "INVITE sip:b@example.com SIP/2.0\r\n\
         v: {via}\r\n\
         Via: SIP/2.0/UDP far.example;branch=z9hG4bKfar\r\n\
         Max-Forwards: 70\r\n\
         f: <sip:a@example.com>;tag=1\r\n\
         To: \"B\" <sip:b@example.com>\r\n\
         i: c1@host\r\n\
         CSeq: 7 INVITE\r\n\
         Timestamp: 54\r\n\
         Record-Route: <sip:p1;lr>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap()
}

fn top_via(via: &str, source: &str) -> String {
    let bytes = reply(
        &request(via).with_source(source.parse().unwrap()),
        200,
        "OK",
        None,
    )
    .end();
    let message = Message::parse_datagram(bytes, &Limits::default()).unwrap();
    String::from_utf8(message.header(Name::Via).unwrap().to_vec()).unwrap()
}

#[test]
fn what_is_copied() {
    let request = request("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
    let mut builder = reply(&request, 180, "Ringing", Some("us"));
    let bytes = builder.copy_all(&request, Name::RecordRoute).end();
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        "SIP/2.0 180 Ringing\r\n\
         v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
         Via: SIP/2.0/UDP far.example;branch=z9hG4bKfar\r\n\
         f: <sip:a@example.com>;tag=1\r\n\
         To: \"B\" <sip:b@example.com>;tag=us\r\n\
         i: c1@host\r\n\
         CSeq: 7 INVITE\r\n\
         Record-Route: <sip:p1;lr>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let trying = reply(&request, 100, "Trying", None).end();
    let trying = Message::parse_datagram(trying, &Limits::default()).unwrap();
    assert_eq!(trying.header(Name::Timestamp), Some(&b"54"[..]));
    assert_eq!(trying.to_tag(), None);
}

#[test]
fn received_and_rport() {
    let near = "192.0.2.1:5062";
    let cases = [
        // Sent-by is the source, and rport is not asked for: nothing is added.
        (
            "SIP/2.0/UDP 192.0.2.1:5060;branch=b",
            near,
            "SIP/2.0/UDP 192.0.2.1:5060;branch=b",
        ),
        // RFC 3581 4: with rport, received is added even when it is the same.
        (
            "SIP/2.0/UDP 192.0.2.1;rport;branch=b",
            near,
            "SIP/2.0/UDP 192.0.2.1;branch=b;received=192.0.2.1;rport=5062",
        ),
        // A name is not an address (RFC 3261 18.2.1).
        (
            "SIP/2.0/UDP a.example;branch=b",
            near,
            "SIP/2.0/UDP a.example;branch=b;received=192.0.2.1",
        ),
        // What the client says it was received from is not believed.
        (
            "SIP/2.0/UDP 10.0.0.1;received=203.0.113.9;rport=9;branch=b",
            near,
            "SIP/2.0/UDP 10.0.0.1;branch=b;received=192.0.2.1;rport=5062",
        ),
        // Only the first element of a list is ours to mark.
        (
            "SIP/2.0/TCP 10.0.0.1 ;branch=b , SIP/2.0/UDP q;branch=c",
            near,
            "SIP/2.0/TCP 10.0.0.1;branch=b;received=192.0.2.1, SIP/2.0/UDP q;branch=c",
        ),
        (
            "SIP/2.0/WSS x.invalid;branch=b",
            "[2001:db8::7]:1",
            "SIP/2.0/WSS x.invalid;branch=b;received=2001:db8::7",
        ),
        (
            "SIP/2.0/UDP [2001:db8::7];branch=b",
            "[2001:db8::7]:1",
            "SIP/2.0/UDP [2001:db8::7];branch=b",
        ),
        (
            "SIP/2.0/UDP 192.0.2.1;branch=b",
            "[::ffff:192.0.2.1]:5060",
            "SIP/2.0/UDP 192.0.2.1;branch=b",
        ),
    ];
    for (via, source, expected) in cases {
        assert_eq!(top_via(via, source), expected, "{via}");
    }
}

#[test]
fn a_tag_that_is_there_stays() {
    let text = "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z\r\nTo: <sip:b@h>;tag=x\r\n\r\n";
    let bye = Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap();
    let bytes = reply(&bye, 481, "Gone", Some("y")).end();
    let message = Message::parse_datagram(bytes, &Limits::default()).unwrap();
    assert_eq!(message.to_tag(), Some("x"));
}

#[test]
fn a_bad_line_is_not_copied_with_the_one_before() {
    let text =
        "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z\r\nno header\r\nCSeq: 1 BYE\r\n\r\n";
    let limits = Limits::default();
    let bytes = Bytes::from_static(text.as_bytes());
    let fault = Message::parse_datagram(bytes.clone(), &limits)
        .unwrap_err()
        .answer()
        .unwrap();
    let salvaged = Message::salvage(&bytes, &limits).unwrap();
    let bytes = reply(&salvaged, fault.status, fault.reason, None).end();
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        "SIP/2.0 400 Bad Header Line\r\n\
         Via: SIP/2.0/UDP h;branch=z\r\n\
         CSeq: 1 BYE\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn what_is_past_a_limit_is_answered_too() {
    let limits = Limits {
        headers_max: 8,
        line_bytes_max: 200,
        message_bytes_max: 1000,
        ..Limits::default()
    };
    let ask = |more: &str| {
        let text = format!(
            "OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
             From: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\
             {more}Content-Length: 0\r\n\r\n"
        );
        Bytes::from(text)
    };
    for (more, status) in [
        ("X: y\r\n".repeat(9), 400),
        (format!("X: {}\r\n", "x".repeat(200)), 400),
        (format!("X: {}\r\n", "x".repeat(190)).repeat(5), 513),
        // It ends within a line.
        ("\0".to_owned(), 400),
    ] {
        let mut bytes = ask(&more);
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            bytes.truncate(end + 4);
        }
        let error = Message::parse_datagram(bytes.clone(), &limits).unwrap_err();
        let fault = error.answer().unwrap();
        assert_eq!(fault.status, status);
        let salvaged = Message::salvage(&bytes, &limits).unwrap();
        assert!(salvaged.body().is_empty());
        let answer = reply(&salvaged, fault.status, fault.reason, None).end();
        let answer = Message::parse_datagram(answer, &limits).unwrap();
        assert_eq!(answer.call_id(), Some("c"));
        assert_eq!(answer.cseq().unwrap().seq, 1);
    }
}
