//! An IP network: an address and how many of its bits count.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network such as `10.0.0.0/8` or `fd00::/8`; a bare address means that one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
    v6: bool,
    prefix: u8,
}

impl Network {
    /// Whether `address` lies inside. A v4-mapped IPv6 address counts as the IPv4 one it carries.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, v6) = bits(address.to_canonical());
        v6 == self.v6 && bits & self.mask == self.base
    }

    /// Whether it spans all of IPv4 or all of IPv6.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

/// The address as a number; IPv4 takes the upper 32 bits, so that one mask rule serves both.
fn bits(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, false),
        IpAddr::V6(v6) => (u128::from(v6), true),
    }
}

/// Why a network could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let (value, v6) = bits(address);
        let widest: u8 = if v6 { 128 } else { 32 };
        let prefix: u8 = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| NotANetwork)?,
            None => widest,
        };
        if prefix > widest {
            return Err(NotANetwork);
        }
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
        Ok(Self {
            base: value & mask,
            mask,
            v6,
            prefix,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.v6 {
            write!(f, "{}/{}", std::net::Ipv6Addr::from(self.base), self.prefix)
        } else {
            let octets = self.base.to_be_bytes();
            write!(
                f,
                "{}.{}.{}.{}/{}",
                octets[0], octets[1], octets[2], octets[3], self.prefix
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(network: &str, address: &str) -> bool {
        network
            .parse::<Network>()
            .unwrap()
            .contains(address.parse().unwrap())
    }

    #[test]
    fn contains_by_prefix() {
        assert!(inside("127.0.0.0/8", "127.255.0.1"));
        assert!(!inside("127.0.0.0/8", "128.0.0.1"));
        assert!(inside("0.0.0.0/0", "203.0.113.9"));
        assert!(!inside("0.0.0.0/0", "2001:db8::1"));
        assert!(inside("10.1.2.3", "10.1.2.3"));
        assert!(!inside("10.1.2.3", "10.1.2.4"));
        assert!(inside("fd00::/8", "fd12::1"));
        assert!(
            inside("127.0.0.0/8", "::ffff:127.0.0.1"),
            "a mapped address is the IPv4 one"
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "127.0.0.0/33",
            "::/129",
            "localhost",
            "1.2.3/8",
            "10.0.0.0/-1",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
    }

    #[test]
    fn prints_its_base() {
        assert_eq!(
            "10.9.8.7/8".parse::<Network>().unwrap().to_string(),
            "10.0.0.0/8"
        );
        assert_eq!(
            "fd12::/16".parse::<Network>().unwrap().to_string(),
            "fd12::/16"
        );
    }
}
