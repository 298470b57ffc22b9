//! The side that is challenged.

use super::algorithm::{Algorithm, Ha1};
use super::params::{Params, Value};
use super::response::{Protection, Request};

/// What we prove to know.
#[derive(Clone)]
pub enum Secret {
    /// The password itself: any algorithm can be answered.
    Password(Box<str>),
    /// A stored hash: only its own algorithm, and only the realm it was made for.
    Ha1(Ha1),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// The answer to a challenge, reused with a rising count until the peer challenges again.
#[derive(Debug)]
pub struct Client {
    ha1: Ha1,
    session: bool,
    protection: Offered,
    user: Box<str>,
    /// As in the challenge, escapes and all: it is echoed, not read.
    realm: Box<[u8]>,
    nonce: Box<[u8]>,
    opaque: Option<Box<[u8]>>,
    /// Whether the challenge named an algorithm: what was not named is not echoed.
    named: bool,
    nc: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offered {
    None,
    Auth,
    AuthInt,
}

impl Client {
    /// Takes the first of the challenges that we can answer (RFC 8760 2.4). `None` if there is
    /// no such.
    pub fn new<'a>(
        challenges: impl IntoIterator<Item = &'a [u8]>,
        user: &str,
        secret: &Secret,
    ) -> Option<Self> {
        challenges
            .into_iter()
            .find_map(|challenge| Self::of(challenge, user, secret))
    }

    fn of(challenge: &[u8], user: &str, secret: &Secret) -> Option<Self> {
        let mut realm = None;
        let mut nonce = None;
        let mut opaque = None;
        let mut algorithm = None;
        let mut qop = None;
        for (name, value) in Params::of(challenge)? {
            match name {
                name if name.eq_ignore_ascii_case(b"realm") => realm = Some(value),
                name if name.eq_ignore_ascii_case(b"nonce") => nonce = Some(value),
                name if name.eq_ignore_ascii_case(b"opaque") => opaque = Some(value),
                name if name.eq_ignore_ascii_case(b"algorithm") => algorithm = Some(value),
                name if name.eq_ignore_ascii_case(b"qop") => qop = Some(value),
                _ => {}
            }
        }
        let (realm, nonce) = (realm?, nonce?);
        // What is echoed must stay on its line.
        let echoed = [Some(realm), Some(nonce), opaque];
        if echoed
            .iter()
            .flatten()
            .any(|value| value.raw().iter().any(u8::is_ascii_control))
        {
            return None;
        }
        let (kind, session) = Algorithm::from_token(algorithm.map(Value::raw))?;
        let ha1 = match secret {
            Secret::Ha1(ha1) if ha1.algorithm() == kind => *ha1,
            Secret::Ha1(_) => return None,
            Secret::Password(password) => {
                let realm = realm.unescaped();
                Ha1::from_password(kind, user, std::str::from_utf8(&realm).ok()?, password)
            }
        };
        Some(Self {
            ha1,
            session,
            protection: offered(qop)?,
            user: user.into(),
            realm: realm.raw().into(),
            nonce: nonce.raw().into(),
            opaque: opaque.map(|opaque| opaque.raw().into()),
            named: algorithm.is_some(),
            nc: 0,
        })
    }

    /// The value of the Authorization or Proxy-Authorization header for one request. `entropy`
    /// becomes the cnonce. Bytes, because a realm need not be UTF-8.
    #[must_use]
    pub fn authorize(&mut self, method: &str, uri: &str, body: &[u8], entropy: u64) -> Vec<u8> {
        self.nc = self.nc.saturating_add(1);
        self.answer(method, uri, body, &format!("{entropy:016x}"))
    }

    fn answer(&self, method: &str, uri: &str, body: &[u8], cnonce: &str) -> Vec<u8> {
        let nc = format!("{:08x}", self.nc);
        let (nc_bytes, cnonce_bytes) = (nc.as_bytes(), cnonce.as_bytes());
        let (protection, qop) = match self.protection {
            Offered::None => (Protection::None, ""),
            Offered::Auth => (
                Protection::Auth {
                    nc: nc_bytes,
                    cnonce: cnonce_bytes,
                },
                "auth",
            ),
            Offered::AuthInt => (
                Protection::AuthInt {
                    nc: nc_bytes,
                    cnonce: cnonce_bytes,
                    body,
                },
                "auth-int",
            ),
        };
        let response = Request {
            method: method.as_bytes(),
            uri: uri.as_bytes(),
            nonce: &self.nonce,
            session: self.session,
            protection,
        }
        .digest(&self.ha1);

        let mut value = Vec::with_capacity(320);
        value.extend_from_slice(b"Digest username=\"");
        escape(&mut value, self.user.as_bytes());
        value.extend_from_slice(b"\", realm=\"");
        value.extend_from_slice(&self.realm);
        value.extend_from_slice(b"\", nonce=\"");
        value.extend_from_slice(&self.nonce);
        value.extend_from_slice(format!("\", uri=\"{uri}\", response=\"{response}\"").as_bytes());
        if self.named {
            value.extend_from_slice(b", algorithm=");
            value.extend_from_slice(self.ha1.algorithm().token().as_bytes());
            value.extend_from_slice(if self.session { b"-sess" } else { b"" });
        }
        if !qop.is_empty() {
            let count = format!(", cnonce=\"{cnonce}\", qop={qop}, nc={nc}");
            value.extend_from_slice(count.as_bytes());
        }
        if let Some(opaque) = &self.opaque {
            value.extend_from_slice(b", opaque=\"");
            value.extend_from_slice(opaque);
            value.push(b'"');
        }
        value
    }
}

/// `auth` if it is among the options, else `auth-int`; `None` if there are only unknown ones.
fn offered(qop: Option<Value<'_>>) -> Option<Offered> {
    let Some(qop) = qop else {
        return Some(Offered::None);
    };
    let has = |wanted: &[u8]| {
        qop.raw()
            .split(|c| *c == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted))
    };
    if has(b"auth") {
        Some(Offered::Auth)
    } else if has(b"auth-int") {
        Some(Offered::AuthInt)
    } else {
        None
    }
}

fn escape(value: &mut Vec<u8>, text: &[u8]) {
    for c in text {
        if matches!(c, b'"' | b'\\') {
            value.push(b'\\');
        }
        value.push(*c);
    }
}
