//! The allocation budget: counts do not depend on how busy the machine is.

use std::alloc::System;
use std::hint::black_box;

use bytes::Bytes;
use sip::{Limits, Message, Name, Stream, reply};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static INVITE: &[u8] = include_bytes!("invite.sip");

/// Allocations of one `work`, reallocations included. Another thread of the test harness may add
/// to a run, never take away: the least of several is the truth.
fn allocations<T>(mut work: impl FnMut() -> T) -> usize {
    let runs = (0..8).map(|_| {
        let region = Region::new(ALLOCATOR);
        let made = black_box(work());
        let change = region.change();
        drop(made);
        change.allocations + change.reallocations
    });
    runs.min().unwrap_or_default()
}

#[test]
fn budget() {
    let limits = Limits::default();
    let shared = Bytes::from_static(INVITE);
    let invite = Message::parse_datagram(shared.clone(), &limits).expect("it is well formed");

    // The table.
    assert_eq!(
        allocations(|| Message::parse_datagram(shared.clone(), &limits)),
        1
    );
    // The buffer and the table.
    let owned = || Message::parse_datagram(Bytes::copy_from_slice(INVITE), &limits);
    assert_eq!(allocations(owned), 2);
    assert_eq!(
        allocations(|| Message::parse_frame(Bytes::from(INVITE.to_vec()), &limits)),
        2
    );
    // The buffer, its handing over, and the table.
    let mut stream = Stream::new(limits);
    let streamed = allocations(|| {
        stream.push(INVITE);
        stream.next()
    });
    assert!(streamed <= 3, "{streamed}");

    assert_eq!(allocations(|| invite.clone()), 0);
    let views = allocations(|| {
        let branch = invite
            .top_via()
            .ok()
            .and_then(|via| via.branch().map(str::len));
        let tags = (
            invite.from_tag().map(str::len),
            invite.to_tag().map(str::len),
        );
        let routes = invite.list(Name::RecordRoute).count() + invite.contacts().count();
        (
            invite.check(),
            branch,
            tags,
            routes,
            invite.cseq().map(|cseq| cseq.seq),
        )
    });
    assert_eq!(views, 0);

    // The buffer and its handing over.
    let arrived = invite.with_source("192.0.2.9:5060".parse().expect("an address"));
    let answered = allocations(|| reply(&arrived, 180, "Ringing", Some("8f3k2")).end());
    assert!(answered <= 2, "{answered}");
}

#[test]
fn a_message_is_small_beside_its_bytes() {
    assert!(size_of::<Message>() <= 96, "{}", size_of::<Message>());
}
