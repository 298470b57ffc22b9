//! `[dns]`: who is asked where other servers are.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::section::Section;

/// `[dns]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// The servers that are asked; none: those of the system (`/etc/resolv.conf`).
    pub servers: Vec<NameServer>,
}

/// A name server: an address, and a port where it is not 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameServer(pub SocketAddr);

/// Why a name server could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANameServer;

impl FromStr for NameServer {
    type Err = NotANameServer;

    fn from_str(text: &str) -> Result<Self, NotANameServer> {
        let addr = match text.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, 53),
            Err(_) => text.parse().map_err(|_| NotANameServer)?,
        };
        if addr.port() == 0 || addr.ip().is_unspecified() {
            return Err(NotANameServer);
        }
        Ok(Self(addr))
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Dns {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let servers = section.list("servers", "192.0.2.53");
        Self {
            servers: servers.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_is_an_address_with_or_without_a_port() {
        let read = |text: &str| text.parse::<NameServer>().map(|server| server.to_string());
        assert_eq!(read("192.0.2.53"), Ok("192.0.2.53:53".to_owned()));
        assert_eq!(read("192.0.2.53:5353"), Ok("192.0.2.53:5353".to_owned()));
        assert_eq!(read("2001:db8::53"), Ok("[2001:db8::53]:53".to_owned()));
        assert_eq!(
            read("[2001:db8::53]:5353"),
            Ok("[2001:db8::53]:5353".to_owned())
        );
        for bad in ["", "ns.example", "192.0.2.53:0", "0.0.0.0", "192.0.2.53:x"] {
            assert_eq!(read(bad), Err(NotANameServer), "{bad}");
        }
    }
}
