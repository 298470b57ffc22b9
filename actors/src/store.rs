//! What a restart needs: registrations, dialog records, idempotency keys, the journal's cursor.
//!
//! A store is a cache that can be rebuilt or, at worst, begun anew; evidence is in the journal.
//! Arbiters hand over writes and go on; one thread writes them in batches, makes each batch durable
//! at once, and tells each waiting arbiter once per batch.

mod log;
mod memory;
mod open;
mod queue;
mod sled_store;

use bytes::Bytes;

pub use self::memory::MemoryStore;
pub use self::open::{Opened, Recovery};
pub use self::sled_store::{Options, SledStore};

use crate::ack::Notice;

/// A named part of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tree {
    /// Bindings.
    Registrations,
    /// Dialog and call records.
    Dialogs,
    /// Idempotency keys and their replies.
    Idempotency,
    /// What the bus has acknowledged.
    Cursor,
    /// The schema's version, this node's epoch.
    Meta,
}

impl Tree {
    /// Every tree.
    pub const ALL: [Self; 5] = [
        Self::Registrations,
        Self::Dialogs,
        Self::Idempotency,
        Self::Cursor,
        Self::Meta,
    ];

    /// Its name on disk.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registrations => "reg",
            Self::Dialogs => "dlg",
            Self::Idempotency => "idem",
            Self::Cursor => "cursor",
            Self::Meta => "meta",
        }
    }

    /// The version of its values' format, written before each. A reader that meets another one
    /// converts the value or drops it; it never guesses.
    pub const fn format(self) -> u8 {
        match self {
            Self::Registrations | Self::Dialogs | Self::Idempotency | Self::Cursor | Self::Meta => {
                1
            }
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub struct Write {
    /// Where.
    pub tree: Tree,
    /// The key; big-endian numbers keep their order.
    pub key: Box<[u8]>,
    /// The value without its format byte; `None` deletes.
    pub value: Option<Bytes>,
}

/// The store takes no more now: the disk is slower than the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's queue is full")]
pub struct Full;

/// Why the store could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {0}")]
pub struct Unreadable(pub String);

/// Is given a key, its value's format version, and the value.
pub type Visitor<'a> = dyn FnMut(&[u8], u8, &[u8]) + 'a;

/// A store. Writes of one caller are applied in the order in which they were handed over.
pub trait Store: Send + Sync + 'static {
    /// Hands over a change; never waits. `notice` is told when it is durable (or never will be).
    ///
    /// # Errors
    /// [`Full`]: it was refused; nobody will be told.
    fn write(&self, write: Write, notice: Option<Notice>) -> Result<(), Full>;

    /// Gives every key and value of a tree, in the order of the keys, with the value's format
    /// version. It sees what was durable when the store was opened. Blocks: for the start.
    ///
    /// # Errors
    /// [`Unreadable`], with what had been read already given.
    fn scan(&self, tree: Tree, each: &mut Visitor<'_>) -> Result<(), Unreadable>;

    /// Makes all that was handed over durable and ends. Blocks: for the way out.
    fn close(&self);

    /// Hands over a value; see [`Store::write`].
    ///
    /// # Errors
    /// [`Full`].
    fn put(
        &self,
        tree: Tree,
        key: &[u8],
        value: Bytes,
        notice: Option<Notice>,
    ) -> Result<(), Full> {
        self.write(
            Write {
                tree,
                key: key.into(),
                value: Some(value),
            },
            notice,
        )
    }

    /// Hands over a deletion; see [`Store::write`].
    ///
    /// # Errors
    /// [`Full`].
    fn delete(&self, tree: Tree, key: &[u8], notice: Option<Notice>) -> Result<(), Full> {
        self.write(
            Write {
                tree,
                key: key.into(),
                value: None,
            },
            notice,
        )
    }
}
