//! The value of an Authorization or Proxy-Authorization header.

use std::borrow::Cow;

use super::algorithm::Algorithm;
use super::params::{Params, Value};

/// Credentials as a peer sent them: nothing in here is proven.
#[derive(Debug, Clone)]
pub struct Credentials<'a> {
    username: Value<'a>,
    realm: Value<'a>,
    uri: &'a [u8],
    pub(super) nonce: &'a [u8],
    pub(super) response: &'a [u8],
    /// `None`: an algorithm we do not know.
    pub(super) algorithm: Option<(Algorithm, bool)>,
    pub(super) qop: Option<Qop<'a>>,
}

/// The protection the peer says it used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Qop<'a> {
    pub(super) qop: &'a [u8],
    pub(super) cnonce: &'a [u8],
    pub(super) nc: u32,
    pub(super) nc_text: &'a [u8],
}

impl<'a> Credentials<'a> {
    /// Reads a header value. `None` if it is not Digest or lacks what Digest needs.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let mut username = None;
        let mut realm = None;
        let mut nonce = None;
        let mut uri = None;
        let mut response = None;
        let mut algorithm = None;
        let mut qop = None;
        let mut cnonce = None;
        let mut nc = None;
        for (name, value) in Params::of(value)? {
            let slot = match name {
                name if name.eq_ignore_ascii_case(b"username") => &mut username,
                name if name.eq_ignore_ascii_case(b"realm") => &mut realm,
                name if name.eq_ignore_ascii_case(b"nonce") => &mut nonce,
                name if name.eq_ignore_ascii_case(b"uri") => &mut uri,
                name if name.eq_ignore_ascii_case(b"response") => &mut response,
                name if name.eq_ignore_ascii_case(b"algorithm") => &mut algorithm,
                name if name.eq_ignore_ascii_case(b"qop") => &mut qop,
                name if name.eq_ignore_ascii_case(b"cnonce") => &mut cnonce,
                name if name.eq_ignore_ascii_case(b"nc") => &mut nc,
                _ => continue,
            };
            // Each "MUST NOT appear more than once" (RFC 7616 3.4).
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let qop = match qop {
            None => None,
            Some(qop) => {
                let nc_text = nc?.raw();
                Some(Qop {
                    qop: qop.raw(),
                    cnonce: cnonce?.raw(),
                    nc: count(nc_text)?,
                    nc_text,
                })
            }
        };
        Some(Self {
            username: username?,
            realm: realm?,
            uri: uri?.raw(),
            nonce: nonce?.raw(),
            response: response?.raw(),
            algorithm: Algorithm::from_token(algorithm.map(Value::raw)),
            qop,
        })
    }

    /// Who it claims to be; usually the user part of the AOR, at some devices `user@domain`.
    #[must_use]
    pub fn username(&self) -> Option<Cow<'a, str>> {
        text(self.username.unescaped())
    }

    /// The realm of the challenge it answers.
    #[must_use]
    pub fn realm(&self) -> Option<Cow<'a, str>> {
        text(self.realm.unescaped())
    }

    /// The digest-uri, as written. Devices differ in what they put here, so it is for the caller
    /// to hold against the Request-URI if it wants to.
    #[must_use]
    pub const fn uri(&self) -> &'a [u8] {
        self.uri
    }

    /// The algorithm it was made with, if known to us.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm.map(|(algorithm, _)| algorithm)
    }
}

fn text(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// nc-value: exactly eight hexadecimal digits.
fn count(text: &[u8]) -> Option<u32> {
    if text.len() != 8 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}
