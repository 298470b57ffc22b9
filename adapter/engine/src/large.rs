//! Requests that are too large for a datagram (RFC 3261 18.1.1).

use sip::Uri;

use crate::hop::{Hop, Listener, NextHop, Target, Transport};
use crate::speaker::speaker;

/// The longest request that goes in a datagram where the path's MTU is not known.
pub(crate) const DATAGRAM_MAX: usize = 1300;

/// The way over TCP that a request of `bytes` to `target` takes before it takes `hop`: none if it
/// is short, or if nobody can be expected to listen there. That is who named a transport, who is
/// behind a proxy, and who is behind a NAT: its contact is not where its registration came from.
pub(crate) fn over_tcp(
    listeners: &[Listener],
    target: &Target,
    hop: Hop,
    bytes: usize,
) -> Option<Hop> {
    let Hop::Udp { remote, .. } = hop else {
        return None;
    };
    if bytes <= DATAGRAM_MAX || !target.route.is_empty() {
        return None;
    }
    let uri = Uri::parse(&target.uri).ok()?;
    if uri.param("transport").is_some() {
        return None;
    }
    if let NextHop::Hop(_) = target.hop {
        let port = uri
            .host
            .port
            .unwrap_or_else(|| Transport::Udp.default_port());
        if uri.host.ip() != Some(remote.ip().to_canonical()) || port != remote.port() {
            return None;
        }
    }
    let transport = Transport::Tcp;
    let listener = speaker(listeners, transport, remote)?.id;
    Some(Hop::Connect {
        transport,
        listener,
        remote,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_may_listen_is_connected_to() {
        let listener = |id, transport| Listener {
            id,
            transport,
            ipv6: false,
            loopback: false,
            sent_by: "192.0.2.1:5060".into(),
            contact_host: "192.0.2.1:5060".into(),
        };
        let listeners = [listener(0, Transport::Udp), listener(1, Transport::Tcp)];
        let remote = "192.0.2.7:5062".parse().unwrap();
        let udp = Hop::Udp {
            listener: 0,
            remote,
        };
        let tcp = Some(Hop::Connect {
            transport: Transport::Tcp,
            listener: 1,
            remote,
        });
        let name = NextHop::Name {
            host: "a.test".into(),
            port: None,
            transport: None,
        };
        let target = |uri: &str, hop: &NextHop, route: &[&str]| Target {
            uri: uri.into(),
            route: route.iter().map(|value| (*value).into()).collect(),
            hop: hop.clone(),
            aor: None,
            instance: None,
            q: 1000,
        };
        let known = NextHop::Hop(udp);
        for (target, bytes, expected) in [
            (target("sip:1@192.0.2.7:5062", &known, &[]), 1301, tcp),
            (target("sip:1@192.0.2.7:5062", &known, &[]), 1300, None),
            (target("sip:1@a.test", &name, &[]), 1301, tcp),
            // A NAT is between, or a proxy, or it has said what it speaks.
            (target("sip:1@10.0.0.7:5062", &known, &[]), 9000, None),
            (target("sip:1@192.0.2.7", &known, &[]), 9000, None),
            (
                target("sip:1@192.0.2.7:5062", &known, &["<sip:p;lr>"]),
                9000,
                None,
            ),
            (target("sip:1@a.test;transport=udp", &name, &[]), 9000, None),
        ] {
            let found = over_tcp(&listeners, &target, udp, bytes);
            assert_eq!(found, expected, "{target:?}");
        }
        let target = target("sip:1@a.test", &name, &[]);
        assert_eq!(over_tcp(&listeners[..1], &target, udp, 9000), None);
        let flow = Hop::Flow {
            connection: 1,
            listener: 0,
        };
        assert_eq!(over_tcp(&listeners, &target, flow, 9000), None);
    }
}
