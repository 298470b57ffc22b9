//! REFER between the parties (RFC 3515).
//!
//! It passes as it is, and so do the NOTIFYs that tell what became of it. A Refer-To that is a
//! Contact of ours, as a phone writes it that transfers one of its calls to another, is one that
//! the other party may not be able to reach: it is given our Contact on its own leg. A dialog that
//! such a Refer-To replaces is named as it is: the INVITE that follows comes back to us.

use sip::{Message, Method, Name, NameAddr, Uri};

use super::Call;
use crate::token::Token;

impl Call {
    /// The Refer-To that leg `at` is to see, if it is not the one of `message`.
    pub(super) fn refer_to(&self, at: usize, message: &Message) -> Option<String> {
        if message.method() != Some(Method::Refer) {
            return None;
        }
        let address = NameAddr::parse(message.header(Name::ReferTo)?).ok()?;
        let uri = Uri::parse(address.uri).ok()?;
        let user = uri.user?;
        Token::parse(user, &self.home.tokens)?;
        let mut value = self.contact_of(at, user)?;
        if let Some(headers) = uri.headers {
            // Into the brackets.
            value.pop();
            value.extend(["?", headers, ">"]);
        }
        Some(value)
    }
}
