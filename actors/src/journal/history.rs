//! What the journal still knows of calls: the last event that each of them told.

use std::collections::{HashMap, HashSet};

use bus_schema::{CallRef, Position};

use super::{Journal, reader::Step};

/// How far back is looked, in entries: the read takes well under a second. A call that has been
/// silent for longer is known by its record alone.
const ENTRIES_MAX: u64 = 200_000;

/// The position of the last event in the journal of each of these calls. What cannot be read is
/// left out. Blocks.
pub(crate) fn last_positions(
    journal: &Journal,
    calls: &HashSet<CallRef>,
) -> HashMap<CallRef, Position> {
    let mut last = HashMap::with_capacity(calls.len());
    let Some(outbox) = journal.outbox().filter(|_| !calls.is_empty()) else {
        return last;
    };
    let end = outbox.horizon();
    let mut reader = outbox.reader(end.saturating_sub(ENTRIES_MAX));
    while reader.position() < end {
        match reader.step() {
            Ok(Step::Entry(record)) => {
                if let Some((call, position)) = told(record.id())
                    && calls.contains(&call)
                {
                    last.insert(call, position);
                }
            }
            Ok(Step::Missing { .. }) => {}
            Ok(Step::End) => break,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be read back");
                break;
            }
        }
    }
    last
}

/// The call and the position that an event's id names: `call:epoch:seq`.
fn told(id: &str) -> Option<(CallRef, Position)> {
    let mut parts = id.split(':');
    let call = parts.next()?.parse().ok()?;
    let epoch = parts.next()?.parse().ok()?;
    let seq = parts.next()?.parse().ok()?;
    Some((call, Position { epoch, seq }))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::super::{Draft, Entry, Options};
    use super::*;
    use crate::clock::Clock;

    struct Told(String);

    impl Entry for Told {
        fn encode(&self, draft: &mut Draft) {
            draft.id.clone_from(&self.0);
        }
    }

    #[test]
    fn the_last_event_of_each_wanted_call_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let key = || SigningKey::from_bytes(&[7; 32]);
        let open = || Journal::open(Options::new(dir.path()), key(), 0, Clock::start()).unwrap();
        let calls = [1, 2, 3].map(|ulid| CallRef::new(7, ulid));
        let (journal, _) = open();
        for seq in 1..=4 {
            for call in &calls[..2] {
                let id = format!("{call}:9:{seq}");
                journal.append(Told(id)).unwrap();
            }
            journal.append(Told(format!("n1:9:{seq}"))).unwrap();
        }
        journal.close();

        let (journal, _) = open();
        let wanted = HashSet::from([calls[1], calls[2]]);
        let found = last_positions(&journal, &wanted);
        let last = Position { epoch: 9, seq: 4 };
        assert_eq!(found, HashMap::from([(calls[1], last)]));
        assert_eq!(last_positions(&Journal::none(), &wanted), HashMap::new());
    }
}
