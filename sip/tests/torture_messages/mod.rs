//! The torture messages, by the number of their RFC.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::fs;
use std::path::Path;

use bytes::Bytes;

/// A message and its name in the RFC's archive.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
}

/// All messages of RFC 4475 or RFC 5118, by name.
pub(crate) fn rfc(number: u16) -> Vec<Case> {
    let folder = format!("tests/torture_messages/rfc{number}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            Case {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                bytes: fs::read(path).unwrap().into(),
            }
        })
        .collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}
