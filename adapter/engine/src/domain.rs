//! The domains we are responsible for, as a snapshot every thread reads.

use std::borrow::Cow;

use hashbrown::HashMap;
use sip::Uri;

use crate::address;
use crate::location::Aor;
use crate::seed::Seed;

/// What has to be shown before something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The password of a user of the domain.
    Digest,
    /// Nothing: in such a domain anyone is who they say.
    Open,
}

/// One domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name: the host of its users' addresses and the realm of its challenges.
    pub name: Box<str>,
    /// Who may register.
    pub register: Demand,
    /// Who may call.
    pub callers: Demand,
}

/// All domains, and the names they are also reached by.
#[derive(Clone, Debug)]
pub struct Domains {
    list: Vec<Domain>,
    by_host: HashMap<Box<str>, usize, Seed>,
}

impl Domains {
    /// The domains in the order of the configuration. `aliases` are hosts that stand for the first
    /// of them, without brackets: the addresses of our listeners, for phones that know no name.
    #[must_use]
    pub fn new<'a>(
        list: Vec<Domain>,
        aliases: impl IntoIterator<Item = &'a str>,
        seed: Seed,
    ) -> Self {
        let mut by_host = HashMap::with_hasher(seed);
        for (index, domain) in list.iter().enumerate() {
            by_host.entry(normal(&domain.name).into()).or_insert(index);
        }
        if !list.is_empty() {
            for alias in aliases {
                by_host.entry(normal(alias).into()).or_insert(0);
            }
        }
        Self { list, by_host }
    }

    /// The domain this host names, in any case, with or without brackets or a final dot.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<&Domain> {
        self.by_host
            .get(&*normal(host))
            .and_then(|&index| self.list.get(index))
    }

    /// The AOR a SIP URI names, if its domain is ours and it has a user part.
    #[must_use]
    pub fn aor(&self, uri: &Uri<'_>) -> Option<Aor> {
        let domain = self.find(uri.host.host)?;
        Some(address::aor(uri.user?, &domain.name))
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Domain> {
        self.list.iter()
    }
}

/// A host in lower case, without brackets and final dot.
fn normal(host: &str) -> Cow<'_, str> {
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_found_by_every_spelling_of_its_name_and_of_our_addresses() {
        let domain = |name: &str| Domain {
            name: name.into(),
            register: Demand::Open,
            callers: Demand::Open,
        };
        let list = vec![domain("a.test"), domain("b.test")];
        let domains = Domains::new(list, ["127.0.0.1", "::1", "b.test"], Seed(1));
        for (host, name) in [
            ("a.test", Some("a.test")),
            ("A.Test", Some("a.test")),
            ("a.test.", Some("a.test")),
            ("b.test", Some("b.test")),
            ("127.0.0.1", Some("a.test")),
            ("[::1]", Some("a.test")),
            ("c.test", None),
            ("", None),
        ] {
            assert_eq!(
                domains.find(host).map(|domain| &*domain.name),
                name,
                "{host}"
            );
        }
        let uri = Uri::parse("sip:%31@127.0.0.1:5060").unwrap();
        assert_eq!(domains.aor(&uri).as_deref(), Some("1@a.test"));
        assert_eq!(domains.aor(&Uri::parse("sip:a.test").unwrap()), None);
    }
}
