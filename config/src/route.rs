//! `[[route]]`: where a request goes by the user part of its target.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};

use crate::section::{Misfit, Section};

/// One `[[route]]`. Routes are tried in the order of the file; the first match decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// What logs and `explain` call it.
    pub name: String,
    /// Which users it is for.
    pub to: Pattern,
    /// Where they are.
    pub target: Target,
}

/// A regular expression that has to match the whole user part.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: Regex,
}

impl Pattern {
    /// Whether it matches all of `user`.
    pub fn matches(&self, user: &str) -> bool {
        self.whole.is_match(user)
    }

    /// The expression as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FromStr for Pattern {
    type Err = regex::Error;

    fn from_str(text: &str) -> Result<Self, regex::Error> {
        // Alone first: `a)|(b` is invalid, and only its wrapped form would compile.
        build(text)?;
        let whole = build(&format!("^(?:{text})$"))?;
        Ok(Self {
            text: text.to_owned(),
            whole,
        })
    }
}

fn build(text: &str) -> Result<Regex, regex::Error> {
    // A route is a line, not a program: 256 kB compiled is far beyond any dial plan.
    RegexBuilder::new(text)
        .size_limit(256 << 10)
        .dfa_size_limit(256 << 10)
        .build()
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the bindings of the address itself.
    Registered,
    /// To this SIP URI, by the rules of RFC 3263.
    Uri(String),
    /// Nowhere: this status, 400 to 699.
    Reject(u16),
}

impl Target {
    /// Whether it is a URI that is reached over TLS.
    pub fn needs_tls(&self) -> bool {
        let Self::Uri(uri) = self else {
            return false;
        };
        let mut parts = uri.split(';').skip(1);
        uri.starts_with("sips:") || parts.any(|part| part.eq_ignore_ascii_case("transport=tls"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered => f.write_str("registered"),
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Reject(code) => write!(f, "reject:{code}"),
        }
    }
}

impl Route {
    pub(crate) fn read(section: &mut Section<'_>, index: usize) -> Option<Self> {
        let name = section
            .text("name")
            .map_or_else(|| format!("route {index}"), str::to_owned);
        let to = section
            .text("to")
            .and_then(|text| match text.parse::<Pattern>() {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    // The last line is the reason; those before draw the place.
                    let shown = error.to_string();
                    let reason = shown.lines().last().unwrap_or_default().trim();
                    let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                    let problem = format!("is no regular expression: {reason}");
                    section.error(
                        "to",
                        problem,
                        "write one for the whole user part: \"6[0-9]{3}\"",
                    );
                    None
                }
            });
        let target = section.text("target").and_then(|text| match target(text) {
            Ok(target) => Some(target),
            Err(misfit) => {
                section.error("target", misfit.problem, misfit.remedy);
                None
            }
        });
        for key in ["to", "target"] {
            if !section.has(key) {
                section.error(
                    key,
                    "is missing",
                    "every [[route]] has a `to` and a `target`",
                );
            }
        }
        Some(Self {
            name,
            to: to?,
            target: target?,
        })
    }
}

const TARGETS: &str = "write \"registered\", \"uri:sip:user@host\" or \"reject:404\"";

fn target(text: &str) -> Result<Target, Misfit> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "registered" if rest.is_empty() => Ok(Target::Registered),
        "uri" => sip_uri(rest),
        "reject" => match rest.parse() {
            Ok(code @ 400..=699) => Ok(Target::Reject(code)),
            Ok(_) | Err(_) => Err(Misfit::new(
                "is no final refusal",
                "write a status from 400 to 699",
            )),
        },
        "agent" => Err(Misfit::new(
            "routes to agents are not supported yet",
            TARGETS,
        )),
        "trunk" => Err(Misfit::new(
            "routes to trunks are not supported yet",
            TARGETS,
        )),
        _ => Err(Misfit::new("is no target", TARGETS)),
    }
}

/// Enough of RFC 3261 25.1 to catch a slip; the SIP core reads it in full.
fn sip_uri(text: &str) -> Result<Target, Misfit> {
    let rest = text
        .strip_prefix("sip:")
        .or_else(|| text.strip_prefix("sips:"));
    let host = rest.map(|rest| rest.rsplit_once('@').map_or(rest, |(_, host)| host));
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte);
    let starts = |host: &str| host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
    if host.is_some_and(starts) && text.bytes().all(plain) {
        return Ok(Target::Uri(text.to_owned()));
    }
    let remedy = "write \"uri:sip:user@host:port;transport=udp\"";
    Err(Misfit::new("is no SIP URI", remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_user() {
        let pattern: Pattern = "6[0-9]{3}|echo".parse().unwrap();
        assert!(pattern.matches("6000") && pattern.matches("echo"));
        assert!(
            !pattern.matches("16000") && !pattern.matches("60001") && !pattern.matches("echoo")
        );
        assert!("a)|(b".parse::<Pattern>().is_err());
        assert!(
            "(((a{500}){500}){500}".parse::<Pattern>().is_err(),
            "bounded when compiled"
        );
    }

    #[test]
    fn targets() {
        assert_eq!(target("registered").ok(), Some(Target::Registered));
        assert_eq!(target("reject:486").ok(), Some(Target::Reject(486)));
        let uri = "sip:phone@127.0.0.1:17171;transport=udp";
        assert_eq!(
            target(&format!("uri:{uri}")).ok(),
            Some(Target::Uri(uri.to_owned()))
        );
        for text in [
            "reject:200",
            "reject:",
            "uri:tel:123",
            "uri:sip:",
            "uri:sip:a@b c",
            "",
            "x",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
        for text in ["agent:desk", "trunk:pbx"] {
            let misfit = target(text).err().unwrap();
            assert!(misfit.problem.contains("not supported yet"), "{text}");
        }
    }
}
