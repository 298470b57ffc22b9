use core::net::Ipv4Addr;

use bytes::Bytes;
use sip::Limits;

use super::*;

fn settings() -> DefenceSettings {
    DefenceSettings {
        rates: [5, 20, 10],
        failures: 4,
        window: Duration::from_secs(60),
        ban: Duration::from_secs(600),
        ban_max: Duration::from_secs(3600),
        sources: 1000,
        bans: 3,
        scanners: vec!["friendly-scanner".into()],
    }
}

fn defence() -> Defence {
    Defence::new(settings(), Seed(7))
}

fn at(seconds: u64) -> Now {
    Now {
        mono: Duration::from_secs(seconds),
        unix_ms: 1_700_000_000_000 + seconds * 1000,
    }
}

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

#[test]
fn a_purse_holds_ten_seconds_worth_and_fills_again() {
    let mut defence = defence();
    let taken = |defence: &mut Defence, now, source| {
        (0..1000)
            .filter(|_| defence.admit(now, source, Errand::Invite))
            .count()
    };
    assert_eq!(taken(&mut defence, at(0), ip(1)), 50);
    // Others pay for themselves, and so do other errands.
    assert_eq!(taken(&mut defence, at(0), ip(2)), 50);
    assert!(defence.admit(at(0), ip(1), Errand::Register));
    assert_eq!(taken(&mut defence, at(2), ip(1)), 10);
    assert_eq!(taken(&mut defence, at(100), ip(1)), 50);
}

#[test]
fn failures_shut_a_source_out_for_longer_each_time() {
    let mut defence = defence();
    let mut now = 0;
    for span in [600, 1200, 2400, 3600, 3600] {
        for _ in 0..3 {
            assert_eq!(defence.failed(at(now), ip(1), Some("u@d")), None);
            assert!(!defence.is_banned(at(now), ip(1)));
        }
        let ban = defence.failed(at(now), ip(1), None).unwrap();
        assert_eq!((ban.source, ban.user), (ip(1), None));
        assert_eq!(ban.until, at(now + span).unix_ms);
        assert!(defence.is_banned(at(now + span - 1), ip(1)));
        assert!(!defence.is_banned(at(now + span - 1), ip(2)));
        assert!(!defence.is_banned(at(now + span), ip(1)));
        assert_eq!(defence.expire(at(now + span)).len(), 1);
        assert_eq!(defence.expire(at(now + span)), []);
        now += span;
    }
    // A day later it begins from the start.
    now += 25 * 3600;
    assert_eq!(defence.expire(at(now)), []);
    let ban = (0..4).find_map(|_| defence.failed(at(now), ip(1), None));
    assert_eq!(ban.unwrap().until, at(now + 600).unix_ms);
}

#[test]
fn failures_far_apart_are_forgiven() {
    let mut defence = defence();
    for n in 0..100 {
        assert_eq!(defence.failed(at(n * 21), ip(1), Some("u@d")), None);
    }
}

#[test]
fn one_of_many_behind_an_address_is_shut_out_alone() {
    let mut defence = defence();
    defence.proved(at(0), ip(1), "good@d");
    for _ in 0..100 {
        assert_eq!(defence.failed(at(1), ip(1), None), None);
    }
    let ban = (0..4).find_map(|_| defence.failed(at(2), ip(1), Some("bad@d")));
    assert_eq!(ban.unwrap().user.as_deref(), Some("bad@d"));
    assert!(!defence.is_banned(at(3), ip(1)));
    assert!(defence.is_user_banned(at(3), ip(1), "bad@d"));
    assert!(!defence.is_user_banned(at(3), ip(1), "good@d"));
    assert!(!defence.is_user_banned(at(3), ip(2), "bad@d"));
    assert_eq!(defence.scanned(at(3), ip(1)), None);
}

#[test]
fn a_success_clears_the_users_own_failures() {
    let mut defence = defence();
    defence.proved(at(0), ip(1), "u@d");
    for round in 0..10 {
        for _ in 0..3 {
            assert_eq!(defence.failed(at(round), ip(1), Some("u@d")), None);
        }
        defence.proved(at(round), ip(1), "u@d");
    }
}

#[test]
fn a_scanner_is_known_by_its_name() {
    let mut defence = defence();
    let message = |agent: &str| {
        let text = format!("OPTIONS sip:a SIP/2.0\r\nCall-ID: 1\r\nUser-Agent: {agent}\r\n\r\n");
        Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap()
    };
    assert!(settings().is_scanner(&message("Friendly-Scanner 1.0")));
    assert!(!settings().is_scanner(&message("baresip")));
    assert!(!settings().is_scanner(&message("fr")));
    assert!(defence.scanned(at(0), ip(1)).is_some());
    assert_eq!(defence.scanned(at(1), ip(1)), None);
    assert!(defence.is_banned(at(1), ip(1)));
}

#[test]
fn orders_are_followed_and_listed() {
    let mut defence = defence();
    let until = at(100).unix_ms;
    assert!(defence.ban(ip(1), until).is_some());
    let bans: Vec<Ban> = defence.bans(at(1)).collect();
    assert_eq!(bans.len(), 1);
    assert_eq!((bans[0].source, bans[0].until), (ip(1), until));
    assert_eq!(defence.unban(ip(1)).len(), 1);
    assert_eq!(defence.unban(ip(1)), []);
    assert!(!defence.is_banned(at(1), ip(1)));
    assert!(!defence.has_bans());
}

#[test]
fn the_list_of_bans_is_bounded_and_the_served_make_room() {
    let mut defence = defence();
    for last in 0..3 {
        assert!(defence.ban(ip(last), at(10).unix_ms).is_some());
    }
    assert_eq!(defence.ban(ip(9), at(10).unix_ms), None);
    assert!(defence.ban(ip(2), at(20).unix_ms).is_some());
    defence.expire(at(11));
    assert!(defence.ban(ip(9), at(30).unix_ms).is_some());
    assert!(defence.is_banned(at(12), ip(2)));
    assert!(defence.is_banned(at(12), ip(9)));
}

#[test]
fn an_ipv6_source_is_its_network() {
    let mut defence = defence();
    let (a, b, c) = ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1");
    let [a, b, c]: [IpAddr; 3] = [a, b, c].map(|ip| ip.parse().unwrap());
    defence.ban(a, at(100).unix_ms);
    assert!(defence.is_banned(at(1), b));
    assert!(!defence.is_banned(at(1), c));
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    defence.ban(mapped, at(100).unix_ms);
    assert!(defence.is_banned(at(1), ip(1)));
}
