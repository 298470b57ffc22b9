//! A message is lossless, its views stay inside it, and what a frame is a datagram is too.
//! Covers: sip/src/message.rs

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sip::{Limits, Message, Name, reply};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let bytes = Bytes::copy_from_slice(data);
    if let Some(request) = Message::salvage(&bytes, &limits) {
        assert!(request.is_request() && request.top_via().is_ok());
        answer(&request);
    }
    let frame = Message::parse_frame(bytes.clone(), &limits);
    let Ok(message) = Message::parse_datagram(bytes.clone(), &limits) else {
        assert!(frame.is_err(), "a frame is no laxer than a datagram");
        return;
    };
    if let Ok(frame) = frame {
        assert_eq!(frame.bytes(), message.bytes());
    }

    // Leading CRLF and octets after the body are all that may be left out.
    let at = data.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or_default();
    assert!(data[at..].starts_with(message.bytes()));

    // The lines, the blank line and the body are the message, byte for byte.
    let lines: usize = message.headers().map(|header| header.line.len()).sum();
    let start = message.bytes().len() - lines - 2 - message.body().len();
    assert!(message.bytes()[..start].ends_with(b"\r\n"));
    for header in message.headers() {
        assert!(header.line.starts_with(header.name_text) && header.line.ends_with(b"\r\n"));
        assert_eq!(Name::from_bytes(header.name_text), header.name);
    }

    // Reading again what was read gives the same.
    let again = Message::parse_datagram(message.bytes().clone(), &limits).expect("still a message");
    assert!(message.headers().eq(again.headers()) && message.body() == again.body());

    if message.is_request() && message.check().is_ok() {
        answer(&message);
    }
});

/// The answer to a request is a message, and belongs to it.
fn answer(request: &Message) {
    let request = request.clone().with_source(([192, 0, 2, 1], 5060).into());
    let bytes = reply(&request, 400, "Bad Request", Some("tag")).end();
    // The source on the Via may push a line that was just short enough over the limit.
    let limits = Limits { message_bytes_max: 1 << 20, line_bytes_max: 9_000, ..Limits::default() };
    let answer = Message::parse_datagram(bytes, &limits).expect("an answer is well framed");
    assert_eq!(answer.status(), Some(400));
    assert_eq!(answer.call_id(), request.call_id());
    let branch = |message: &Message| {
        message.top_via().ok().and_then(|via| via.branch().map(str::to_owned))
    };
    assert_eq!(branch(&answer), branch(&request));
    if request.check().is_ok() {
        assert_eq!(answer.to_tag(), request.to_tag().or(Some("tag")));
    }
}
