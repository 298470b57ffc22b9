use bytes::Bytes;
use sip::Limits;

use super::*;

fn request(lines: &str) -> Message {
    let text = format!("INVITE sip:b@x SIP/2.0\r\n{lines}\r\n");
    Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap()
}

fn passed(lines: &str, trust: Trust, body: Body) -> String {
    let mut out = Builder::request("INVITE", "sip:b@x", 512);
    copy(&mut out, &request(lines), trust, body);
    let bytes = out.end();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let text = text.strip_prefix("INVITE sip:b@x SIP/2.0\r\n").unwrap();
    text.strip_suffix("Content-Length: 0\r\n\r\n")
        .unwrap()
        .to_owned()
}

const NOBODY: Trust = Trust {
    from: false,
    to: false,
};
const CALLER: Trust = Trust {
    from: true,
    to: false,
};
const BOTH: Trust = Trust {
    from: true,
    to: true,
};

#[test]
fn what_a_dialog_or_a_hop_owns_stays() {
    for line in [
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1",
        "v: SIP/2.0/UDP h;branch=z9hG4bK1",
        "Route: <sip:p;lr>",
        "Record-Route: <sip:p;lr>",
        "Path: <sip:p;lr>",
        "Service-Route: <sip:p;lr>",
        "Max-Forwards: 70",
        "From: <sip:a@x>;tag=1",
        "t: <sip:b@x>",
        "Call-ID: 1",
        "CSeq: 1 INVITE",
        "m: <sip:a@h>",
        "Contact: <sip:a@h>",
        "Supported: timer",
        "k: timer",
        "Require: 100rel",
        "Proxy-Require: x",
        "Unsupported: x",
        "Allow: INVITE",
        "Session-Expires: 1800",
        "x: 1800",
        "Min-SE: 90",
        "RSeq: 1",
        "RAck: 1 1 INVITE",
        "Timestamp: 54",
        "Authorization: Digest username=\"a\"",
        "Proxy-Authorization: Digest username=\"a\"",
        "WWW-Authenticate: Digest realm=\"x\"",
        "Proxy-Authenticate: Digest realm=\"x\"",
        "Authentication-Info: nextnonce=\"1\"",
        "P-Preferred-Identity: <sip:a@x>",
        "Replaces: 1;to-tag=a;from-tag=b",
        "Join: 1;to-tag=a;from-tag=b",
        "Target-Dialog: 1",
        "Content-Length: 0",
    ] {
        assert_eq!(
            passed(&format!("{line}\r\n"), BOTH, Body::Kept),
            "",
            "{line}"
        );
    }
}

#[test]
fn what_the_ends_say_to_each_other_passes_as_it_stands() {
    for line in [
        "Subject:  Lunch?",
        "s: Lunch?",
        "User-Agent: Phone/1",
        "X-Account:\t7",
        "Folded: one,\r\n two",
        "Reason: Q.850;cause=16",
        "Retry-After: 5",
        "Alert-Info: <urn:alert:service:call-waiting>",
        "User-to-User: 00",
        "Referred-By: <sip:c@x>",
        "Privacy: id",
        "Identity: abc",
        "Event: refer",
        "Warning: 399 h \"text\"",
        "X-Latin: J\u{f6}rg",
    ] {
        let line = format!("{line}\r\n");
        assert_eq!(passed(&line, NOBODY, Body::Kept), line);
        assert_eq!(passed(&line, NOBODY, Body::Replaced), line);
    }
}

#[test]
fn order_is_kept() {
    let lines = "A: 1\r\nVia: SIP/2.0/UDP h\r\nb: x\r\nB2: 2\r\nA: 3\r\n";
    assert_eq!(
        passed(lines, NOBODY, Body::Kept),
        "A: 1\r\nb: x\r\nB2: 2\r\nA: 3\r\n"
    );
}

#[test]
fn identities_pass_from_trusted_peers_only() {
    for line in [
        "P-Asserted-Identity: <sip:a@x>",
        "Remote-Party-ID: <sip:a@x>",
        "Diversion: <sip:a@x>",
        "History-Info: <sip:a@x>;index=1",
        "X-IF-Trace-ID: 1",
        "x-if-hazard: fire",
        "X-IF-Anything-Else: 1",
    ] {
        let line = format!("{line}\r\n");
        assert_eq!(passed(&line, NOBODY, Body::Kept), "", "{line}");
        assert_eq!(passed(&line, CALLER, Body::Kept), line);
        assert_eq!(passed(&line, BOTH, Body::Kept), line);
    }
}

#[test]
fn a_private_caller_is_not_named_outside_the_trust_domain() {
    for privacy in [
        "Privacy: id\r\n",
        "Privacy: critical; id\r\n",
        "Privacy: user\r\n",
    ] {
        let lines = format!("P-Asserted-Identity: <sip:a@x>\r\n{privacy}");
        assert_eq!(passed(&lines, CALLER, Body::Kept), privacy);
        assert_eq!(passed(&lines, BOTH, Body::Kept), lines);
    }
    let lines = "P-Asserted-Identity: <sip:a@x>\r\nPrivacy: none\r\n";
    assert_eq!(passed(lines, CALLER, Body::Kept), lines);
}

#[test]
fn what_describes_the_body_passes_with_it() {
    let lines = "Content-Type: application/sdp\r\nContent-Disposition: session\r\ne: gzip\r\n\
                 Content-Language: en\r\nMIME-Version: 1.0\r\nSubject: x\r\n";
    assert_eq!(passed(lines, NOBODY, Body::Kept), lines);
    assert_eq!(passed(lines, NOBODY, Body::Replaced), "Subject: x\r\n");
}

#[test]
fn hops_run_out() {
    for (line, left) in [
        ("Max-Forwards: 70\r\n", Some(69)),
        ("Max-Forwards: 1\r\n", Some(0)),
        ("Max-Forwards: 0\r\n", None),
        ("Max-Forwards: 255\r\n", Some(70)),
        ("", Some(70)),
    ] {
        assert_eq!(max_forwards(&request(line)), left, "{line}");
    }
}

#[test]
fn only_options_we_implement_are_offered_on() {
    for (lines, written) in [
        (
            "Supported: timer, gruu\r\nk: 100rel\r\n",
            "Supported: 100rel, timer\r\n",
        ),
        ("Supported: gruu\r\n", ""),
        ("", ""),
    ] {
        let mut out = Builder::request("INVITE", "sip:b@x", 128);
        copy_supported(&mut out, &request(lines), &["100rel", "timer"]);
        let expected = format!("INVITE sip:b@x SIP/2.0\r\n{written}Content-Length: 0\r\n\r\n");
        assert_eq!(out.end(), expected.as_bytes());
    }
}

#[test]
fn a_required_option_we_do_not_implement_is_named() {
    for (lines, refused) in [
        ("Require: 100rel\r\n", None),
        (
            "Require: 100REL, gruu\r\nProxy-Require: sec-agree\r\n",
            Some("gruu, sec-agree"),
        ),
        ("", None),
    ] {
        assert_eq!(
            unsupported(&request(lines), &["100rel"]).as_deref(),
            refused,
            "{lines}"
        );
    }
}
