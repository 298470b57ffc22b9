//! The two encodings, which decode to the same value, and how a message says which it uses.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest message that is decoded, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The deepest nesting that is decoded.
const MAX_DEPTH: usize = 64;

/// How a message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JSON (RFC 8259): the default, for people.
    #[default]
    Json,
    /// MessagePack with structs as maps and the human-readable form of every value, so that it
    /// decodes to exactly what the JSON does.
    MsgPack,
}

/// A value that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode: {0}")]
pub struct EncodeError(Box<str>);

/// Bytes that are not the message they should be.
#[derive(Debug, thiserror::Error)]
#[error("cannot decode: {0}")]
pub struct DecodeError(Box<str>);

impl EncodeError {
    pub(crate) fn new(why: &dyn std::fmt::Display) -> Self {
        Self(why.to_string().into())
    }
}

impl DecodeError {
    pub(crate) fn new(why: &dyn std::fmt::Display) -> Self {
        Self(why.to_string().into())
    }
}

/// A content type that neither encoding answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported content type")]
pub struct UnsupportedContentType;

impl Encoding {
    /// The encoding a `Content-Type` (or an accept header of ours) names; `None` is JSON.
    pub fn from_content_type(value: Option<&str>) -> Result<Self, UnsupportedContentType> {
        let Some(value) = value else {
            return Ok(Self::Json);
        };
        let media = value.split(';').next().unwrap_or_default().trim();
        let is = |known: &[&str]| known.iter().any(|k| media.eq_ignore_ascii_case(k));
        if is(&["application/json", "application/cloudevents+json"]) {
            Ok(Self::Json)
        } else if is(&[
            "application/msgpack",
            "application/x-msgpack",
            "application/vnd.msgpack",
            "application/cloudevents+msgpack",
        ]) {
            Ok(Self::MsgPack)
        } else {
            Err(UnsupportedContentType)
        }
    }

    /// The encoding of a reply: what `Ifbus-Accept` asks for, or else that of the request.
    pub fn of_reply(self, accept: Option<&str>) -> Result<Self, UnsupportedContentType> {
        accept.map_or(Ok(self), |value| Self::from_content_type(Some(value)))
    }

    /// The `Content-Type` of a command or reply.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MsgPack => "application/msgpack",
        }
    }

    /// The `Content-Type` of an event: CloudEvents 1.0, structured.
    pub const fn event_content_type(self) -> &'static str {
        match self {
            Self::Json => "application/cloudevents+json",
            Self::MsgPack => "application/msgpack",
        }
    }

    /// Appends `value`; `out` is as it was after an error.
    pub fn encode_into<T: Serialize + ?Sized>(
        self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        let written = match self {
            Self::Json => {
                serde_json::to_writer(&mut *out, value).map_err(|error| EncodeError::new(&error))
            }
            Self::MsgPack => {
                let mut serializer = rmp_serde::Serializer::new(&mut *out)
                    .with_struct_map()
                    .with_human_readable();
                value
                    .serialize(&mut serializer)
                    .map_err(|error| EncodeError::new(&error))
            }
        };
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    /// `value` in a buffer of its own.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(512);
        self.encode_into(value, &mut out)?;
        Ok(out)
    }

    /// Reads one value, which must be all there is. At most [`MAX_BYTES`] are looked at.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        if bytes.len() > MAX_BYTES {
            return Err(DecodeError::new(&"too long"));
        }
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(|error| DecodeError::new(&error)),
            Self::MsgPack => {
                let mut rest = bytes;
                let mut deserializer =
                    rmp_serde::Deserializer::new(&mut rest).with_human_readable();
                deserializer.set_max_depth(MAX_DEPTH);
                let value =
                    T::deserialize(&mut deserializer).map_err(|error| DecodeError::new(&error))?;
                if rest.is_empty() {
                    Ok(value)
                } else {
                    Err(DecodeError::new(&"bytes after the value"))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn content_types() {
        let of = |text| Encoding::from_content_type(Some(text));
        assert_eq!(Encoding::from_content_type(None), Ok(Encoding::Json));
        assert_eq!(of("Application/JSON; charset=utf-8"), Ok(Encoding::Json));
        assert_eq!(of("application/cloudevents+json"), Ok(Encoding::Json));
        assert_eq!(of("application/x-msgpack"), Ok(Encoding::MsgPack));
        assert_eq!(of("text/plain"), Err(UnsupportedContentType));
        assert_eq!(
            Encoding::Json.of_reply(Some("application/msgpack")),
            Ok(Encoding::MsgPack)
        );
        assert_eq!(Encoding::MsgPack.of_reply(None), Ok(Encoding::MsgPack));
    }

    #[test]
    fn a_second_value_is_refused() {
        assert!(Encoding::Json.decode::<Value>(b"{} {}").is_err());
        assert!(Encoding::MsgPack.decode::<Value>(&[0x80, 0x80]).is_err());
    }

    #[test]
    fn depth_and_false_lengths_are_refused() {
        let deep = vec![0x91; 100_000];
        assert!(Encoding::MsgPack.decode::<Value>(&deep).is_err());
        let huge = [0xdd, 0xff, 0xff, 0xff, 0xff];
        assert!(Encoding::MsgPack.decode::<Value>(&huge).is_err());
        let deep = "[".repeat(100_000);
        assert!(Encoding::Json.decode::<Value>(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = Encoding::Json.decode::<Value>(&bytes).ok();
            let _ = Encoding::MsgPack.decode::<Value>(&bytes).ok();
        }
    }
}
