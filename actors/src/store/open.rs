//! Opening sled so that no file, however damaged, keeps the node from starting.
//!
//! sled 0.34 panics or fails on some damage, at opening or at the first read. So: open and read
//! everything once, with panics caught; if that fails, once more without its snapshot files; if
//! that fails, move the directory aside and begin an empty one. Never twice the same.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Options, Tree};

/// The layout of the trees; another number means: moved aside.
const SCHEMA: &[u8] = b"1";
const SCHEMA_KEY: &[u8] = b"schema";

/// How often we look whether sled has let go of its file, and how many times.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS: u32 = 2000;

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Keys in all trees.
    pub keys: usize,
    /// What had to be done, if the store was not in order.
    pub recovery: Option<Recovery>,
}

/// How a damaged store was put in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The snapshot files were bad; without them everything was read.
    SnapshotDropped {
        /// What the first attempt said.
        why: String,
    },
    /// Nothing could be read. The store begins empty.
    SetAside {
        /// Where the damaged files are now.
        path: PathBuf,
        /// What the last attempt said.
        why: String,
    },
}

pub(super) struct Trees {
    pub(super) db: sled::Db,
    pub(super) trees: [sled::Tree; Tree::ALL.len()],
}

impl Trees {
    pub(super) fn get(&self, tree: Tree) -> &sled::Tree {
        let [registrations, dialogs, idempotency, cursor, meta] = &self.trees;
        match tree {
            Tree::Registrations => registrations,
            Tree::Dialogs => dialogs,
            Tree::Idempotency => idempotency,
            Tree::Cursor => cursor,
            Tree::Meta => meta,
        }
    }
}

/// The right to open the store in `dir`, in a file beside it: the folder itself may be moved aside.
pub(super) fn lock(dir: &Path) -> io::Result<File> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.with_extension("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("{}: another process has this store open", dir.display()),
        )),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

pub(super) fn open(options: &Options, unix_ms: u64) -> io::Result<(Trees, Opened)> {
    let first = match attempt(options) {
        Ok((trees, keys)) => {
            return Ok((
                trees,
                Opened {
                    keys,
                    recovery: None,
                },
            ));
        }
        Err(why) => why,
    };
    let why = if drop_snapshots(&options.dir)? {
        match attempt(options) {
            Ok((trees, keys)) => {
                let recovery = Some(Recovery::SnapshotDropped { why: first });
                return Ok((trees, Opened { keys, recovery }));
            }
            Err(why) => why,
        }
    } else {
        first
    };
    let name = options
        .dir
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let path = options
        .dir
        .with_file_name(format!("{name}.corrupt-{unix_ms}"));
    fs::rename(&options.dir, &path)?;
    match attempt(options) {
        Ok((trees, keys)) => {
            let recovery = Some(Recovery::SetAside { path, why });
            Ok((trees, Opened { keys, recovery }))
        }
        // A fresh directory fails: the disk, not the data.
        Err(why) => Err(io::Error::other(why)),
    }
}

/// Opens and reads everything once.
fn attempt(options: &Options) -> Result<(Trees, usize), String> {
    wait_for_sled(&options.dir);
    let opening = AssertUnwindSafe(|| -> sled::Result<(Trees, usize)> {
        let db = sled::Config::new()
            .path(&options.dir)
            .cache_capacity(options.cache_bytes)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(Some(options.background_sync_ms))
            .open()?;
        let trees = [
            db.open_tree(Tree::ALL[0].as_str())?,
            db.open_tree(Tree::ALL[1].as_str())?,
            db.open_tree(Tree::ALL[2].as_str())?,
            db.open_tree(Tree::ALL[3].as_str())?,
            db.open_tree(Tree::ALL[4].as_str())?,
        ];
        let mut keys = 0;
        for tree in &trees {
            for pair in tree {
                let (_key, _value) = pair?;
                keys += 1;
            }
        }
        Ok((Trees { db, trees }, keys))
    });
    let (trees, keys) = match catch_unwind(opening) {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(panic) => return Err(panic_text(&*panic)),
    };
    let meta = trees.get(Tree::Meta);
    match meta.get(SCHEMA_KEY) {
        Ok(Some(schema)) if &*schema == SCHEMA => Ok((trees, keys)),
        Ok(None) if keys == 0 => {
            meta.insert(SCHEMA_KEY, SCHEMA)
                .map_err(|error| error.to_string())?;
            Ok((trees, keys))
        }
        Ok(_) => Err("written by another version of the node".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// sled's threads hold its file for a moment after the last handle is dropped, and a second opening
/// meanwhile looks like damage. It can only be this process: we have the lock of [`lock`].
fn wait_for_sled(dir: &Path) {
    // Where there is no file yet nobody holds it, and what cannot be opened sled will tell.
    let Ok(file) = File::open(dir.join("db")) else {
        return;
    };
    for _ in 0..LOOKS {
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without a message"))
}

/// True: there were some.
fn drop_snapshots(dir: &Path) -> io::Result<bool> {
    let mut any = false;
    for file in fs::read_dir(dir)? {
        let file = file?;
        if file.file_name().as_encoded_bytes().starts_with(b"snap") {
            fs::remove_file(file.path())?;
            any = true;
        }
    }
    Ok(any)
}
