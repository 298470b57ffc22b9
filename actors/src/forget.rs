//! Forgetting calls: a record goes once the end of its call is safe in the journal. The other way
//! round, a crash in between would leave a call that nobody ever hears the end of.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use engine::CallKey;
use parking_lot::Mutex;

use crate::{
    ack::{Ack, AckSink, Notice},
    journal::Journal,
    store::{Store, Tree},
};

/// The bytes of a record's name: a shard, and the bits of a ULID.
const NAME: usize = 17;

/// What the store calls the record of a call.
pub(crate) fn record_name(key: CallKey) -> [u8; NAME] {
    let mut name = [0; NAME];
    name[0] = key.shard;
    name[1..].copy_from_slice(&key.id.to_be_bytes());
    name
}

/// The call that the store calls `name`.
pub(crate) fn call_key(name: &[u8]) -> Option<CallKey> {
    let (shard, id) = name.split_first()?;
    Some(CallKey {
        shard: *shard,
        id: u128::from_be_bytes(id.try_into().ok()?),
    })
}

/// The calls whose records are to go.
pub(crate) struct Forgotten {
    store: Arc<dyn Store>,
    waiting: Mutex<HashMap<u64, CallKey>>,
    next: AtomicU64,
}

impl Forgotten {
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            waiting: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    /// Deletes the record of a call once what it has told so far is safe in `journal`.
    pub(crate) fn forget(self: &Arc<Self>, journal: &Journal, key: CallKey) {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().insert(token, key);
        let notice = Notice {
            sink: self.clone(),
            token,
        };
        if journal.synced(notice).is_err() {
            // The end may be lost as well, which is counted; a record must not stay for ever.
            self.settle(&[Ack {
                token,
                durable: false,
            }]);
        }
    }
}

impl AckSink for Forgotten {
    fn settle(&self, acks: &[Ack]) {
        for ack in acks {
            let Some(key) = self.waiting.lock().remove(&ack.token) else {
                continue;
            };
            // Refused, it is counted, and the next start finds that the call has ended.
            let name = record_name(key);
            self.store.delete(Tree::Dialogs, &name, None).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::{
        clock::Clock,
        journal::{Draft, Entry, Options, verify},
        store::{Full, Unreadable, Visitor, Write},
    };

    struct End;

    impl Entry for End {
        fn encode(&self, draft: &mut Draft) {
            draft.id.push_str("end");
        }
    }

    /// Notes what is in the journal's files when something is deleted.
    struct Watcher {
        journal: std::path::PathBuf,
        deleted: Mutex<Vec<(Box<[u8]>, u64)>>,
    }

    impl Store for Watcher {
        fn write(&self, write: Write, _: Option<Notice>) -> Result<(), Full> {
            let sealed = verify(&self.journal, None).unwrap().next;
            self.deleted.lock().push((write.key, sealed));
            Ok(())
        }

        fn scan(&self, _: Tree, _: &mut Visitor<'_>) -> Result<(), Unreadable> {
            Ok(())
        }

        fn close(&self) {}
    }

    #[test]
    fn a_record_goes_after_the_end_is_in_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_bytes(&[7; 32]);
        let (journal, _) = Journal::open(Options::new(dir.path()), key, 0, Clock::start()).unwrap();
        let watcher = Arc::new(Watcher {
            journal: dir.path().into(),
            deleted: Mutex::default(),
        });
        let forgotten = Forgotten::new(watcher.clone());
        let calls = [1, 2, 3].map(|id| CallKey { shard: 7, id });
        for key in calls {
            journal.append_synced(End).unwrap();
            forgotten.forget(&journal, key);
        }
        journal.close();
        let deleted = watcher.deleted.lock();
        assert_eq!(deleted.len(), calls.len());
        for ((name, sealed), (ends, key)) in deleted.iter().zip((1..).zip(calls)) {
            assert_eq!(call_key(name), Some(key));
            assert!(
                *sealed >= ends,
                "{sealed} entries at the end of call {ends}"
            );
        }
        assert!(forgotten.waiting.lock().is_empty());
    }

    #[test]
    fn without_a_journal_it_goes_at_once() {
        let store = Arc::new(crate::store::MemoryStore::default());
        let key = CallKey { shard: 7, id: 1 };
        let record = Bytes::from_static(b"x");
        store
            .put(Tree::Dialogs, &record_name(key), record, None)
            .unwrap();
        Forgotten::new(store.clone()).forget(&Journal::none(), key);
        let mut left = 0;
        store.scan(Tree::Dialogs, &mut |_, _, _| left += 1).unwrap();
        assert_eq!(left, 0);
    }
}
