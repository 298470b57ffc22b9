//! The signed token that every tag, branch, Contact and Call-ID of ours begins with.
//!
//! It says which shard, call and leg a message belongs to, so that any thread finds the owner of
//! an in-dialog request or a response without a table. The MAC keeps strangers from aiming
//! messages at calls they have not been part of; it is not what proves a dialog (the dialog's own
//! tags do).

use core::fmt;
use core::hash::Hasher;

use bus_schema::LegName;
use siphasher::sip::SipHasher13;

use crate::key::CallKey;

/// The number of characters a token is written with.
pub const TOKEN_LEN: usize = 26;

/// RFC 3261 8.1.1.7: what every branch of an RFC 3261 element begins with.
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// Bits of the MAC. One guess in 2^40 aims a message at a leg, whose dialog then refuses it.
const MAC_BITS: u32 = 40;
const MAC_MASK: u128 = (1 << MAC_BITS) - 1;

/// Lower-case base 32 without `i l o u`. Tags are compared without regard to case by some peers,
/// so only one case is used and the other is not accepted.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The inverse of [`ALPHABET`]; 0xff marks a character outside it.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut i = 0;
    while i < 32 {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// The leg of a call: 0 is the caller's, further ones are forks in the order they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LegId(pub u16);

impl LegId {
    /// The leg of the caller, or of the party an originated call rings first.
    pub const CALLER: Self = Self(0);
}

/// The name of a leg on the bus: `a` to `z`, then `aa` …
impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LegName(self.0).fmt(f)
    }
}

/// The key tokens are signed with. All nodes of a cluster share it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenKey {
    k0: u64,
    k1: u64,
}

impl TokenKey {
    /// A key from 16 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        let whole = u128::from_le_bytes(bytes);
        Self {
            k0: whole as u64,
            k1: (whole >> 64) as u64,
        }
    }

    /// A keyed hash of some fields, for choosing an owner: strangers cannot pile work on one.
    #[must_use]
    pub fn hash(&self, fields: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.k0, self.k1);
        for field in fields {
            hasher.write(field);
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// What a token says: the owner of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The shard, 0 to 63.
    pub shard: u8,
    /// The low 64 bits of the call's ULID (all of them random).
    pub call: u64,
    /// The leg.
    pub leg: LegId,
}

impl Token {
    /// The token of one leg of a call.
    #[must_use]
    pub fn new(call: CallKey, leg: LegId) -> Self {
        Self {
            shard: call.shard,
            call: call.low(),
            leg,
        }
    }

    /// The token as signed text.
    #[must_use]
    pub fn text(&self, key: &TokenKey) -> TokenText {
        let mut bits = (self.claim() << MAC_BITS) | self.mac(key);
        let mut text = [0; TOKEN_LEN];
        for slot in text.iter_mut().rev() {
            *slot = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
        TokenText(text)
    }

    /// The token that `text` begins with. What follows it is the holder's own (a branch's number,
    /// the tag of one early dialog). `None` if it is not one of ours or its MAC is wrong.
    #[must_use]
    pub fn parse(text: &str, key: &TokenKey) -> Option<Self> {
        let text = text.as_bytes().get(..TOKEN_LEN)?;
        let mut bits: u128 = 0;
        for &c in text {
            let value = VALUES[usize::from(c)];
            if value == 0xff || bits >> 123 != 0 {
                return None;
            }
            bits = (bits << 5) | u128::from(value);
        }
        let token = Self {
            shard: (bits >> 120) as u8,
            call: (bits >> 56) as u64,
            leg: LegId((bits >> MAC_BITS) as u16),
        };
        let valid = token.shard < CallKey::SHARDS && bits & MAC_MASK == token.mac(key);
        valid.then_some(token)
    }

    /// The token of a Via branch of ours.
    #[must_use]
    pub fn parse_branch(branch: &str, key: &TokenKey) -> Option<Self> {
        Self::parse(branch.strip_prefix(BRANCH_COOKIE)?, key)
    }

    fn claim(self) -> u128 {
        (u128::from(self.shard) << 80) | (u128::from(self.call) << 16) | u128::from(self.leg.0)
    }

    fn mac(self, key: &TokenKey) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(key.k0, key.k1);
        hasher.write_u128(self.claim());
        u128::from(hasher.finish()) & MAC_MASK
    }
}

/// A token as text, ready to be written into a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenText([u8; TOKEN_LEN]);

impl TokenText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The alphabet is ASCII, so this never takes the other arm.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> TokenKey {
        TokenKey::new(*b"0123456789abcdef")
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            shard in 0u8..64, call: u64, leg: u16, tail in "[.a-z0-9]{0,8}",
        ) {
            let token = Token { shard, call, leg: LegId(leg) };
            let text = format!("{}{tail}", token.text(&key()));
            prop_assert_eq!(Token::parse(&text, &key()), Some(token));
            prop_assert_eq!(Token::parse(&text, &TokenKey::new([7; 16])), None);
        }

        #[test]
        fn a_changed_character_is_refused(call: u64, at in 0usize..TOKEN_LEN, to in 0usize..32) {
            let token = Token { shard: 7, call, leg: LegId(1) };
            let mut text = token.text(&key()).as_str().to_owned().into_bytes();
            prop_assume!(text[at] != ALPHABET[to]);
            text[at] = ALPHABET[to];
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(Token::parse(&text, &key()), None);
        }

        #[test]
        fn any_text_is_survived(text in "\\PC*") {
            prop_assert_eq!(Token::parse(&text, &key()), None);
        }
    }

    #[test]
    fn legs_have_letters() {
        let names: Vec<String> = [0, 1, 25, 26, 53].map(|n| LegId(n).to_string()).into();
        assert_eq!(names, ["a", "b", "z", "aa", "bb"]);
    }
}
