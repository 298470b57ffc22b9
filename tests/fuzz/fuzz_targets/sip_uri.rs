//! A URI matches itself, matching goes both ways, and its parts are parts of it.
//! Covers: sip/src/uri.rs

#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::Uri;

fuzz_target!(|data: &str| {
    let (first, second) = data.split_once('\n').unwrap_or((data, data));
    let Ok(uri) = Uri::parse(first) else { return };
    assert!(uri.matches(&uri), "{first}");
    assert!(first.starts_with(uri.scheme));
    for part in [uri.user, uri.password, Some(uri.host.host), uri.headers].into_iter().flatten() {
        assert!(first.contains(part));
    }
    if uri.is_sip() {
        assert!(!uri.host.host.is_empty());
        // A host that is written again reads the same.
        let host = uri.host.to_string();
        assert_eq!(sip::HostPort::parse(&host), Some(uri.host));
    }
    for param in uri.params.iter() {
        assert!(uri.param(param.name).is_some());
    }
    if let Ok(other) = Uri::parse(second) {
        assert_eq!(uri.matches(&other), other.matches(&uri), "{first} {second}");
    }
});
