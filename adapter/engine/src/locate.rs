//! Locating a SIP server (RFC 3263): which names are asked for, and in which order what they lead
//! to is tried. The asking itself is somebody else's, and so is the dice.

use core::net::SocketAddr;

use crate::hop::Transport;

/// The most servers of one service that are tried.
const SERVERS_MAX: usize = 8;

/// What a target's host, port and transport leave to be found out (RFC 3263 4.1, 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The port is known: addresses alone.
    Addresses {
        /// What to send by.
        transport: Transport,
        /// Where to.
        port: u16,
    },
    /// The transport is known: its SRV records, or else addresses and the usual port.
    Service(Transport),
    /// Nothing is known: NAPTR, or else the SRV records of each transport.
    Pointers,
}

impl Question {
    /// What a URI asks for. A `sips` URI names TLS.
    #[must_use]
    pub fn of(port: Option<u16>, transport: Option<Transport>) -> Self {
        match (port, transport) {
            (Some(port), transport) => Self::Addresses {
                transport: transport.unwrap_or(Transport::Udp),
                port,
            },
            (None, Some(transport)) => match service_prefix(transport) {
                Some(_) => Self::Service(transport),
                None => Self::Addresses {
                    transport,
                    port: transport.default_port(),
                },
            },
            (None, None) => Self::Pointers,
        }
    }
}

/// The one place that an address, which is no name, stands for (RFC 3263 4.1, 4.2).
#[must_use]
pub fn literal(
    host: &str,
    port: Option<u16>,
    transport: Option<Transport>,
) -> Option<(Transport, SocketAddr)> {
    let ip = host.parse().ok()?;
    let transport = transport.unwrap_or(Transport::Udp);
    let port = port.unwrap_or_else(|| transport.default_port());
    Some((transport, SocketAddr::new(ip, port)))
}

/// The name whose SRV records are the servers of `host` for `transport` (RFC 3263 4.1). None for a
/// transport that has no such name: WebSocket (RFC 7118 5.2.2).
#[must_use]
pub fn service_name(host: &str, transport: Transport) -> Option<String> {
    Some([service_prefix(transport)?, host].concat())
}

fn service_prefix(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Udp => Some("_sip._udp."),
        Transport::Tcp => Some("_sip._tcp."),
        Transport::Tls => Some("_sips._tcp."),
        Transport::Ws | Transport::Wss => None,
    }
}

/// A NAPTR record (RFC 3403 4.1), as far as SIP looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The lowest is the only one that counts.
    pub order: u16,
    /// Within one order, the lower the sooner.
    pub preference: u16,
    /// `s`: the replacement has SRV records. Others are not SIP's (RFC 3263 4.1).
    pub flags: Box<str>,
    /// `SIP+D2U`, `SIP+D2T` or `SIPS+D2T`.
    pub services: Box<str>,
    /// The name of the SRV records.
    pub replacement: Box<str>,
}

/// The services to look for, in order: what the records point to that can be spoken, and without
/// any, the usual names of `host` in the order of `able`.
#[must_use]
pub fn services(
    host: &str,
    mut pointers: Vec<Pointer>,
    able: &[Transport],
) -> Vec<(Transport, Box<str>)> {
    pointers.sort_by_key(|pointer| (pointer.order, pointer.preference));
    let mut order = None;
    let mut found = Vec::new();
    for pointer in pointers {
        let Some(transport) = spoken(&pointer).filter(|transport| able.contains(transport)) else {
            continue;
        };
        // RFC 3403 4.1: once there is a match, other orders are not looked at.
        if *order.get_or_insert(pointer.order) != pointer.order {
            break;
        }
        found.push((transport, pointer.replacement));
    }
    if !found.is_empty() {
        return found;
    }
    let usual = able.iter().filter_map(|transport| {
        let name = service_name(host, *transport)?;
        Some((*transport, name.into()))
    });
    usual.collect()
}

fn spoken(pointer: &Pointer) -> Option<Transport> {
    if !pointer.flags.eq_ignore_ascii_case("s") {
        return None;
    }
    let transports = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
    ];
    let mut transports = transports.into_iter();
    let known = transports.find(|(service, _)| service.eq_ignore_ascii_case(&pointer.services));
    known.map(|(_, transport)| transport)
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The lower the sooner.
    pub priority: u16,
    /// Within one priority, the share of the requests.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// Its name; the root means that there is decidedly no such service.
    pub target: Box<str>,
}

/// The servers in the order in which they are tried (RFC 2782, "Usage rules"). `random` gives the
/// next number that is hard to guess.
#[must_use]
pub fn in_order(mut servers: Vec<Server>, mut random: impl FnMut() -> u64) -> Vec<Server> {
    servers.retain(|server| !matches!(&*server.target, "." | ""));
    // Those without a weight first, so that they have the small chance that the RFC gives them.
    servers.sort_by_key(|server| (server.priority, server.weight));
    let mut ordered = Vec::with_capacity(servers.len().min(SERVERS_MAX));
    while !servers.is_empty() && ordered.len() < SERVERS_MAX {
        let priority = servers[0].priority;
        let equal = servers.partition_point(|server| server.priority == priority);
        let sum: u64 = servers[..equal]
            .iter()
            .map(|server| u64::from(server.weight))
            .sum();
        let pick = random() % (sum + 1);
        let mut running = 0;
        let chosen = servers[..equal].iter().position(|server| {
            running += u64::from(server.weight);
            running >= pick
        });
        ordered.push(servers.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ABLE: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

    #[test]
    fn a_uri_asks_for_what_it_does_not_say() {
        use Transport::{Tcp, Tls, Udp, Ws};
        let addresses = |transport, port| Question::Addresses { transport, port };
        for (port, transport, question) in [
            (Some(5080), None, addresses(Udp, 5080)),
            (Some(5080), Some(Tls), addresses(Tls, 5080)),
            (None, Some(Tcp), Question::Service(Tcp)),
            (None, Some(Tls), Question::Service(Tls)),
            (None, Some(Ws), addresses(Ws, 80)),
            (None, None, Question::Pointers),
        ] {
            assert_eq!(Question::of(port, transport), question);
        }
    }

    fn pointer(order: u16, preference: u16, services: &str, replacement: &str) -> Pointer {
        Pointer {
            order,
            preference,
            flags: "s".into(),
            services: services.into(),
            replacement: replacement.into(),
        }
    }

    /// The example of RFC 3263 4.1.
    #[test]
    fn pointers_say_which_transports_a_domain_prefers() {
        let pointers = || {
            vec![
                pointer(100, 50, "SIP+D2T", "_sip._tcp.example.com"),
                pointer(50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
                pointer(90, 50, "SIP+D2T", "_sip._tcp.example.com"),
                pointer(100, 10, "SIP+D2U", "_sip._udp.example.com"),
            ]
        };
        let names = |able: &[Transport]| {
            let found = services("example.com", pointers(), able);
            let names = found.into_iter().map(|(_, name)| name.into_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&ABLE), ["_sips._tcp.example.com"]);
        assert_eq!(
            names(&[Transport::Udp, Transport::Tcp]),
            ["_sip._tcp.example.com"]
        );
        assert_eq!(names(&[Transport::Udp]), ["_sip._udp.example.com"]);
    }

    #[test]
    fn without_a_usable_pointer_the_usual_names_are_asked_for() {
        let mut foreign = pointer(1, 1, "E2U+sip", "x");
        foreign.flags = "u".into();
        let mut wrong = pointer(1, 1, "SIP+D2U", "x");
        wrong.flags = "u".into();
        let found = services("a.test", vec![foreign, wrong], &ABLE[..2]);
        let expected = [
            (Transport::Udp, "_sip._udp.a.test".into()),
            (Transport::Tcp, "_sip._tcp.a.test".into()),
        ];
        assert_eq!(found, expected);
    }

    fn server(priority: u16, weight: u16, target: &str) -> Server {
        Server {
            priority,
            weight,
            port: 5060,
            target: target.into(),
        }
    }

    #[test]
    fn requests_are_shared_out_by_weight() {
        let servers = || vec![server(1, 60, "a"), server(1, 20, "b"), server(1, 20, "c")];
        let mut firsts = std::collections::HashMap::new();
        for number in 0..10_100 {
            let order = in_order(servers(), || number);
            *firsts.entry(order[0].target.clone()).or_insert(0) += 1;
        }
        // Sorted by weight b, c, a: of the 101 numbers 0 to 20 are b's, 21 to 40 are c's.
        assert_eq!((firsts["a"], firsts["b"], firsts["c"]), (6000, 2100, 2000));
    }

    #[test]
    fn a_root_target_means_that_there_is_no_service() {
        assert_eq!(in_order(vec![server(0, 0, ".")], || 0), []);
    }

    proptest! {
        #[test]
        fn every_server_is_tried_once_and_none_before_a_more_important_one(
            given in prop::collection::vec((0u16..4, 0u16..100), 0..SERVERS_MAX),
            dice: u64,
        ) {
            let servers: Vec<Server> = given
                .iter()
                .enumerate()
                .map(|(at, (priority, weight))| server(*priority, *weight, &format!("s{at}")))
                .collect();
            let mut random = dice;
            let order = in_order(servers.clone(), || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                random >> 8
            });
            prop_assert!(order.is_sorted_by_key(|server| server.priority));
            let mut names: Vec<_> = order.iter().map(|server| server.target.clone()).collect();
            names.sort();
            let mut all: Vec<_> = servers.iter().map(|server| server.target.clone()).collect();
            all.sort();
            prop_assert_eq!(names, all);
        }
    }
}
