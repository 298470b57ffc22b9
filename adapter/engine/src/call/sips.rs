//! Which of our Contacts are `sips:`: those of dialogs that are encrypted on every hop.

use sip::{Message, Name, NameAddr};

use super::Home;
use crate::hop::{Hop, Target};
use crate::route::is_secure;

/// Whether the dialog that `request` makes has to be (RFC 3261 12.1.1): its Request-URI or topmost
/// Record-Route says so, or without that its Contact; and it came by a way where it can be.
pub(super) fn of_request(home: &Home, hop: Hop, request: &Message) -> bool {
    let asked = || {
        let route = request.list(Name::RecordRoute).next();
        let first = route.or_else(|| request.list(Name::Contact).next());
        let address = first.and_then(|value| NameAddr::parse(value).ok());
        address.is_some_and(|address| says(address.uri))
    };
    is_secure(&home.listeners, &hop) && (request.uri().is_some_and(says) || asked())
}

/// The same of the dialog that a request to `target` makes (RFC 3261 8.1.1.8).
pub(super) fn of_target(target: &Target) -> bool {
    let route = target.route.first().map(|value| value.as_bytes());
    let route = route.and_then(|value| NameAddr::parse(value).ok());
    says(&target.uri) || route.is_some_and(|route| says(route.uri))
}

fn says(uri: &str) -> bool {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips"))
}
