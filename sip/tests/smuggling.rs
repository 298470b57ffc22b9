//! Bytes that two readers could frame in two ways are refused, and limits come before allocation.

use bytes::Bytes;
use sip::{Item, Limits, Message, ParseError, Stream};

const START: &str = "OPTIONS sip:a@example.com SIP/2.0\r\n";

fn datagram(text: &str) -> Result<Message, ParseError> {
    Message::parse_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn stream(text: &str) -> Result<Option<Item>, ParseError> {
    let mut stream = Stream::new(Limits::default());
    stream.push(text.as_bytes());
    stream.next()
}

#[test]
fn framing_faults_are_the_same_on_every_entry() {
    use ParseError as E;
    let faults = [
        ("l: 1\r\nContent-Length: 1\r\n\r\nx", E::LengthRepeated),
        (
            "Content-Length: 1\r\nCONTENT-LENGTH : 0\r\n\r\nx",
            E::LengthRepeated,
        ),
        ("Content-Length: 1, 1\r\n\r\nx", E::LengthNotNumber),
        ("Content-Length: +1\r\n\r\nx", E::LengthNotNumber),
        ("Content-Length: 0x1\r\n\r\nx", E::LengthNotNumber),
        ("Content-Length: 1 1\r\n\r\nx", E::LengthNotNumber),
        ("Content-Length: 1\r\n 0\r\n\r\nx", E::LengthNotNumber),
        ("Content-Length:\r\n\r\n", E::LengthNotNumber),
        ("Content-Length: 4294967296\r\n\r\n", E::LengthOverflow),
        (
            "Content-Length: 18446744073709551617\r\n\r\nx",
            E::LengthOverflow,
        ),
        ("Content-Length: 0\nX: y\r\n\r\n", E::BareLf),
        ("Content-Length: 0\rX: y\r\n\r\n", E::BareCr),
        ("X: \r\r\nContent-Length: 0\r\n\r\n", E::BareCr),
        ("Content-Length 0\r\n\r\n", E::HeaderLine),
        (": 0\r\n\r\n", E::HeaderLine),
        ("Content-Length\x0b: 0\r\n\r\n", E::HeaderLine),
        ("Content-Length\0: 0\r\n\r\n", E::HeaderLine),
        ("Content-\r\n Length: 0\r\n\r\n", E::HeaderLine),
    ];
    for (head, fault) in faults {
        let text = format!("{START}{head}");
        assert_eq!(datagram(&text).err(), Some(fault), "{text:?}");
        assert_eq!(stream(&text).err(), Some(fault), "{text:?}");
        let frame = Message::parse_frame(Bytes::from(text.clone()), &Limits::default());
        assert_eq!(frame.err(), Some(fault), "{text:?}");
    }
}

#[test]
fn a_header_cannot_fold_onto_the_start_line() {
    let text = "OPTIONS sip:a@example.com SIP/2.0\r\n X: y\r\nl: 0\r\n\r\n";
    assert_eq!(datagram(text).err(), Some(ParseError::HeaderLine));
}

#[test]
fn start_lines() {
    let bad = [
        "OPTIONS  sip:a@b SIP/2.0",
        "OPTIONS sip:a@b  SIP/2.0",
        "OPTIONS sip:a@b SIP/2.0 ",
        " OPTIONS sip:a@b SIP/2.0",
        "OPTIONS\tsip:a@b SIP/2.0",
        "OPTIONS sip:a@b",
        "OPTIONS sip:a@b HTTP/1.1",
        "OPTIONS sip:a@b SIP/2",
        "OPTIONS <sip:a@b> SIP/2.0",
        "OPT(IONS sip:a@b SIP/2.0",
        "OPTIONS sip:\u{f6}@b SIP/2.0",
        "SIP/2.0 99 Low",
        "SIP/2.0 700 High",
        "SIP/2.0 20 Short",
        "SIP/2.0 2000 Long",
        "SIP/2.0  200 Spaces",
        "SIP/2.0\t200 Tab",
    ];
    for line in bad {
        let text = format!("{line}\r\nl: 0\r\n\r\n");
        assert_eq!(datagram(&text).err(), Some(ParseError::StartLine), "{line}");
    }
    let ok = datagram("sip/2.0 200\r\nl: 0\r\n\r\n").unwrap();
    assert_eq!((ok.status(), ok.reason()), (Some(200), &b""[..]));
    let ok = datagram("SIP/2.0 486 Besetzt \u{fc}\r\nl: 0\r\n\r\n").unwrap();
    assert_eq!(ok.reason(), "Besetzt \u{fc}".as_bytes());
}

#[test]
fn where_the_body_ends() {
    let long = format!("{START}l: 1\r\n\r\nxyz");
    assert_eq!(datagram(&long).unwrap().body(), b"x");
    let frame = Message::parse_frame(Bytes::from(long), &Limits::default());
    assert_eq!(frame.err(), Some(ParseError::BodyLong));

    let none = format!("{START}\r\nall of it");
    assert_eq!(datagram(&none).unwrap().body(), b"all of it");
    let frame = Message::parse_frame(Bytes::from(none.clone()), &Limits::default());
    assert_eq!(frame.unwrap().body(), b"all of it");
    assert_eq!(stream(&none).err(), Some(ParseError::LengthMissing));

    let short = format!("{START}l: 4\r\n\r\nxyz");
    assert_eq!(datagram(&short).err(), Some(ParseError::BodyShort));
    assert!(stream(&short).unwrap().is_none());
}

#[test]
fn keep_alives() {
    assert_eq!(
        datagram("\r\n").err(),
        Some(ParseError::KeepAlive { ping: false })
    );
    assert_eq!(
        datagram("\r\n\r\n").err(),
        Some(ParseError::KeepAlive { ping: true })
    );
    let after = datagram(&format!("\r\n\r\n{START}l: 0\r\n\r\n")).unwrap();
    assert!(after.bytes().starts_with(b"OPTIONS"));
}

#[test]
fn limits() {
    let limits = Limits {
        message_bytes_max: 400,
        headers_max: 3,
        line_bytes_max: 100,
        body_bytes_max: 50,
    };
    let check = |head: &str, fault| {
        let text = Bytes::from(format!("{START}{head}"));
        assert_eq!(
            Message::parse_datagram(text.clone(), &limits).err(),
            Some(fault),
            "{head}"
        );
        let mut stream = Stream::new(limits);
        stream.push(&text);
        assert_eq!(stream.next().err(), Some(fault), "{head}");
    };
    check(
        "a: 1\r\nb: 1\r\nc: 1\r\nl: 0\r\n\r\n",
        ParseError::TooManyHeaders,
    );
    check(
        &format!("a: {}\r\nl: 0\r\n\r\n", "x".repeat(100)),
        ParseError::LineTooLong,
    );
    check(
        &format!("a: x{}\r\nl: 0\r\n\r\n", "\r\n y".repeat(30)),
        ParseError::LineTooLong,
    );
    check(
        &format!("l: 51\r\n\r\n{}", "x".repeat(51)),
        ParseError::BodyTooLarge,
    );
    check(&"x".repeat(400), ParseError::MessageTooLarge);

    // A body that would never fit is refused before any of it is awaited.
    let mut stream = Stream::new(Limits::default());
    stream.push(format!("{START}l: 4000000000\r\n\r\n").as_bytes());
    assert_eq!(stream.next().err(), Some(ParseError::BodyTooLarge));
}

#[test]
fn a_header_in_another_encoding_is_carried() {
    let mut text = START.as_bytes().to_vec();
    text.extend(b"Subject: Gr\xfc\xdfe\r\nFrom: J\xf6rg <sip:j@b>;tag=1\r\nl: 0\r\n\r\n");
    let message = Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap();
    assert_eq!(
        message.header(sip::Name::Subject),
        Some(&b"Gr\xfc\xdfe"[..])
    );
    assert_eq!(message.text(sip::Name::Subject), None);
    assert_eq!(message.from_tag(), Some("1"));
}
