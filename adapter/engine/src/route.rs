//! Where a request goes: the Request-URI, the routes and the bindings make a plan.

mod rule;
mod trace;

use core::net::IpAddr;

use bus_schema::Reason;
use sip::{HostPort, Message, Name, NameAddr, Uri};

use crate::address;
use crate::caller::Caller;
use crate::domain::{Domain, Domains};
use crate::hop::{Hop, Listener, NextHop, Target, Transport};
use crate::location::{Aor, Binding};

pub use rule::{BadRoute, Goal, Routes};
pub use trace::Step;
use trace::Trace;

/// How often routes may send a request from one of our addresses to another.
const REWRITES_MAX: usize = 8;

/// What is known of users: who exists, and who is registered where.
pub trait Whereabouts {
    /// Whether such a user may exist: it has a password, or its domain is open.
    fn exists(&self, aor: &str) -> bool;

    /// Shows the bindings of an AOR that are alive.
    fn bindings(&self, aor: &str, visit: &mut dyn FnMut(&Binding));
}

/// What a plan is made from.
pub struct Map<'a, W> {
    /// Our domains.
    pub domains: &'a Domains,
    /// The routes.
    pub routes: &'a Routes,
    /// Our listeners.
    pub listeners: &'a [Listener],
    /// Users and bindings.
    pub whereabouts: &'a W,
}

/// The request to be planned.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who makes it.
    pub caller: &'a Caller,
    /// Its Request-URI.
    pub uri: &'a str,
    /// Its Max-Forwards.
    pub max_forwards: Option<u8>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// To these: all of a group at once, one group after the other (RFC 3261 16.6).
    Fork {
        /// None of them empty; the targets of one group have the same `q`.
        groups: Vec<Vec<Target>>,
    },
    /// Nowhere.
    Refuse(Refuse),
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// The status it is answered with.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
    /// The same for the bus.
    pub cause: Reason,
}

impl Refuse {
    const fn new(status: u16, reason: &'static str, cause: Reason) -> Self {
        Self {
            status,
            reason,
            cause,
        }
    }
}

/// Plans a request.
pub fn plan<W: Whereabouts>(map: &Map<'_, W>, question: &Question<'_>) -> Plan {
    decide(map, question, &mut Trace::off())
}

/// Plans a request by the same code and says how the plan came to be.
pub fn explain<W: Whereabouts>(map: &Map<'_, W>, question: &Question<'_>) -> (Plan, Vec<Step>) {
    let mut trace = Trace::on();
    let plan = decide(map, question, &mut trace);
    (plan, trace.into_steps())
}

/// Whether a request has a Route to somewhere else than us: it is refused with 403, as we would be
/// sending it wherever a stranger likes.
#[must_use]
pub fn has_foreign_route(request: &Message, domains: &Domains, listeners: &[Listener]) -> bool {
    request.list(Name::Route).any(|value| {
        let uri = NameAddr::parse(value).and_then(|address| address.uri());
        !uri.is_ok_and(|uri| {
            is_ours(domains, listeners, &uri).is_some() || is_self(listeners, &uri)
        })
    })
}

fn decide<W: Whereabouts>(map: &Map<'_, W>, question: &Question<'_>, trace: &mut Trace) -> Plan {
    let plan = if question.max_forwards == Some(0) {
        Err(Refuse::new(483, "Too Many Hops", Reason::ProtocolError))
    } else {
        follow(map, question, trace)
    };
    match plan {
        Ok(mut targets) => {
            // Stable: contacts of the same preference stay in the order they registered in.
            targets.sort_by_key(|target| core::cmp::Reverse(target.q));
            let groups = targets
                .chunk_by(|one, next| one.q == next.q)
                .map(<[Target]>::to_vec);
            Plan::Fork {
                groups: groups.collect(),
            }
        }
        Err(refuse) => {
            trace.step(|| Step::Refused(refuse));
            Plan::Refuse(refuse)
        }
    }
}

/// Follows the routes until they lead to bindings, to another server, or nowhere.
fn follow<W: Whereabouts>(
    map: &Map<'_, W>,
    question: &Question<'_>,
    trace: &mut Trace,
) -> Result<Vec<Target>, Refuse> {
    let mut text: Box<str> = question.uri.into();
    // What a route names is the operator's word: the caller need not be allowed to go there.
    let mut by_route = false;
    for _ in 0..REWRITES_MAX {
        let uri = Uri::parse(&text)
            .map_err(|_| Refuse::new(400, "Bad Request-URI", Reason::ProtocolError))?;
        if !uri.is_sip() {
            return Err(Refuse::new(
                416,
                "Unsupported URI Scheme",
                Reason::InvalidNumber,
            ));
        }
        let Some(domain) = is_ours(map.domains, map.listeners, &uri) else {
            trace.step(|| Step::Foreign {
                host: uri.host.host.into(),
            });
            if is_self(map.listeners, &uri) {
                return Err(Refuse::new(482, "Loop Detected", Reason::NoRoute));
            }
            if !by_route && !question.caller.is_proven() {
                return Err(Refuse::new(403, "Relaying Denied", Reason::NotPermitted));
            }
            return Ok(vec![elsewhere(&text, &uri)]);
        };
        let Some(user) = uri.user else {
            return Err(Refuse::new(
                484,
                "Address Incomplete",
                Reason::InvalidNumber,
            ));
        };
        let aor = address::aor(user, &domain.name);
        trace.step(|| Step::Local { aor: aor.clone() });
        let number = aor.rsplit_once('@').map_or(&*aor, |(user, _)| user);
        match map.routes.find(number, trace) {
            Goal::Registered => return registered(map, &uri, &aor, trace),
            Goal::Reject(refuse) => return Err(*refuse),
            Goal::Uri(goal) => {
                let next = goal.with_user(user);
                trace.step(|| Step::Rewritten { uri: next.clone() });
                text = next;
                by_route = true;
            }
        }
    }
    Err(Refuse::new(482, "Loop Detected", Reason::NoRoute))
}

/// The bindings of one of our users.
fn registered<W: Whereabouts>(
    map: &Map<'_, W>,
    uri: &Uri<'_>,
    aor: &Aor,
    trace: &mut Trace,
) -> Result<Vec<Target>, Refuse> {
    let mut targets = Vec::with_capacity(1);
    map.whereabouts.bindings(aor, &mut |binding| {
        // RFC 3261 26.2.2: sips is encrypted on every hop.
        let secure = !uri.is_secure() || is_secure(map.listeners, &binding.hop);
        trace.step(|| Step::Binding {
            contact: binding.contact().into(),
            q: binding.q,
            usable: secure,
        });
        if secure {
            targets.push(target(aor, binding));
        }
    });
    if !targets.is_empty() {
        return Ok(targets);
    }
    if map.whereabouts.exists(aor) {
        Err(Refuse::new(
            480,
            "Temporarily Unavailable",
            Reason::SubscriberAbsent,
        ))
    } else {
        Err(Refuse::new(404, "Not Found", Reason::InvalidNumber))
    }
}

fn target(aor: &Aor, binding: &Binding) -> Target {
    Target {
        uri: binding.contact().into(),
        route: binding.path().lines().map(Into::into).collect(),
        hop: NextHop::Hop(binding.hop),
        aor: Some(aor.clone()),
        instance: (!binding.instance().is_empty()).then(|| binding.instance().into()),
        q: binding.q,
    }
}

/// A URI that is not ours, to be found by RFC 3263 4.
fn elsewhere(text: &str, uri: &Uri<'_>) -> Target {
    let transport = uri.param("transport").and_then(Transport::from_param);
    let transport = match (uri.is_secure(), transport) {
        (true, None | Some(Transport::Udp | Transport::Tcp)) => Some(Transport::Tls),
        (true, Some(Transport::Ws)) => Some(Transport::Wss),
        (_, transport) => transport,
    };
    let host = uri
        .param("maddr")
        .filter(|maddr| !maddr.is_empty())
        .unwrap_or(uri.host.host);
    Target {
        uri: text.into(),
        route: Vec::new(),
        hop: NextHop::Name {
            host: host.trim_start_matches('[').trim_end_matches(']').into(),
            port: uri.host.port,
            transport,
        },
        aor: None,
        instance: None,
        q: 1000,
    }
}

/// Whether what is sent by a hop is encrypted.
pub(crate) fn is_secure(listeners: &[Listener], hop: &Hop) -> bool {
    match hop {
        Hop::Udp { .. } => false,
        Hop::Connect { transport, .. } => transport.is_secure(),
        Hop::Flow { listener, .. } => {
            let listener = listeners.get(usize::from(*listener));
            listener.is_some_and(|listener| listener.transport.is_secure())
        }
    }
}

/// The domain of ours that a URI names. An address with a port nobody listens on is another server
/// on the same machine.
fn is_ours<'a>(domains: &'a Domains, listeners: &[Listener], uri: &Uri<'_>) -> Option<&'a Domain> {
    let domain = domains.find(uri.host.host)?;
    let elsewhere = uri.host.ip().is_some()
        && uri
            .host
            .port
            .is_some_and(|port| !listeners.iter().any(|l| l.port() == port));
    (!elsewhere).then_some(domain)
}

/// Whether a URI leads to one of our own listeners.
fn is_self(listeners: &[Listener], uri: &Uri<'_>) -> bool {
    let HostPort { host, port } = uri.host;
    let ip: Option<IpAddr> = uri.host.ip();
    listeners.iter().any(|listener| {
        let same_host = match ip {
            Some(ip) => listener.host().parse() == Ok(ip),
            None => listener.host().eq_ignore_ascii_case(host),
        };
        same_host && port.unwrap_or_else(|| listener.transport.default_port()) == listener.port()
    })
}

#[cfg(test)]
mod tests;
