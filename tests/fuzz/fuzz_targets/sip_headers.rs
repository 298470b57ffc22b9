//! Header values: elements are never cut inside quotes, and views are parts of what was read.
//! Covers: sip/src/header/via.rs sip/src/header/address.rs sip/src/header/cseq.rs

#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{CSeq, Elements, Name, NameAddr, Via, unfold, unquote};

fuzz_target!(|data: &[u8]| {
    let _ = Name::from_bytes(data);
    assert!(unfold(data).len() <= data.len() && unquote(data).len() <= data.len());

    let elements: Vec<_> = Elements::new(data).collect();
    for element in &elements {
        assert!(!element.is_empty());
        // An element is one: splitting it again changes nothing.
        assert!(Elements::new(element).eq([*element]));
        if let Ok(via) = Via::parse(element) {
            assert!(!via.transport.is_empty() && !via.sent_by.host.is_empty());
        }
        if let Ok(address) = NameAddr::parse(element) {
            assert!(!address.uri.is_empty() && !address.uri.contains([' ', '<', '>', '"']));
            assert!(address.q().is_none_or(|q| q <= 1000));
            // Written in its plainest form it is the same address.
            let plain = format!("<{}>", address.uri);
            let again = NameAddr::parse(plain.as_bytes()).expect("still an address");
            assert_eq!(again.uri, address.uri);
        }
    }
    if let Ok(cseq) = CSeq::parse(data) {
        let text = format!("{} {}", cseq.seq, cseq.text);
        assert_eq!(CSeq::parse(text.as_bytes()), Ok(cseq));
    }
});
