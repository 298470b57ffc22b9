//! The log in front of sled: a write is durable once it is appended here and synced, which costs a
//! tenth of an insert. Every so often what a full log has is folded into sled, each key once
//! however often it was written, a few with each batch; then the log is deleted.
//!
//! A record: `u32` length of what follows, `u64` SipHash of it, `u8` tree, `u8` 1 = put or 0 =
//! delete, `u16` length of the key, key, value. Numbers are little endian.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher13;

use super::open::Trees;
use super::{Tree, Write as Change};

const PREFIX: usize = 12;
const HEAD: usize = 4;
/// While sled cannot be written, the log grows to this many times its limit and no further.
const MOST_LIMITS: u64 = 16;

/// The log being written, and the full one being folded.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    limit: u64,
    buffer: Vec<u8>,
    folding: Option<Folding>,
}

struct Folding {
    path: PathBuf,
    file: File,
    /// Where the last record of each key is, and how long.
    left: Vec<(u64, usize)>,
    record: Vec<u8>,
}

impl Log {
    /// Moves aside what an earlier run left: it cannot be folded.
    pub(super) fn set_aside(dir: &Path, unix_ms: u64) -> io::Result<()> {
        let path = path(dir);
        for left in [full(&path), path] {
            if left.exists() {
                let mut aside = left.clone().into_os_string();
                aside.push(format!(".corrupt-{unix_ms}"));
                fs::rename(left, aside)?;
            }
        }
        Ok(())
    }

    /// Folds what an earlier run left into sled, and begins an empty log.
    pub(super) fn open(dir: &Path, limit: u64, trees: &Trees) -> io::Result<Self> {
        let path = path(dir);
        for left in [&full(&path), &path] {
            if left.exists() {
                let mut folding = Folding::read(left)?;
                while !folding.step(trees, usize::MAX)? {}
            }
        }
        let file = begin(&path)?;
        Ok(Self {
            path,
            file,
            bytes: 0,
            limit,
            buffer: Vec::new(),
            folding: None,
        })
    }

    /// Adds a change to the batch.
    pub(super) fn add(&mut self, change: &Change) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; PREFIX]);
        let put = u8::from(change.value.is_some());
        self.buffer
            .extend_from_slice(&[tree_number(change.tree), put]);
        let key = &change.key[..change.key.len().min(usize::from(u16::MAX))];
        self.buffer
            .extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.buffer.extend_from_slice(key);
        if let Some(value) = &change.value {
            self.buffer.push(change.tree.format());
            self.buffer.extend_from_slice(value);
        }
        let length = (self.buffer.len() - start - PREFIX) as u32;
        let sum = checksum(&self.buffer[start + PREFIX..]);
        self.buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.buffer[start + 4..start + PREFIX].copy_from_slice(&sum.to_le_bytes());
    }

    /// Makes the batch durable.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        if self.bytes > self.limit.saturating_mul(MOST_LIMITS) {
            self.buffer.clear();
            return Err(io::Error::other("sled does not take what the log has"));
        }
        let written = self
            .file
            .write_all(&self.buffer)
            .and_then(|()| self.file.sync_data());
        let length = self.buffer.len() as u64;
        self.buffer.clear();
        match written {
            Ok(()) => {
                self.bytes += length;
                Ok(())
            }
            Err(error) => {
                // What follows must not stand behind half a record.
                self.file.set_len(self.bytes)?;
                Err(error)
            }
        }
    }

    /// Takes back a batch that was added and not committed, or half.
    pub(super) fn undo(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.file.set_len(self.bytes)
    }

    /// Does its share of the folding: at most `most` keys.
    pub(super) fn fold(&mut self, trees: &Trees, most: usize) -> io::Result<()> {
        if let Some(folding) = &mut self.folding {
            if folding.step(trees, most)? {
                self.folding = None;
            }
        } else if self.bytes >= self.limit {
            let full = full(&self.path);
            fs::rename(&self.path, &full)?;
            self.folding = Some(Folding::read(&full)?);
            self.file = begin(&self.path)?;
            self.bytes = 0;
        }
        Ok(())
    }

    /// Folds everything: the log is empty afterwards.
    pub(super) fn fold_all(&mut self, trees: &Trees) -> io::Result<()> {
        self.limit = 1;
        while self.folding.is_some() || self.bytes > 0 {
            self.fold(trees, usize::MAX)?;
        }
        Ok(())
    }
}

impl Folding {
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut last: HashMap<(u8, &[u8]), (u64, usize)> = HashMap::new();
        let mut at = 0;
        while let Some(record) = record(&bytes[at..]) {
            let (tree, _put, key, _value) = parse(record).ok_or(io::ErrorKind::InvalidData)?;
            last.insert((tree, key), ((at + PREFIX) as u64, record.len()));
            at += PREFIX + record.len();
        }
        // sled is quickest with neighbours; taken from the end.
        let mut keys: Vec<_> = last.into_iter().collect();
        keys.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let left = keys.into_iter().map(|(_, place)| place).collect();
        Ok(Self {
            path: path.to_owned(),
            file,
            left,
            record: Vec::new(),
        })
    }

    /// True: all is in sled, and the file is gone.
    fn step(&mut self, trees: &Trees, most: usize) -> io::Result<bool> {
        for _ in 0..most {
            let Some((offset, length)) = self.left.pop() else {
                break;
            };
            self.record.resize(length, 0);
            self.file.read_exact_at(&mut self.record, offset)?;
            let (tree, put, key, value) = parse(&self.record).ok_or(io::ErrorKind::InvalidData)?;
            let Some(tree) = Tree::ALL.get(usize::from(tree)) else {
                continue;
            };
            let tree = trees.get(*tree);
            if put {
                tree.insert(key, value)?;
            } else {
                tree.remove(key)?;
            }
        }
        if !self.left.is_empty() {
            return Ok(false);
        }
        trees.db.flush()?;
        fs::remove_file(&self.path)?;
        Ok(true)
    }
}

/// Beside sled's directory, so that it outlives one that is moved aside.
fn path(dir: &Path) -> PathBuf {
    dir.with_extension("recent")
}

fn full(path: &Path) -> PathBuf {
    path.with_extension("full")
}

fn begin(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    file.set_len(0)?;
    file.sync_all()?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(file)
}

fn tree_number(tree: Tree) -> u8 {
    match tree {
        Tree::Registrations => 0,
        Tree::Dialogs => 1,
        Tree::Idempotency => 2,
        Tree::Cursor => 3,
        Tree::Meta => 4,
    }
}

/// The first whole record, without its prefix. `None`: the end, or a torn tail.
fn record(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let sum = u64::from_le_bytes(bytes.get(4..PREFIX)?.try_into().ok()?);
    let record = bytes.get(PREFIX..PREFIX.checked_add(length as usize)?)?;
    (record.len() >= HEAD && checksum(record) == sum).then_some(record)
}

fn parse(record: &[u8]) -> Option<(u8, bool, &[u8], &[u8])> {
    let (head, rest) = record.split_at_checked(HEAD)?;
    let length = u16::from_le_bytes([head[2], head[3]]);
    let (key, value) = rest.split_at_checked(usize::from(length))?;
    Some((head[0], head[1] == 1, key, value))
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}
