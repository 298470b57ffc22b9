//! The store on disk: sled, in a thread of its own.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::log::Log;
use super::open::{self, Opened, Trees};
use super::queue::{Item, Queue, Visit};
use super::{Full, Store, Tree, Unreadable, Visitor, Write};
use crate::ack::{Notice, Settlement};
use crate::clock::Clock;
use crate::fault::{Part, contain};
use crate::limit::refused;
use crate::priority::give_way;

/// A disk that needs long for a batch gets that much more rest between two.
const REST_PER_COMMIT: u32 = 4;

/// Keys folded into sled with each batch.
const FOLD: usize = 256;

/// How the store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// sled's directory; a damaged one is renamed to `<dir>.corrupt-<unix ms>`.
    pub dir: PathBuf,
    /// sled's page cache. Small: everything is read once, at the start.
    pub cache_bytes: u64,
    /// How often sled syncs the file with its metadata, beside the syncs of each batch.
    pub background_sync_ms: u64,
    /// The log in front of sled is folded into it past this many bytes.
    pub log_bytes: u64,
    /// Writes that may wait; beyond, they are refused.
    pub queue: usize,
    /// The least rest between two batches while somebody waits. The first write after a rest is not
    /// delayed.
    pub rest_awaited: Duration,
    /// How long a batch gathers while nobody waits.
    pub gather: Duration,
}

impl Options {
    /// What suits a node, in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            cache_bytes: 4 << 20,
            background_sync_ms: 500,
            log_bytes: 16 << 20,
            queue: 1 << 16,
            // Half the syncs of 10 ms; an answered call waits 13 ms on average, and may wait 100.
            rest_awaited: Duration::from_millis(25),
            gather: Duration::from_millis(50),
        }
    }
}

/// sled behind the [`Store`] trait.
pub struct SledStore {
    queue: Arc<Queue>,
    trees: Arc<Trees>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Dropped last: as long as it is held, nobody else opens the store.
    _lock: File,
}

impl SledStore {
    /// Opens or begins the store; a damaged one is moved aside and reported, never fatal.
    ///
    /// # Errors
    /// Another process has it open, or not even an empty store can be made here.
    pub fn open(options: Options, clock: Clock) -> io::Result<(Self, Opened)> {
        // To sled, a store in use looks like a damaged one: it would be moved from under its owner.
        let lock = open::lock(&options.dir)?;
        let (trees, opened) = open::open(&options, clock.unix_ms())?;
        let open_log = || {
            let opening = AssertUnwindSafe(|| Log::open(&options.dir, options.log_bytes, &trees));
            catch_unwind(opening).unwrap_or_else(|_| Err(io::Error::other("sled panicked")))
        };
        let log = open_log().or_else(|error| {
            tracing::error!(%error, "the store's log cannot be folded; it is moved aside");
            Log::set_aside(&options.dir, clock.unix_ms())?;
            open_log()
        })?;
        let trees = Arc::new(trees);
        let queue = Arc::new(Queue::new(options.queue));
        let writer = Writer {
            queue: Arc::clone(&queue),
            trees: Arc::clone(&trees),
            options,
            clock,
            log,
            waiting: Settlement::default(),
        };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                give_way();
                writer.run();
            })?;
        Ok((
            Self {
                queue,
                trees,
                thread: Mutex::new(Some(thread)),
                _lock: lock,
            },
            opened,
        ))
    }
}

impl Store for SledStore {
    fn write(&self, write: Write, notice: Option<Notice>) -> Result<(), Full> {
        self.queue.push(Item { write, notice }).inspect_err(|Full| {
            metrics::counter!("ifbus_store_refused_total").increment(1);
            refused("store_queue");
        })
    }

    fn scan(&self, tree: Tree, each: &mut Visitor<'_>) -> Result<(), Unreadable> {
        let reading = AssertUnwindSafe(|| -> Result<(), Unreadable> {
            for pair in self.trees.get(tree) {
                let (key, value) = pair.map_err(|error| Unreadable(error.to_string()))?;
                if let Some((format, value)) = value.split_first() {
                    each(&key, *format, value);
                }
            }
            Ok(())
        });
        catch_unwind(reading).unwrap_or_else(|_| Err(Unreadable("panic while reading".into())))
    }

    fn close(&self) {
        self.queue.close();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread had panicked");
        }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    queue: Arc<Queue>,
    trees: Arc<Trees>,
    options: Options,
    clock: Clock,
    log: Log,
    waiting: Settlement,
}

impl Writer {
    fn run(mut self) {
        let mut items = Vec::new();
        let mut rest_until = Duration::ZERO;
        loop {
            self.queue.wait();
            match self.queue.visit() {
                Visit::Closed => {
                    self.guard(Log::fold_all);
                    break;
                }
                Visit::Awaited => {
                    self.queue
                        .gather(rest_until.saturating_sub(self.clock.mono()), false);
                }
                Visit::Unhurried => self.queue.gather(self.options.gather, true),
            }
            self.queue.take(&mut items);
            let began = self.clock.mono();
            if contain(Part::Store, || self.commit(&mut items)).is_none() {
                contain(Part::Store, || self.lose(&mut items));
                items.clear();
            }
            let ended = self.clock.mono();
            rest_until = ended
                + self
                    .options
                    .rest_awaited
                    .max((ended - began) * REST_PER_COMMIT);
        }
    }

    fn commit(&mut self, items: &mut Vec<Item>) {
        for item in items.iter() {
            self.log.add(&item.write);
        }
        let durable = match self.log.commit() {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the store cannot be written");
                metrics::counter!("ifbus_store_failed_total").increment(items.len() as u64);
                false
            }
        };
        self.settle(items, durable);
        self.guard(|log, trees| log.fold(trees, FOLD));
    }

    fn settle(&mut self, items: &mut Vec<Item>, durable: bool) {
        for item in items.drain(..) {
            if let Some(notice) = item.notice {
                self.waiting.add(notice);
            }
        }
        self.waiting.settle(durable);
    }

    /// After a panic: what was not kept is not, and whoever waits for it is told.
    fn lose(&mut self, items: &mut Vec<Item>) {
        metrics::counter!("ifbus_store_failed_total").increment(items.len() as u64);
        let undone = self.log.undo();
        self.settle(items, false);
        if let Err(error) = undone {
            tracing::error!(%error, "the store's log may end in half a record");
        }
    }

    /// sled may fail or panic; what it did not take stays in the log, and is tried at the next
    /// start.
    fn guard(&mut self, fold: impl FnOnce(&mut Log, &Trees) -> io::Result<()>) {
        match contain(Part::Store, || fold(&mut self.log, &self.trees)) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(%error, "the store's log cannot be folded");
                metrics::counter!("ifbus_store_failed_total").increment(1);
            }
            None => {
                tracing::error!("sled panicked while the store's log was folded");
                metrics::counter!("ifbus_store_failed_total").increment(1);
            }
        }
    }
}
