//! The digest server against the digest client, and against those who cheat.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::time::Duration;

use sip::Now;
use sip::digest::{
    Algorithm, Client, Credentials, Ha1, NonceSecret, Refusal, Secret, Server, ServerSettings,
    Verdict,
};

const REALM: &str = "example.test";
const URI: &str = "sip:example.test";
const LIFE: Duration = Duration::from_secs(300);

fn server(nonces_max: usize) -> Server {
    Server::new(ServerSettings {
        secret: NonceSecret(*b"0123456789abcdef"),
        life: LIFE,
        algorithms: Box::new([Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5]),
        nonces_max,
    })
}

fn at(secs: u64) -> Now {
    let mono = Duration::from_secs(secs);
    Now {
        mono,
        unix_ms: 1_790_000_000_000 + secs * 1000,
    }
}

/// The challenge values of `server`, for `random`.
fn challenge(server: &Server, now: Now, random: u64) -> Vec<String> {
    server
        .challenge(now, random, REALM, false)
        .values()
        .collect()
}

fn client(challenges: &[String]) -> Client {
    let secret = Secret::Password("pa\"ss".into());
    Client::new(challenges.iter().map(String::as_bytes), "1001", &secret).unwrap()
}

fn check(server: &mut Server, now: Now, value: &[u8]) -> Verdict {
    let credentials = Credentials::parse(value).unwrap();
    let algorithm = credentials.algorithm().unwrap_or(Algorithm::Md5);
    let ha1 = Ha1::from_password(algorithm, "1001", REALM, "pa\"ss");
    let known = credentials.username().as_deref() == Some("1001");
    server.check(now, "REGISTER", REALM, &credentials, known.then_some(&ha1))
}

#[test]
fn each_algorithm_is_accepted_once_for_each_count() {
    let mut server = server(100);
    for only in 0..3 {
        let challenges = challenge(&server, at(0), only);
        let mut client = client(&challenges[only as usize..=only as usize]);
        for _ in 0..5 {
            let value = client.authorize("REGISTER", URI, b"", 7);
            assert_eq!(check(&mut server, at(1), &value), Verdict::Accepted);
            assert_eq!(
                check(&mut server, at(1), &value),
                Verdict::Stale,
                "a replay"
            );
        }
    }
    assert_eq!(server.nonces(), 3);
}

#[test]
fn the_first_challenge_that_can_be_answered_is() {
    let server = server(100);
    let value = client(&challenge(&server, at(0), 1)).authorize("REGISTER", URI, b"", 7);
    let value = String::from_utf8(value).unwrap();
    assert!(value.contains("algorithm=SHA-512-256"), "{value}");

    let ha1 = Ha1::from_password(Algorithm::Md5, "1001", REALM, "pa\"ss");
    let challenges = challenge(&server, at(0), 1);
    let challenges = challenges.iter().map(String::as_bytes);
    let mut client = Client::new(challenges, "1001", &Secret::Ha1(ha1)).unwrap();
    let value = String::from_utf8(client.authorize("REGISTER", URI, b"", 7)).unwrap();
    assert!(value.contains("algorithm=MD5,"), "{value}");
}

#[test]
fn counts_may_come_out_of_order_within_the_window() {
    let mut server = server(100);
    let mut client = client(&challenge(&server, at(0), 1));
    let values: Vec<_> = (0..200)
        .map(|i| client.authorize("REGISTER", URI, b"", i))
        .collect();
    assert_eq!(check(&mut server, at(0), &values[100]), Verdict::Accepted);
    assert_eq!(
        check(&mut server, at(0), &values[36]),
        Verdict::Accepted,
        "64 below"
    );
    assert_eq!(
        check(&mut server, at(0), &values[35]),
        Verdict::Stale,
        "65 below"
    );
    assert_eq!(check(&mut server, at(0), &values[36]), Verdict::Stale);
    assert_eq!(check(&mut server, at(0), &values[199]), Verdict::Accepted);
    assert_eq!(
        check(&mut server, at(0), &values[100]),
        Verdict::Stale,
        "99 below"
    );
    assert_eq!(check(&mut server, at(0), &values[198]), Verdict::Accepted);
}

/// Two users challenged in one millisecond do not share a replay window.
#[test]
fn two_challenges_of_one_instant_are_two_nonces() {
    let mut server = server(100);
    let (one, two) = (challenge(&server, at(0), 1), challenge(&server, at(0), 2));
    assert_ne!(one, two);
    let one = client(&one).authorize("REGISTER", URI, b"", 7);
    let two = client(&two).authorize("REGISTER", URI, b"", 7);
    assert_eq!(check(&mut server, at(0), &one), Verdict::Accepted);
    assert_eq!(check(&mut server, at(0), &two), Verdict::Accepted);
}

#[test]
fn an_old_nonce_is_stale_and_its_window_is_let_go() {
    let mut server = server(100);
    let mut client = client(&challenge(&server, at(0), 1));
    let first = client.authorize("REGISTER", URI, b"", 7);
    let second = client.authorize("REGISTER", URI, b"", 7);
    assert_eq!(check(&mut server, at(300), &first), Verdict::Accepted);
    assert_eq!(server.nonces(), 1);
    assert_eq!(check(&mut server, at(301), &second), Verdict::Stale);
    assert_eq!(server.nonces(), 0);
    assert_eq!(
        check(&mut server, at(301), &first),
        Verdict::Stale,
        "not even as a new one"
    );
}

#[test]
fn memory_is_bounded_and_forgetting_opens_no_replay() {
    let mut server = server(10);
    let first = client(&challenge(&server, at(0), 1)).authorize("REGISTER", URI, b"", 7);
    assert_eq!(check(&mut server, at(0), &first), Verdict::Accepted);
    for random in 2..50 {
        let value = client(&challenge(&server, at(1), random)).authorize("REGISTER", URI, b"", 7);
        assert_eq!(check(&mut server, at(1), &value), Verdict::Accepted);
        assert!(server.nonces() <= 10);
    }
    assert_eq!(check(&mut server, at(1), &first), Verdict::Stale);
}

#[test]
fn cheats_are_refused() {
    let mut server = server(100);
    let challenges = challenge(&server, at(0), 1);
    let value = String::from_utf8(client(&challenges).authorize("REGISTER", URI, b"", 7)).unwrap();
    let mut verdict = |from: &str, to: &str| {
        let changed = value.replacen(from, to, 1);
        assert_ne!(changed, value);
        check(&mut server, at(0), changed.as_bytes())
    };
    assert_eq!(
        verdict("\"1001\"", "\"1002\""),
        Verdict::Refused(Refusal::Response)
    );
    assert_eq!(
        verdict("nc=00000001", "nc=00000002"),
        Verdict::Refused(Refusal::Response)
    );
    assert_eq!(
        verdict(URI, "sip:evil.test"),
        Verdict::Refused(Refusal::Response)
    );
    assert_eq!(
        verdict("example.test", "other.test"),
        Verdict::Refused(Refusal::Realm)
    );
    assert_eq!(
        verdict("SHA-512-256", "SHA-512"),
        Verdict::Refused(Refusal::Algorithm)
    );
    assert_eq!(
        verdict("SHA-512-256", "MD5-sess"),
        Verdict::Refused(Refusal::Algorithm)
    );
    assert_eq!(
        verdict("qop=auth", "qop=auth-int"),
        Verdict::Refused(Refusal::Qop)
    );
    assert_eq!(
        verdict("response=\"", "response=\"00"),
        Verdict::Refused(Refusal::Response)
    );
    assert_eq!(
        check(&mut server, at(0), value.as_bytes()),
        Verdict::Accepted
    );
}

/// The password is right, but the nonce is not one of ours: another node's, or before a restart.
#[test]
fn a_foreign_nonce_is_stale_not_wrong() {
    let mut server = server(100);
    let foreign = ["Digest realm=\"example.test\", nonce=\"abc\", qop=\"auth\"".to_owned()];
    let value = client(&foreign).authorize("REGISTER", URI, b"", 7);
    assert_eq!(check(&mut server, at(0), &value), Verdict::Stale);
    let own = challenge(&server, at(0), 1);
    let at_end = own[0].find("\", algorithm").unwrap();
    let mut tampered = own[0].clone();
    let last = if tampered.as_bytes()[at_end - 1] == b'A' {
        "B"
    } else {
        "A"
    };
    tampered.replace_range(at_end - 1..at_end, last);
    let value = client(&[tampered]).authorize("REGISTER", URI, b"", 7);
    assert_eq!(check(&mut server, at(0), &value), Verdict::Stale);
    assert_eq!(server.nonces(), 0);
}

/// A phone of RFC 2069 sends no qop: its answer is good once.
#[test]
fn no_qop_is_good_once() {
    let mut server = server(100);
    let challenges: Vec<_> = challenge(&server, at(0), 1)
        .iter()
        .map(|value| value.replace(", qop=\"auth\"", ""))
        .collect();
    let value = client(&challenges).authorize("REGISTER", URI, b"", 7);
    assert_eq!(check(&mut server, at(0), &value), Verdict::Accepted);
    assert_eq!(check(&mut server, at(0), &value), Verdict::Stale);
}

#[test]
fn malformed_credentials_are_none() {
    for bad in [
        "",
        "Digest",
        "Digest ",
        "Basic abc",
        "Digest username=\"a\"",
        "Digest username=\"a, realm=\"b\"",
        "Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"d\", response=\"e\", qop=auth",
        "Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"d\", response=\"e\", qop=auth, \
         cnonce=\"f\", nc=1",
        "Digest username=\"a\", username=\"a\", realm=\"b\", nonce=\"c\", uri=\"d\", \
         response=\"e\"",
        "Digest username=\"a\\",
    ] {
        assert!(Credentials::parse(bad.as_bytes()).is_none(), "{bad}");
    }
    let folded = b"digest  username = \"a\\\"b\" ,\r\n realm=\"b\",nonce=c, uri=d,response=\"e\"";
    let credentials = Credentials::parse(folded).unwrap();
    assert_eq!(credentials.username().as_deref(), Some("a\"b"));
    assert_eq!(credentials.uri(), b"d");
}

/// What a challenge makes us echo cannot leave its line.
#[test]
fn a_challenge_cannot_inject_lines() {
    let evil = b"Digest realm=\"a\r\nX: y\", nonce=\"n\"";
    assert!(Client::new([&evil[..]], "1001", &Secret::Password("x".into())).is_none());
}
