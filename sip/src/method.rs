//! Request methods.

use std::fmt;

macro_rules! methods {
    ($($variant:ident $text:literal $doc:literal,)*) => {
        /// A request method (RFC 3261 7.1). Methods are case-sensitive.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = $doc] $variant,)*
            /// Any other token; its text stays in the message (`Message::method_text`).
            Extension,
        }

        impl Method {
            /// The method named by these bytes.
            #[must_use]
            pub fn from_bytes(text: &[u8]) -> Self {
                $(if text == $text.as_bytes() { return Self::$variant; })*
                Self::Extension
            }

            /// The method as written on the wire; empty for `Extension`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Extension => "",
                }
            }
        }
    };
}

methods! {
    Invite "INVITE" "RFC 3261 13",
    Ack "ACK" "RFC 3261 17.1.1.3",
    Bye "BYE" "RFC 3261 15",
    Cancel "CANCEL" "RFC 3261 9",
    Options "OPTIONS" "RFC 3261 11",
    Register "REGISTER" "RFC 3261 10",
    Message "MESSAGE" "RFC 3428",
    Info "INFO" "RFC 6086",
    Update "UPDATE" "RFC 3311",
    Prack "PRACK" "RFC 3262",
    Refer "REFER" "RFC 3515",
    Notify "NOTIFY" "RFC 6665",
    Subscribe "SUBSCRIBE" "RFC 6665",
    Publish "PUBLISH" "RFC 3903",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for Method {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}
