//! Whatever an event says, JSON and MessagePack decode to the same value.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod samples;

use bus_schema::{
    Actor, CallData, Cause, Encoding, Envelope, EventName, LegName, Position, Reason, Stamp,
    Timestamp,
};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::Value;

fn cause() -> impl Strategy<Value = Cause> {
    (
        proptest::sample::select(Actor::ALL),
        proptest::sample::select(Reason::ALL),
        of("\\PC{0,20}"),
        of(any::<u16>()),
        of(any::<u8>()),
        of(any::<String>()),
    )
        .prop_map(|(actor, reason, id, sip_status, q850, text)| Cause {
            command_id: id.map(Into::into),
            sip_status,
            q850,
            text: text.map(Into::into),
            ..Cause::new(actor, reason)
        })
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (
        0..253_402_300_800_000_u64,
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        of(any::<String>()),
    )
        .prop_map(|(at, epoch, seq, offset_ms, causation)| Stamp {
            at: Timestamp(at),
            position: Position { epoch, seq },
            offset_ms,
            causation_id: causation.map(Into::into),
            traceparent: None,
        })
}

proptest! {
    #[test]
    fn both_encodings_say_the_same(
        name in proptest::sample::select(&EventName::ALL[..9]),
        cause in cause(),
        stamp in stamp(),
        leg in of(any::<u16>()),
        display in of(any::<String>()),
        protected: bool,
    ) {
        let mut event = samples::call_event(name);
        event.stamp = stamp;
        event.leg = leg.map(LegName);
        event.data.cause = cause;
        event.data.protected = protected;
        event.data.call.from.display = display.map(Into::into);

        let encode = |encoding| {
            let mut bytes = Vec::new();
            event.encode_into(&samples::source(), encoding, &mut bytes).unwrap();
            bytes
        };
        let (json, msgpack) = (encode(Encoding::Json), encode(Encoding::MsgPack));
        let from_json: Value = Encoding::Json.decode(&json).unwrap();
        let from_msgpack: Value = Encoding::MsgPack.decode(&msgpack).unwrap();
        prop_assert_eq!(from_json, from_msgpack);

        let typed: Envelope<CallData> = Encoding::Json.decode(&json).unwrap();
        prop_assert_eq!(&typed, &Encoding::MsgPack.decode::<Envelope<CallData>>(&msgpack).unwrap());
        prop_assert_eq!(&typed.data, &event.data);
        prop_assert_eq!(typed.position(), event.stamp.position);
        prop_assert_eq!(typed.leg, event.leg);
    }
}
