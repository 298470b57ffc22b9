//! The Replaces header: the name of a dialog that an INVITE is to take the place of (RFC 3891).

use sip::{Message, Method, Name};

use crate::token::{Token, TokenKey};

/// A dialog, as the one that is to leave it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaces<'a> {
    /// The dialog's Call-ID.
    pub call_id: &'a str,
    /// The tag of the one who gets this.
    pub to_tag: &'a str,
    /// The tag of that one's peer.
    pub from_tag: &'a str,
    /// Whether it is meant only while the dialog is early.
    pub early_only: bool,
}

impl<'a> Replaces<'a> {
    /// Reads a Replaces value. `None` if it has not all of its three parts.
    #[must_use]
    pub fn parse(value: &'a str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let call_id = parts.next().filter(|call_id| !call_id.is_empty())?;
        let mut replaces = Self {
            call_id,
            to_tag: "",
            from_tag: "",
            early_only: false,
        };
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("to-tag") {
                replaces.to_tag = value;
            } else if name.eq_ignore_ascii_case("from-tag") {
                replaces.from_tag = value;
            } else if name.eq_ignore_ascii_case("early-only") {
                replaces.early_only = true;
            }
        }
        let is_whole = !replaces.to_tag.is_empty() && !replaces.from_tag.is_empty();
        is_whole.then_some(replaces)
    }

    /// The leg of ours that it names, from either of its ends: one of the tags is ours.
    #[must_use]
    pub fn token(&self, key: &TokenKey) -> Option<Token> {
        Token::parse(self.to_tag, key).or_else(|| Token::parse(self.from_tag, key))
    }
}

/// What a request outside of a dialog asks to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// What this leg of ours has a dialog of.
    Ours(Token),
    /// Something that is not ours, or cannot be read: the status it is answered with.
    Refused(u16),
}

/// What `request` asks to replace.
#[must_use]
pub fn asked(request: &Message, key: &TokenKey) -> Asked {
    let mut values = request.all(Name::Replaces);
    let Some(value) = values.next() else {
        return Asked::Nothing;
    };
    // RFC 3891 3: one of them, in an INVITE, and nothing to join besides.
    if values.next().is_some()
        || request.method() != Some(Method::Invite)
        || request.header(Name::Join).is_some()
    {
        return Asked::Refused(400);
    }
    let Some(replaces) = core::str::from_utf8(value).ok().and_then(Replaces::parse) else {
        return Asked::Refused(400);
    };
    match replaces.token(key) {
        Some(token) => Asked::Ours(token),
        None => Asked::Refused(481),
    }
}

/// The reason phrase of such a status.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Replaces",
        _ => "Call/Transaction Does Not Exist",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_named_in_three_parts() {
        let read = Replaces::parse("98732@sip.example.com ;from-tag=r33th4x0r; To-Tag=ff87ff");
        let expected = Replaces {
            call_id: "98732@sip.example.com",
            to_tag: "ff87ff",
            from_tag: "r33th4x0r",
            early_only: false,
        };
        assert_eq!(read, Some(expected));
        let early = Replaces::parse("a;to-tag=1;from-tag=2;early-only;x=y");
        assert!(early.is_some_and(|early| early.early_only));
        for bad in [
            "",
            "a",
            ";to-tag=1;from-tag=2",
            "a;to-tag=1",
            "a;to-tag=;from-tag=2",
        ] {
            assert_eq!(Replaces::parse(bad), None, "{bad}");
        }
    }
}
