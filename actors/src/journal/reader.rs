//! Reading the journal back, entry by entry, across segments.

use std::io;
use std::path::{Path, PathBuf};

use super::record::Record;
use super::segment::{self, Found, Segment, Walk};

/// A place in the journal that can be read on from, also while the journal grows.
pub struct Reader {
    dir: PathBuf,
    position: u64,
    walk: Option<Walk>,
}

/// What one step of reading gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The next entry.
    Entry(Record),
    /// Entries from the position asked for up to this one are no longer there: deleted by age, or
    /// unreadable. Reading goes on at `to`.
    Missing {
        /// The first that is missing.
        from: u64,
        /// The first that is there again.
        to: u64,
    },
    /// All that there is has been read.
    End,
}

impl Reader {
    pub(super) fn new(dir: &Path, position: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            position,
            walk: None,
        }
    }

    /// The number of the entry that comes next.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads on.
    ///
    /// # Errors
    /// What the file system says; the place is kept, the call can be repeated.
    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            let Some(walk) = &mut self.walk else {
                match self.enter()? {
                    Entered::Here => continue,
                    Entered::Later(to) => return Ok(self.skip(to)),
                    Entered::Nowhere => return Ok(Step::End),
                }
            };
            match walk.next()? {
                Found::Entry(record) if record.position < self.position => {}
                Found::Entry(record) => {
                    self.position = record.position + 1;
                    return Ok(Step::Entry(record));
                }
                Found::Seal(..) => {}
                Found::End | Found::Damage => match self.after()? {
                    None => return Ok(Step::End),
                    Some(next) => {
                        self.walk = None;
                        if next.first > self.position {
                            return Ok(self.skip(next.first));
                        }
                    }
                },
            }
        }
    }

    fn skip(&mut self, to: u64) -> Step {
        let from = std::mem::replace(&mut self.position, to);
        Step::Missing { from, to }
    }

    /// The segment after the one being read, if the journal has moved on.
    fn after(&self) -> io::Result<Option<Segment>> {
        let current = self.walk.as_ref().map(|walk| walk.header.first);
        let segments = segment::list(&self.dir)?;
        Ok(segments
            .into_iter()
            .find(|segment| Some(segment.first) > current))
    }

    /// Opens the segment that holds the position.
    fn enter(&mut self) -> io::Result<Entered> {
        let segments = segment::list(&self.dir)?;
        let holder = segments
            .iter()
            .rposition(|segment| segment.first <= self.position);
        let Some(holder) = holder else {
            return Ok(segments
                .first()
                .map_or(Entered::Nowhere, |s| Entered::Later(s.first)));
        };
        match Walk::open(&segments[holder].path) {
            Ok(Some(walk)) => {
                self.walk = Some(walk);
                Ok(Entered::Here)
            }
            Ok(None) => Ok(segments
                .get(holder + 1)
                .map_or(Entered::Nowhere, |s| Entered::Later(s.first))),
            // Deleted by age between listing and opening: look again.
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.enter(),
            Err(e) => Err(e),
        }
    }
}

enum Entered {
    Here,
    Later(u64),
    Nowhere,
}
