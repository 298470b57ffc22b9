//! The name of a call: its shard and its ULID.

use core::fmt;

use bus_schema::{CallRef, SHARDS};

/// The name of a call. On the bus it is the opaque `call` reference `<shard>.<ulid>`
/// ([`CallRef`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    /// The unit of ownership, below [`CallKey::SHARDS`].
    pub shard: u8,
    /// The bits of the ULID: 48 of time, 80 random.
    pub id: u128,
}

impl CallKey {
    /// How many shards there are.
    pub const SHARDS: u8 = SHARDS;

    /// A call of `shard`, made at `unix_ms` with 80 bits of entropy.
    #[must_use]
    pub fn new(shard: u8, unix_ms: u64, entropy: u128) -> Self {
        CallRef::mint(shard, unix_ms, entropy & ((1 << 80) - 1)).into()
    }

    /// The bits that tokens carry.
    #[must_use]
    pub fn low(&self) -> u64 {
        self.id as u64
    }

    /// The key that `text`, a `call` reference, names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<CallRef>().ok().map(Self::from)
    }
}

impl From<CallRef> for CallKey {
    fn from(call: CallRef) -> Self {
        Self {
            shard: call.shard(),
            id: call.ulid(),
        }
    }
}

impl From<CallKey> for CallRef {
    fn from(key: CallKey) -> Self {
        Self::new(key.shard, key.id)
    }
}

/// The `call` reference: `07.01ARZ3NDEKTSV4RRFFQ69G5FAV`.
impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        CallRef::from(*self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(shard in 0u8..64, id: u128) {
            let key = CallKey { shard, id };
            prop_assert_eq!(CallKey::parse(&key.to_string()), Some(key));
        }
    }

    #[test]
    fn a_reference_reads_as_documented() {
        let key = CallKey::new(7, 1_469_918_176_385, 0);
        assert_eq!(key.to_string(), "07.01ARYZ6S410000000000000000");
    }
}
