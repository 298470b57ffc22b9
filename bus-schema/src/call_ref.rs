//! The names of a call, its session and its legs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use ulid::{ULID_LEN, Ulid};

use crate::text::Short;

/// Room for the longest of these names.
const ROOM: usize = CallRef::LEN;

/// How many shards a tenant's calls are spread over.
pub const SHARDS: u8 = 64;

/// A text that is not the name it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {0}")]
pub struct RefError(&'static str);

/// The reference of a call: `<shard, 2 digits>.<ulid>`, such as `07.01JD5Z4M3N8Q2R6T7V9W0X1Y2Z`.
///
/// Opaque to agents; in a subject it is two tokens, so that the owner of a shard hears all its
/// calls by one subscription.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallRef {
    shard: u8,
    ulid: u128,
}

impl CallRef {
    /// The length of its text in bytes.
    pub const LEN: usize = 3 + ULID_LEN;

    /// The call `ulid` on `shard`, which is taken modulo [`SHARDS`].
    pub const fn new(shard: u8, ulid: u128) -> Self {
        Self {
            shard: shard % SHARDS,
            ulid,
        }
    }

    /// A new reference from the time in Unix milliseconds and 80 bits of entropy.
    pub const fn mint(shard: u8, unix_ms: u64, entropy: u128) -> Self {
        Self::new(shard, Ulid::from_parts(unix_ms, entropy).0)
    }

    /// The shard that owns the call, below [`SHARDS`].
    pub const fn shard(self) -> u8 {
        self.shard
    }

    /// The 128 bits of the ULID.
    pub const fn ulid(self) -> u128 {
        self.ulid
    }

    fn spell(self) -> Short<ROOM> {
        let mut text = [b'.'; Self::LEN];
        text[0] = b'0' + self.shard / 10;
        text[1] = b'0' + self.shard % 10;
        let mut tail = [0; ULID_LEN];
        Ulid(self.ulid).array_to_str(&mut tail);
        text[3..].copy_from_slice(&tail);
        Short::new(&text)
    }
}

impl FromStr for CallRef {
    type Err = RefError;

    fn from_str(text: &str) -> Result<Self, RefError> {
        parse_call(text).ok_or(RefError("call reference"))
    }
}

fn parse_call(text: &str) -> Option<CallRef> {
    let (shard, ulid) = text.split_once('.')?;
    let [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = shard.as_bytes() else {
        return None;
    };
    let shard = (tens - b'0') * 10 + (ones - b'0');
    (shard < SHARDS).then_some(())?;
    Some(CallRef::new(shard, parse_ulid(ulid)?))
}

/// Only the canonical spelling: a lower-case or overflowing ULID would be a second name of one
/// call.
fn parse_ulid(text: &str) -> Option<u128> {
    let ulid = Ulid::from_string(text).ok()?;
    let mut canonical = [0; ULID_LEN];
    (ulid.array_to_str(&mut canonical) == text).then_some(ulid.0)
}

/// The logical call across transfers: the ULID of its first call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u128);

impl SessionId {
    fn spell(self) -> Short<ROOM> {
        let mut text = [0; ULID_LEN];
        Ulid(self.0).array_to_str(&mut text);
        Short::new(&text)
    }
}

impl From<CallRef> for SessionId {
    fn from(call: CallRef) -> Self {
        Self(call.ulid)
    }
}

impl FromStr for SessionId {
    type Err = RefError;

    fn from_str(text: &str) -> Result<Self, RefError> {
        parse_ulid(text).map(Self).ok_or(RefError("session id"))
    }
}

/// A leg of a call: `a` is the caller's, `b`, `c`, … the others; after `z` comes `aa`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegName(pub u16);

impl LegName {
    fn spell(self) -> Short<ROOM> {
        let mut text = [0; 4];
        let mut at = text.len();
        let mut number = u32::from(self.0) + 1;
        while number > 0 {
            number -= 1;
            at -= 1;
            text[at] = b'a' + u8::try_from(number % 26).unwrap_or_default();
            number /= 26;
        }
        Short::new(&text[at..])
    }
}

impl FromStr for LegName {
    type Err = RefError;

    fn from_str(text: &str) -> Result<Self, RefError> {
        let wrong = RefError("leg");
        if text.is_empty() || text.len() > 4 || !text.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err(wrong);
        }
        let number = text
            .bytes()
            .fold(0u32, |sum, b| sum * 26 + u32::from(b - b'a') + 1);
        u16::try_from(number - 1).map(Self).map_err(|_| wrong)
    }
}

/// The wire form of a name: text, the same in Debug, Display and both encodings.
macro_rules! textual {
    ($Name:ident, $expecting:literal, $pattern:literal) => {
        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.spell().as_str())
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $Name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.spell().as_str())
            }
        }

        impl<'de> Deserialize<'de> for $Name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Parsed;
                impl Visitor<'_> for Parsed {
                    type Value = $Name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$Name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Parsed)
            }
        }

        impl JsonSchema for $Name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($Name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}

textual!(
    CallRef,
    "a call reference",
    "^[0-6][0-9]\\.[0-7][0-9A-HJKMNP-TV-Z]{25}$"
);
textual!(SessionId, "a session id", "^[0-7][0-9A-HJKMNP-TV-Z]{25}$");
textual!(LegName, "a leg", "^[a-z]{1,4}$");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_spelling_is_refused() {
        let good = "07.01JD5Z4M3N8Q2R6T7V9W0X1Y2Z";
        assert_eq!(good.parse::<CallRef>().unwrap().to_string(), good);
        for wrong in [
            "7.01JD5Z4M3N8Q2R6T7V9W0X1Y2Z",
            "64.01JD5Z4M3N8Q2R6T7V9W0X1Y2Z",
            "07.01jd5z4m3n8q2r6t7v9w0x1y2z",
            "07.81JD5Z4M3N8Q2R6T7V9W0X1Y2Z",
            "07.01JD5Z4M3N8Q2R6T7V9W0X1Y2",
            "07",
            "",
        ] {
            assert!(wrong.parse::<CallRef>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn legs_count_in_letters() {
        for (number, text) in [(0, "a"), (1, "b"), (25, "z"), (26, "aa"), (701, "zz")] {
            assert_eq!(LegName(number).to_string(), text);
        }
        assert!("zzzz".parse::<LegName>().is_err());
        assert!("A".parse::<LegName>().is_err());
    }

    proptest! {
        #[test]
        fn names_are_inverse(shard in 0..SHARDS, ulid: u128, leg: u16) {
            let call = CallRef::new(shard, ulid);
            prop_assert_eq!(call.to_string().parse(), Ok(call));
            prop_assert_eq!(SessionId(ulid).to_string().parse(), Ok(SessionId(ulid)));
            prop_assert_eq!(LegName(leg).to_string().parse(), Ok(LegName(leg)));
        }
    }
}
