//! Which of our listeners speaks to a peer, and how a record names it: numbers of listeners are
//! those of one run, and the next may listen on others.

use std::net::SocketAddr;

use crate::hop::{Hop, Listener, Transport};

/// The listener that speaks `transport` to `remote`. One on loopback reaches nobody else; who is on
/// loopback is better spoken to by one that is there too.
#[must_use]
pub fn speaker(
    listeners: &[Listener],
    transport: Transport,
    remote: SocketAddr,
) -> Option<&Listener> {
    let is_local = remote.ip().is_loopback();
    let fits = |listener: &&Listener| {
        listener.transport == transport
            && listener.ipv6 == remote.is_ipv6()
            && (is_local || !listener.loopback)
    };
    listeners
        .iter()
        .filter(fits)
        .min_by_key(|listener| listener.loopback != is_local)
}

/// What a record says of the listener on a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker<'a> {
    /// What it spoke; none if there was no such listener.
    pub transport: Option<Transport>,
    /// What it called itself in Via.
    pub name: &'a str,
}

impl<'a> Speaker<'a> {
    pub(crate) fn of(listeners: &'a [Listener], hop: &Hop) -> Self {
        let listener = listeners.get(usize::from(hop.listener()));
        let transport = match hop {
            Hop::Udp { .. } => Some(Transport::Udp),
            Hop::Connect { transport, .. } => Some(*transport),
            Hop::Flow { .. } => listener.map(|listener| listener.transport),
        };
        Self {
            transport,
            name: listener.map_or("", |listener| &listener.sent_by),
        }
    }

    /// The listener that speaks to `remote` now: the same if it is still there.
    pub(crate) fn to(self, listeners: &[Listener], remote: SocketAddr) -> Option<u16> {
        let other = speaker(listeners, self.transport?, remote)?;
        let same = listeners.iter().find(|listener| {
            *listener.sent_by == *self.name
                && listener.transport == other.transport
                && listener.ipv6 == other.ipv6
        });
        Some(same.unwrap_or(other).id)
    }

    /// A listener of the same transport, for a peer that is only known by name.
    pub(crate) fn to_anybody(self, listeners: &[Listener]) -> Option<u16> {
        let fits = |listener: &&Listener| Some(listener.transport) == self.transport;
        let same = listeners
            .iter()
            .filter(fits)
            .find(|listener| *listener.sent_by == *self.name);
        same.or_else(|| listeners.iter().find(fits))
            .map(|listener| listener.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(id: u16, transport: Transport, sent_by: &str, loopback: bool) -> Listener {
        Listener {
            id,
            transport,
            ipv6: sent_by.starts_with('['),
            loopback,
            sent_by: sent_by.into(),
            contact_host: sent_by.into(),
        }
    }

    #[test]
    fn a_peer_is_spoken_to_by_who_can_reach_it() {
        let listeners = [
            listener(0, Transport::Tcp, "192.0.2.1:5060", false),
            listener(1, Transport::Udp, "127.0.0.1:5060", true),
            listener(2, Transport::Udp, "192.0.2.1:5060", false),
            listener(3, Transport::Udp, "192.0.2.1:5080", false),
            listener(4, Transport::Udp, "[2001:db8::1]:5060", false),
        ];
        let find = |name, remote: &str| {
            let transport = Some(Transport::Udp);
            Speaker { transport, name }.to(&listeners, remote.parse().unwrap())
        };
        assert_eq!(find("192.0.2.1:5060", "192.0.2.9:5060"), Some(2));
        assert_eq!(find("192.0.2.1:5080", "192.0.2.9:5060"), Some(3));
        // It is gone, or on another port, or it never reached there.
        assert_eq!(find("192.0.2.1:5090", "192.0.2.9:5060"), Some(2));
        assert_eq!(find("", "127.0.0.1:40000"), Some(1));
        assert_eq!(find("192.0.2.1:5080", "127.0.0.1:40000"), Some(3));
        assert_eq!(find("192.0.2.1:5060", "[2001:db8::2]:5060"), Some(4));
        let local = &listeners[..2];
        let remote = "192.0.2.9:5060".parse().unwrap();
        assert_eq!(speaker(local, Transport::Udp, remote), None);
        assert_eq!(speaker(local, Transport::Wss, remote), None);
    }
}
