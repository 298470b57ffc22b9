//! Every torture message, and mutations of them, read by another parser too: both accept or both
//! refuse, and both see the same headers and body. Where they differ on purpose there is a reason.

use bytes::Bytes;
use proptest::prelude::*;
use sip::{Limits, Message, unfold};
use sipx_sip::error::{ParseError as TheirError, StartLineError};

mod torture_messages;

/// Why only one of them accepts, if that is as it should be.
fn reason(
    ours: Result<&Message, &sip::ParseError>,
    theirs: Result<&sipx_sip::Message, &TheirError>,
    bytes: &[u8],
) -> Option<&'static str> {
    let first = || bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let second = || bytes.split(|b| *b == b'\n').nth(1)?.first();
    match ours {
        // We accept, they refuse.
        Ok(message) if message.check().is_err() => {
            Some("a bad value is the oracle's framing fault; ours frames, and check() refuses")
        }
        Ok(_) if matches!(theirs, Err(TheirError::StartLine(StartLineError::Uri(_)))) => {
            Some("the oracle refuses a Request-URI with an empty parameter and the like")
        }
        Ok(message) if message.status().is_some() && message.reason().is_empty() => {
            Some("the space before an empty reason phrase may be missing")
        }
        Ok(_) if bytes.starts_with(b"\r\n") => Some("CRLF before a message (RFC 3261 7.5)"),
        Ok(message) if message.headers().any(|h| folds(h.line) > 16) => {
            Some("we bound a folded line by its bytes, the oracle by its folds too")
        }
        Ok(_) => None,
        // They accept, we refuse.
        Err(sip::ParseError::BareLf | sip::ParseError::BareCr) => {
            Some("a bare CR or LF is a line end to some: refused wherever it stands in the head")
        }
        Err(sip::ParseError::HeaderLine) if matches!(second(), Some(b' ' | b'\t')) => {
            Some("a start line does not fold (RFC 3261 7.1)")
        }
        Err(sip::ParseError::BodyLong) => Some(
            "after the message in a frame the oracle lets CRLF pass, \
             and all of a next message without length",
        ),
        Err(sip::ParseError::StartLine) if theirs.is_ok_and(|m| !is_version_2(m)) => {
            Some("a version is SIP, a slash and two numbers; the oracle takes any text for one")
        }
        Err(sip::ParseError::StartLine) if !first().is_ascii() => {
            Some("a Request-URI is ASCII (RFC 3261 25.1)")
        }
        Err(sip::ParseError::StartLine) if first().iter().any(|b| b"<>\"".contains(b)) => {
            Some("a Request-URI holds no delimiters (RFC 3261 19.1.1)")
        }
        Err(_) => None,
    }
}

fn is_version_2(message: &sipx_sip::Message) -> bool {
    match message {
        sipx_sip::Message::Request(request) => request.version.is_supported(),
        sipx_sip::Message::Response(response) => response.version.is_supported(),
    }
}

fn folds(line: &[u8]) -> usize {
    line.iter().filter(|b| **b == b'\r').count() - 1
}

fn compare(bytes: &[u8]) -> Result<(), String> {
    let limits = Limits::default();
    let theirs = sipx_sip::Limits {
        max_message_bytes: limits.message_bytes_max,
        max_body_bytes: limits.body_bytes_max,
        max_headers: limits.headers_max,
        max_header_bytes: limits.line_bytes_max,
        max_folding_lines: 16,
    };
    let input = Bytes::copy_from_slice(bytes);
    let pairs = [
        (
            Message::parse_datagram(input.clone(), &limits),
            sipx_sip::parse_datagram(input.clone(), &theirs),
        ),
        (
            Message::parse_frame(input.clone(), &limits),
            sipx_sip::parse_frame(input, &theirs),
        ),
    ];
    for (ours, theirs) in pairs {
        match (&ours, &theirs) {
            (Err(_), Err(_)) => {}
            (Ok(ours), Ok(theirs)) => same(ours, theirs)?,
            _ if reason(ours.as_ref(), theirs.as_ref(), bytes).is_some() => {}
            _ => {
                let theirs = theirs.as_ref().map(drop);
                return Err(format!("{ours:?} {theirs:?} {}", bytes.escape_ascii()));
            }
        }
    }
    Ok(())
}

fn same(ours: &Message, theirs: &sipx_sip::Message) -> Result<(), String> {
    let squeeze = |value: &[u8]| {
        let words = value
            .split(|b| b" \t".contains(b))
            .filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(&b' ')
    };
    let mine: Vec<_> = ours.headers().map(|h| squeeze(&unfold(h.value))).collect();
    let other: Vec<_> = theirs
        .headers()
        .iter()
        .map(|h| squeeze(&h.value()))
        .collect();
    if mine != other {
        return Err(format!(
            "header values differ in {}",
            ours.bytes().escape_ascii()
        ));
    }
    if ours.body() != &theirs.body()[..] {
        return Err(format!("bodies differ in {}", ours.bytes().escape_ascii()));
    }
    let start = match theirs {
        sipx_sip::Message::Request(request) => {
            request.method.as_bytes() == ours.method_text().as_bytes()
        }
        sipx_sip::Message::Response(response) => {
            Some(response.status.code()) == ours.status() && response.reason == ours.reason()
        }
    };
    if start {
        Ok(())
    } else {
        Err(format!("start lines differ in {ours:?}"))
    }
}

fn corpus() -> Vec<Bytes> {
    let both = [4475, 5118].into_iter().flat_map(torture_messages::rfc);
    both.map(|case| case.bytes).collect()
}

#[test]
fn the_torture_messages() {
    for bytes in corpus() {
        assert_eq!(compare(&bytes), Ok(()));
    }
}

/// One small damage.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, &'static str),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
    RepeatLine(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let pieces = prop::sample::select(vec![
        "\r\n",
        "\r",
        "\n",
        "\r\n\r\n",
        "\r\n ",
        " ",
        "\t",
        ":",
        ";",
        ",",
        "<",
        ">",
        "\"",
        "\\",
        "%",
        "l: 0\r\n",
        "Content-Length: 5\r\n",
        "\0",
        "SIP/2.0",
        "@",
        "[",
        "]",
        "\u{fc}",
    ]);
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), pieces).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        at().prop_map(Damage::Remove),
        at().prop_map(Damage::Cut),
        at().prop_map(Damage::RepeatLine),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    match damage {
        Damage::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Damage::Insert(at, piece) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, piece.bytes());
        }
        Damage::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::RepeatLine(at) => {
            let lines: Vec<_> = bytes
                .split_inclusive(|b| *b == b'\n')
                .map(<[u8]>::to_vec)
                .collect();
            let line = at.get(&lines).clone();
            let end = lines[0].len();
            bytes.splice(end..end, line);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn damaged_messages(
        message in prop::sample::select(corpus()),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let mut bytes = message.to_vec();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        prop_assert_eq!(compare(&bytes), Ok(()));
    }
}
