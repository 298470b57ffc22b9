//! Commands that were already given: a repeat gets the first one's reply and does nothing.
//!
//! Known by tenant, agent, verb and key for 24 hours, also over a restart: the reply is durable
//! before the command takes effect.

use std::collections::{BTreeSet, HashMap};

use bus_schema::{CommandError, ErrorCode, Text};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limit::refused as limited;

/// How long a command is remembered.
const REMEMBERED_MS: u64 = 24 * 3600 * 1000;

/// What a command is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key([u8; 16]);

impl Key {
    /// The key of a command. The parts are hashed, so their lengths do not matter.
    pub(crate) fn new(tenant: &str, agent: &str, verb: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [tenant, agent, verb, key] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hash.finalize()[..16]);
        Self(short)
    }

    /// As the store names it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A command that was given, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Given {
    /// Of its data, see [`bus_schema::Command::fingerprint`].
    fingerprint: [u8; 32],
    /// When, in Unix milliseconds.
    at: u64,
    /// The data of the reply, as JSON; none while it is still being accepted.
    reply: Option<serde_json::Value>,
}

/// What a command turns out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// New: do it.
    New,
    /// A repeat: reply with this data.
    Repeat(serde_json::Value),
    /// Refused: another body, or the first is not through yet.
    Refused(CommandError),
}

/// The commands of the last 24 hours.
#[derive(Debug)]
pub(crate) struct Idempotency {
    given: HashMap<Key, Given>,
    by_age: BTreeSet<(u64, Key)>,
    most: usize,
}

impl Idempotency {
    /// Nothing given yet, and never more than `most` remembered.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            given: HashMap::new(),
            by_age: BTreeSet::new(),
            most,
        }
    }

    /// What the store kept. `false`: not to be understood, or too old.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8], now: u64) -> bool {
        let Ok(key) = <[u8; 16]>::try_from(key).map(Key) else {
            return false;
        };
        let Ok(given) = serde_json::from_slice::<Given>(value) else {
            return false;
        };
        if given.at + REMEMBERED_MS <= now {
            return false;
        }
        self.by_age.insert((given.at, key));
        self.given.insert(key, given);
        true
    }

    /// Looks at a command. New ones are noted, so that a repeat before the reply is not new.
    pub(crate) fn look(&mut self, key: Key, fingerprint: [u8; 32], now: u64) -> Verdict {
        if let Some(given) = self.given.get(&key) {
            if given.fingerprint != fingerprint {
                return Verdict::Refused(CommandError::new(
                    ErrorCode::IdempotencyMismatch,
                    "this key was used with another body",
                ));
            }
            return match &given.reply {
                Some(reply) => Verdict::Repeat(reply.clone()),
                None => Verdict::Refused(CommandError::new(
                    ErrorCode::InProgress,
                    "the first command with this key is still being accepted",
                )),
            };
        }
        if self.given.len() >= self.most {
            limited("idempotency_keys");
            return Verdict::Refused(
                CommandError::new(ErrorCode::LimitExceeded, "too many commands remembered")
                    .with("limit", "idempotency_keys"),
            );
        }
        self.given.insert(
            key,
            Given {
                fingerprint,
                at: now,
                reply: None,
            },
        );
        self.by_age.insert((now, key));
        Verdict::New
    }

    /// A command was accepted with this reply: what the store is to keep.
    pub(crate) fn accepted(&mut self, key: Key, reply: serde_json::Value) -> Option<Bytes> {
        let given = self.given.get_mut(&key)?;
        given.reply = Some(reply);
        serde_json::to_vec(given).ok().map(Bytes::from)
    }

    /// A command was refused: the same one may be tried again.
    pub(crate) fn refused(&mut self, key: Key) {
        if let Some(given) = self.given.remove(&key) {
            self.by_age.remove(&(given.at, key));
        }
    }

    /// Forgets what is too old; the keys are to be deleted from the store.
    pub(crate) fn expire(&mut self, now: u64) -> Vec<Key> {
        let mut gone = Vec::new();
        while let Some((at, key)) = self.by_age.first().copied() {
            if at + REMEMBERED_MS > now {
                break;
            }
            self.by_age.pop_first();
            self.given.remove(&key);
            gone.push(key);
        }
        gone
    }
}

/// The id of a command that came without one.
pub(crate) fn made_up(entropy: u64) -> Text {
    format!("cmd-{entropy:016x}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "k";

    #[test]
    fn a_repeat_gets_the_first_reply_also_after_a_restart() {
        let mut first = Idempotency::new(10);
        let key = Key::new("t", "a", "originate", KEY);
        assert_eq!(first.look(key, [1; 32], 5), Verdict::New);
        let refused = |verdict, code| matches!(verdict, Verdict::Refused(e) if e.code == code);
        assert!(refused(first.look(key, [1; 32], 6), ErrorCode::InProgress));
        let kept = first
            .accepted(key, serde_json::json!({"call": "x"}))
            .unwrap();
        let repeat = Verdict::Repeat(serde_json::json!({"call": "x"}));
        assert_eq!(first.look(key, [1; 32], 7), repeat);
        assert!(refused(
            first.look(key, [2; 32], 7),
            ErrorCode::IdempotencyMismatch
        ));
        let mut second = Idempotency::new(10);
        assert!(second.restore(key.bytes(), &kept, 8));
        assert_eq!(second.look(key, [1; 32], 9), repeat);
    }

    #[test]
    fn a_refused_command_may_be_tried_again_and_an_old_one_is_new() {
        let mut given = Idempotency::new(10);
        let key = Key::new("t", "a", "hangup", KEY);
        given.look(key, [1; 32], 0);
        given.refused(key);
        assert_eq!(given.look(key, [2; 32], 0), Verdict::New);
        assert_eq!(given.expire(REMEMBERED_MS), vec![key]);
        assert_eq!(given.look(key, [3; 32], REMEMBERED_MS), Verdict::New);
    }

    #[test]
    fn keys_of_others_are_other_keys() {
        assert_ne!(Key::new("t", "a", "bc", "d"), Key::new("t", "ab", "c", "d"));
    }
}
