//! What a registration costs: the growth of this process's resident memory, per registration.

#![cfg(target_os = "linux")]

use std::net::SocketAddr;

use engine::location::{Aor, Binding, BindingText, Locations, SHARDS, shard_of};
use engine::{Hop, Seed, TokenKey};

/// A peer's whole registration takes 928 B; ours has the table, the index by time and the strings
/// of a phone that sends everything a binding keeps.
const BYTES_MAX: usize = 450;
const REGISTRATIONS: usize = 100_000;

#[test]
fn a_registration_takes_no_more_than_450_bytes() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let key = TokenKey::new([7; 16]);
    let mut shards: Vec<Locations> = (0..SHARDS).map(|_| Locations::new(Seed(3))).collect();
    let before = resident();
    for n in 0..REGISTRATIONS {
        let aor = Aor::from(format!("user{n:06}@example.test"));
        let text = BindingText {
            contact: &format!(
                "sip:user{n:06}@192.0.2.{}:{};transport=udp;ob",
                n % 250,
                5060 + n % 9
            ),
            path: "",
            instance: &format!("<urn:uuid:00000000-0000-4000-8000-{n:012}>"),
            agent: "Phone/4.2.1 (build 20261121; linux)",
        };
        let remote = SocketAddr::from(([192, 0, 2, 1], 5060));
        let hop = Hop::Udp {
            listener: 0,
            remote,
        };
        // Registered over ten minutes, and refreshed once meanwhile.
        let made = 1_700_000_000 + n as u32 / 170;
        let shard = &mut shards[usize::from(shard_of(&aor, &key))];
        for expires in [made + 3600, made + 5400] {
            shard.put(&aor, vec![Binding::new(text, hop, expires).unwrap()]);
        }
    }
    let each = (resident() - before) / REGISTRATIONS;
    println!("{each} bytes per registration");
    assert!(each <= BYTES_MAX, "{each} bytes per registration");
    assert_eq!(
        shards.iter().map(Locations::bindings).sum::<usize>(),
        REGISTRATIONS
    );
}
