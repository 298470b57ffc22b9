//! The torture messages of RFC 4475 and RFC 5118: one table each, one expectation a message, none
//! left out.

#![expect(clippy::expect_used, reason = "a panic is the report")]

use bytes::Bytes;
use sip::{Fault, Limits, Message, ParseError, reply};

mod torture_messages;

use torture_messages::Case;

/// What becomes of a message that comes in one datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect {
    /// Framed, and fit to be served.
    Serve,
    /// Framed; a request gets this status, a response is dropped.
    Answer(u16),
    /// Not framed; a request that can be answered gets 400.
    Refuse(ParseError),
}

use Expect::{Answer, Refuse, Serve};

const RFC_4475: &[(&str, Expect)] = &[
    // 3.1.1 Valid messages
    ("wsinv", Serve),
    ("intmeth", Serve),
    ("esc01", Serve),
    ("escnull", Serve),
    ("esc02", Serve),
    ("lwsdisp", Serve),
    ("longreq", Serve),
    ("dblreq", Serve),
    ("semiuri", Serve),
    ("transports", Serve),
    ("mpart01", Serve),
    ("unreason", Serve),
    ("noreason", Serve),
    // 3.1.2 Invalid messages
    ("badinv01", Answer(400)),
    ("clerr", Refuse(ParseError::BodyShort)),
    ("ncl", Refuse(ParseError::LengthNotNumber)),
    ("scalar02", Answer(400)),
    ("scalarlg", Answer(400)),
    ("quotbal", Answer(400)),
    ("ltgtruri", Refuse(ParseError::StartLine)),
    ("lwsruri", Refuse(ParseError::StartLine)),
    ("lwsstart", Refuse(ParseError::StartLine)),
    ("trws", Refuse(ParseError::StartLine)),
    ("escruri", Answer(400)),
    // 3.1.2.12 lets an element that does not read Date pass it over, and none of ours does.
    ("baddate", Serve),
    ("regbadct", Answer(400)),
    ("badaspec", Answer(400)),
    // Its From is bad too, but in the RFC's own archive the blank line is missing.
    ("baddn", Refuse(ParseError::HeadShort)),
    ("badvers", Answer(505)),
    ("mismatch01", Answer(400)),
    // 3.1.2.18 allows 501 as well; the mismatch is found first.
    ("mismatch02", Answer(400)),
    ("bigcode", Refuse(ParseError::StartLine)),
    // 3.2 Transaction layer: an RFC 2543 peer by its branch, served by the fallback key.
    ("badbranch", Serve),
    // 3.3 Application layer
    ("insuf", Answer(400)),
    ("unkscm", Answer(416)),
    ("novelsc", Answer(416)),
    ("unksm2", Serve),
    // 420, 415 and 401 are for who knows what is supported.
    ("bext01", Serve),
    ("invut", Serve),
    ("regaut01", Serve),
    ("multi01", Answer(400)),
    ("mcl01", Refuse(ParseError::LengthRepeated)),
    // The broadcast Via is found by who would send there.
    ("bcast", Serve),
    ("zeromf", Serve),
    ("cparam01", Serve),
    ("cparam02", Serve),
    ("regescrt", Serve),
    ("sdp01", Serve),
    // 3.4 Backward compatibility
    ("inv2543", Serve),
    // In the archive, in no section of the RFC: a Request-Line without version.
    ("test", Refuse(ParseError::StartLine)),
];

const RFC_5118: &[(&str, Expect)] = &[
    ("ipv6-good", Serve),
    ("ipv6-bad", Answer(400)),
    ("port-ambiguous", Serve),
    ("port-unambiguous", Serve),
    ("via-received-param-with-delim", Serve),
    ("via-received-param-no-delim", Serve),
    ("ipv6-in-sdp", Serve),
    ("mult-ip-in-header", Serve),
    ("mult-ip-in-sdp", Serve),
    ("ipv4-mapped-ipv6", Serve),
    ("ipv6-bug-abnf-3-colons", Serve),
    ("ipv6-correct-abnf-2-colons", Serve),
];

#[test]
fn rfc_4475() {
    check_all(&torture_messages::rfc(4475), RFC_4475);
}

#[test]
fn rfc_5118() {
    check_all(&torture_messages::rfc(5118), RFC_5118);
}

fn check_all(cases: &[Case], table: &[(&str, Expect)]) {
    let mut wrong = Vec::new();
    for Case { name, bytes } in cases {
        let expected = table.iter().find(|row| row.0 == name).map(|row| row.1);
        let got = outcome(name, bytes);
        if expected != Some(got) {
            wrong.push(format!("{name}: expected {expected:?}, got {got:?}"));
        }
    }
    assert_eq!(cases.len(), table.len(), "a row for each message");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn outcome(name: &str, bytes: &Bytes) -> Expect {
    let limits = Limits::default();
    match Message::parse_datagram(bytes.clone(), &limits) {
        Ok(message) => {
            // Lossless: what was read is what came, up to the end of the body.
            assert!(bytes.starts_with(message.bytes()), "{name}");
            let lines: Vec<u8> = message.headers().flat_map(|h| h.line.to_vec()).collect();
            let head = &message.bytes()[..message.bytes().len() - message.body().len() - 2];
            assert!(head.ends_with(&lines), "{name}");
            match message.check() {
                Ok(()) => Serve,
                Err(Fault { status, .. }) => Answer(status),
            }
        }
        Err(error) => {
            if let Some(request) = Message::salvage(bytes, &limits) {
                let fault = error.answer().expect("a refused request has an answer");
                let answer = reply(&request, fault.status, fault.reason, Some("t")).end();
                let answer = Message::parse_datagram(answer, &limits).expect("it is well framed");
                assert_eq!(answer.status(), Some(400), "{name}");
                assert_eq!(answer.call_id(), request.call_id(), "{name}");
            }
            Refuse(error)
        }
    }
}

#[test]
fn views_of_a_tortuous_invite() {
    let cases = torture_messages::rfc(4475);
    let case = cases.into_iter().find(|case| case.name == "wsinv");
    let bytes = case.expect("in the archive").bytes;
    let message = Message::parse_datagram(bytes, &Limits::default()).unwrap();
    assert_eq!(
        message.uri(),
        Some("sip:vivekg@chair-dnrc.example.com;unknownparam")
    );
    assert_eq!(message.to_tag(), Some("1918181833n"));
    assert_eq!(message.from_tag(), Some("98asjd8"));
    assert_eq!(message.max_forwards(), Some(68));
    assert_eq!(message.cseq().unwrap().seq, 9);
    assert_eq!(message.list(sip::Name::Via).count(), 3);
    let via = message.top_via().unwrap();
    assert_eq!((via.transport, via.sent_by.host), ("UDP", "192.0.2.2"));
    assert_eq!(via.branch(), Some("390skdjuw"));
    assert_eq!(message.contacts().count(), 1);
    assert_eq!(message.body().len(), 150);
}
