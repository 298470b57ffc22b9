//! One record on disk, and the chain that ties each to the one before.
//!
//! ```text
//! u32   length of what follows, hash included, little endian
//! u8    kind: 1 entry, 2 seal
//! …     payload
//! [32]  SHA-256(hash of the record before ‖ length ‖ kind ‖ payload)
//! ```
//! An entry's payload is `u16 u16 u16` (lengths of subject, id, headers), those three, and the
//! body. A seal's payload is `u64 first, u64 next, u64 unix_ms`, and an Ed25519 signature over
//! [`SEAL_CONTEXT`], the hash of the record before it, and those three numbers.

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::entry::Draft;

pub(super) const HASH: usize = 32;
pub(super) const PREFIX: usize = 4;
pub(super) const KIND_ENTRY: u8 = 1;
pub(super) const KIND_SEAL: u8 = 2;
/// The longest record accepted: a NATS message is 1 MiB at most by default.
pub(super) const LONGEST: usize = 1 << 20;
pub(super) const SEAL_CONTEXT: &[u8] = b"ifbus journal seal 1";

const ENTRY_HEAD: usize = 6;
const SEAL_NUMBERS: usize = 24;
const SIGNATURE: usize = 64;

/// A record's hash, and so the state of the chain after it.
pub type Hash = [u8; HASH];

/// One entry as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number in the journal, from 0.
    pub position: u64,
    payload: Bytes,
    subject_end: u32,
    id_end: u32,
    headers_end: u32,
}

impl Record {
    pub(super) fn new(position: u64, payload: Bytes) -> Option<Self> {
        let head = payload.get(..ENTRY_HEAD)?;
        let length = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let subject_end = ENTRY_HEAD as u32 + length(0);
        let id_end = subject_end + length(2);
        let headers_end = id_end + length(4);
        let text = payload.get(ENTRY_HEAD..headers_end as usize)?;
        std::str::from_utf8(text).ok()?;
        Some(Self {
            position,
            payload,
            subject_end,
            id_end,
            headers_end,
        })
    }

    /// The NATS subject; empty if the entry is not for the bus.
    pub fn subject(&self) -> &str {
        self.text(ENTRY_HEAD as u32, self.subject_end)
    }

    /// The `Nats-Msg-Id`.
    pub fn id(&self) -> &str {
        self.text(self.subject_end, self.id_end)
    }

    /// The message's headers, as (name, value).
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text(self.id_end, self.headers_end)
            .split_terminator("\r\n")
            .filter_map(|line| line.split_once(": "))
    }

    /// The message's body; shares the record's memory.
    pub fn body(&self) -> Bytes {
        self.payload.slice(self.headers_end as usize..)
    }

    /// Bytes of memory that it holds.
    pub fn size(&self) -> usize {
        self.payload.len()
    }

    fn text(&self, from: u32, to: u32) -> &str {
        // Checked in `new`; a cut inside a character would read as nothing.
        self.payload
            .get(from as usize..to as usize)
            .and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or_default()
    }
}

/// Appends an entry's record. `None`: it is too long to be kept, nothing was written.
pub(super) fn put_entry(out: &mut BytesMut, chain: &mut Hash, draft: &Draft) -> Option<()> {
    let subject = u16::try_from(draft.subject.len()).ok()?;
    let id = u16::try_from(draft.id.len()).ok()?;
    let headers = u16::try_from(draft.headers().len()).ok()?;
    let payload = ENTRY_HEAD
        + draft.subject.len()
        + draft.id.len()
        + draft.headers().len()
        + draft.body.len();
    if payload + 1 + HASH > LONGEST {
        return None;
    }
    let start = begin(out, KIND_ENTRY, payload);
    out.extend_from_slice(&subject.to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&headers.to_le_bytes());
    out.extend_from_slice(draft.subject.as_bytes());
    out.extend_from_slice(draft.id.as_bytes());
    out.extend_from_slice(draft.headers().as_bytes());
    out.extend_from_slice(&draft.body);
    finish(out, start, chain);
    Some(())
}

/// What a seal says: these entries were written by this node, and by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The first entry it covers.
    pub first: u64,
    /// The first entry that it does not cover.
    pub next: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
}

impl Seal {
    /// What is signed: the context, the chain before the seal, and the seal's numbers.
    pub(super) fn statement(&self, chain: &Hash) -> [u8; SEAL_CONTEXT.len() + HASH + SEAL_NUMBERS] {
        let mut statement = [0; SEAL_CONTEXT.len() + HASH + SEAL_NUMBERS];
        let (context, rest) = statement.split_at_mut(SEAL_CONTEXT.len());
        let (hash, numbers) = rest.split_at_mut(HASH);
        context.copy_from_slice(SEAL_CONTEXT);
        hash.copy_from_slice(chain);
        numbers.copy_from_slice(&self.numbers());
        statement
    }

    /// Appends the seal's record.
    pub(super) fn put(&self, out: &mut BytesMut, chain: &mut Hash, signature: &[u8; SIGNATURE]) {
        let start = begin(out, KIND_SEAL, SEAL_NUMBERS + SIGNATURE);
        out.extend_from_slice(&self.numbers());
        out.extend_from_slice(signature);
        finish(out, start, chain);
    }

    /// Reads a seal's payload back.
    pub(super) fn parse(payload: &[u8]) -> Option<(Self, [u8; SIGNATURE])> {
        let signature = payload.get(SEAL_NUMBERS..)?.try_into().ok()?;
        let number = |at: usize| {
            let bytes: [u8; 8] = payload.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        Some((
            Self {
                first: number(0)?,
                next: number(8)?,
                unix_ms: number(16)?,
            },
            signature,
        ))
    }

    fn numbers(&self) -> [u8; SEAL_NUMBERS] {
        let mut numbers = [0; SEAL_NUMBERS];
        numbers[..8].copy_from_slice(&self.first.to_le_bytes());
        numbers[8..16].copy_from_slice(&self.next.to_le_bytes());
        numbers[16..].copy_from_slice(&self.unix_ms.to_le_bytes());
        numbers
    }
}

/// The chain after a record: `covered` is its length, kind and payload.
pub(super) fn link(chain: &Hash, covered: &[u8]) -> Hash {
    Sha256::new()
        .chain_update(chain)
        .chain_update(covered)
        .finalize()
        .into()
}

fn begin(out: &mut BytesMut, kind: u8, payload: usize) -> usize {
    let start = out.len();
    let length = (1 + payload + HASH) as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[kind]);
    start
}

fn finish(out: &mut BytesMut, start: usize, chain: &mut Hash) {
    *chain = link(chain, &out[start..]);
    out.extend_from_slice(chain);
}
