//! What holds whatever is registered.

use proptest::prelude::*;

use super::tests::{at, contacts, register, registrar, serve_on};
use super::*;

const BINDINGS_MAX: usize = 4;

#[derive(Clone, Debug)]
struct Step {
    wait: u64,
    call_id: u8,
    contacts: Vec<(u8, Option<u32>, u8)>,
    hop: u8,
    what: u8,
}

fn any_step() -> impl Strategy<Value = Step> {
    let expires = prop_oneof![Just(None), Just(Some(0)), (60..600u32).prop_map(Some)];
    let contacts = prop::collection::vec((0..6u8, expires, 0..3u8), 0..4);
    (0..200u64, 0..3u8, contacts, 0..3u8, 0..10u8).prop_map(
        |(wait, call_id, contacts, hop, what)| Step {
            wait,
            call_id,
            contacts,
            hop,
            what,
        },
    )
}

proptest! {
    #[test]
    fn bindings_are_bounded_alive_told_and_kept(
        steps in prop::collection::vec(any_step(), 1..60)
    ) {
        let mut registrar = registrar(BINDINGS_MAX);
        let mut stored: Option<Bytes> = None;
        let (mut seconds, mut bound, mut gone) = (0, 0usize, 0usize);
        let mut tell = |kept: &Kept, stored: &mut Option<Bytes>| {
            for change in &kept.changes {
                match change.kind {
                    ChangeKind::Bound => bound += 1,
                    ChangeKind::Refreshed => {}
                    ChangeKind::Removed
                    | ChangeKind::Replaced
                    | ChangeKind::Expired
                    | ChangeKind::Lost
                    | ChangeKind::Stranded => gone += 1,
                }
            }
            stored.clone_from(&kept.record);
            bound - gone
        };
        for (n, step) in steps.iter().enumerate() {
            seconds += step.wait;
            let now = at(seconds);
            match step.what {
                0 => {
                    while let Some(kept) = registrar.expire(now) {
                        prop_assert_eq!(tell(&kept, &mut stored), kept.left);
                    }
                }
                1 => {
                    while let Some(kept) = registrar.lose(u64::from(step.hop)) {
                        prop_assert_eq!(tell(&kept, &mut stored), kept.left);
                    }
                }
                _ => {
                    let mut lines = String::new();
                    for (contact, expires, instance) in &step.contacts {
                        lines.push_str(&format!("Contact: <sip:{contact}@h>"));
                        if let Some(expires) = expires {
                            lines.push_str(&format!(";expires={expires}"));
                        }
                        if *instance > 0 {
                            lines.push_str(&format!(";+sip.instance=\"<urn:{instance}>\""));
                        }
                        lines.push_str("\r\n");
                    }
                    let request = register(&step.call_id.to_string(), n as u32, &lines);
                    let hop = match step.hop {
                        0 => Hop::Udp { listener: 0, remote: ([192, 0, 2, 1], 5060).into() },
                        connection => {
                            Hop::Flow { connection: u64::from(connection), listener: 1 }
                        }
                    };
                    let before = registrar.locations().all("a@x").to_vec();
                    let (decision, reply) = serve_on(&mut registrar, now, hop, &request);
                    match &decision.kept {
                        Some(kept) => prop_assert_eq!(tell(kept, &mut stored), kept.left),
                        None => prop_assert_eq!(registrar.locations().all("a@x"), before),
                    }
                    if decision.status == 200 {
                        let alive = registrar.locations().live("a@x", unix_seconds(now)).count();
                        let contacts = contacts(&reply);
                        prop_assert_eq!(contacts.len(), alive);
                        prop_assert!(contacts.iter().all(|text| !text.contains("expires=0")));
                    }
                }
            }
            let all = registrar.locations().all("a@x");
            prop_assert!(all.len() <= BINDINGS_MAX);
            let kept = stored.as_deref().map_or_else(Vec::new, |record| {
                let stored = location::decode(record).unwrap();
                stored.into_iter().map(|stored| stored.binding).collect()
            });
            prop_assert_eq!(all, &kept[..], "the store has what the table has");
        }
    }
}
