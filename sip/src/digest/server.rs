//! The side that challenges.

use std::time::Duration;

use super::algorithm::{Algorithm, Ha1};
use super::credentials::Credentials;
use super::nonce::{Nonce, NonceSecret, Windows};
use super::response::{Protection, Request};
use crate::Now;

/// How a [`Server`] is set up.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Signs the nonces.
    pub secret: NonceSecret,
    /// How long a nonce may be used.
    pub life: Duration,
    /// What is offered, the preferred one first (RFC 8760 2.3).
    pub algorithms: Box<[Algorithm]>,
    /// The number of nonces whose counts are remembered, about 40 bytes each. A nonce that had to
    /// be forgotten is stale: its user is challenged once more.
    pub nonces_max: usize,
}

/// Issues challenges and checks the answers.
#[derive(Debug)]
pub struct Server {
    settings: ServerSettings,
    windows: Windows,
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right and this answer was not seen before.
    Accepted,
    /// The password is right but the nonce is expired, unknown or its count already used:
    /// challenge again with `stale=true`.
    Stale,
    /// Not authenticated.
    Refused(Refusal),
}

/// Why credentials were refused. For logs and events; the peer is only challenged again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// They are for another realm.
    Realm,
    /// They use an algorithm that was not offered.
    Algorithm,
    /// They use a protection that was not offered (`auth-int`).
    Qop,
    /// There is no such user, or the response is wrong.
    Response,
}

impl Server {
    /// A server that has not issued anything.
    #[must_use]
    pub fn new(settings: ServerSettings) -> Self {
        let windows = Windows::new(settings.nonces_max.max(1));
        Self { settings, windows }
    }

    /// A new challenge. `random` must differ from challenge to challenge and be hard to guess.
    #[must_use]
    pub fn challenge<'a>(
        &'a self,
        now: Now,
        random: u64,
        realm: &'a str,
        stale: bool,
    ) -> Challenge<'a> {
        let nonce = Nonce::new(now.unix_ms, random).write(&self.settings.secret, realm.as_bytes());
        Challenge {
            algorithms: &self.settings.algorithms,
            realm,
            nonce,
            stale,
        }
    }

    /// Checks an answer. `ha1` is of the user that [`Credentials::username`] names, made with
    /// [`Credentials::algorithm`]; `None` if there is no such user, which takes as long to refuse.
    pub fn check(
        &mut self,
        now: Now,
        method: &str,
        realm: &str,
        credentials: &Credentials<'_>,
        ha1: Option<&Ha1>,
    ) -> Verdict {
        if credentials.realm().as_deref() != Some(realm) {
            return Verdict::Refused(Refusal::Realm);
        }
        let algorithm = match credentials.algorithm {
            Some((algorithm, false)) if self.settings.algorithms.contains(&algorithm) => algorithm,
            Some(_) | None => return Verdict::Refused(Refusal::Algorithm),
        };
        let protection = match credentials.qop {
            None => Protection::None,
            Some(qop) if qop.qop.eq_ignore_ascii_case(b"auth") => Protection::Auth {
                nc: qop.nc_text,
                cnonce: qop.cnonce,
            },
            Some(_) => return Verdict::Refused(Refusal::Qop),
        };
        let request = Request {
            method: method.as_bytes(),
            uri: credentials.uri(),
            nonce: credentials.nonce,
            session: false,
            protection,
        };
        if !proves(&request, algorithm, credentials.response, ha1) {
            return Verdict::Refused(Refusal::Response);
        }
        // An RFC 2069 answer has no count: it is good once.
        let nc = credentials.qop.map_or(1, |qop| qop.nc);
        if self.fresh(now, realm, credentials.nonce, nc) {
            Verdict::Accepted
        } else {
            Verdict::Stale
        }
    }

    /// What [`challenge`](Self::challenge) was given as `random` when it issued this nonce; `None`
    /// if it did not.
    #[must_use]
    pub fn random_of(&self, realm: &str, credentials: &Credentials<'_>) -> Option<u64> {
        Nonce::read(credentials.nonce, &self.settings.secret, realm.as_bytes())
            .map(|nonce| nonce.random)
    }

    /// The number of nonces whose counts are remembered.
    #[must_use]
    pub fn nonces(&self) -> usize {
        self.windows.len()
    }

    fn fresh(&mut self, now: Now, realm: &str, nonce: &[u8], nc: u32) -> bool {
        let Some(nonce) = Nonce::read(nonce, &self.settings.secret, realm.as_bytes()) else {
            return false;
        };
        let life_ms = u64::try_from(self.settings.life.as_millis()).unwrap_or(u64::MAX);
        let oldest = now.unix_ms.saturating_sub(life_ms);
        self.windows.expire(oldest);
        nonce.issued_ms >= oldest && self.windows.take(nonce, nc)
    }
}

/// Compares in constant time, and computes as much for a user that does not exist.
fn proves(request: &Request<'_>, algorithm: Algorithm, response: &[u8], ha1: Option<&Ha1>) -> bool {
    use subtle::ConstantTimeEq as _;
    let known = ha1.filter(|ha1| ha1.algorithm() == algorithm);
    let nobody = Ha1::nobody(algorithm);
    let expected = request.digest(known.unwrap_or(&nobody));
    let mut given = [0; 64];
    let Some(given) = given.get_mut(..response.len()) else {
        return false;
    };
    given.copy_from_slice(response);
    given.make_ascii_lowercase();
    bool::from(expected.as_bytes().ct_eq(given)) && known.is_some()
}

/// A challenge: one header value for each algorithm offered.
#[derive(Debug, Clone)]
pub struct Challenge<'a> {
    algorithms: &'a [Algorithm],
    realm: &'a str,
    nonce: String,
    stale: bool,
}

impl Challenge<'_> {
    /// The values of the WWW-Authenticate or Proxy-Authenticate headers, in order of preference.
    pub fn values(&self) -> impl Iterator<Item = String> + '_ {
        self.algorithms.iter().map(|algorithm| {
            let parts = [
                "Digest realm=\"",
                self.realm,
                "\", nonce=\"",
                &self.nonce,
                "\", ",
                if self.stale { "stale=true, " } else { "" },
                "algorithm=",
                algorithm.token(),
                ", qop=\"auth\"",
            ];
            parts.concat()
        })
    }
}
