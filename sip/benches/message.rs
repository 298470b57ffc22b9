//! The message layer on a 1.4 kB INVITE of a usual phone behind one proxy.
//!
//! Budget: 0.5 µs to read. The allocation budget is a test: `tests/allocations.rs`.

#![expect(missing_docs, reason = "criterion's macros make public items")]
#![expect(clippy::expect_used, reason = "a panic is the report")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use sip::{Builder, Limits, Message, Name, Stream, reply};

static INVITE: &[u8] = include_bytes!("../tests/invite.sip");

fn message(c: &mut Criterion) {
    let limits = Limits::default();
    let shared = Bytes::from_static(INVITE);
    let invite = Message::parse_datagram(shared.clone(), &limits).expect("it is well formed");
    let source = "192.0.2.9:5060".parse().expect("an address");

    c.bench_function("parse", |b| {
        b.iter(|| Message::parse_datagram(black_box(shared.clone()), &limits));
    });
    c.bench_function("copy and parse", |b| {
        b.iter(|| Message::parse_datagram(Bytes::copy_from_slice(black_box(INVITE)), &limits));
    });
    c.bench_function("stream", |b| {
        let mut stream = Stream::new(limits);
        b.iter(|| {
            stream.push(black_box(INVITE));
            stream.next()
        });
    });
    c.bench_function("check", |b| b.iter(|| black_box(&invite).check()));
    c.bench_function("transaction and dialog keys", |b| {
        b.iter(|| {
            let invite = black_box(&invite);
            let branch = invite.top_via().ok().and_then(|via| via.branch());
            let seq = invite.cseq().map(|cseq| cseq.seq);
            (
                branch,
                seq,
                invite.call_id(),
                invite.from_tag(),
                invite.to_tag(),
            )
        });
    });
    let arrived = invite.clone().with_source(source);
    c.bench_function("reply", |b| {
        b.iter(|| reply(black_box(&arrived), 180, "Ringing", Some("8f3k2")).end());
    });
    c.bench_function("build", |b| {
        b.iter(|| {
            let mut out = Builder::request("INVITE", "sip:bob@192.0.2.4", 1500);
            out.line(Name::Via, "SIP/2.0/UDP 192.0.2.3;branch=z9hG4bK74bf9")
                .line(Name::MaxForwards, 69)
                .line(Name::From, "<sip:alice@atlanta.example.com>;tag=9fxced76sl")
                .line(Name::To, "<sip:bob@biloxi.example.com>")
                .line(Name::CallId, "2xTb9vxSit55XU7p8@192.0.2.3")
                .line(Name::CSeq, "1 INVITE")
                .line(Name::Contact, "<sip:192.0.2.3>")
                .body(invite.header(Name::ContentType), invite.body())
        });
    });
}

criterion_group!(benches, message);
criterion_main!(benches);
