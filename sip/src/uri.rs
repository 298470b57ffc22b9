//! URIs, borrowed from the text they are in.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::header::value::is_visible;
use crate::header::{Param, Params};
use crate::message::Fault;

/// A `sip`, `sips` or `tel` URI, or any other by scheme and rest (RFC 3261 19.1, RFC 3966).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// As written; schemes compare without regard to case.
    pub scheme: &'a str,
    /// User part, escapes left in; for `tel` the number; for other schemes all after the colon.
    pub user: Option<&'a str>,
    /// Password, escapes left in.
    pub password: Option<&'a str>,
    /// Host and port; the host is empty unless the scheme is `sip` or `sips`.
    pub host: HostPort<'a>,
    /// URI parameters.
    pub params: Params<'a>,
    /// What follows the `?`.
    pub headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Reads a URI.
    ///
    /// # Errors
    /// 400 when it has no scheme, or is `sip`/`sips` without a proper host.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        // A scheme is short: quicker found by hand than with what is made for long texts.
        let colon = text.bytes().position(|b| b == b':').ok_or(BAD)?;
        let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
        if rest.is_empty() || !is_visible(text.as_bytes()) {
            return Err(BAD);
        }
        if !is_sip(scheme) {
            let mut letters = scheme.bytes();
            let named = letters.next().is_some_and(|b| b.is_ascii_alphabetic())
                && letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
            if !named {
                return Err(BAD);
            }
            let (user, params) = match rest.find(';') {
                Some(at) if scheme.eq_ignore_ascii_case("tel") => rest.split_at(at),
                _ => (rest, ""),
            };
            let host = HostPort {
                host: "",
                port: None,
            };
            let params = Params::new(params.as_bytes());
            return Ok(Self {
                scheme,
                user: Some(user),
                password: None,
                host,
                params,
                headers: None,
            });
        }
        let Places {
            host,
            password,
            escaped,
            params,
            headers,
        } = Places::find(rest.as_bytes());
        let (user, password) = match (host, password) {
            (0, _) => (None, None),
            (host, None) => (Some(&rest[..host - 1]), None),
            (host, Some(at)) => (Some(&rest[..at]), Some(&rest[at + 1..host - 1])),
        };
        if user.is_some_and(|user| user.is_empty() || escaped && !escapes_are_whole(user)) {
            return Err(BAD);
        }
        let (rest, headers) = match headers {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let params = params.min(rest.len());
        let (host, params) = (&rest[host..params], &rest[params..]);
        let host = HostPort::parse(host).ok_or(BAD)?;
        Ok(Self {
            scheme,
            user,
            password,
            host,
            params: Params::new(params.as_bytes()),
            headers,
        })
    }

    /// Whether the scheme is `sip` or `sips`.
    #[must_use]
    pub fn is_sip(&self) -> bool {
        is_sip(self.scheme)
    }

    /// Whether the scheme is `sips`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("sips")
    }

    /// The value of a URI parameter: `Some("")` for a flag such as `lr`.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }

    /// Whether both name the same resource by RFC 3261 19.1.4. Not transitive: it says so there.
    #[must_use]
    pub fn matches(&self, other: &Uri<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && same_escaped(self.user, other.user, false)
            && same_escaped(self.password, other.password, false)
            && self.host.port == other.host.port
            && self.host.same_host(&other.host)
            && params_match(self.params, other.params)
            && params_match(other.params, self.params)
            && headers_match(self.headers, other.headers)
    }
}

/// A host as written, and its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: &'a str,
    /// The port, if one is given.
    pub port: Option<u16>,
}

impl<'a> HostPort<'a> {
    /// Reads `host[:port]`, with no space anywhere.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        Self::read(text, false)
    }

    /// As `parse`, with the white space about the colon that a Via may have.
    pub(crate) fn parse_loose(text: &'a str) -> Option<Self> {
        Self::read(text, true)
    }

    fn read(text: &'a str, loose: bool) -> Option<Self> {
        let end = if text.starts_with('[') {
            let end = text.find(']')? + 1;
            ipv6(&text[1..end - 1])?;
            end
        } else {
            let name = text.bytes().position(|b| !HOST[b as usize]);
            let end = name.unwrap_or(text.len());
            let next = text.as_bytes().get(end);
            if end == 0 || !matches!(next, None | Some(b':' | b' ' | b'\t' | b'\r')) {
                return None;
            }
            end
        };
        let (host, mut rest) = text.split_at(end);
        let space = |c: char| c.is_ascii_whitespace();
        if loose && !rest.is_empty() {
            rest = rest.trim_matches(space);
        }
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return None,
            Some(port) => {
                let port = if loose {
                    port.trim_start_matches(space)
                } else {
                    port
                };
                let port = crate::header::value::number(port.as_bytes())?;
                Some(u16::try_from(port).ok()?)
            }
        };
        Some(Self { host, port })
    }

    /// The address, when the host is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self
            .host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(host) => ipv6(host).map(IpAddr::V6),
            None => self.host.parse().ok(),
        }
    }

    /// Whether both hosts are the same, ports aside: names without regard to case, addresses by
    /// value.
    #[must_use]
    pub fn same_host(&self, other: &HostPort<'_>) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            || self.ip().is_some_and(|ip| other.ip() == Some(ip))
    }
}

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// RFC 5118 4.10: the grammar of RFC 3261 let three colons stand before an embedded IPv4 address,
/// so they are read as two.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    match text.split_once(":::") {
        Some((head, tail)) if tail.contains('.') => format!("{head}::{tail}").parse().ok(),
        _ => text.parse().ok(),
    }
}

/// RFC 3261 hostname, and the underscore that DNS carries and peers send.
static HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        byte += 1;
    }
    table
};

const BAD: Fault = Fault {
    status: 400,
    reason: "Bad URI",
};

/// Where the parts of a SIP URI begin, behind its scheme: one look at each byte.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// The host; not 0 if there is a user part, which ends with the `@` before it.
    host: usize,
    /// The colon in the user part.
    password: Option<usize>,
    /// Whether the user part has a `%`.
    escaped: bool,
    /// The first `;` of the parameters; `usize::MAX` if there is none.
    params: usize,
    /// The `?`.
    headers: Option<usize>,
}

impl Places {
    fn find(text: &[u8]) -> Self {
        let mut places = Self {
            host: 0,
            password: None,
            escaped: false,
            params: usize::MAX,
            headers: None,
        };
        let mut colon = None;
        let mut percent = false;
        for (at, byte) in text.iter().enumerate() {
            if !SIGN[usize::from(*byte)] {
                continue;
            }
            match byte {
                // A user part may hold `;` and `?` (RFC 3261 25.1 user-unreserved), a host may not:
                // the `@` decides. An unescaped one stands nowhere else before the parameters.
                b'@' if places.host == 0 => {
                    places = Self {
                        host: at + 1,
                        password: colon,
                        escaped: percent,
                        params: usize::MAX,
                        headers: None,
                    };
                }
                b':' if colon.is_none() => colon = Some(at),
                b'%' => percent = true,
                b';' if places.headers.is_none() => places.params = places.params.min(at),
                b'?' if places.headers.is_none() => places.headers = Some(at),
                _ => {}
            }
        }
        places
    }
}

/// The signs that part a SIP URI.
static SIGN: [bool; 256] = {
    let mut table = [false; 256];
    let signs = b"@:%;?";
    let mut at = 0;
    while at < signs.len() {
        table[signs[at] as usize] = true;
        at += 1;
    }
    table
};

fn is_sip(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")
}

/// Whether each `%` is followed by two hexadecimal digits.
fn escapes_are_whole(text: &str) -> bool {
    let text = text.as_bytes();
    memchr::memchr_iter(b'%', text).all(|at| {
        text.get(at + 1..at + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Parameters that make a URI another one when only one side has them (RFC 3261 19.1.4, and
/// `transport` by its examples).
const DISTINCT: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

/// Of a repeated parameter the first counts, as for `Params::get`.
fn params_match(these: Params<'_>, those: Params<'_>) -> bool {
    these.iter().all(
        |Param { name, .. }| match (these.get(name), those.get(name)) {
            (this, Some(that)) => same_escaped(this, Some(that), true),
            (_, None) => !DISTINCT
                .iter()
                .any(|distinct| distinct.eq_ignore_ascii_case(name)),
        },
    )
}

/// Headers are never ignored; their order is.
fn headers_match(these: Option<&str>, those: Option<&str>) -> bool {
    let (Some(these), Some(those)) = (these, those) else {
        return these == those;
    };
    headers_within(these, those) && headers_within(those, these)
}

fn headers_within(these: &str, those: &str) -> bool {
    these.split('&').all(|this| {
        let (name, value) = this.split_once('=').unwrap_or((this, ""));
        those.split('&').any(|that| {
            let (other_name, other_value) = that.split_once('=').unwrap_or((that, ""));
            same_escaped(Some(name), Some(other_name), true)
                && same_escaped(Some(value), Some(other_value), false)
        })
    })
}

fn same_escaped(this: Option<&str>, that: Option<&str>, fold_case: bool) -> bool {
    match (this, that) {
        (Some(this), Some(that)) if fold_case => unescape(this)
            .map(|b| b.to_ascii_lowercase())
            .eq(unescape(that).map(|b| b.to_ascii_lowercase())),
        (Some(this), Some(that)) => unescape(this).eq(unescape(that)),
        (this, that) => this.is_none() && that.is_none(),
    }
}

/// The bytes with `%` escapes resolved; a broken escape stands for itself.
fn unescape(text: &str) -> impl Iterator<Item = u8> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        let hex = |at: usize| (*bytes.get(at)? as char).to_digit(16);
        if byte == b'%'
            && let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2))
        {
            at += 3;
            return u8::try_from(high * 16 + low).ok();
        }
        at += 1;
        Some(byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text).unwrap()
    }

    proptest::proptest! {
        #[test]
        fn each_part_ends_where_the_first_sign_of_the_next_stands(rest in "[a:@?;%1=]{1,12}") {
            let (user, tail) = match rest.split_once('@') {
                Some((user, tail)) => (Some(user), tail),
                None => (None, &*rest),
            };
            let (user, password) = match user.and_then(|user| user.split_once(':')) {
                Some((user, password)) => (Some(user), Some(password)),
                None => (user, None),
            };
            let (tail, headers) = match tail.split_once('?') {
                Some((tail, headers)) => (tail, Some(headers)),
                None => (tail, None),
            };
            let (host, params) = tail.split_at(tail.find(';').unwrap_or(tail.len()));
            let host = HostPort::parse(host)
                .filter(|_| user.is_none_or(|user| !user.is_empty() && escapes_are_whole(user)));
            let expected = host.map(|host| Uri {
                scheme: "sip",
                user,
                password,
                host,
                params: Params::new(params.as_bytes()),
                headers,
            });
            let text = format!("sip:{rest}");
            proptest::prop_assert_eq!(Uri::parse(&text).ok(), expected);
        }
    }

    #[test]
    fn parts() {
        let u = uri("sip:alice:pw@atlanta.com:5070;transport=tcp;lr?subject=a&priority=b");
        assert_eq!(
            (u.scheme, u.user, u.password),
            ("sip", Some("alice"), Some("pw"))
        );
        assert_eq!((u.host.host, u.host.port), ("atlanta.com", Some(5070)));
        assert_eq!(
            (u.param("Transport"), u.param("lr")),
            (Some("tcp"), Some(""))
        );
        assert_eq!(u.headers, Some("subject=a&priority=b"));
        let u = uri("sips:[2001:db8::10]:5061");
        assert_eq!(
            (u.user, u.host.host, u.host.port),
            (None, "[2001:db8::10]", Some(5061))
        );
        assert!(u.is_secure() && u.host.ip().is_some());
        let u = uri("sip:user;par=u%40example.net?x@example.com");
        assert_eq!(
            (u.user, u.host.host),
            (Some("user;par=u%40example.net?x"), "example.com")
        );
        let u = uri("tel:+1-201-555-0123;phone-context=x");
        assert_eq!(
            (u.user, u.param("phone-context")),
            (Some("+1-201-555-0123"), Some("x"))
        );
        assert_eq!(
            uri("nobodyKnows:totally opaque".split(' ').next().unwrap()).user,
            Some("totally")
        );
    }

    #[test]
    fn faults() {
        for bad in [
            "",
            "sip",
            "sip:",
            ":x",
            "sip:@h",
            "sip:a@",
            "sip:a@h:",
            "sip:a@h:99999",
            "sip:a@[::1",
            "sip:a@[zz]",
            "sip:a@h h",
            "sip:a%4@h",
            "1sip:a@h",
            "sip:a@b@c",
            "sip:ö@h",
        ] {
            assert!(Uri::parse(bad).is_err(), "{bad}");
        }
    }

    /// The examples of RFC 3261 19.1.4.
    #[test]
    fn equivalence() {
        let same = [
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
            ),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
            ("sip:a@b;x=1;x=2", "sip:a@b;x=1;x=2"),
        ];
        for (a, b) in same {
            assert!(
                uri(a).matches(&uri(b)) && uri(b).matches(&uri(a)),
                "{a} {b}"
            );
        }
        let different = [
            (
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            (
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com:6000;transport=tcp",
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
            ),
        ];
        for (a, b) in different {
            assert!(
                !uri(a).matches(&uri(b)) && !uri(b).matches(&uri(a)),
                "{a} {b}"
            );
        }
    }
}
