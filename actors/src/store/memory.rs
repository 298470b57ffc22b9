//! A store that forgets: for tests, and for a node told to keep nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Full, Store, Tree, Unreadable, Visitor, Write};
use crate::ack::{Ack, Notice};

type Key = (&'static str, Box<[u8]>);

/// Keys and values in memory. Every write is acknowledged at once.
#[derive(Debug, Default)]
pub struct MemoryStore {
    values: Mutex<BTreeMap<Key, Bytes>>,
}

impl Store for MemoryStore {
    fn write(&self, write: Write, notice: Option<Notice>) -> Result<(), Full> {
        let key = (write.tree.as_str(), write.key);
        let mut values = self.values.lock();
        match write.value {
            Some(value) => values.insert(key, value),
            None => values.remove(&key),
        };
        drop(values);
        if let Some(notice) = notice {
            notice.sink.settle(&[Ack {
                token: notice.token,
                durable: true,
            }]);
        }
        Ok(())
    }

    fn scan(&self, tree: Tree, each: &mut Visitor<'_>) -> Result<(), Unreadable> {
        let values = self.values.lock();
        for ((name, key), value) in &*values {
            if *name == tree.as_str() {
                each(key, tree.format(), value);
            }
        }
        Ok(())
    }

    fn close(&self) {}
}
