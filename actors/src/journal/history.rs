//! What the journal still knows of calls: the last event that each of them told.

use std::collections::{HashMap, HashSet};

use bus_schema::{
    CallData, CallRef, CallSnapshot, Encoding, Envelope, EventName, Position, Subject, Topic,
    header,
};

use super::{Journal, reader::Step, record::Record};

/// How far back is looked, in entries: the read takes well under a second. A call that has been
/// silent for longer is known by its record alone.
const ENTRIES_MAX: u64 = 200_000;

/// The last event of a call.
#[derive(Debug)]
pub(crate) struct Last {
    /// Its place.
    pub(crate) position: Position,
    /// Whether it was `call.ended`.
    pub(crate) ended: bool,
    record: Record,
}

impl Last {
    /// The state of the call after it; `None` if it cannot be read.
    pub(crate) fn snapshot(&self) -> Option<CallSnapshot> {
        let mut headers = self.record.headers();
        let content_type = headers.find(|(name, _)| *name == header::CONTENT_TYPE);
        let encoding = Encoding::from_content_type(content_type.map(|(_, value)| value)).ok()?;
        let envelope: Envelope<CallData> = encoding.decode(&self.record.body()).ok()?;
        Some(envelope.data.call)
    }
}

/// The last event in the journal of each of these calls, and of every other one that it does not
/// know the end of. What cannot be read is left out. Blocks.
pub(crate) fn last_events(journal: &Journal, calls: &HashSet<CallRef>) -> HashMap<CallRef, Last> {
    let mut last = HashMap::with_capacity(calls.len());
    let Some(outbox) = journal.outbox() else {
        return last;
    };
    let end = outbox.horizon();
    let mut reader = outbox.reader(end.saturating_sub(ENTRIES_MAX));
    while reader.position() < end {
        match reader.step() {
            Ok(Step::Entry(record)) => {
                let Some((call, told)) = told(record) else {
                    continue;
                };
                if told.ended && !calls.contains(&call) {
                    last.remove(&call);
                } else {
                    last.insert(call, told);
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

/// The call that an entry is about, and what it says: its subject ends in the event's name, its
/// id is `call:epoch:seq`.
fn told(record: Record) -> Option<(CallRef, Last)> {
    let Topic::CallEvent { call, event } = Subject::parse(record.subject()).ok()?.topic else {
        return None;
    };
    let ended = event == EventName::CallEnded.as_str();
    let mut parts = record.id().split(':').skip(1);
    let position = Position {
        epoch: parts.next()?.parse().ok()?,
        seq: parts.next()?.parse().ok()?,
    };
    let last = Last {
        position,
        ended,
        record,
    };
    Some((call, last))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::super::{Draft, Entry, Options};
    use super::*;
    use crate::clock::Clock;

    struct Told(String, &'static str);

    impl Entry for Told {
        fn encode(&self, draft: &mut Draft) {
            let call = self.0.split(':').next().unwrap_or_default();
            let topic = match call.parse() {
                Ok(call) => Topic::CallEvent {
                    call,
                    event: self.1,
                },
                Err(_) => Topic::NodeEvent {
                    node: call,
                    event: self.1,
                },
            };
            let tenant = "default";
            draft.subject = Subject { tenant, topic }.build().unwrap();
            draft.id.clone_from(&self.0);
        }
    }

    #[test]
    fn of_wanted_and_unfinished_calls_the_last_event_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let key = || SigningKey::from_bytes(&[7; 32]);
        let open = || Journal::open(Options::new(dir.path()), key(), 0, Clock::start()).unwrap();
        let [unfinished, wanted, forgotten, silent] = [1, 2, 3, 4].map(|n| CallRef::new(7, n));
        let (journal, _) = open();
        for seq in 1..=4 {
            for call in [unfinished, wanted, forgotten] {
                let is_over = seq == 4 && call != unfinished;
                let event = if is_over {
                    "call.ended"
                } else {
                    "call.updated"
                };
                journal
                    .append(Told(format!("{call}:9:{seq}"), event))
                    .unwrap();
            }
            journal
                .append(Told(format!("n1:9:{seq}"), "node.up"))
                .unwrap();
        }
        journal.close();

        let (journal, _) = open();
        let asked = HashSet::from([wanted, silent]);
        let found = last_events(&journal, &asked);
        let position = Position { epoch: 9, seq: 4 };
        assert_eq!(found.len(), 2, "{found:?}");
        for (call, ended) in [(unfinished, false), (wanted, true)] {
            let last = &found[&call];
            assert_eq!((last.position, last.ended), (position, ended));
            assert!(last.snapshot().is_none());
        }
        assert!(last_events(&Journal::none(), &asked).is_empty());
    }
}
