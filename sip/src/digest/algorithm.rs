//! The hash functions, their tokens, and hashes in hexadecimal.

use std::fmt;

use md5::Md5;
use sha2::{Sha256, Sha512_256};

/// A hash function of RFC 7616 section 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `MD5`: weak, and all that most phones know.
    Md5,
    /// `SHA-256`.
    Sha256,
    /// `SHA-512-256`: SHA-512/256 of FIPS 180-4, which is not a cut SHA-512.
    Sha512_256,
}

impl Algorithm {
    /// The token in a challenge.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// The algorithm and whether it is the session variant (`-sess`). No token means MD5.
    pub(super) fn from_token(token: Option<&[u8]>) -> Option<(Self, bool)> {
        let Some(token) = token else {
            return Some((Self::Md5, false));
        };
        let (name, session) = match token.len().checked_sub(5).map(|at| token.split_at(at)) {
            Some((name, end)) if end.eq_ignore_ascii_case(b"-sess") => (name, true),
            Some(_) | None => (token, false),
        };
        [Self::Md5, Self::Sha256, Self::Sha512_256]
            .into_iter()
            .find(|known| name.eq_ignore_ascii_case(known.token().as_bytes()))
            .map(|known| (known, session))
    }

    /// The hash of the parts with `:` between them, in lower-case hexadecimal.
    pub(super) fn hash(self, parts: &[&[u8]]) -> Hex {
        match self {
            Self::Md5 => joined::<Md5>(parts),
            Self::Sha256 => joined::<Sha256>(parts),
            Self::Sha512_256 => joined::<Sha512_256>(parts),
        }
    }

    pub(super) const fn hex_len(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512_256 => 64,
        }
    }
}

fn joined<H: sha2::digest::Digest>(parts: &[&[u8]]) -> Hex {
    let mut hasher = H::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    Hex::of(&hasher.finalize())
}

/// A hash written in lower-case hexadecimal, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hex {
    digits: [u8; 64],
    len: u8,
}

impl Hex {
    fn of(hash: &[u8]) -> Self {
        let mut digits = [0; 64];
        let mut len = 0;
        for (pair, byte) in digits.chunks_exact_mut(2).zip(hash) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
            len += 2;
        }
        Self { digits, len }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(self.as_bytes()).unwrap_or_default())
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// H(user:realm:password): as good as the password for that realm, so it is never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1 {
    algorithm: Algorithm,
    hex: Hex,
}

impl Ha1 {
    /// Of a password.
    #[must_use]
    pub fn from_password(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Self {
        let parts = [user.as_bytes(), realm.as_bytes(), password.as_bytes()];
        Self {
            algorithm,
            hex: algorithm.hash(&parts),
        }
    }

    /// Of hexadecimal digits, as an `htdigest` file has them. `None` unless they are as many as
    /// the algorithm's hash has.
    #[must_use]
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Option<Self> {
        if hex.len() != algorithm.hex_len() || !hex.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let mut digits = [0; 64];
        digits
            .get_mut(..hex.len())?
            .copy_from_slice(hex.to_ascii_lowercase().as_bytes());
        Some(Self {
            algorithm,
            hex: Hex {
                digits,
                len: hex.len() as u8,
            },
        })
    }

    /// The hash function it was made with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Of no user: what a wrong name is checked against, so that it takes as long as a wrong
    /// password.
    pub(super) fn nobody(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            hex: Hex {
                digits: [b'0'; 64],
                len: algorithm.hex_len() as u8,
            },
        }
    }

    pub(super) const fn hex(&self) -> Hex {
        self.hex
    }

    /// The digits, lower-case. They are the secret: for sealed storage only.
    #[must_use]
    pub fn expose_hex(&self) -> &str {
        std::str::from_utf8(self.hex.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({}, ***)", self.algorithm.token())
    }
}
