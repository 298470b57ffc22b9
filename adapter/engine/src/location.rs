//! Where registered users are: the bindings of addresses-of-record (RFC 3261 10).
//!
//! A shard of the table is plain data with one writer, its registrar. Bindings are kept small
//! because there are tens of thousands of them: the strings of one binding share an allocation,
//! and expiry is by buckets of a few seconds instead of a timer each.

mod binding;
mod record;

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

pub use binding::{Binding, BindingText, Oversized};
pub use record::{BadRecord, Stored, decode, encode};

use crate::seed::Seed;
use crate::token::TokenKey;

/// An address-of-record as text: `user@domain`, in normal form.
pub type Aor = Arc<str>;

/// How many shards the table has.
pub const SHARDS: u8 = 64;

/// Expiry is looked at once in so many seconds.
const BUCKET_SECONDS: u32 = 4;

/// The shard that holds an AOR. Keyed, so that strangers cannot fill one shard.
#[must_use]
pub fn shard_of(aor: &str, key: &TokenKey) -> u8 {
    (key.hash(&[aor.as_bytes()]) % u64::from(SHARDS)) as u8
}

/// The bindings of one AOR.
struct Entry {
    bindings: Box<[Binding]>,
    /// The one bucket that will look at this entry next; entries in other buckets are stale.
    bucket: u32,
}

/// One shard of the location table.
pub struct Locations {
    entries: HashMap<Aor, Entry, Seed>,
    /// AORs to look at, by `expires / BUCKET_SECONDS`, rounded up.
    due: BTreeMap<u32, Vec<Aor>>,
    /// AORs with a binding on a connection.
    flows: HashMap<u64, SmallVec<[Aor; 1]>, Seed>,
    bindings: usize,
}

/// Bindings that left the table together.
#[derive(Debug)]
pub struct Removed {
    /// Whose.
    pub aor: Aor,
    /// Which.
    pub bindings: Vec<Binding>,
    /// Whether the AOR has others left.
    pub more: bool,
}

impl Locations {
    /// An empty shard. The seed keys its hash tables against chosen keys.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self {
            entries: HashMap::with_hasher(seed),
            due: BTreeMap::new(),
            flows: HashMap::with_hasher(seed),
            bindings: 0,
        }
    }

    /// The bindings of an AOR that are alive at `now` (Unix seconds).
    pub fn live<'a>(&'a self, aor: &str, now: u32) -> impl Iterator<Item = &'a Binding> + use<'a> {
        self.all(aor)
            .iter()
            .filter(move |binding| binding.expires > now)
    }

    /// All bindings of an AOR, also those whose bucket has not come yet.
    #[must_use]
    pub fn all(&self, aor: &str) -> &[Binding] {
        self.entries.get(aor).map_or(&[], |entry| &entry.bindings)
    }

    /// The shared key of an AOR that is in the table.
    #[must_use]
    pub fn key(&self, aor: &str) -> Option<&Aor> {
        self.entries.get_key_value(aor).map(|(key, _)| key)
    }

    /// Every AOR with its bindings, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Aor, &[Binding])> {
        self.entries
            .iter()
            .map(|(aor, entry)| (aor, &*entry.bindings))
    }

    /// The number of AORs with a binding.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.entries.len()
    }

    /// The number of bindings.
    #[must_use]
    pub fn bindings(&self) -> usize {
        self.bindings
    }

    /// Replaces the bindings of an AOR and returns those it had. None left: the AOR goes.
    pub fn put(&mut self, aor: &Aor, bindings: Vec<Binding>) -> Vec<Binding> {
        self.bindings += bindings.len();
        let next = bindings.iter().map(Binding::expires_bucket).min();
        for connection in bindings
            .iter()
            .filter_map(|binding| binding.hop.connection())
        {
            let holders = self.flows.entry(connection).or_default();
            if !holders.contains(aor) {
                holders.push(aor.clone());
            }
        }
        let before = match (self.entries.get_mut(&**aor), next) {
            (Some(entry), Some(next)) => {
                let before = core::mem::replace(&mut entry.bindings, bindings.into());
                // A later expiry waits for the bucket the entry is in; it is moved on then.
                if next < entry.bucket {
                    entry.bucket = next;
                    self.due.entry(next).or_default().push(aor.clone());
                }
                before
            }
            (Some(_), None) => match self.entries.remove(&**aor) {
                Some(entry) => entry.bindings,
                None => Box::default(),
            },
            (None, Some(next)) => {
                let entry = Entry {
                    bindings: bindings.into(),
                    bucket: next,
                };
                self.entries.insert(aor.clone(), entry);
                self.due.entry(next).or_default().push(aor.clone());
                Box::default()
            }
            (None, None) => Box::default(),
        };
        self.bindings -= before.len();
        for connection in before.iter().filter_map(|binding| binding.hop.connection()) {
            self.leave(connection, aor);
        }
        before.into_vec()
    }

    /// Takes an AOR out of a connection's list if none of its bindings is on it any more.
    fn leave(&mut self, connection: u64, aor: &Aor) {
        let stays = self
            .all(aor)
            .iter()
            .any(|binding| binding.hop.connection() == Some(connection));
        if stays {
            return;
        }
        if let Some(holders) = self.flows.get_mut(&connection) {
            holders.retain(|holder| holder != aor);
            if holders.is_empty() {
                self.flows.remove(&connection);
            }
        }
    }

    /// Removes the bindings on a connection that is gone, one AOR a call; `None` when none is left.
    pub fn lose(&mut self, connection: u64) -> Option<Removed> {
        let aor = self.flows.get(&connection)?.first()?.clone();
        Some(self.remove(&aor, |binding| binding.hop.connection() == Some(connection)))
    }

    /// Removes the bindings that are over at `now` (Unix seconds), one AOR a call; `None` when
    /// nothing more is due.
    pub fn expire(&mut self, now: u32) -> Option<Removed> {
        loop {
            let mut first = self.due.first_entry()?;
            let bucket = *first.key();
            if bucket.saturating_mul(BUCKET_SECONDS) > now {
                return None;
            }
            let popped = first.get_mut().pop();
            if first.get().is_empty() {
                first.remove();
            }
            let Some(aor) = popped else {
                continue;
            };
            let Some(entry) = self.entries.get_mut(&*aor) else {
                continue;
            };
            if entry.bucket != bucket {
                continue;
            }
            if entry.bindings.iter().all(|binding| binding.expires > now) {
                // Refreshed since: look again when the first of them is due.
                let next = entry.bindings.iter().map(Binding::expires_bucket).min();
                entry.bucket = next.unwrap_or(bucket).max(bucket + 1);
                self.due.entry(entry.bucket).or_default().push(aor);
                continue;
            }
            // What stays must be queued again, and `put` only queues what comes sooner.
            entry.bucket = u32::MAX;
            return Some(self.remove(&aor, |binding| binding.expires <= now));
        }
    }

    /// When `expire` has something to do next, in Unix seconds.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u32> {
        let (bucket, _) = self.due.first_key_value()?;
        Some(bucket.saturating_mul(BUCKET_SECONDS))
    }

    fn remove(&mut self, aor: &Aor, gone: impl Fn(&Binding) -> bool) -> Removed {
        let stay: Vec<Binding> = self
            .all(aor)
            .iter()
            .filter(|binding| !gone(binding))
            .cloned()
            .collect();
        let more = !stay.is_empty();
        let mut bindings = self.put(aor, stay);
        bindings.retain(|binding| gone(binding));
        Removed {
            aor: aor.clone(),
            bindings,
            more,
        }
    }
}

#[cfg(test)]
mod tests;
