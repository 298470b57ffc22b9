//! Via.

use std::net::IpAddr;

use super::params::Params;
use super::value::{is_closed, is_space, is_token, text as text_of, trim, trim_start};
use crate::message::Fault;
use crate::uri::HostPort;

/// One hop of the Via list (RFC 3261 20.42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, `TLS`, `WS`, `WSS` or another token, as written.
    pub transport: &'a str,
    /// Who sent it, by its own account.
    pub sent_by: HostPort<'a>,
    /// branch, received, rport and the rest.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one element of a Via header.
    ///
    /// # Errors
    /// 400 when it is not of the form `SIP/2.0/transport host[:port][;params]`.
    pub fn parse(text: &'a [u8]) -> Result<Self, Fault> {
        let mut rest = trim(text);
        for part in [&b"SIP"[..], b"2.0"] {
            let (head, tail) = rest.split_at_checked(part.len()).ok_or(BAD)?;
            let tail = trim_start(tail).strip_prefix(b"/").ok_or(BAD)?;
            if !head.eq_ignore_ascii_case(part) {
                return Err(BAD);
            }
            rest = trim_start(tail);
        }
        let end = rest.iter().position(|b| !is_token(*b)).ok_or(BAD)?;
        let (transport, rest) = rest.split_at(end);
        if transport.is_empty() || !rest.first().is_some_and(|b| is_space(*b)) {
            return Err(BAD);
        }
        let rest = trim_start(rest);
        let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let (sent_by, params) = rest.split_at(end);
        if !is_closed(params) {
            return Err(BAD);
        }
        Ok(Self {
            transport: text_of(transport).ok_or(BAD)?,
            sent_by: text_of(trim(sent_by))
                .and_then(HostPort::parse_loose)
                .ok_or(BAD)?,
            params: Params::new(params),
        })
    }

    /// The branch parameter.
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        self.params
            .get("branch")
            .filter(|branch| !branch.is_empty())
    }

    /// The address the next hop saw it come from (RFC 3261 18.2.1).
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get("received")?;
        // RFC 5118 4.5: IPv6 stands bare here, but brackets are seen.
        let text = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        text.parse().ok()
    }

    /// RFC 3581: `Some(None)` asks for the source port, `Some(Some(port))` has it.
    #[must_use]
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|port| port.parse().ok())
    }

    /// The multicast address parameter.
    #[must_use]
    pub fn maddr(&self) -> Option<&'a str> {
        self.params.get("maddr")
    }
}

const BAD: Fault = Fault {
    status: 400,
    reason: "Bad Via",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let via = Via::parse(b"SIP/2.0/UDP 192.0.2.1:5060 ;branch=z9hG4bK1;rport").unwrap();
        assert_eq!(
            (via.transport, via.sent_by.host, via.sent_by.port),
            ("UDP", "192.0.2.1", Some(5060))
        );
        assert_eq!((via.branch(), via.rport()), (Some("z9hG4bK1"), Some(None)));
        let via =
            Via::parse(b"sip / 2.0\r\n / tcp [2001:db8::9:1];received=192.0.2.7;rport=7").unwrap();
        assert_eq!(
            (via.transport, via.sent_by.host, via.sent_by.port),
            ("tcp", "[2001:db8::9:1]", None)
        );
        assert_eq!(via.received(), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(via.rport(), Some(Some(7)));
        let via = Via::parse(b"SIP/2.0/WSS df7jal23ls0d.invalid : 5061;branch=z").unwrap();
        assert_eq!(
            (via.sent_by.host, via.sent_by.port),
            ("df7jal23ls0d.invalid", Some(5061))
        );
    }

    #[test]
    fn faults() {
        for bad in [
            "",
            "SIP/2.0",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0/ host",
            "SIP/3.0/UDP h",
            "SIP/2.0/UDP h:x",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP a;branch=\"b",
        ] {
            assert!(Via::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
