//! Whether a well-framed message can be served, and how to answer it if not.

use super::{Fault, Message};
use crate::header::value::{is_visible, number};
use crate::header::{Elements, Name, NameAddr, Via};
use crate::uri::Uri;

impl Message {
    /// The checks of RFC 3261 8.2.1 and 16.3 that need no state: version, Request-URI, and the
    /// headers every message has, once each and readable. A request's Contact must be readable too,
    /// for what it would be used later: a dialog or a binding.
    ///
    /// # Errors
    /// The answer for a request. A response that fails is to be dropped.
    pub fn check(&self) -> Result<(), Fault> {
        if !self.is_version_2() {
            return Err(Fault {
                status: 505,
                reason: "Version Not Supported",
            });
        }
        if let Some(uri) = self.uri() {
            let uri = Uri::parse(uri).map_err(|_| bad("Bad Request-URI"))?;
            if !uri.is_sip() && !uri.scheme.eq_ignore_ascii_case("tel") {
                return Err(Fault {
                    status: 416,
                    reason: "Unsupported URI Scheme",
                });
            }
            // RFC 3261 19.1.1: a Request-URI has no headers.
            if uri.is_sip() && uri.headers.is_some() {
                return Err(bad("Bad Request-URI"));
            }
        }
        let (mut from, mut to, mut call_id, mut cseq, mut hops) = (None, None, None, None, None);
        let mut via = false;
        for header in self.headers() {
            let once = match header.name {
                Name::Via => {
                    for via in Elements::new(header.value) {
                        Via::parse(via)?;
                    }
                    via = true;
                    continue;
                }
                Name::Contact if self.is_request() && header.value != b"*" => {
                    for contact in Elements::new(header.value) {
                        NameAddr::parse(contact)?;
                    }
                    continue;
                }
                Name::From => &mut from,
                Name::To => &mut to,
                Name::CallId => &mut call_id,
                Name::CSeq => &mut cseq,
                Name::MaxForwards => &mut hops,
                _ => continue,
            };
            if once.replace(header.value).is_some() {
                return Err(bad("Repeated Header"));
            }
        }
        if !via {
            return Err(bad("Missing Via"));
        }
        let call_id = call_id.ok_or(MISSING_CALL_ID)?;
        if call_id.is_empty() || !is_visible(call_id) {
            return Err(bad("Bad Call-ID"));
        }
        let addresses = [
            (from, "Missing From", "Bad From"),
            (to, "Missing To", "Bad To"),
        ];
        for (value, missing, unreadable) in addresses {
            let Some(value) = value else {
                return Err(bad(missing));
            };
            let uri = NameAddr::parse(value).and_then(|address| address.uri());
            uri.map_err(|_| bad(unreadable))?;
        }
        if cseq.is_none() {
            return Err(bad("Missing CSeq"));
        }
        let cseq = self.cseq()?;
        if self.is_request() && cseq.text.as_bytes() != self.method_text().as_bytes() {
            return Err(bad("CSeq Method Mismatch"));
        }
        if hops.is_some_and(|hops| number(hops).is_none_or(|hops| hops > 255)) {
            return Err(bad("Bad Max-Forwards"));
        }
        Ok(())
    }
}

const MISSING_CALL_ID: Fault = bad("Missing Call-ID");

const fn bad(reason: &'static str) -> Fault {
    Fault {
        status: 400,
        reason,
    }
}
