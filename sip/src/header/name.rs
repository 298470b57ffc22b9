//! The header names we know, and how they are recognised.

use std::fmt;

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?,)*) => {
        /// A header name (RFC 3261 7.3.1): known ones by identity, the rest as `Other`.
        ///
        /// Names compare without regard to case, and a compact form is its long form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each is the header of that name")]
        pub enum Name {
            $($variant,)*
            /// A header outside this list; its text stays in the message.
            Other,
        }

        const KNOWN: &[(Name, &str)] = &[$((Name::$variant, $text),)*];

        impl Name {
            /// The long form as RFCs write it; empty for `Other`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "",
                }
            }

            const fn from_compact(letter: u8) -> Self {
                $($(if letter == $compact { return Self::$variant; })?)*
                Self::Other
            }
        }
    };
}

names! {
    Via "Via" b'v',
    From "From" b'f',
    To "To" b't',
    CallId "Call-ID" b'i',
    CSeq "CSeq",
    Contact "Contact" b'm',
    MaxForwards "Max-Forwards",
    Route "Route",
    RecordRoute "Record-Route",
    Path "Path",
    ServiceRoute "Service-Route",
    ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c',
    ContentEncoding "Content-Encoding" b'e',
    ContentDisposition "Content-Disposition",
    ContentLanguage "Content-Language",
    MimeVersion "MIME-Version",
    Supported "Supported" b'k',
    Require "Require",
    ProxyRequire "Proxy-Require",
    Unsupported "Unsupported",
    Allow "Allow",
    AllowEvents "Allow-Events" b'u',
    Accept "Accept",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AcceptContact "Accept-Contact" b'a',
    RejectContact "Reject-Contact" b'j',
    RequestDisposition "Request-Disposition" b'd',
    Expires "Expires",
    MinExpires "Min-Expires",
    SessionExpires "Session-Expires" b'x',
    MinSe "Min-SE",
    Authorization "Authorization",
    ProxyAuthorization "Proxy-Authorization",
    WwwAuthenticate "WWW-Authenticate",
    ProxyAuthenticate "Proxy-Authenticate",
    AuthenticationInfo "Authentication-Info",
    Event "Event" b'o',
    SubscriptionState "Subscription-State",
    ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b',
    ReferSub "Refer-Sub",
    TargetDialog "Target-Dialog",
    Replaces "Replaces",
    Join "Join",
    Reason "Reason",
    RetryAfter "Retry-After",
    RSeq "RSeq",
    RAck "RAck",
    Subject "Subject" b's',
    UserAgent "User-Agent",
    Server "Server",
    Date "Date",
    Organization "Organization",
    Priority "Priority",
    Timestamp "Timestamp",
    Warning "Warning",
    Privacy "Privacy",
    PAssertedIdentity "P-Asserted-Identity",
    PPreferredIdentity "P-Preferred-Identity",
    PAccessNetworkInfo "P-Access-Network-Info",
    PAssociatedUri "P-Associated-URI",
    PCalledPartyId "P-Called-Party-ID",
    PChargingVector "P-Charging-Vector",
    RemotePartyId "Remote-Party-ID",
    Diversion "Diversion",
    HistoryInfo "History-Info",
    Identity "Identity" b'y',
    Geolocation "Geolocation",
    UserToUser "User-to-User",
    AlertInfo "Alert-Info",
    CallInfo "Call-Info",
    ErrorInfo "Error-Info",
    InReplyTo "In-Reply-To",
    ReplyTo "Reply-To",
    AnswerMode "Answer-Mode",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    FlowTimer "Flow-Timer",
    SecurityClient "Security-Client",
    SecurityServer "Security-Server",
    SecurityVerify "Security-Verify",
    IfTraceId "X-IF-Trace-ID",
    IfHazard "X-IF-Hazard",
    IfSignature "X-IF-Signature",
}

impl Name {
    /// The name these bytes spell, in either form and any case.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Self {
        if let &[letter] = text {
            return Self::from_compact(letter.to_ascii_lowercase());
        }
        let Some(mut slot) = slot(text) else {
            return Self::Other;
        };
        loop {
            let entry = TABLE[slot];
            if entry == FREE {
                return Self::Other;
            }
            let (name, long) = KNOWN[entry as usize];
            if long.len() == text.len() && long.as_bytes().eq_ignore_ascii_case(text) {
                return name;
            }
            slot = (slot + 1) % TABLE.len();
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

const FREE: u8 = u8::MAX;

/// Open addressing over length, first and last letter: built by the compiler, one probe for the
/// common names. A hostile name can at worst walk a run of it, which is a few entries long.
static TABLE: [u8; 512] = {
    let mut table = [FREE; 512];
    let mut entry = 0;
    while entry < KNOWN.len() {
        let Some(mut at) = slot(KNOWN[entry].1.as_bytes()) else {
            panic!("a name is not empty")
        };
        while table[at] != FREE {
            at = (at + 1) % table.len();
        }
        #[expect(clippy::cast_possible_truncation, reason = "fewer than 255 names")]
        {
            table[at] = entry as u8;
        }
        entry += 1;
    }
    table
};

const fn slot(text: &[u8]) -> Option<usize> {
    let (Some(first), Some(last)) = (text.first(), text.last()) else {
        return None;
    };
    let first = (*first | 0x20) as usize;
    let last = (*last | 0x20) as usize;
    let middle = (text[text.len() / 2] | 0x20) as usize;
    Some((text.len() * 41 + first * 7 + last * 67 + middle * 19) % 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &(name, text) in KNOWN {
            assert_eq!(Name::from_bytes(text.as_bytes()), name);
            assert_eq!(Name::from_bytes(text.to_ascii_uppercase().as_bytes()), name);
            assert_eq!(Name::from_bytes(text.to_ascii_lowercase().as_bytes()), name);
            assert_eq!(name.as_str(), text);
        }
        assert_eq!(Name::from_bytes(b"X-Unheard-Of"), Name::Other);
        assert_eq!(Name::from_bytes(b""), Name::Other);
    }

    #[test]
    fn compact_forms_are_their_long_forms() {
        // The registered letters: RFC 3261 7.3.3 and the IANA registry.
        let letters = [
            (b'a', Name::AcceptContact),
            (b'b', Name::ReferredBy),
            (b'c', Name::ContentType),
            (b'd', Name::RequestDisposition),
            (b'e', Name::ContentEncoding),
            (b'f', Name::From),
            (b'i', Name::CallId),
            (b'j', Name::RejectContact),
            (b'k', Name::Supported),
            (b'l', Name::ContentLength),
            (b'm', Name::Contact),
            (b'o', Name::Event),
            (b'r', Name::ReferTo),
            (b's', Name::Subject),
            (b't', Name::To),
            (b'u', Name::AllowEvents),
            (b'v', Name::Via),
            (b'x', Name::SessionExpires),
            (b'y', Name::Identity),
        ];
        for (letter, name) in letters {
            assert_eq!(Name::from_bytes(&[letter]), name);
            assert_eq!(Name::from_bytes(&[letter.to_ascii_uppercase()]), name);
        }
        assert_eq!(Name::from_bytes(b"q"), Name::Other);
    }

    #[test]
    fn runs_in_the_table_are_short() {
        let mut longest = 0;
        let mut run = 0;
        for entry in TABLE.iter().chain(TABLE.iter()) {
            run = if *entry == FREE { 0 } else { run + 1 };
            longest = longest.max(run);
        }
        assert!(longest <= 8, "{longest}");
    }
}
