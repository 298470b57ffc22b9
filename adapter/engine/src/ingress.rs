//! Who has to hear a message: the leg it names, or the arbiter in front.

use sip::{Message, Method, Name};

use crate::replaces::{self, Asked};
use crate::token::{Token, TokenKey};

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To a leg of a call: its To tag (a request) or its branch (a response) is ours.
    Leg(Token),
    /// To the arbiter that this hash chooses. Everything of one transaction, and of one Call-ID
    /// and From tag, has the same hash; a REGISTER has that of its address-of-record. An INVITE
    /// that is to replace a dialog of ours has the number of the shard it names, so that the
    /// arbiter is the one that runs the call.
    Front {
        /// Keyed, so that strangers cannot pile their calls on one arbiter.
        hash: u64,
    },
}

/// Finds the place of a message. Only looks; a message without the headers it needs is for the
/// front, which refuses it.
#[must_use]
pub fn classify(message: &Message, key: &TokenKey) -> Place {
    let token = if message.is_request() {
        message.to_tag().and_then(|tag| Token::parse(tag, key))
    } else {
        let via = message.top_via().ok();
        via.and_then(|via| via.branch())
            .and_then(|branch| Token::parse_branch(branch, key))
    };
    if let Some(token) = token {
        return Place::Leg(token);
    }
    if message.method() == Some(Method::Invite)
        && let Asked::Ours(token) = replaces::asked(message, key)
    {
        // What one arbiter runs is chosen by the shard, as by a hash.
        return Place::Front {
            hash: token.shard.into(),
        };
    }
    let hash = match (message.method(), message.to()) {
        (Some(Method::Register), Ok(to)) => key.hash(&[to.uri.as_bytes()]),
        _ => {
            let call_id = message.header(Name::CallId).unwrap_or_default();
            let from_tag = message.from_tag().unwrap_or_default();
            key.hash(&[call_id, from_tag.as_bytes()])
        }
    };
    Place::Front { hash }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sip::Limits;

    use super::*;
    use crate::{CallKey, LegId};

    fn message(text: &str) -> Message {
        let bytes = Bytes::from(text.replace('\n', "\r\n"));
        Message::parse_datagram(bytes, &Limits::default()).unwrap()
    }

    fn key() -> TokenKey {
        TokenKey::new([3; 16])
    }

    fn token() -> Token {
        Token::new(CallKey { shard: 9, id: 77 }, LegId(2))
    }

    #[test]
    fn a_request_goes_where_its_to_tag_says() {
        let tag = token().text(&key());
        let bye = message(&format!(
            "BYE sip:x SIP/2.0\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag={tag}.3\nCall-ID: 1\n\n"
        ));
        assert_eq!(classify(&bye, &key()), Place::Leg(token()));
    }

    #[test]
    fn a_response_goes_where_its_branch_says() {
        let branch = token().text(&key());
        let ok = message(&format!(
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bK{branch}.1\nTo: <sip:c@d>;tag=x\n\n"
        ));
        assert_eq!(classify(&ok, &key()), Place::Leg(token()));
    }

    #[test]
    fn an_invite_and_its_cancel_meet_and_strangers_stay_outside() {
        let place = |method: &str, tag: &str| {
            classify(
                &message(&format!(
                    "{method} sip:x SIP/2.0\nFrom: <sip:a@b>;tag=1\n\
                     To: <sip:c@d>{tag}\nCall-ID: 1\n\n"
                )),
                &key(),
            )
        };
        let forged = format!(";tag={}", token().text(&TokenKey::new([4; 16])));
        assert_eq!(place("INVITE", ""), place("CANCEL", ""));
        assert_eq!(place("INVITE", ""), place("BYE", &forged));
        assert!(matches!(place("BYE", &forged), Place::Front { .. }));
    }
}
