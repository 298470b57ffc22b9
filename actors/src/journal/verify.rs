//! Proving a journal, offline: the chain is whole and every batch was signed by the node's key.

use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, VerifyingKey};

use super::record::{Hash, Seal};
use super::segment::{self, Found, Walk};

/// What a proof found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments read.
    pub segments: usize,
    /// The first entry there is.
    pub oldest: u64,
    /// The number after the last entry.
    pub next: u64,
    /// Seals with a good signature.
    pub seals: u64,
    /// The last good seal.
    pub last_seal: Option<Seal>,
    /// Whole entries at the end that no seal covers yet.
    pub unsealed: u64,
    /// Everything that is not as it should be; empty: proven.
    pub faults: Vec<Fault>,
}

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A segment that does not begin as one.
    #[error("{}: not a journal segment", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
    },
    /// A segment that does not follow from the one before it: entries changed, or files missing.
    #[error("{}: does not continue the segment before it (entry {expected})", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The entry that should come next.
        expected: u64,
    },
    /// Bytes that are no record, or do not carry the chain on.
    #[error(
        "{} at byte {offset}: damaged or altered, in or after entry {position}",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// The entry that should stand there.
        position: u64,
    },
    /// A seal that is not the node's, or covers other entries than those before it; `first` only
    /// informs, the chain binds them all.
    #[error("{} at byte {offset}: the seal is not valid", .path.display())]
    Seal {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
    },
    /// A segment signed by another key than the one asked for.
    #[error("{}: signed by another key", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
}

/// Proves all segments of a directory. With `key`, they must be signed by it; without, by the key
/// that each names itself, which proves only that they were not altered by chance.
///
/// # Errors
/// The directory or a file cannot be read.
pub fn verify(dir: &Path, key: Option<&VerifyingKey>) -> io::Result<Report> {
    let mut report = Report::default();
    let mut before: Option<(u64, Hash)> = None;
    for segment in segment::list(dir)? {
        let Some(mut walk) = Walk::open(&segment.path)? else {
            report.faults.push(Fault::Header { path: segment.path });
            continue;
        };
        report.segments += 1;
        match before {
            None => report.oldest = walk.position,
            Some((expected, chain)) if (expected, chain) != (walk.position, walk.chain) => {
                report.faults.push(Fault::Broken {
                    path: segment.path.clone(),
                    expected,
                });
            }
            Some(_) => {}
        }
        let named = VerifyingKey::from_bytes(&walk.header.key).ok();
        if key.is_some() && key != named.as_ref() {
            report.faults.push(Fault::Key {
                path: segment.path.clone(),
            });
        }
        prove(&mut walk, named.as_ref(), &segment.path, &mut report)?;
        before = Some((walk.position, walk.chain));
        report.next = walk.position;
    }
    let sealed = report.last_seal.map_or(report.oldest, |seal| seal.next);
    report.unsealed = report.next.saturating_sub(sealed);
    Ok(report)
}

fn prove(
    walk: &mut Walk,
    key: Option<&VerifyingKey>,
    path: &Path,
    report: &mut Report,
) -> io::Result<()> {
    loop {
        let offset = walk.offset;
        match walk.next()? {
            Found::Entry(_) => {}
            Found::Seal(seal, signature, chain) => {
                let signature = Signature::from_bytes(&signature);
                let signed = key.is_some_and(|key| {
                    key.verify_strict(&seal.statement(&chain), &signature)
                        .is_ok()
                });
                if signed && seal.next == walk.position {
                    report.seals += 1;
                    report.last_seal = Some(seal);
                } else {
                    report.faults.push(Fault::Seal {
                        path: path.to_owned(),
                        offset,
                    });
                }
            }
            Found::End => return Ok(()),
            Found::Damage => {
                let (path, position) = (path.to_owned(), walk.position);
                report.faults.push(Fault::Damaged {
                    path,
                    offset,
                    position,
                });
                return Ok(());
            }
        }
    }
}
