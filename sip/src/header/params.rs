//! `;name=value` parameters.

use super::value::{find, text, trim};

/// Parameters in order of appearance. What is not UTF-8 is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    text: &'a [u8],
}

/// One parameter; a quoted value keeps its quotes (`header::unquote` takes them off).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as written; names compare without regard to case.
    pub name: &'a str,
    /// What follows the `=`; none for a flag.
    pub value: Option<&'a str>,
}

impl<'a> Params<'a> {
    /// Parameters in `text`, which begins at the first `;` or is empty.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// The text as written, from the first `;`.
    #[must_use]
    pub fn text(self) -> &'a [u8] {
        self.text
    }

    /// Each parameter.
    pub fn iter(self) -> impl Iterator<Item = Param<'a>> {
        self.pieces().filter_map(|piece| {
            let (name, value) = name_and_value(piece);
            let name = text(name).filter(|n| !n.is_empty())?;
            let value = match value {
                Some(value) => Some(text(value)?),
                None => None,
            };
            Some(Param { name, value })
        })
    }

    /// The value of `name`: `Some("")` for a flag, none when it is absent.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.pieces().find_map(|piece| {
            let (this, value) = name_and_value(piece);
            if this.is_empty() || !this.eq_ignore_ascii_case(name.as_bytes()) {
                return None;
            }
            text(value.unwrap_or_default())
        })
    }

    /// Whether `name` is there, with or without a value.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Each parameter's text without its `;`, trimmed, empty ones left out.
    pub(crate) fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let end = find(rest, b';').unwrap_or(rest.len());
                let piece = trim(&rest[..end]);
                rest = rest.get(end + 1..).unwrap_or_default();
                if !piece.is_empty() {
                    return Some(piece);
                }
            }
            None
        })
    }
}

fn name_and_value(piece: &[u8]) -> (&[u8], Option<&[u8]>) {
    // A name is short; what is quoted or bracketed has no `=` of ours.
    let sign = |b: &u8| matches!(b, b'=' | b'"' | b'<');
    let equals = match piece.iter().position(sign) {
        Some(at) if piece[at] == b'=' => Some(at),
        Some(_) => find(piece, b'='),
        None => None,
    };
    match equals {
        Some(at) => (trim(&piece[..at]), Some(trim(&piece[at + 1..]))),
        None => (piece, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_flags_and_quotes() {
        let params = Params::new(b";lr ; Tag = abc;x=\"a;b=c\";;empty=");
        assert_eq!(params.get("LR"), Some(""));
        assert_eq!(params.get("tag"), Some("abc"));
        assert_eq!(params.get("x"), Some("\"a;b=c\""));
        assert_eq!(params.get("empty"), Some(""));
        assert_eq!(params.get("none"), None);
        assert_eq!(params.iter().count(), 4);
    }

    #[test]
    fn what_is_not_utf8_is_passed_over() {
        let params = Params::new(b";a=\xff;b=1");
        assert_eq!(params.iter().count(), 1);
        assert_eq!(params.get("b"), Some("1"));
    }
}
