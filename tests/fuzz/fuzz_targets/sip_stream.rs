//! However a stream is cut, the same items come out; and each is what a datagram would be.
//! Covers: sip/src/stream.rs

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sip::{Item, Limits, Message, ParseError, Stream};

fuzz_target!(|data: &[u8]| {
    // The first byte says how long the reads are.
    let Some((&size, data)) = data.split_first() else { return };
    let whole = items(&[data]);
    let reads: Vec<_> = data.chunks(usize::from(size) + 1).collect();
    assert_eq!(items(&reads), whole);

    for bytes in whole.0.iter().flatten() {
        let datagram = Message::parse_frame(bytes.clone(), &limits()).expect("one message");
        assert_eq!(datagram.bytes(), bytes);
    }
});

/// Small, so that short inputs reach them.
fn limits() -> Limits {
    Limits { message_bytes_max: 2_000, headers_max: 20, line_bytes_max: 300, body_bytes_max: 1_000 }
}

/// Messages as bytes, keep-alives as none, and the error that ended it.
fn items(reads: &[&[u8]]) -> (Vec<Option<Bytes>>, Option<ParseError>) {
    let mut stream = Stream::new(limits());
    let mut items = Vec::new();
    for read in reads {
        stream.push(read);
        loop {
            match stream.next() {
                Ok(Some(Item::Message(message))) => items.push(Some(message.bytes().clone())),
                Ok(Some(Item::Ping | Item::Pong)) => items.push(None),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
        assert!(stream.pending_bytes() <= limits().message_bytes_max + read.len());
    }
    (items, None)
}
