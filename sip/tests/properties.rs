//! What holds for any bytes: nothing panics, nothing is lost, and it does not matter how a stream
//! is cut.

use std::hint::black_box;

use bytes::Bytes;
use proptest::prelude::*;
use sip::{Builder, Item, Limits, Message, Name, NameAddr, ParseError, Stream, Uri, Via, reply};

mod torture_messages;

fn read<T>(value: &T) {
    black_box(value);
}

/// Reads everything a message can be asked; what it says is of no interest.
fn read_all(message: &Message) {
    read(&(
        message.check(),
        message.top_via(),
        message.from(),
        message.to(),
        message.cseq(),
    ));
    read(&(
        message.uri().map(Uri::parse),
        message.reason(),
        message.max_forwards(),
    ));
    read(&(
        message.expires(),
        message.is_wildcard(),
        message.contacts().count(),
    ));
    for header in message.headers() {
        read(&(Via::parse(header.value), NameAddr::parse(header.value)));
        read(&message.list(header.name).count());
    }
    let answer = reply(message, 400, "Bad Request", Some("t")).end();
    assert!(answer.starts_with(b"SIP/2.0 400 Bad Request\r\n"));
}

fn parse_all_ways(bytes: &Bytes) {
    let limits = Limits::default();
    let messages = [
        Message::parse_datagram(bytes.clone(), &limits).ok(),
        Message::parse_frame(bytes.clone(), &limits).ok(),
        Message::salvage(bytes, &limits),
    ];
    for message in messages.iter().flatten() {
        read_all(message);
    }
    for item in items(&[bytes]).0 {
        if let Item::Message(message) = item {
            read_all(&message);
        }
    }
}

/// What a stream makes of these reads, up to its first error.
fn items(reads: &[&[u8]]) -> (Vec<Item>, Option<ParseError>) {
    let mut stream = Stream::new(Limits::default());
    let mut items = Vec::new();
    for read in reads {
        stream.push(read);
        loop {
            match stream.next() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, None)
}

fn shape(reads: &[&[u8]]) -> (Vec<Bytes>, Option<ParseError>) {
    let (items, error) = items(reads);
    let bytes = items.into_iter().map(|item| match item {
        Item::Message(message) => message.bytes().clone(),
        Item::Ping => Bytes::from_static(b"ping"),
        Item::Pong => Bytes::from_static(b"pong"),
    });
    (bytes.collect(), error)
}

/// Two messages with a keep-alive before, between and behind.
fn conversation(message: &[u8]) -> Vec<u8> {
    let second = b"OPTIONS sip:a@b SIP/2.0\r\nl: 4\r\n\r\n\r\n\r\n";
    [
        b"\r\n\r\n",
        message,
        b"\r\n",
        second,
        b"\r\n\r\n\r\n",
        message,
    ]
    .concat()
}

#[test]
fn a_stream_may_be_cut_at_every_byte() {
    for case in torture_messages::rfc(4475) {
        let bytes = conversation(&case.bytes);
        let whole = shape(&[&bytes]);
        for at in 0..bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(shape(&[head, tail]), whole, "{} at {at}", case.name);
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(shape(&single), whole, "{} byte by byte", case.name);
    }
}

#[test]
fn a_stream_frames_what_a_datagram_does() {
    for case in torture_messages::rfc(4475) {
        let datagram = Message::parse_datagram(case.bytes.clone(), &Limits::default());
        let (items, error) = shape(&[&case.bytes]);
        match datagram {
            // Without a length a stream cannot end it; with an earlier end it finds the next one.
            Ok(message) if message.header(Name::ContentLength).is_some() => {
                assert_eq!(items.first(), Some(message.bytes()), "{}", case.name);
            }
            Ok(_) => assert_eq!(error, Some(ParseError::LengthMissing), "{}", case.name),
            // What is short in a datagram is awaited on a stream.
            Err(ParseError::BodyShort | ParseError::HeadShort) => assert_eq!(error, None),
            Err(refused) => assert_eq!(error, Some(refused), "{}", case.name),
        }
    }
}

#[test]
fn an_idle_stream_holds_nothing() {
    let mut stream = Stream::new(Limits::default());
    stream.push(b"OPTIONS sip:a@b SIP/2.0\r\nl: 0\r\n\r\n\r\n");
    while stream.next().unwrap().is_some() {}
    assert_eq!(stream.pending_bytes(), 0);
}

#[test]
fn text_cannot_end_a_line() {
    let mut out = Builder::request("INFO", "sip:a@b\r\nEvil: 1\r\n", 100);
    out.line("X-Note", "one\r\nContent-Length: 99\r\n\r\nbody")
        .bytes("X-Raw", b"a\nb\rc");
    let message = Message::parse_datagram(out.end(), &Limits::default());
    // The Request-URI has spaces now, and that is no message either.
    assert_eq!(message.err(), Some(ParseError::StartLine));

    let mut out = Builder::status(200, "OK\r\nEvil: 1", 100);
    out.line("X-Note", "one\r\nContent-Length: 99\r\n\r\nbody")
        .bytes("X-Raw", b"a\nb\rc");
    let message = Message::parse_datagram(out.end(), &Limits::default()).unwrap();
    assert_eq!(message.headers().count(), 3);
    assert_eq!(message.reason(), b"OK  Evil: 1");
    assert_eq!(message.other("x-raw").next(), Some(&b"a b c"[..]));
}

/// Bytes that look enough like SIP to get past the start line.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "INVITE sip:a@b SIP/2.0\r\n",
        "SIP/2.0 200 OK\r\n",
        "Via: SIP/2.0/UDP h;branch=z\r\n",
        "v:",
        "From: \"a\" <sip:a@b>;tag=1\r\n",
        "To: <sip:b@c>\r\n",
        "CSeq: 1 INVITE\r\n",
        "i: x\r\n",
        "Contact: *\r\n",
        "m: <sip:a@b>, \"",
        "Route: <",
        "l: 0\r\n",
        "l: 3\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r\n ",
        ";",
        ",",
        "<",
        ">",
        "\"",
        "\\",
        "=",
        ":",
        "%4",
        "sip:",
        "[::1",
        "]",
        "\0",
        "\r",
        "\n",
    ]);
    let piece = prop_oneof![
        8 => piece.prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..6),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_panics(bytes in prop_oneof![soup(), prop::collection::vec(any::<u8>(), 0..300)]) {
        parse_all_ways(&Bytes::from(bytes));
    }

    #[test]
    fn views_do_not_panic(text in "[ -~\u{e9}\r\n]{0,60}") {
        read(&(Uri::parse(&text), Via::parse(text.as_bytes()), NameAddr::parse(text.as_bytes())));
        if let (Ok(one), Ok(other)) = (Uri::parse(&text), Uri::parse("sip:a@b;x=1?y=2")) {
            prop_assert!(one.matches(&one) && one.matches(&other) == other.matches(&one));
        }
    }

    #[test]
    fn any_cut_gives_the_same_items(
        bytes in soup(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut reads = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            reads.push(&bytes[from..cut]);
            from = cut;
        }
        prop_assert_eq!(shape(&reads), shape(&[&bytes]));
    }

    #[test]
    fn what_is_built_is_read_back(
        method in "[A-Z]{1,12}",
        user in "[a-z0-9]{1,20}",
        headers in prop::collection::vec(
            ("X-[A-Za-z0-9-]{1,20}", "[!-~]([ -~\u{a1}-\u{ff}]{0,40}[!-~])?"),
            0..30,
        ),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let uri = format!("sip:{user}@example.com");
        let mut builder = Builder::request(&method, &uri, 64);
        for (name, value) in &headers {
            builder.line(name, value);
        }
        let bytes = builder.body(Some(b"application/x"), &body);
        let message = Message::parse_frame(bytes.clone(), &Limits::default()).unwrap();
        prop_assert_eq!(message.method_text(), method);
        prop_assert_eq!(message.uri(), Some(&*uri));
        prop_assert_eq!(message.body(), &body[..]);
        prop_assert_eq!(message.bytes(), &bytes);
        let read: Vec<_> = message.headers().filter(|h| h.name == Name::Other).collect();
        prop_assert_eq!(read.len(), headers.len());
        for (header, (name, value)) in read.iter().zip(&headers) {
            prop_assert_eq!(header.name_text, name.as_bytes());
            prop_assert_eq!(header.value, value.as_bytes());
        }
    }
}
