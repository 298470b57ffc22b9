//! Session descriptions read in place.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use proptest::prelude::*;
use sip::sdp::{Direction, Sdp, SdpFault, turn};

const PHONE: &str = "v=0\r\no=- 123 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                     m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n\
                     m=video 0 RTP/AVP 96\r\na=inactive\r\n";

fn parse(text: &str) -> Sdp<'_> {
    Sdp::parse(text.as_bytes()).unwrap()
}

#[test]
fn parts() {
    let sdp = parse(PHONE);
    assert_eq!(sdp.origin().session_id, b"123");
    assert_eq!(sdp.origin().version_number(), Some(7));
    assert_eq!(sdp.media().len(), 2);
    let audio = &sdp.media()[0];
    assert_eq!(
        (audio.kind, audio.port, audio.proto),
        (&b"audio"[..], 40_000, &b"RTP/AVP"[..])
    );
    assert_eq!(audio.formats, b"0 8 101");
    assert_eq!(
        audio.attributes("rtpmap").collect::<Vec<_>>(),
        [b"0 PCMU/8000"]
    );
    assert_eq!(sdp.connection(audio), Some(&b"IN IP4 192.0.2.1"[..]));
    assert!(audio.is_live() && !sdp.media()[1].is_live());
    let raw: Vec<u8> = sdp.lines().flat_map(|line| line.raw.to_vec()).collect();
    assert_eq!(raw, PHONE.as_bytes());
}

#[test]
fn hold_in_all_its_forms() {
    assert!(!parse(PHONE).holds());
    for (from, to, direction) in [
        ("a=sendrecv", "a=sendonly", Direction::SendOnly),
        ("a=sendrecv", "a=inactive", Direction::Inactive),
        (
            "c=IN IP4 192.0.2.1",
            "c=IN IP4 0.0.0.0",
            Direction::SendOnly,
        ),
        (
            "a=sendrecv\r\n",
            "c=IN IP4 0.0.0.0\r\na=recvonly\r\n",
            Direction::Inactive,
        ),
    ] {
        let text = PHONE.replace(from, to);
        let sdp = parse(&text);
        assert_eq!(sdp.direction(&sdp.media()[0]), direction, "{to}");
        assert!(sdp.holds(), "{to}");
    }
    // The session's direction holds for media without one.
    let text = PHONE
        .replace("a=sendrecv\r\n", "")
        .replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n");
    assert!(parse(&text).holds());
    assert!(!parse(&PHONE.replace("a=sendrecv", "a=recvonly")).holds());
    // Data channels and refused media hold nothing.
    let text = PHONE.replace("RTP/AVP 0 8 101", "UDP/DTLS/SCTP webrtc-datachannel");
    assert!(!parse(&text.replace("a=sendrecv", "a=inactive")).holds());
}

#[test]
fn turning_changes_directions_and_the_version_only() {
    let held = turn(&parse(PHONE), Direction::SendOnly, 8);
    let expected = PHONE
        .replace("123 7", "123 8")
        .replace("a=sendrecv", "a=sendonly");
    assert_eq!(String::from_utf8(held.clone()).unwrap(), expected);
    assert!(Sdp::parse(&held).unwrap().holds());
    let resumed = turn(&parse(PHONE), Direction::SendRecv, 9);
    assert_eq!(
        String::from_utf8(resumed).unwrap(),
        PHONE.replace("123 7", "123 9")
    );
    // A last line without an end gets one before the direction.
    for end in ["", "\r"] {
        let open = format!("v=0\no=- 1 1 IN IP4 h\nm=audio 9 RTP/AVP 0{end}");
        let held = turn(&parse(&open), Direction::Inactive, 2);
        let expected = "v=0\no=- 1 2 IN IP4 h\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\n";
        assert_eq!(String::from_utf8(held).unwrap(), expected, "{end:?}");
    }
    for a in [
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ] {
        assert_eq!(a.reversed().reversed(), a);
        assert_eq!(a.limited(Direction::SendRecv), a);
        assert_eq!(a.limited(Direction::Inactive), Direction::Inactive);
    }
}

#[test]
fn faults() {
    for (text, fault) in [
        ("", SdpFault::Version),
        ("v=1\r\n", SdpFault::Version),
        ("o=- 1 1 IN IP4 h\r\n", SdpFault::Version),
        ("v=0\r\ns=-\r\n", SdpFault::Origin),
        ("v=0\r\no=- x 1 IN IP4 h\r\n", SdpFault::Origin),
        ("v=0\r\no=- 1 1\r\n", SdpFault::Origin),
        ("v=0\r\no=- 1 1 IN IP4 h\r\nnonsense\r\n", SdpFault::Line),
        ("v=0\r\n\r\no=- 1 1 IN IP4 h\r\n", SdpFault::Line),
        (
            "v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 70000 RTP/AVP 0\r\n",
            SdpFault::Media,
        ),
        (
            "v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 1 RTP/AVP\r\n",
            SdpFault::Media,
        ),
    ] {
        assert_eq!(Sdp::parse(text.as_bytes()).unwrap_err(), fault, "{text:?}");
    }
    let long = format!("{PHONE}{}", "a=x\r\n".repeat(5_000));
    assert_eq!(Sdp::parse(long.as_bytes()).unwrap_err(), SdpFault::TooLong);
    let many = format!("{PHONE}{}", "m=audio 1 RTP/AVP 0\r\n".repeat(63));
    assert_eq!(Sdp::parse(many.as_bytes()).unwrap_err(), SdpFault::TooLong);
    assert!(
        Sdp::parse(format!("{PHONE}\r\n").as_bytes()).is_ok(),
        "a blank line at the end"
    );
}

proptest! {
    /// Whatever is read is lossless, and what is written of it can be read.
    #[test]
    fn any_bytes(
        tail in proptest::collection::vec(
            prop_oneof![
                Just("m=audio 9 RTP/AVP 0\r\n".to_owned()),
                Just("a=sendonly\n".to_owned()),
                Just("c=IN IP4 0.0.0.0\r\n".to_owned()),
                "[a-z]?=?[ -~]{0,12}\r?\n?",
            ],
            0..20,
        ),
    ) {
        let text = format!("v=0\r\no=- 1 1 IN IP4 h\r\n{}", tail.concat());
        if let Ok(sdp) = Sdp::parse(text.as_bytes()) {
            let raw: Vec<u8> = sdp.lines().flat_map(|line| line.raw.to_vec()).collect();
            prop_assert!(text.as_bytes().starts_with(&raw));
            prop_assert!(text.as_bytes()[raw.len()..].iter().all(u8::is_ascii_whitespace));
            let held = turn(&sdp, Direction::Inactive, 2);
            let held = Sdp::parse(&held).unwrap();
            prop_assert_eq!(held.media().len(), sdp.media().len());
            for media in held.media() {
                prop_assert!(!media.is_rtp() || held.direction(media) == Direction::Inactive);
            }
        }
    }
}
