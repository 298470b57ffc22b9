//! Which headers pass between two legs.
//!
//! We are a back-to-back user agent: everything an end says to the other passes as it stands,
//! known to us or not, except what belongs to one dialog or one hop. What asserts an identity
//! passes only when it comes from a peer that is trusted to assert it (RFC 3325 4).

mod options;

use sip::{Builder, Header, Message, Name};

pub use options::{copy_supported, unsupported};

/// Which of the two peers may assert identities: they are in our trust domain (RFC 3325 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The one the message came from.
    pub from: bool,
    /// The one it goes to.
    pub to: bool,
}

/// Whether the body goes along, and with it the headers that describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The body is passed byte for byte; Content-Type and its like pass, so end the message with
    /// [`Builder::body`] and no content type.
    Kept,
    /// There is another body or none: what described the old one stays behind.
    Replaced,
}

/// What is done with headers of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// End to end.
    Passes,
    /// Of one dialog, transaction or hop: each leg writes its own.
    Owned,
    /// About the body: passes with it.
    Describes,
    /// An assertion: passes from a trusted peer.
    Asserts,
    /// P-Asserted-Identity and its like: also kept from untrusted peers when the caller asked for
    /// privacy (RFC 3325 7).
    AssertsCaller,
}

/// Copies every header line of `message` that passes, as it stands, in order.
///
/// The rest is the writer's to add: Via, Route, Max-Forwards, From, To, Call-ID, CSeq, Contact,
/// Supported, Require, Allow, the session timer's and Content-Length.
pub fn copy(out: &mut Builder, message: &Message, trust: Trust, body: Body) {
    for header in message.headers() {
        if passes(message, &header, trust, body) {
            out.copy(header);
        }
    }
}

/// The same but for headers of one name, which the writer has written otherwise.
pub fn copy_but(out: &mut Builder, message: &Message, trust: Trust, body: Body, but: Name) {
    for header in message.headers().filter(|header| header.name != but) {
        if passes(message, &header, trust, body) {
            out.copy(header);
        }
    }
}

/// The Max-Forwards of the request that follows from this one (RFC 3261 16.6 step 3); `None` when
/// it may go no further and gets 483.
#[must_use]
pub fn max_forwards(request: &Message) -> Option<u8> {
    const INITIAL: u8 = 70;
    match request.max_forwards() {
        // More than a circle ever needs is cut; absent is as if it came from the first hop.
        Some(left) => left.checked_sub(1).map(|left| left.min(INITIAL)),
        None => Some(INITIAL),
    }
}

fn passes(message: &Message, header: &Header<'_>, trust: Trust, body: Body) -> bool {
    match rule(header) {
        Rule::Passes => true,
        Rule::Owned => false,
        Rule::Describes => body == Body::Kept,
        Rule::Asserts => trust.from,
        Rule::AssertsCaller => trust.from && (trust.to || !asks_privacy(message)),
    }
}

/// Whether the caller wants its identity kept inside the trust domain (RFC 3323, RFC 3325 9.3).
fn asks_privacy(message: &Message) -> bool {
    message.all(Name::Privacy).any(|value| {
        value.split(|byte| *byte == b';').any(|token| {
            let token = token.trim_ascii();
            token.eq_ignore_ascii_case(b"id") || token.eq_ignore_ascii_case(b"user")
        })
    })
}

fn rule(header: &Header<'_>) -> Rule {
    match header.name {
        // The hop's.
        Name::Via | Name::Route | Name::RecordRoute | Name::Path | Name::ServiceRoute => {
            Rule::Owned
        }
        Name::MaxForwards | Name::Timestamp | Name::ProxyRequire | Name::FlowTimer => Rule::Owned,
        Name::SecurityClient | Name::SecurityServer | Name::SecurityVerify => Rule::Owned,
        // The dialog's.
        Name::From | Name::To | Name::CallId | Name::CSeq | Name::Contact => Rule::Owned,
        Name::SessionExpires | Name::MinSe | Name::RSeq | Name::RAck => Rule::Owned,
        // They name dialogs that exist on one side only.
        Name::Replaces | Name::Join | Name::TargetDialog => Rule::Owned,
        // What each end can do is between it and us.
        Name::Supported | Name::Require | Name::Unsupported | Name::Allow => Rule::Owned,
        // Credentials are for us; challenges of the far end are not for the caller.
        Name::Authorization | Name::ProxyAuthorization => Rule::Owned,
        Name::WwwAuthenticate | Name::ProxyAuthenticate => Rule::Owned,
        Name::AuthenticationInfo => Rule::Owned,
        // A wish, addressed to us, whom to assert (RFC 3325 9.2).
        Name::PPreferredIdentity => Rule::Owned,
        Name::ContentLength => Rule::Owned,

        Name::ContentType | Name::ContentEncoding | Name::ContentDisposition => Rule::Describes,
        Name::ContentLanguage | Name::MimeVersion => Rule::Describes,

        Name::PAssertedIdentity | Name::RemotePartyId => Rule::AssertsCaller,
        Name::Diversion | Name::HistoryInfo | Name::PAccessNetworkInfo => Rule::Asserts,
        Name::PAssociatedUri | Name::PCalledPartyId | Name::PChargingVector => Rule::Asserts,
        Name::IfTraceId | Name::IfHazard | Name::IfSignature => Rule::Asserts,

        Name::AllowEvents | Name::Accept | Name::AcceptEncoding | Name::AcceptLanguage => {
            Rule::Passes
        }
        Name::AcceptContact | Name::RejectContact | Name::RequestDisposition => Rule::Passes,
        Name::Expires | Name::MinExpires | Name::Event | Name::SubscriptionState => Rule::Passes,
        Name::ReferTo | Name::ReferredBy | Name::ReferSub => Rule::Passes,
        Name::Reason | Name::RetryAfter | Name::Warning | Name::ErrorInfo => Rule::Passes,
        Name::Subject | Name::UserAgent | Name::Server | Name::Date | Name::Organization => {
            Rule::Passes
        }
        Name::Priority | Name::Privacy | Name::Geolocation | Name::UserToUser => Rule::Passes,
        Name::AlertInfo | Name::CallInfo | Name::InReplyTo | Name::ReplyTo => Rule::Passes,
        Name::AnswerMode | Name::SipEtag | Name::SipIfMatch => Rule::Passes,
        // It proves itself by its signature (RFC 8224).
        Name::Identity => Rule::Passes,

        Name::Other => other(header.name_text),
    }
}

/// `X-IF-*` asserts; what nobody knows passes.
fn other(name: &[u8]) -> Rule {
    const PREFIX: &[u8] = b"X-IF-";
    match name.get(..PREFIX.len()) {
        Some(start) if start.eq_ignore_ascii_case(PREFIX) => Rule::Asserts,
        Some(_) | None => Rule::Passes,
    }
}

#[cfg(test)]
mod tests;
