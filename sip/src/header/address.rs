//! `name-addr` and `addr-spec`: From, To, Contact, Route, Refer-To and their like.

use super::params::Params;
use super::value::{is_closed, is_token, quoted_end, text as text_of, trim, trim_start};
use crate::message::Fault;
use crate::uri::Uri;

/// An address with an optional display name and header parameters (RFC 3261 20.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included; empty when there is none. It may be in any
    /// encoding: Latin-1 is seen in the field.
    pub display: &'a [u8],
    /// The URI, without angle brackets.
    pub uri: &'a str,
    /// Parameters of the header, not of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one address.
    ///
    /// # Errors
    /// 400 when it has no URI, brackets or quotes are open, the URI is not plain ASCII, or the
    /// display name is neither a quoted string nor tokens.
    pub fn parse(text: &'a [u8]) -> Result<Self, Fault> {
        let text = trim(text);
        let (display, rest) = if text.first() == Some(&b'"') {
            let end = quoted_end(text, 0).ok_or(BAD)?;
            let rest = trim_start(&text[end + 1..]);
            if rest.first() != Some(&b'<') {
                return Err(BAD);
            }
            (&text[..=end], rest)
        } else {
            match first_sign(text) {
                Some(at) if text[at] == b'<' => (trim(&text[..at]), &text[at..]),
                Some(at) if text[at] == b'"' => return Err(BAD),
                // Without brackets every parameter is the header's (RFC 3261 20.10).
                Some(at) => return Self::bare(trim(&text[..at]), &text[at..]),
                None => return Self::bare(text, b""),
            }
        };
        // A token display name; bytes above ASCII are tolerated, separators are not.
        let plain = display.first() == Some(&b'"')
            || display
                .iter()
                .all(|b| is_token(*b) || !b.is_ascii() || super::value::is_space(*b));
        let close = memchr::memchr(b'>', rest).ok_or(BAD)?;
        if !plain {
            return Err(BAD);
        }
        let params = trim_start(&rest[close + 1..]);
        if params.first().is_some_and(|b| *b != b';') {
            return Err(BAD);
        }
        Self::new(display, &rest[1..close], params)
    }

    /// Without brackets a URI may hold neither `,` nor `?` (RFC 3261 20).
    fn bare(uri: &'a [u8], params: &'a [u8]) -> Result<Self, Fault> {
        match memchr::memchr2(b',', b'?', uri) {
            Some(_) => Err(BAD),
            None => Self::new(b"", uri, params),
        }
    }

    fn new(display: &'a [u8], uri: &'a [u8], params: &'a [u8]) -> Result<Self, Fault> {
        // Without an early end it is done many bytes at a time.
        let plain = uri.iter().fold(true, |all, byte| {
            all & matches!(byte, 0x21..=0x7e) & !matches!(byte, b'<' | b'>' | b'"')
        });
        match text_of(uri) {
            Some(uri) if plain && !uri.is_empty() && is_closed(params) => Ok(Self {
                display,
                uri,
                params: Params::new(params),
            }),
            _ => Err(BAD),
        }
    }

    /// The tag parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The URI, read.
    ///
    /// # Errors
    /// 400 when it is not a URI.
    pub fn uri(&self) -> Result<Uri<'a>, Fault> {
        Uri::parse(self.uri)
    }

    /// A `q` value in thousandths (RFC 3261 20.10); none when absent or malformed.
    #[must_use]
    pub fn q(&self) -> Option<u16> {
        let text = self.params.get("q")?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole: u16 = if matches!(whole, "0" | "1") {
            whole.parse().ok()?
        } else {
            return None;
        };
        if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let thousandths = fraction.bytes().chain(*b"000").take(3);
        let fraction = thousandths.fold(0, |sum, b| sum * 10 + u16::from(b - b'0'));
        Some(whole * 1000 + fraction).filter(|q| *q <= 1000)
    }
}

/// The tag of an address, without looking at what is before it: what [`NameAddr::parse`] and
/// [`NameAddr::tag`] say of every address that can be read. A message is asked for its tags time
/// and again on its way.
pub(crate) fn tag_of(address: &[u8]) -> Option<&str> {
    match first_sign(address) {
        Some(open) if address[open] == b'<' => {
            let close = open + memchr::memchr(b'>', &address[open..])?;
            let params = Params::new(&address[close + 1..]);
            params.get("tag").filter(|tag| !tag.is_empty())
        }
        _ => NameAddr::parse(address).ok()?.tag(),
    }
}

/// Where the display name or a bare URI ends; most addresses begin with their bracket.
fn first_sign(address: &[u8]) -> Option<usize> {
    match address.first() {
        Some(b'<') => Some(0),
        _ => memchr::memchr3(b'<', b';', b'"', address),
    }
}

const BAD: Fault = Fault {
    status: 400,
    reason: "Bad Address",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> NameAddr<'_> {
        NameAddr::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn forms() {
        let a = parse("\"A. <G>; Bell\" <sip:agb@bell.example;x=1> ;tag=a48s");
        assert_eq!(
            (a.display, a.uri),
            (&b"\"A. <G>; Bell\""[..], "sip:agb@bell.example;x=1")
        );
        assert_eq!(a.tag(), Some("a48s"));
        let a = parse("sip:+12125551212@phone2net.example;tag=887s");
        assert_eq!(
            (a.uri, a.tag()),
            ("sip:+12125551212@phone2net.example", Some("887s"))
        );
        let a = parse("Anonymous Caller <sip:c8oqz84zk7z@privacy.example>;tag=hyh8");
        assert_eq!(a.display, b"Anonymous Caller");
        let a = parse("<sip:a@b>");
        assert_eq!((a.display, a.tag()), (&b""[..], None));
        let latin = NameAddr::parse(b"J\xf6rg <sip:j@b>;tag=1").unwrap();
        assert_eq!((latin.display, latin.tag()), (&b"J\xf6rg"[..], Some("1")));
    }

    #[test]
    fn faults() {
        for bad in [
            "",
            "<>",
            "<sip:a@b",
            "\"open <sip:a@b>",
            "Bell, A <sip:a@b>",
            "<sip:a b>",
            "< sip:a@b >",
            "sip:a@b?Route=x",
            "sip:a,b@c",
            "sip:a@b>",
            "<sip:a@b>;x=\"open",
        ] {
            assert!(NameAddr::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(NameAddr::parse(b"\"quoted\" sip:a@b").is_err());
        assert!(NameAddr::parse(b"<sip:a@b> junk").is_err());
    }

    proptest::proptest! {
        #[test]
        fn the_tag_alone_is_the_tag_of_the_whole(
            display in "(\"[a>\\\\<;]{0,4}\" ?|[a-c ]{0,4})",
            uri in "(<sip:a[;=?a]{0,6}>|sip:a@b)",
            params in "( ?; ?(tag=[a-c]{0,3}|Tag=x|x=<[a;=]{0,4}>|x=\"[a;>=]{0,4}\"|tag)){0,3}",
        ) {
            let text = format!("{display}{uri}{params}");
            if let Ok(address) = NameAddr::parse(text.as_bytes()) {
                proptest::prop_assert_eq!(tag_of(text.as_bytes()), address.tag());
            }
        }
    }

    #[test]
    fn q_in_thousandths() {
        for (text, q) in [
            ("0.7", Some(700)),
            ("1", Some(1000)),
            ("1.0", Some(1000)),
            ("0.125", Some(125)),
            ("0", Some(0)),
            ("1.1", None),
            ("2", None),
            ("0.1234", None),
            ("x", None),
        ] {
            let text = format!("<sip:a@b>;q={text}");
            assert_eq!(parse(&text).q(), q, "{text}");
        }
    }
}
