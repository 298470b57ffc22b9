//! The one journal: every event and decision, appended once, in order, to segment files.
//!
//! It is the bus's outbox (what is published is read from here, and again after a loss of the bus)
//! and the witness log: the records are a hash chain, and every batch is closed by a signed seal
//! and one sync. Arbiters hand over entries and go on; one thread encodes, writes, seals and syncs.

mod entry;
mod history;
mod open;
mod outbox;
mod queue;
mod reader;
mod record;
mod segment;
mod verify;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use parking_lot::Mutex;

pub use self::entry::{Draft, Entry};
pub(crate) use self::history::{Last, last_events};
pub use self::open::{Opened, Recovery};
pub use self::outbox::{Outbox, Source};
pub use self::queue::Full;
pub use self::reader::{Reader, Step};
pub use self::record::{Hash, Record, Seal};
pub use self::verify::{Fault, Report, verify};

use self::queue::{Item, Order, Queue};
use crate::ack::{Ack, Notice};
use crate::clock::Clock;
use crate::priority::give_way;

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the segments; made if missing, and locked while open.
    pub dir: PathBuf,
    /// A new segment is begun past this many bytes.
    pub segment_bytes: u64,
    /// The oldest segments are deleted past this many bytes, published or not.
    pub retain_bytes: u64,
    /// Entries that may wait for the thread; beyond, they are refused and counted.
    pub queue: usize,
    /// Entries and bytes of them that memory keeps for the publisher. 0: nothing is ever published.
    pub ring: (usize, usize),
    /// While many events come, the thread looks for new ones this often; the first after a pause is
    /// taken at once.
    pub gather: Duration,
    /// The least time between two syncs while somebody waits for one.
    pub sync_hurried: Duration,
    /// The same while nobody does: fewer signatures and syncs, and endings are published this much
    /// later when the load is high.
    pub sync: Duration,
}

impl Options {
    /// What suits a node, in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            retain_bytes: 2 << 30,
            queue: 1 << 16,
            ring: (1 << 14, 16 << 20),
            gather: Duration::from_millis(20),
            sync_hurried: Duration::from_millis(2),
            sync: Duration::from_millis(20),
        }
    }
}

/// The way in. Every method returns at once; none waits for the disk.
pub struct Journal {
    kept: Option<Kept>,
}

struct Kept {
    queue: Arc<Queue>,
    outbox: Arc<Outbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens or begins the journal, cuts a torn tail, and starts its thread. Entries below
    /// `acknowledged` (the store's cursor) count as published.
    ///
    /// # Errors
    /// The directory cannot be used, or another process has it open.
    pub fn open(
        options: Options,
        key: SigningKey,
        acknowledged: u64,
        clock: Clock,
    ) -> io::Result<(Self, Opened)> {
        let (state, opened) = open::open(&options, &key)?;
        let queue = Arc::new(Queue::new(options.queue));
        let (entries, bytes) = options.ring;
        let outbox = Arc::new(Outbox::new(
            options.dir.clone(),
            outbox::Limit { entries, bytes },
            opened.next,
            acknowledged.min(opened.next),
        ));
        let writer = writer::Writer::new(
            options,
            key,
            clock,
            Arc::clone(&queue),
            Arc::clone(&outbox),
            state,
        );
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                give_way();
                writer.run();
            })?;
        let thread = Mutex::new(Some(thread));
        Ok((
            Self {
                kept: Some(Kept {
                    queue,
                    outbox,
                    thread,
                }),
            },
            opened,
        ))
    }

    /// A journal that keeps nothing, for a node without a bus and without a witness. Whoever waits
    /// is told at once.
    pub fn none() -> Self {
        Self { kept: None }
    }

    /// Appends an entry. It is published as soon as it is written, and synced with the next batch.
    ///
    /// # Errors
    /// [`Full`]: it was refused and counted as lost.
    pub fn append(&self, entry: impl Entry) -> Result<(), Full> {
        self.push(entry, Order::Relaxed)
    }

    /// Appends a terminal event: it, and what follows it, is published after the sync.
    ///
    /// # Errors
    /// [`Full`]: it was refused and counted as lost.
    pub fn append_synced(&self, entry: impl Entry) -> Result<(), Full> {
        self.push(entry, Order::SyncFirst)
    }

    /// Appends a decision or an idempotency result somebody waits for: the sync is hurried, and
    /// told to `notice`.
    ///
    /// # Errors
    /// [`Full`]: it was refused and counted as lost; nobody will be told.
    pub fn append_then(&self, entry: impl Entry, notice: Notice) -> Result<(), Full> {
        if self.kept.is_none() {
            notice.sink.settle(&[Ack {
                token: notice.token,
                durable: true,
            }]);
            return Ok(());
        }
        self.push(entry, Order::Tell(notice))
    }

    /// Tells `notice` once all that was appended so far is synced, or will not be. Hurries nothing.
    ///
    /// # Errors
    /// [`Full`]: nobody will be told.
    pub fn synced(&self, notice: Notice) -> Result<(), Full> {
        let Some(kept) = &self.kept else {
            notice.sink.settle(&[Ack {
                token: notice.token,
                durable: true,
            }]);
            return Ok(());
        };
        kept.queue.push(Item::Mark(notice))
    }

    /// Whether anything is kept: without a bus there is nobody to tell.
    pub fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// The publisher's side. `None`: nothing is kept.
    pub fn outbox(&self) -> Option<Arc<Outbox>> {
        self.kept.as_ref().map(|kept| Arc::clone(&kept.outbox))
    }

    /// Reads the entries from `position` on, also while the journal grows.
    pub fn read_from(&self, position: u64) -> Option<Reader> {
        self.kept.as_ref().map(|kept| kept.outbox.reader(position))
    }

    /// Writes and syncs what has been appended, and ends the thread. Blocks: for the way out.
    pub fn close(&self) {
        let Some(kept) = &self.kept else { return };
        kept.queue.close();
        if let Some(thread) = kept.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread had panicked");
        }
    }

    fn push(&self, entry: impl Entry, order: Order) -> Result<(), Full> {
        match &self.kept {
            Some(kept) => kept.queue.push(Item::Entry(Box::new(entry), order)),
            None => Ok(()),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}
