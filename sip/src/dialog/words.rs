//! The words of a dialog, packed: one allocation for all of them.

/// How many words there are.
const WORDS: usize = 7;

/// Which word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    CallId,
    /// Our From or To value up to the tag: `…;tag=`.
    Local,
    /// Next to it, so that both are one span.
    LocalTag,
    /// The peer's, up to the tag. Without `;tag=` while it has none.
    Remote,
    RemoteTag,
    /// The remote target URI.
    Target,
    /// The route set, one `name-addr` a line.
    Routes,
}

/// All words of a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    text: Box<[u8]>,
    /// Where each word but the last ends.
    ends: [u32; WORDS - 1],
}

impl Words {
    /// In the order of [`Word`].
    pub(super) fn new(words: [&[u8]; WORDS]) -> Self {
        let mut text = Vec::with_capacity(words.iter().map(|word| word.len()).sum());
        let mut ends = [0; WORDS - 1];
        for (word, end) in words.iter().zip(ends.iter_mut().map(Some).chain([None])) {
            text.extend_from_slice(word);
            if let Some(end) = end {
                // Words come out of messages, which are far smaller.
                *end = u32::try_from(text.len()).unwrap_or(u32::MAX);
            }
        }
        Self {
            text: text.into(),
            ends,
        }
    }

    pub(super) fn get(&self, word: Word) -> &[u8] {
        self.span(word, word)
    }

    /// From the first word to the last, both included.
    pub(super) fn span(&self, first: Word, last: Word) -> &[u8] {
        let start = (first as usize)
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        let end = self
            .ends
            .get(last as usize)
            .map_or(self.text.len(), |end| *end as usize);
        self.text.get(start..end).unwrap_or_default()
    }

    /// All of them, bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn text(&self, word: Word) -> &str {
        crate::header::value::text(self.get(word)).unwrap_or_default()
    }

    /// The same with some words replaced.
    pub(super) fn with(&self, replaced: &[(Word, &[u8])]) -> Self {
        let all = [
            Word::CallId,
            Word::Local,
            Word::LocalTag,
            Word::Remote,
            Word::RemoteTag,
            Word::Target,
            Word::Routes,
        ];
        Self::new(all.map(|word| {
            let new = replaced.iter().find(|(which, _)| *which == word);
            new.map_or_else(|| self.get(word), |(_, text)| text)
        }))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for end in self.ends {
            out.extend_from_slice(&end.to_be_bytes());
        }
        out.extend_from_slice(&self.text);
    }

    /// `None` unless it is what [`write`](Self::write) wrote.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (head, text) = bytes.split_at_checked((WORDS - 1) * 4)?;
        let mut ends = [0; WORDS - 1];
        let mut last = 0;
        for (end, word) in ends.iter_mut().zip(head.as_chunks().0) {
            *end = u32::from_be_bytes(*word);
            if *end < last || *end as usize > text.len() {
                return None;
            }
            last = *end;
        }
        Some(Self {
            text: text.into(),
            ends,
        })
    }
}
