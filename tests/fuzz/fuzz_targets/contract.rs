//! Envelopes and subjects of the bus: refused, or read the same again after being written.
//! Covers: bus-schema/src/encoding.rs bus-schema/src/event.rs bus-schema/src/command.rs
//! Covers: bus-schema/src/subject.rs

#![no_main]

use bus_schema::{AdminVerb, CallVerb, Encoding, Received, Subject};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for encoding in [Encoding::Json, Encoding::MsgPack] {
        let _ = Received::decode(encoding, data);
        for word in CallVerb::WORDS {
            let _ = CallVerb::decode(word, encoding, data);
        }
        for word in AdminVerb::WORDS {
            let _ = AdminVerb::decode(word, encoding, data);
        }
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(subject) = Subject::parse(text) {
        assert_eq!(subject.to_string(), text, "reading and building are inverse");
    }
});
