//! The files: `<first position>.log`, each with a header that carries the chain over from the last.
//!
//! Header: magic, the node's public key, the first position, the hash before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::record::{HASH, Hash, KIND_ENTRY, KIND_SEAL, LONGEST, PREFIX, Record, Seal, link};

const MAGIC: &[u8; 8] = b"IFJOURN1";
const KEY: usize = 32;
pub(super) const HEADER: usize = MAGIC.len() + KEY + 8 + HASH;

/// The start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) key: [u8; KEY],
    pub(super) first: u64,
    pub(super) chain: Hash,
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..40].copy_from_slice(&self.key);
        bytes[40..48].copy_from_slice(&self.first.to_le_bytes());
        bytes[48..].copy_from_slice(&self.chain);
        bytes
    }

    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        if &bytes[..8] != MAGIC {
            return None;
        }
        Some(Self {
            key: bytes[8..40].try_into().ok()?,
            first: u64::from_le_bytes(bytes[40..48].try_into().ok()?),
            chain: bytes[48..].try_into().ok()?,
        })
    }
}

/// A segment's name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// Every segment, oldest first.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?;
        let path = file.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(first) = name
            .strip_suffix(".log")
            .and_then(|digits| digits.parse().ok())
        else {
            continue;
        };
        let bytes = file.metadata()?.len();
        segments.push(Segment { first, path, bytes });
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// Starts a segment file, which must not exist, and makes its name durable.
pub(super) fn create(dir: &Path, header: Header) -> io::Result<(File, PathBuf)> {
    let path = dir.join(format!("{:020}.log", header.first));
    let mut file = OpenOptions::new()
        .create_new(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(&header.to_bytes())?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok((file, path))
}

/// What stands at one place of a segment.
pub(super) enum Found {
    Entry(Record),
    Seal(Seal, [u8; 64], /* the chain before it */ Hash),
    /// Nothing more, or not all of it yet.
    End,
    /// Bytes that are no record, or not the one that belongs here.
    Damage,
}

/// Reads one segment, checking the chain as it goes.
pub(super) struct Walk {
    file: BufReader<File>,
    pub(super) header: Header,
    /// Where the next record starts.
    pub(super) offset: u64,
    /// The number of the next entry.
    pub(super) position: u64,
    pub(super) chain: Hash,
}

impl Walk {
    /// Opens a segment. `None`: its header is torn or foreign.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let mut file = BufReader::with_capacity(64 << 10, File::open(path)?);
        let mut bytes = [0; HEADER];
        match file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
        let Some(header) = Header::parse(&bytes) else {
            return Ok(None);
        };
        let (position, chain) = (header.first, header.chain);
        Ok(Some(Self {
            file,
            header,
            offset: HEADER as u64,
            position,
            chain,
        }))
    }

    /// The next record. After `End` it may be called again once more has been written.
    pub(super) fn next(&mut self) -> io::Result<Found> {
        let mut prefix = [0; PREFIX];
        if !self.fill(&mut prefix)? {
            return Ok(Found::End);
        }
        let length = u32::from_le_bytes(prefix) as usize;
        if !(1 + HASH..=LONGEST).contains(&length) {
            self.back()?;
            return Ok(Found::Damage);
        }
        let mut whole = vec![0; PREFIX + length];
        whole[..PREFIX].copy_from_slice(&prefix);
        if !self.fill(&mut whole[PREFIX..])? {
            return Ok(Found::End);
        }
        let covered = whole.len() - HASH;
        let chain = link(&self.chain, &whole[..covered]);
        if whole[covered..] != chain {
            self.back()?;
            return Ok(Found::Damage);
        }
        let kind = whole[PREFIX];
        let payload = Bytes::from(whole).slice(PREFIX + 1..covered);
        let found = match kind {
            KIND_ENTRY => Record::new(self.position, payload).map(Found::Entry),
            KIND_SEAL => {
                Seal::parse(&payload).map(|(seal, sig)| Found::Seal(seal, sig, self.chain))
            }
            _ => None,
        };
        let Some(found) = found else {
            self.back()?;
            return Ok(Found::Damage);
        };
        if kind == KIND_ENTRY {
            self.position += 1;
        }
        self.offset += (PREFIX + length) as u64;
        self.chain = chain;
        Ok(found)
    }

    /// False (and nothing consumed): the file ends before `into` is full.
    fn fill(&mut self, into: &mut [u8]) -> io::Result<bool> {
        match self.file.read_exact(into) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => self.back().map(|()| false),
            Err(e) => Err(e),
        }
    }

    fn back(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.offset)).map(|_| ())
    }
}
