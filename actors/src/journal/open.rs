//! Opening a journal: one process at a time, and never past a torn tail.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use ed25519_dalek::SigningKey;

use super::Options;
use super::record::{HASH, Hash};
use super::segment::{self, Found, Header, Segment, Walk};

/// What was found when the journal was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The oldest entry there is.
    pub oldest: u64,
    /// The number that the next entry gets.
    pub next: u64,
    /// What had to be done, if the journal was not left in order.
    pub recovery: Option<Recovery>,
}

/// How a journal that was not closed was put in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whole entries that no seal covered; the first seal of this run covers them.
    pub unsealed: u64,
    /// Bytes cut off after the last whole record.
    pub cut: u64,
    /// A segment that could not be read at all, and what it was renamed to.
    pub set_aside: Option<PathBuf>,
}

/// Where the writer goes on.
pub(super) struct Tail {
    /// Held as long as the journal is open.
    pub(super) lock: File,
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) bytes: u64,
    pub(super) next: u64,
    /// Entries below this are covered by a seal.
    pub(super) sealed: u64,
    pub(super) chain: Hash,
}

pub(super) fn open(options: &Options, key: &SigningKey) -> io::Result<(Tail, Opened)> {
    let dir = &options.dir;
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let lock = lock(options)?;
    let public = key.verifying_key().to_bytes();
    let mut recovery = Recovery::default();

    let mut segments = segment::list(dir)?;
    let mut last = None;
    while let Some(segment) = segments.pop() {
        if let Some(walk) = Walk::open(&segment.path)? {
            last = Some((segment, walk));
            break;
        }
        // The crash came while it was begun, or its first block is gone.
        let aside = segment.path.with_extension("damaged");
        fs::rename(&segment.path, &aside)?;
        recovery.set_aside = Some(aside);
    }
    let tail = match last {
        Some((segment, walk)) => resume(lock, segment, walk, &mut recovery)?,
        None => begin(lock, options, public)?,
    };
    // A key that was replaced signs in a segment of its own.
    let tail = if tail.header.key == public {
        tail
    } else {
        turn(tail, options, public)?
    };

    let oldest = segment::list(dir)?
        .first()
        .map_or(tail.next, |segment| segment.first);
    let recovery = (recovery != Recovery::default()).then_some(recovery);
    let opened = Opened {
        oldest,
        next: tail.next,
        recovery,
    };
    Ok((tail, opened))
}

fn lock(options: &Options) -> io::Result<File> {
    let path = options.dir.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!(
                "{}: another process has this journal open",
                options.dir.display()
            ),
        )),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Goes on behind the last whole record of the newest segment.
fn resume(
    lock: File,
    segment: Segment,
    mut walk: Walk,
    recovery: &mut Recovery,
) -> io::Result<Tail> {
    let mut sealed = walk.position;
    loop {
        match walk.next()? {
            Found::Entry(_) => {}
            Found::Seal(..) => sealed = walk.position,
            Found::End | Found::Damage => break,
        }
    }
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .open(&segment.path)?;
    recovery.cut = file.metadata()?.len().saturating_sub(walk.offset);
    recovery.unsealed = walk.position - sealed;
    if recovery.cut > 0 {
        file.set_len(walk.offset)?;
        file.sync_all()?;
    }
    Ok(Tail {
        lock,
        file,
        path: segment.path,
        header: walk.header,
        bytes: walk.offset,
        next: walk.position,
        sealed,
        chain: walk.chain,
    })
}

fn begin(lock: File, options: &Options, key: [u8; 32]) -> io::Result<Tail> {
    let header = Header {
        key,
        first: 0,
        chain: [0; HASH],
    };
    let (file, path) = segment::create(&options.dir, header)?;
    let bytes = segment::HEADER as u64;
    Ok(Tail {
        lock,
        file,
        path,
        header,
        bytes,
        next: 0,
        sealed: 0,
        chain: header.chain,
    })
}

fn turn(tail: Tail, options: &Options, key: [u8; 32]) -> io::Result<Tail> {
    let empty = tail.next == tail.header.first;
    let chain = if empty { tail.header.chain } else { tail.chain };
    if empty {
        fs::remove_file(&tail.path)?;
    }
    let header = Header {
        key,
        first: tail.next,
        chain,
    };
    let (file, path) = segment::create(&options.dir, header)?;
    Ok(Tail {
        file,
        path,
        header,
        bytes: segment::HEADER as u64,
        chain,
        ..tail
    })
}
