//! Commands: one frame, and in it the verb's own data.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::call::{CallState, Position};
use crate::encoding::{EncodeError, Encoding};
use crate::error::{CommandError, ErrorCode};
use crate::text::Text;

/// The longest id or idempotency key, in bytes.
const KEY_MAX: usize = 128;

/// A command: what every one of them can say, and the verb's data.
///
/// `D` is a family's verb ([`CallVerb`](crate::CallVerb), …) once it is decoded, or one verb's
/// data on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(bound = "D: JsonSchema + Serialize + Default")]
#[serde(bound(deserialize = "D: Deserialize<'de> + Default"))]
pub struct Command<D> {
    /// The sender's name for this command; comes back in the reply, in `causationid` and in the
    /// causes it leads to. One is made up where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Text>,
    /// A second command with this key (of this agent and verb, within 24 hours) gets the first
    /// one's reply and does nothing. The `id` stands in where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Text>,
    /// Perform it only if the call is in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_state: Option<CallState>,
    /// Perform it only if this `seq` is the call's last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_seq: Option<u64>,
    /// Perform it only if this is the call's epoch; said with `if_seq`, which begins anew with
    /// each epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_epoch: Option<u64>,
    /// Do not perform it after this moment, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The verb's own data.
    #[serde(default)]
    pub data: D,
}

impl<D> Command<D> {
    /// A command with nothing but its data.
    pub fn new(data: D) -> Self {
        Self {
            id: None,
            idempotency_key: None,
            if_state: None,
            if_seq: None,
            if_epoch: None,
            deadline_ms: None,
            data,
        }
    }

    /// The same with an id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Text>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// What a repetition is known by: the idempotency key, or else the id.
    pub fn key(&self) -> Option<&str> {
        self.idempotency_key.as_deref().or(self.id.as_deref())
    }

    /// Whether its deadline has passed.
    pub fn is_late(&self, unix_ms: u64) -> bool {
        self.deadline_ms.is_some_and(|deadline| unix_ms > deadline)
    }

    /// Refuses where `if_state`, `if_seq` or `if_epoch` does not hold for a call that is in `state`
    /// after the event at `position`.
    ///
    /// # Errors
    /// `precondition_failed`, with the state and position in its details.
    pub fn check_conditions(
        &self,
        state: CallState,
        position: Position,
    ) -> Result<(), CommandError> {
        let holds = self.if_state.is_none_or(|wanted| wanted == state)
            && self.if_seq.is_none_or(|wanted| wanted == position.seq)
            && self.if_epoch.is_none_or(|wanted| wanted == position.epoch);
        if holds {
            return Ok(());
        }
        let reason = format!("the call is {state}");
        Err(CommandError::new(ErrorCode::PreconditionFailed, reason)
            .with("state", state.as_str())
            .with("epoch", position.epoch)
            .with("seq", position.seq))
    }

    /// The same frame around other data.
    pub(crate) fn map<E>(self, f: impl FnOnce(D) -> E) -> Command<E> {
        Command {
            id: self.id,
            idempotency_key: self.idempotency_key,
            if_state: self.if_state,
            if_seq: self.if_seq,
            if_epoch: self.if_epoch,
            deadline_ms: self.deadline_ms,
            data: f(self.data),
        }
    }
}

impl<D: Serialize> Command<D> {
    /// Appends the command as it goes on the wire.
    pub fn encode_into(&self, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encoding.encode_into(self, out)
    }

    /// SHA-256 of the data, whatever the encoding it came in: a second command under one key must
    /// have the same.
    pub fn fingerprint(&self) -> Result<[u8; 32], EncodeError> {
        Ok(Sha256::digest(Encoding::Json.encode(&self.data)?).into())
    }
}

/// One verb's data: what it must satisfy beyond its shape.
pub(crate) trait Body: Serialize + DeserializeOwned + Default {
    /// Refuses what must not reach a call: empty addresses, header injection, absurd lengths.
    fn check(&self) -> Result<(), CommandError> {
        Ok(())
    }
}

/// Reads a verb's command. No bytes at all are an empty command.
pub(crate) fn decode<D: Body>(
    encoding: Encoding,
    bytes: &[u8],
) -> Result<Command<D>, CommandError> {
    let command: Command<D> = if bytes.is_empty() {
        Command::new(D::default())
    } else {
        encoding
            .decode(bytes)
            .map_err(|error| CommandError::new(ErrorCode::BadRequest, error.to_string()))?
    };
    for (field, text) in [
        ("id", &command.id),
        ("idempotency_key", &command.idempotency_key),
    ] {
        if let Some(text) = text {
            check_text(field, text, KEY_MAX)?;
        }
    }
    command.data.check()?;
    Ok(command)
}

/// Non-empty, no control characters (no header can be smuggled in), not longer than `max` bytes.
pub(crate) fn check_text(field: &str, text: &str, max: usize) -> Result<(), CommandError> {
    if text.is_empty() {
        return Err(CommandError::bad_field(field, "empty"));
    }
    if text.len() > max {
        return Err(CommandError::bad_field(field, "too long").with("max", max));
    }
    if text.chars().any(char::is_control) {
        return Err(CommandError::bad_field(field, "control character"));
    }
    Ok(())
}

/// Declares a family of verbs: the enum, the words, and how each decodes.
macro_rules! verbs {
    (
        $(#[$meta:meta])* pub enum $Verb:ident {
            $( $(#[$doc:meta])* $Variant:ident($Data:ty) = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
        #[serde(untagged)]
        pub enum $Verb { $( $(#[$doc])* $Variant($Data) ),+ }

        impl $Verb {
            /// Every word of the family.
            pub const WORDS: &'static [&'static str] = &[ $( $word ),+ ];

            /// The word in the subject.
            pub const fn word(&self) -> &'static str {
                match self { $( Self::$Variant(_) => $word ),+ }
            }

            /// Reads the command `word` of this family.
            ///
            /// # Errors
            /// `unknown_verb`, or `bad_request` where the bytes are not that verb's command.
            pub fn decode(
                word: &str,
                encoding: crate::Encoding,
                bytes: &[u8],
            ) -> Result<crate::Command<Self>, crate::CommandError> {
                match word {
                    $( $word => {
                        let command = crate::command::decode::<$Data>(encoding, bytes)?;
                        Ok(command.map(Self::$Variant))
                    } )+
                    _ => Err(crate::CommandError::new(
                        crate::ErrorCode::UnknownVerb,
                        format!("no verb `{}` here", word.chars().take(64).collect::<String>()),
                    )
                    .with("verbs", Self::WORDS)),
                }
            }
        }

        $( impl From<$Data> for $Verb { fn from(data: $Data) -> Self { Self::$Variant(data) } } )+
    };
}

pub(crate) use verbs;
