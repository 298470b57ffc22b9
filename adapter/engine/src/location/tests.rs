use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::hop::{Hop, Transport};

fn udp() -> Hop {
    Hop::Udp {
        listener: 0,
        remote: SocketAddr::from(([192, 0, 2, 1], 5060)),
    }
}

fn flow(connection: u64) -> Hop {
    Hop::Flow {
        connection,
        listener: 1,
    }
}

fn binding(contact: &str, hop: Hop, expires: u32) -> Binding {
    let text = BindingText {
        contact,
        ..BindingText::default()
    };
    Binding::new(text, hop, expires).unwrap()
}

fn aor(text: &str) -> Aor {
    Aor::from(text)
}

#[test]
fn an_expired_binding_is_not_live_before_its_bucket_comes() {
    let mut table = Locations::new(Seed(1));
    table.put(&aor("a@x"), vec![binding("sip:a@h", udp(), 101)]);
    assert_eq!(table.live("a@x", 100).count(), 1);
    assert_eq!(table.live("a@x", 101).count(), 0);
    assert!(table.expire(101).is_none(), "bucket 104 has not come");
    let removed = table.expire(104).unwrap();
    assert_eq!(
        (&*removed.aor, removed.bindings.len(), removed.more),
        ("a@x", 1, false)
    );
    assert!(table.expire(104).is_none());
    assert_eq!(
        (table.addresses(), table.bindings(), table.next_expiry()),
        (0, 0, None)
    );
}

#[test]
fn a_refreshed_binding_is_looked_at_again_and_only_then_removed() {
    let mut table = Locations::new(Seed(1));
    let key = aor("a@x");
    table.put(&key, vec![binding("sip:a@h", udp(), 100)]);
    for refreshed in [400, 700, 1000] {
        table.put(&key, vec![binding("sip:a@h", udp(), refreshed)]);
    }
    assert!(table.expire(999).is_none());
    assert_eq!(table.due.values().map(Vec::len).sum::<usize>(), 1);
    assert_eq!(table.expire(1000).unwrap().bindings.len(), 1);
}

#[test]
fn a_shortened_binding_goes_at_its_new_time_and_the_old_bucket_is_harmless() {
    let mut table = Locations::new(Seed(1));
    let key = aor("a@x");
    table.put(&key, vec![binding("sip:a@h", udp(), 1000)]);
    table.put(&key, vec![binding("sip:a@h", udp(), 100)]);
    assert_eq!(table.expire(100).unwrap().bindings.len(), 1);
    table.put(&key, vec![binding("sip:a@h", udp(), 2000)]);
    assert!(table.expire(1000).is_none());
    assert_eq!(table.expire(2000).unwrap().bindings.len(), 1);
    assert!(table.due.is_empty());
}

#[test]
fn of_two_bindings_each_goes_in_its_own_time() {
    let mut table = Locations::new(Seed(1));
    let key = aor("a@x");
    table.put(
        &key,
        vec![
            binding("sip:a@h", udp(), 200),
            binding("sip:b@h", udp(), 100),
        ],
    );
    let first = table.expire(150).unwrap();
    assert_eq!((first.bindings[0].contact(), first.more), ("sip:b@h", true));
    assert!(table.expire(150).is_none());
    let second = table.expire(200).unwrap();
    assert_eq!(
        (second.bindings[0].contact(), second.more),
        ("sip:a@h", false)
    );
}

#[test]
fn a_dead_connection_takes_its_bindings_and_no_others() {
    let mut table = Locations::new(Seed(1));
    table.put(
        &aor("a@x"),
        vec![
            binding("sip:1", flow(7), 900),
            binding("sip:2", flow(8), 900),
        ],
    );
    table.put(&aor("b@x"), vec![binding("sip:3", flow(7), 900)]);
    table.put(&aor("c@x"), vec![binding("sip:4", flow(7), 900)]);
    // c moved to another connection meanwhile.
    table.put(&aor("c@x"), vec![binding("sip:4", flow(9), 900)]);
    let mut lost = Vec::new();
    while let Some(removed) = table.lose(7) {
        lost.push((
            removed.aor.to_string(),
            removed.bindings[0].contact().to_owned(),
        ));
    }
    lost.sort();
    assert_eq!(
        lost,
        [
            ("a@x".into(), "sip:1".into()),
            ("b@x".into(), "sip:3".into())
        ]
    );
    assert_eq!(table.bindings(), 2);
    assert_eq!(table.flows.len(), 2);
}

#[test]
fn strings_too_long_are_refused() {
    let contact = "x".repeat(Binding::TEXT_MAX + 1);
    let text = BindingText {
        contact: &contact,
        ..BindingText::default()
    };
    assert_eq!(Binding::new(text, udp(), 1), Err(Oversized));
}

#[test]
fn a_user_agent_is_cut_between_characters() {
    let text = BindingText {
        contact: "sip:a@h",
        agent: "1234567890123456789012345678901é",
        ..BindingText::default()
    };
    assert_eq!(
        Binding::new(text, udp(), 1).unwrap().agent(),
        "1234567890123456789012345678901"
    );
}

#[test]
fn a_damaged_record_is_an_error_at_every_length() {
    let bindings = [binding("sip:a@h", udp(), 5), binding("sip:b@h", flow(3), 6)];
    let bytes = encode(&bindings, &[]);
    for end in 0..bytes.len() {
        assert_eq!(decode(&bytes[..end]), Err(BadRecord), "{end}");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(decode(&longer), Err(BadRecord));
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn any_hop() -> impl Strategy<Value = Hop> {
    let transport = prop::sample::select(vec![
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Ws,
        Transport::Wss,
    ]);
    prop_oneof![
        (any::<u16>(), any_address()).prop_map(|(listener, remote)| Hop::Udp { listener, remote }),
        (any::<u64>(), any::<u16>()).prop_map(|(connection, listener)| Hop::Flow {
            connection,
            listener
        }),
        (transport, any::<u16>(), any_address()).prop_map(|(transport, listener, remote)| {
            Hop::Connect {
                transport,
                listener,
                remote,
            }
        }),
    ]
}

prop_compose! {
    fn any_binding()(
        contact in ".{0,80}", path in ".{0,80}", instance in ".{0,60}", agent in ".{0,40}",
        hop in any_hop(), expires: u32, q: u16, reg_id: u32, cseq: u32, call_id: u64,
    ) -> Binding {
        let text = BindingText {
            contact: &contact,
            path: &path,
            instance: &instance,
            agent: &agent,
        };
        let mut binding = Binding::new(text, hop, expires).unwrap();
        (binding.q, binding.reg_id, binding.cseq, binding.call_id) = (q, reg_id, cseq, call_id);
        binding
    }
}

proptest! {
    #[test]
    fn a_record_round_trips(bindings in prop::collection::vec(any_binding(), 0..12)) {
        let record = encode(&bindings, &[]);
        let stored = decode(&record).unwrap().into_iter();
        prop_assert_eq!(stored.map(|stored| stored.binding).collect::<Vec<_>>(), bindings);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let decoded = decode(&bytes);
        prop_assert!(decoded.is_err() || bytes[0] == 2);
    }

    /// Whatever is put, refreshed, lost and expired: counts agree, nothing expired is live, every
    /// binding leaves once, and nothing is left in the indexes at the end.
    #[test]
    fn the_indexes_agree_with_the_bindings(
        steps in prop::collection::vec((0..6u8, 0..4u8, 1..200u32, 0..4u64), 1..120)
    ) {
        let mut table = Locations::new(Seed(9));
        let mut now = 1000;
        for (user, what, seconds, connection) in steps {
            let key = aor(&format!("{user}@x"));
            match what {
                0 => {
                    let hop = if connection == 0 { udp() } else { flow(connection) };
                    table.put(&key, vec![binding("sip:a", hop, now + seconds)]);
                }
                1 => {
                    let mut all = table.all(&key).to_vec();
                    all.truncate(3);
                    all.push(binding("sip:b", flow(connection + 1), now + seconds));
                    table.put(&key, all);
                }
                2 => while table.lose(connection).is_some() {},
                _ => {
                    now += seconds;
                    while let Some(removed) = table.expire(now) {
                        prop_assert!(removed.bindings.iter().all(|binding| binding.expires <= now));
                    }
                }
            }
            prop_assert!(table.live(&key, now).all(|binding| binding.expires > now));
            let count: usize = table.iter().map(|(_, bindings)| bindings.len()).sum();
            prop_assert_eq!(count, table.bindings());
        }
        while table.expire(u32::MAX).is_some() {}
        prop_assert_eq!((table.bindings(), table.addresses()), (0, 0));
        prop_assert!(table.due.is_empty() && table.flows.is_empty());
    }
}
