//! The Contact headers of a REGISTER.

use std::borrow::Cow;
use std::net::SocketAddr;

use sip::{Message, Name, NameAddr, Uri, unquote};
use smallvec::SmallVec;

use super::{Refusal, RegistrarSettings};
use crate::hop::{Hop, Transport};
use crate::location::{Binding, BindingText};

/// The most contacts in one request: more than any limit on bindings is worth reading.
const CONTACTS_MAX: usize = 64;

/// What a REGISTER asks for.
pub(super) enum Asked<'a> {
    /// No Contact: to be told the bindings.
    Nothing,
    /// `*` with Expires 0: to remove them all.
    Everything,
    /// To add, refresh or remove these.
    Contacts(SmallVec<[Contact<'a>; 1]>),
}

/// One contact of a REGISTER.
pub(super) struct Contact<'a> {
    address: NameAddr<'a>,
    /// For how many seconds; 0 removes it.
    pub(super) expires: u32,
}

/// Reads the contacts, with the times they get.
pub(super) fn read<'a>(
    request: &'a Message,
    settings: &RegistrarSettings,
) -> Result<Asked<'a>, Refusal> {
    let mut contacts = SmallVec::new();
    for element in request.list(Name::Contact) {
        if element == b"*" {
            return wildcard(request);
        }
        if contacts.len() == CONTACTS_MAX {
            return Err(Refusal::new(403, "Too Many Bindings"));
        }
        let address = NameAddr::parse(element).map_err(|_| Refusal::new(400, "Bad Contact"))?;
        // Only SIP URIs can be called; anything else would be found out at the first call.
        if !address.uri().is_ok_and(|uri| uri.is_sip()) {
            return Err(Refusal::new(400, "Bad Contact"));
        }
        let expires = expires(request, &address, settings)?;
        contacts.push(Contact { address, expires });
    }
    Ok(if contacts.is_empty() {
        Asked::Nothing
    } else {
        Asked::Contacts(contacts)
    })
}

/// RFC 3261 10.3 step 6: `*` stands alone and with Expires 0 or the request is wrong.
fn wildcard<'a>(request: &Message) -> Result<Asked<'a>, Refusal> {
    if request.is_wildcard() && request.expires() == Some(0) {
        Ok(Asked::Everything)
    } else {
        Err(Refusal::new(400, "Bad Wildcard"))
    }
}

/// RFC 3261 10.3 step 7: the contact's own time, or the request's, or ours.
fn expires(
    request: &Message,
    address: &NameAddr<'_>,
    settings: &RegistrarSettings,
) -> Result<u32, Refusal> {
    let asked = match address.params.get("expires") {
        // "Malformed values SHOULD be treated as equivalent to 3600" (20.10).
        Some(text) => Some(seconds(text).unwrap_or(3600)),
        None => request.expires(),
    };
    let asked = asked.unwrap_or(settings.expires_default);
    // 10.3 step 7: too brief is only what is less than an hour.
    if asked > 0 && asked < settings.expires_min && asked < 3600 {
        return Err(Refusal::too_brief(settings.expires_min));
    }
    Ok(asked.min(settings.expires_max))
}

fn seconds(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

impl Contact<'_> {
    /// Whether it may only be called in TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.address.uri().is_ok_and(|uri| uri.is_secure())
    }

    /// The binding it makes, without the order of its request.
    pub(super) fn binding(
        &self,
        path: &str,
        hop: Hop,
        now: u32,
        request: &Message,
    ) -> Result<Binding, Refusal> {
        let instance = self.address.params.get("+sip.instance").unwrap_or_default();
        let instance = unquote(instance.as_bytes());
        let text = BindingText {
            contact: self.address.uri,
            path,
            instance: core::str::from_utf8(&instance).unwrap_or_default(),
            agent: request.text(Name::UserAgent).unwrap_or_default(),
        };
        let expires = now.saturating_add(self.expires);
        let mut binding = Binding::new(text, self.reach(path, hop), expires)
            .map_err(|_| Refusal::new(400, "Contact Too Long"))?;
        binding.q = self.address.q().unwrap_or(1000);
        // reg-id means something only with an instance, and is never 0 (RFC 5626 4.2).
        if !binding.instance().is_empty() {
            let reg_id = self
                .address
                .params
                .get("reg-id")
                .and_then(|text| text.parse().ok());
            binding.reg_id = reg_id.unwrap_or(0);
        }
        Ok(binding)
    }
}

impl Contact<'_> {
    /// How requests reach the contact: the way its REGISTER came, for that is open through any NAT;
    /// but a contact at the very address the datagram came from says its port itself, for there was
    /// no NAT, and a device may well send from one port and listen on another.
    fn reach(&self, path: &str, hop: Hop) -> Hop {
        let Hop::Udp { listener, remote } = hop else {
            return hop;
        };
        let Ok(uri) = self.address.uri() else {
            return hop;
        };
        let over_udp = uri
            .param("transport")
            .is_none_or(|text| text.eq_ignore_ascii_case("udp"));
        if !path.is_empty() || !over_udp || uri.host.ip() != Some(remote.ip().to_canonical()) {
            return hop;
        }
        let port = uri
            .host
            .port
            .unwrap_or_else(|| Transport::Udp.default_port());
        Hop::Udp {
            listener,
            remote: SocketAddr::new(remote.ip(), port),
        }
    }
}

/// The Path of a request, one value a line.
pub(super) fn path(request: &Message) -> Result<Cow<'_, str>, Refusal> {
    let bad = || Refusal::new(400, "Bad Path");
    let mut values = request.list(Name::Path);
    let Some(first) = values.next() else {
        return Ok("".into());
    };
    let mut path = String::new();
    for value in core::iter::once(first).chain(values) {
        // Only what can stand in a Route header again.
        NameAddr::parse(value)
            .and_then(|address| address.uri())
            .map_err(|_| bad())?;
        let value = core::str::from_utf8(value).map_err(|_| bad())?;
        if value.contains(['\r', '\n']) {
            return Err(bad());
        }
        if !path.is_empty() {
            path.push('\n');
        }
        path.push_str(value);
    }
    Ok(path.into())
}

/// Whether two contacts are one (RFC 3261 19.1.4).
pub(super) fn same(one: &str, other: &str) -> bool {
    one == other
        || match (Uri::parse(one), Uri::parse(other)) {
            (Ok(one), Ok(other)) => one.matches(&other),
            _ => false,
        }
}
