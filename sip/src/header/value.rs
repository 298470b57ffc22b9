//! Reading inside a header value: white space, folds, quoted strings, comma lists.
//!
//! A parsed message holds no bare CR or LF, so inside a value either is part of a fold and counts
//! as white space (RFC 3261 7.3.1).

use std::borrow::Cow;

use ascii::AsciiStr;

/// The value with each fold made one space; borrowed when there is none.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\r', value) else {
        return Cow::Borrowed(value);
    };
    let mut out = value[..first].to_vec();
    let mut rest = &value[first..];
    while !rest.is_empty() {
        if is_space(rest[0]) && rest.starts_with(b"\r\n") {
            while out.last().is_some_and(|b| is_space(*b)) {
                out.pop();
            }
            out.push(b' ');
            rest = trim_start(rest);
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    Cow::Owned(out)
}

/// A quoted string without its quotes and escapes (RFC 3261 25.1); other text as it is.
#[must_use]
pub fn unquote(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = text.strip_prefix(b"\"").and_then(|t| t.strip_suffix(b"\"")) else {
        return Cow::Borrowed(text);
    };
    if memchr::memchr(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// The comma-separated elements of one value, trimmed, empty ones left out. Commas inside quoted
/// strings and angle brackets do not separate (RFC 3261 7.3.1).
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements of `value`.
    #[must_use]
    pub fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = find(self.rest, b',').unwrap_or(self.rest.len());
            let element = trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// Where the first `wanted` byte stands outside quotes and angle brackets.
///
/// An unclosed quote or bracket hides the rest of the value: an element is never cut in two.
pub(crate) fn find(text: &[u8], wanted: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr3(wanted, b'"', b'<', text.get(at..)?)?;
        at = match text[at] {
            byte if byte == wanted => return Some(at),
            b'"' => quoted_end(text, at)? + 1,
            _ => at + memchr::memchr(b'>', &text[at..])? + 1,
        };
    }
}

/// The bytes as text. Nearly all there is in a message is ASCII, which is quicker to tell.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    match AsciiStr::from_ascii(bytes) {
        Ok(text) => Some(text.as_str()),
        Err(_) => std::str::from_utf8(bytes).ok(),
    }
}

/// Whether all of it is visible ASCII.
pub(crate) fn is_visible(text: &[u8]) -> bool {
    // Without an early end it is done many bytes at a time.
    text.iter()
        .fold(true, |all, byte| all & matches!(byte, 0x21..=0x7e))
}

/// Whether every quote and bracket that opens is closed: only then may a parameter be added behind.
pub(crate) fn is_closed(mut text: &[u8]) -> bool {
    while let Some(open) = memchr::memchr2(b'"', b'<', text) {
        let close = if text[open] == b'"' {
            quoted_end(text, open)
        } else {
            memchr::memchr(b'>', &text[open..]).map(|at| open + at)
        };
        let Some(close) = close else { return false };
        text = &text[close + 1..];
    }
    true
}

/// Where the quoted string that opens at `open` has its closing quote.
pub(crate) fn quoted_end(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    trim_start(text)
}

pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    text
}

/// `token` of RFC 3261 25.1.
pub(crate) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        byte += 1;
    }
    table
};

/// A decimal number, digits only; none when it is empty, too large or anything else.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u32, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_respect_quotes_and_brackets() {
        let text = b" \"a, \\\"b\" <sip:x,y@z>;p=\"1,2\" ,, <sip:q>\r\n , c ";
        let got: Vec<_> = Elements::new(text).collect();
        assert_eq!(
            got,
            [&b"\"a, \\\"b\" <sip:x,y@z>;p=\"1,2\""[..], b"<sip:q>", b"c"]
        );
    }

    #[test]
    fn an_unclosed_quote_hides_the_rest() {
        let got: Vec<_> = Elements::new(b"a, \"b, c").collect();
        assert_eq!(got, [&b"a"[..], b"\"b, c"]);
        assert_eq!(quoted_end(b"\"abc\\", 0), None);
    }

    #[test]
    fn folds_become_one_space() {
        assert_eq!(&*unfold(b"a \r\n\t b\r\n c"), b"a b c");
        assert!(matches!(unfold(b"plain"), Cow::Borrowed(b"plain")));
    }

    #[test]
    fn quotes_and_escapes_come_off() {
        assert_eq!(&*unquote(b"\"a\\\"b\\\\\""), b"a\"b\\");
        assert_eq!(&*unquote(b"token"), b"token");
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number(b"007"), Some(7));
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        for bad in [&b""[..], b"+1", b"-1", b"1 ", b"4294967296", b"1e3"] {
            assert_eq!(number(bad), None);
        }
    }
}
