//! The `name=value, name="value"` list of a challenge or of credentials.

use std::borrow::Cow;

/// The most parameters that are looked at: RFC 7616 knows twelve.
const PARAMS_MAX: usize = 32;

/// One after another; ends at the first thing that is not a parameter.
#[derive(Debug, Clone)]
pub(super) struct Params<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Params<'a> {
    /// The parameters after the scheme, if the scheme is Digest.
    pub(super) fn of(value: &'a [u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (scheme, rest) = value.split_at_checked(b"Digest".len())?;
        let after = rest.first().is_some_and(|c| c.is_ascii_whitespace());
        (scheme.eq_ignore_ascii_case(b"Digest") && after).then_some(Self {
            rest,
            left: PARAMS_MAX,
        })
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let start = self
            .rest
            .iter()
            .position(|c| *c != b',' && !c.is_ascii_whitespace())?;
        let rest = self.rest.get(start..)?;
        let equals = memchr::memchr(b'=', rest)?;
        let (name, rest) = rest.split_at_checked(equals)?;
        let rest = rest.get(1..)?.trim_ascii_start();
        let (value, rest) = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = end_of_quoted(quoted)?;
                (Value::Quoted(quoted.get(..end)?), quoted.get(end + 1..)?)
            }
            None => {
                let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
                let (token, rest) = rest.split_at_checked(end)?;
                (Value::Token(token.trim_ascii_end()), rest)
            }
        };
        self.rest = rest;
        Some((name.trim_ascii(), value))
    }
}

fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// What follows the equals sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Token(&'a [u8]),
    /// Between the quotes, escapes still in it.
    Quoted(&'a [u8]),
}

impl<'a> Value<'a> {
    /// As written, without the quotes: what digests are computed over in practice.
    pub(super) const fn raw(self) -> &'a [u8] {
        match self {
            Self::Token(text) | Self::Quoted(text) => text,
        }
    }

    /// What it means, escapes resolved.
    pub(super) fn unescaped(self) -> Cow<'a, [u8]> {
        match self {
            Self::Token(text) => Cow::Borrowed(text),
            Self::Quoted(text) if !text.contains(&b'\\') => Cow::Borrowed(text),
            Self::Quoted(text) => {
                let mut plain = Vec::with_capacity(text.len());
                let mut escaped = false;
                for c in text {
                    escaped = !escaped && *c == b'\\';
                    if !escaped {
                        plain.push(*c);
                    }
                }
                Cow::Owned(plain)
            }
        }
    }
}
