//! What a leg or a relayed request talks to: hops, the targets of a plan, and our own listeners.

use core::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// What carries SIP between us and the next element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream in TLS.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket in TLS (RFC 7118).
    Wss,
}

impl Transport {
    /// As a Via header writes it (RFC 3261 20.42, RFC 7118 5.2).
    #[must_use]
    pub fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// As the bus and the log write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// As a `transport=` URI parameter writes it. RFC 7118 5.2.2: `ws` stands for both forms.
    #[must_use]
    pub fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws | Self::Wss => "ws",
        }
    }

    /// From a `transport=` URI parameter, in any case.
    #[must_use]
    pub fn from_param(text: &str) -> Option<Self> {
        const ALL: [Transport; 5] = [
            Transport::Udp,
            Transport::Tcp,
            Transport::Tls,
            Transport::Ws,
            Transport::Wss,
        ];
        ALL.into_iter()
            .find(|transport| transport.via().eq_ignore_ascii_case(text))
    }

    /// Whether the transport itself retransmits (RFC 3261 17).
    #[must_use]
    pub fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether what is sent is encrypted.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The port where a URI names none (RFC 3261 19.1.2; RFC 7118 uses the HTTP ones).
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// Where the next message goes, with nothing left to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// A datagram from this listener's socket.
    Udp {
        /// Which listener sends, so that the peer's NAT sees the source it knows.
        listener: u16,
        /// The peer, as received from or resolved.
        remote: SocketAddr,
    },
    /// Down a connection that exists: TCP, TLS, WS or WSS. Dies with it.
    Flow {
        /// The process-wide number of the connection; never used twice in one run.
        connection: u64,
        /// The listener that accepted it, whose name goes into Via and Contact.
        listener: u16,
    },
    /// A connection to be made, or an outgoing one to be shared.
    Connect {
        /// What to connect with.
        transport: Transport,
        /// The listener whose name goes into Via and Contact.
        listener: u16,
        /// The peer.
        remote: SocketAddr,
    },
}

impl Hop {
    /// The listener that speaks for us on this hop.
    #[must_use]
    pub fn listener(&self) -> u16 {
        match *self {
            Self::Udp { listener, .. }
            | Self::Flow { listener, .. }
            | Self::Connect { listener, .. } => listener,
        }
    }

    /// Whether the transport retransmits by itself.
    #[must_use]
    pub fn is_reliable(&self) -> bool {
        match self {
            Self::Udp { .. } => false,
            Self::Flow { .. } => true,
            Self::Connect { transport, .. } => transport.is_reliable(),
        }
    }

    /// The connection this hop is bound to.
    #[must_use]
    pub fn connection(&self) -> Option<u64> {
        match *self {
            Self::Flow { connection, .. } => Some(connection),
            Self::Udp { .. } | Self::Connect { .. } => None,
        }
    }
}

/// The first hop of a target: known, or a name for RFC 3263.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// Known.
    Hop(Hop),
    /// To be resolved (RFC 3263): `Resolve` goes out, `Resolved` comes back with hops in order.
    Name {
        /// A domain name or an address literal (IPv6 without brackets).
        host: Box<str>,
        /// As in the URI; a port means no NAPTR and no SRV.
        port: Option<u16>,
        /// As in the URI.
        transport: Option<Transport>,
    },
}

/// One place to send a new request to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The request-URI.
    pub uri: Box<str>,
    /// Route header values, first hop first (RFC 3327 Path, RFC 3261 12.2.1.1).
    pub route: Vec<Box<str>>,
    /// Where the message itself is sent.
    pub hop: NextHop,
    /// The registered address this came from, as `user@domain`; none for a URI.
    pub aor: Option<Arc<str>>,
    /// `+sip.instance` of the device, without quotes.
    pub instance: Option<Box<str>>,
    /// RFC 3261 20.10 in thousandths: 1000 is the most preferred.
    pub q: u16,
}

/// One of our own listeners, as the outside sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its number; also its index in [`Listeners`].
    pub id: u16,
    /// What it speaks.
    pub transport: Transport,
    /// Whether its address is an IPv6 one.
    pub ipv6: bool,
    /// Whether it is bound to a loopback address, from which nobody else is reached.
    pub loopback: bool,
    /// `host:port` for Via sent-by, as advertised; IPv6 in brackets.
    pub sent_by: Box<str>,
    /// `host:port` for Contact.
    pub contact_host: Box<str>,
}

impl Listener {
    /// The host of `sent_by`, without port and brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        split_host(&self.sent_by).0
    }

    /// The port of `sent_by`.
    #[must_use]
    pub fn port(&self) -> u16 {
        split_host(&self.sent_by)
            .1
            .unwrap_or_else(|| self.transport.default_port())
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.param(), self.sent_by)
    }
}

/// The snapshot of all listeners; `listeners[hop.listener()]` is the one a hop speaks through.
pub type Listeners = Arc<[Listener]>;

/// `host[:port]` as text, brackets removed.
fn split_host(text: &str) -> (&str, Option<u16>) {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').unwrap_or((rest, ""));
        return (
            host,
            tail.strip_prefix(':').and_then(|port| port.parse().ok()),
        );
    }
    match text.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_knows_its_host_and_port() {
        for (sent_by, transport, host, port) in [
            ("127.0.0.1:5070", Transport::Udp, "127.0.0.1", 5070),
            ("sip.example.test", Transport::Tls, "sip.example.test", 5061),
            ("[2001:db8::1]:8443", Transport::Wss, "2001:db8::1", 8443),
            ("[::1]", Transport::Tcp, "::1", 5060),
        ] {
            let listener = Listener {
                id: 0,
                transport,
                ipv6: false,
                loopback: false,
                sent_by: sent_by.into(),
                contact_host: sent_by.into(),
            };
            assert_eq!(
                (listener.host(), listener.port()),
                (host, port),
                "{sent_by}"
            );
        }
    }

    #[test]
    fn transports_are_read_in_any_case() {
        assert_eq!(Transport::from_param("TCP"), Some(Transport::Tcp));
        assert_eq!(Transport::from_param("wss"), Some(Transport::Wss));
        assert_eq!(Transport::from_param("sctp"), None);
    }
}
