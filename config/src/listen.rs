//! `[[listen]]`: where SIP comes in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::named_file::NamedFile;
use crate::section::{Misfit, Section};

/// One `[[listen]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// What is spoken.
    pub transport: Transport,
    /// Where the socket is bound; port 0 lets the system choose.
    pub addr: SocketAddr,
    /// What others are told to send to, when that is not `addr`.
    pub advertise: Option<Advertise>,
    /// Web origins that may connect; see [`Listen::allows_origin`]. WS and WSS only.
    pub origins: Vec<String>,
    /// The path of the WebSocket. WS and WSS only.
    pub path: String,
    /// The certificates that clients are asked for; `None`: no client is. TLS and WSS only.
    pub clients: Option<Clients>,
}

/// Whose certificates a listener asks of its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// PEM of the authorities that may sign them.
    pub ca: NamedFile,
    /// Whether a client without one is turned away.
    pub required: bool,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// SIP over UDP.
    Udp,
    /// SIP over TCP.
    Tcp,
    /// SIP over TLS.
    Tls,
    /// SIP over WebSocket (RFC 7118), without TLS.
    Ws,
    /// SIP over WebSocket over TLS.
    Wss,
}

impl Transport {
    const WORDS: [(&'static str, Self); 5] = [
        ("udp", Self::Udp),
        ("tcp", Self::Tcp),
        ("tls", Self::Tls),
        ("ws", Self::Ws),
        ("wss", Self::Wss),
    ];

    /// The word of the file: `udp`, `tcp`, `tls`, `ws`, `wss`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether it starts with a TLS handshake.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether it starts with a WebSocket handshake.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Whether a lost packet is somebody else's concern (RFC 3261 17).
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }
}

/// The host and port that Via and Contact carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// A name or an address; an IPv6 address has no brackets here.
    pub host: String,
    /// The port; `None`: the listener's own.
    pub port: Option<u16>,
}

impl FromStr for Advertise {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: addr.ip().to_string(),
                port: Some(addr.port()),
            });
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self {
                host: ip.to_string(),
                port: None,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| ())?)),
            None => (text, None),
        };
        if port == Some(0) || !is_host_name(host) {
            return Err(());
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v6 = self.host.contains(':');
        let (open, close) = if v6 { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A host name or IPv4 address by its letters (RFC 3261 25.1 `hostname`, and `_`, which exists).
pub(crate) fn is_host_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

impl Clients {
    /// `client_certs` as whether they are required; off is nothing.
    const WORDS: [(&'static str, Option<bool>); 3] = [
        ("off", None),
        ("optional", Some(false)),
        ("required", Some(true)),
    ];

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let asked = section.word("client_certs", &Self::WORDS).flatten();
        let ca = section.file("client_ca");
        match (asked, ca) {
            (Some(required), Some(ca)) => Some(Self { ca, required }),
            (Some(_), None) if !section.has("client_ca") => {
                let remedy = "add client_ca = \"the authorities' PEM file\"";
                section.error("client_certs", "stands without client_ca", remedy);
                None
            }
            (None, Some(_)) if !section.has("client_certs") => {
                let remedy = "add client_certs = \"required\" or \"optional\"";
                section.error("client_ca", "stands without client_certs", remedy);
                None
            }
            (None | Some(_), None | Some(_)) => None,
        }
    }
}

impl Listen {
    pub(crate) fn read(section: &mut Section<'_>) -> Option<Self> {
        let transport = section.word("transport", &Transport::WORDS);
        let addr = section.parsed("addr", "127.0.0.1:5060");
        for key in ["transport", "addr"] {
            if !section.has(key) {
                section.error(
                    key,
                    "is missing",
                    "every [[listen]] has a transport and an addr",
                );
            }
        }
        let advertise = section.parsed("advertise", "203.0.113.10:5060");
        let origins = section.list("origins", "https://app.example");
        let path = section.text_if("path", |text| {
            if text.starts_with('/') && !text.contains([' ', '?', '#']) {
                return Ok(());
            }
            Err(Misfit::new("is no path", "write it like \"/ws\""))
        });
        let path = path.unwrap_or("/ws").to_owned();
        let clients = Clients::read(section);
        let listen = Self {
            transport: transport?,
            addr: addr?,
            advertise,
            origins: origins.unwrap_or_default(),
            path,
            clients,
        };
        listen.check(section);
        Some(listen)
    }

    fn check(&self, section: &mut Section<'_>) {
        for key in ["origins", "path"] {
            if section.has(key) && !self.transport.is_websocket() {
                section.warn(key, "has no effect on this transport", "remove the key");
            }
        }
        for key in ["client_certs", "client_ca"] {
            if section.has(key) && !self.transport.is_tls() {
                section.warn(key, "has no effect on this transport", "remove the key");
            }
        }
        for origin in &self.origins {
            let host = origin.split_once("://").map(|(_, host)| host);
            if origin != "*" && host.is_none_or(|host| host.is_empty() || host.contains('/')) {
                section.error(
                    "origins",
                    format!("{origin:?} is no origin"),
                    "write scheme, host and port without a path, like \"https://app.example\"",
                );
            }
        }
        if self.addr.ip().is_unspecified() && self.advertise.is_none() {
            section.warn(
                "addr",
                "stands for every interface, so peers are told whatever address the system picks",
                "add advertise = \"the address others reach us at\"",
            );
        }
    }

    /// The host that Via and Contact carry: the advertised one, else the bound address. `None`
    /// when neither says (bound to every interface).
    pub fn host(&self) -> Option<String> {
        match &self.advertise {
            Some(advertise) => Some(advertise.host.clone()),
            None if self.addr.ip().is_unspecified() => None,
            None => Some(self.addr.ip().to_string()),
        }
    }

    /// The port that Via and Contact carry, unless the system chose it (then 0).
    pub fn port(&self) -> u16 {
        self.advertise
            .as_ref()
            .and_then(|advertise| advertise.port)
            .unwrap_or_else(|| self.addr.port())
    }

    /// Whether a WebSocket handshake with these `Origin` and `Host` values may go on.
    ///
    /// A client without an Origin is no browser. With `origins` set, only those pass (`*`: all).
    /// Without, a page passes if it came from the host it now talks to, whatever the port, or
    /// from this very machine.
    pub fn allows_origin(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else {
            return true;
        };
        if !self.origins.is_empty() {
            let listed = |known: &String| known == "*" || known.eq_ignore_ascii_case(origin);
            return self.origins.iter().any(listed);
        }
        let Some((_, page)) = origin.split_once("://") else {
            return false;
        };
        let page = without_port(page);
        let here = ["localhost", "127.0.0.1", "[::1]"];
        here.contains(&page)
            || host.is_some_and(|host| without_port(host).eq_ignore_ascii_case(page))
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertise_takes_names_and_addresses() {
        for (text, host, port) in [
            ("203.0.113.10:5060", "203.0.113.10", Some(5060)),
            ("203.0.113.10", "203.0.113.10", None),
            ("[2001:db8::1]:5061", "2001:db8::1", Some(5061)),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("SIP.Example.org:5060", "sip.example.org", Some(5060)),
        ] {
            let advertise: Advertise = text.parse().unwrap();
            assert_eq!(
                (advertise.host.as_str(), advertise.port),
                (host, port),
                "{text}"
            );
        }
        for text in [
            "",
            ":5060",
            "a b",
            "host:port",
            "host:70000",
            "host:0",
            "sip:host",
            "a..b",
        ] {
            assert!(text.parse::<Advertise>().is_err(), "{text}");
        }
    }

    #[test]
    fn origins_by_host_unless_listed() {
        let mut listen = Listen {
            transport: Transport::Wss,
            addr: "127.0.0.1:8443".parse().unwrap(),
            advertise: None,
            origins: Vec::new(),
            path: "/ws".to_owned(),
            clients: None,
        };
        let host = Some("sip.example:8443");
        assert!(listen.allows_origin(None, host));
        assert!(listen.allows_origin(Some("https://sip.example"), host));
        assert!(listen.allows_origin(Some("http://localhost:3000"), host));
        assert!(!listen.allows_origin(Some("https://evil.example"), host));
        assert!(!listen.allows_origin(Some("null"), host));
        listen.origins = vec!["https://app.example".to_owned()];
        assert!(listen.allows_origin(Some("https://APP.example"), host));
        assert!(!listen.allows_origin(Some("https://sip.example"), host));
        listen.origins = vec!["*".to_owned()];
        assert!(listen.allows_origin(Some("null"), host));
    }
}
