//! Nonces that prove themselves, and the counts already used with them.
//!
//! A nonce is `time || random || MAC(realm, time, random)`: the server keeps nothing for the ones
//! it issues. What it keeps is a replay window for each one that a correct password was used with.
//! The random part makes two challenges of the same instant two nonces: a shared replay window
//! would refuse one of two correct passwords.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::{Hasher128, SipHasher24};

/// time 6, random 8, MAC 16.
const RAW_LEN: usize = 30;
/// In base64, without padding: 30 bytes are exactly 40 characters.
const TEXT_LEN: usize = 40;

/// The key of the nonces' MAC. Nodes that share it accept each other's nonces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NonceSecret(pub [u8; 16]);

impl fmt::Debug for NonceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceSecret(***)")
    }
}

/// When a nonce was issued (unix milliseconds) and what tells it from others of that instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nonce {
    pub(super) issued_ms: u64,
    pub(super) random: u64,
}

impl Nonce {
    pub(super) const fn new(issued_ms: u64, random: u64) -> Self {
        Self {
            issued_ms: issued_ms & ((1 << 48) - 1),
            random,
        }
    }

    pub(super) fn write(self, secret: &NonceSecret, realm: &[u8]) -> String {
        let mut raw = [0; RAW_LEN];
        raw[..6].copy_from_slice(&self.issued_ms.to_be_bytes()[2..]);
        raw[6..14].copy_from_slice(&self.random.to_be_bytes());
        raw[14..].copy_from_slice(&self.mac(secret, realm));
        URL_SAFE_NO_PAD.encode(raw)
    }

    /// `None` unless it is one of ours, for this realm.
    pub(super) fn read(text: &[u8], secret: &NonceSecret, realm: &[u8]) -> Option<Self> {
        use subtle::ConstantTimeEq as _;
        if text.len() != TEXT_LEN {
            return None;
        }
        let mut raw = [0; RAW_LEN];
        URL_SAFE_NO_PAD.decode_slice(text, &mut raw).ok()?;
        let (issued, rest) = raw.split_first_chunk::<6>()?;
        let (random, mac) = rest.split_first_chunk::<8>()?;
        let mut issued_ms = [0; 8];
        issued_ms[2..].copy_from_slice(issued);
        let nonce = Self {
            issued_ms: u64::from_be_bytes(issued_ms),
            random: u64::from_be_bytes(*random),
        };
        bool::from(nonce.mac(secret, realm).ct_eq(mac)).then_some(nonce)
    }

    fn mac(self, secret: &NonceSecret, realm: &[u8]) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(&secret.0);
        hasher.write(&self.issued_ms.to_be_bytes());
        hasher.write(&self.random.to_be_bytes());
        hasher.write(realm);
        hasher.finish128().as_bytes()
    }
}

/// The counts used with each nonce, for a bounded number of nonces.
#[derive(Debug)]
pub(super) struct Windows {
    used: BTreeMap<Nonce, Window>,
    capacity: usize,
    /// Nonces up to here have been forgotten: a count of theirs may have been used.
    forgotten: Option<Nonce>,
}

/// The highest count seen and which of the 64 below it were.
#[derive(Debug, Clone, Copy)]
struct Window {
    highest: u32,
    below: u64,
}

impl Windows {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            used: BTreeMap::new(),
            capacity,
            forgotten: None,
        }
    }

    /// Takes a count, once. `false`: it was used before, or may have been.
    pub(super) fn take(&mut self, nonce: Nonce, nc: u32) -> bool {
        if let Some(window) = self.used.get_mut(&nonce) {
            return window.take(nc);
        }
        if nc == 0 || self.forgotten.is_some_and(|forgotten| nonce <= forgotten) {
            return false;
        }
        if self.used.len() >= self.capacity {
            self.forget_oldest();
        }
        // The oldest may have been younger than this one.
        if self.forgotten.is_some_and(|forgotten| nonce <= forgotten) {
            return false;
        }
        self.used.insert(
            nonce,
            Window {
                highest: nc,
                below: 0,
            },
        );
        true
    }

    /// Drops what was issued before `issued_ms`: such nonces are refused as stale anyway.
    pub(super) fn expire(&mut self, issued_ms: u64) {
        while let Some(first) = self.used.first_entry() {
            if first.key().issued_ms >= issued_ms {
                return;
            }
            first.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.used.len()
    }

    fn forget_oldest(&mut self) {
        if let Some((oldest, _)) = self.used.pop_first() {
            self.forgotten = self.forgotten.max(Some(oldest));
        }
    }
}

impl Window {
    fn take(&mut self, nc: u32) -> bool {
        if nc > self.highest {
            let ahead = nc - self.highest;
            // The old highest becomes bit `ahead - 1`.
            self.below = self.below.checked_shl(ahead).unwrap_or(0)
                | 1u64.checked_shl(ahead - 1).unwrap_or(0);
            self.highest = nc;
            return true;
        }
        let Some(bit) = (self.highest - nc).checked_sub(1) else {
            return false;
        };
        let Some(mask) = 1u64.checked_shl(bit) else {
            return false;
        };
        if nc == 0 || self.below & mask != 0 {
            return false;
        }
        self.below |= mask;
        true
    }
}
