//! Taking the bindings up again at start.

use sip::{Now, Uri};
use smallvec::SmallVec;
use std::net::SocketAddr;

use super::{Change, ChangeKind, Kept, Registrar, unix_seconds};
use crate::hop::{Hop, Listener, Transport};
use crate::location::{self, Aor, BadRecord, Binding};

/// A stored registration that could not be taken up: it is damaged.
pub type Unrestored = BadRecord;

impl Registrar {
    /// Takes up the stored bindings of an AOR.
    ///
    /// Those whose time ran out meanwhile are expired. Connections did not survive: a binding on
    /// one stays if its contact says where to connect to, and is lost if only the client can
    /// connect (a browser). `Some`: something changed and is to be kept and told.
    ///
    /// # Errors
    /// The record cannot be read; nothing is taken up.
    pub fn restore(
        &mut self,
        now: Now,
        aor: &Aor,
        record: &[u8],
        listeners: &[Listener],
    ) -> Result<Option<Kept>, Unrestored> {
        let now = unix_seconds(now);
        let mut changes: SmallVec<[Change; 1]> = SmallVec::new();
        let mut stay = Vec::new();
        let mut moved = false;
        for mut binding in location::decode(record)? {
            if binding.expires <= now {
                changes.push(Change {
                    kind: ChangeKind::Expired,
                    binding,
                });
                continue;
            }
            match reachable(&binding, listeners) {
                Some(hop) => {
                    moved |= hop != binding.hop;
                    binding.hop = hop;
                    stay.push(binding);
                }
                None => changes.push(Change {
                    kind: ChangeKind::Lost,
                    binding,
                }),
            }
        }
        self.locations.put(aor, stay);
        let changed = moved || !changes.is_empty();
        Ok(changed.then(|| self.kept(aor.clone(), changes)))
    }
}

/// How a stored binding can be reached with the listeners there are now.
fn reachable(binding: &Binding, listeners: &[Listener]) -> Option<Hop> {
    match binding.hop {
        Hop::Udp { listener, remote } => {
            let listener = speaker(listeners, listener, Transport::Udp, remote)?;
            Some(Hop::Udp { listener, remote })
        }
        Hop::Connect {
            transport,
            listener,
            remote,
        } => {
            let listener = speaker(listeners, listener, transport, remote)?;
            Some(Hop::Connect {
                transport,
                listener,
                remote,
            })
        }
        Hop::Flow {
            connection: _,
            listener,
        } => {
            let accepted = listeners.get(usize::from(listener))?;
            match accepted.transport {
                Transport::Tcp | Transport::Tls => {
                    let transport = accepted.transport;
                    let uri = Uri::parse(binding.contact()).ok()?;
                    let port = uri.host.port.unwrap_or_else(|| transport.default_port());
                    let remote = SocketAddr::new(uri.host.ip()?, port);
                    let listener = speaker(listeners, listener, transport, remote)?;
                    Some(Hop::Connect {
                        transport,
                        listener,
                        remote,
                    })
                }
                // Nobody can connect to a browser, and no WebSocket has a UDP listener.
                Transport::Ws | Transport::Wss | Transport::Udp => None,
            }
        }
    }
}

/// The listener that speaks this transport to this address: the same as before if it still does.
fn speaker(
    listeners: &[Listener],
    before: u16,
    transport: Transport,
    remote: SocketAddr,
) -> Option<u16> {
    let fits =
        |listener: &&Listener| listener.transport == transport && listener.ipv6 == remote.is_ipv6();
    let same = listeners.get(usize::from(before)).filter(fits);
    same.or_else(|| listeners.iter().find(fits))
        .map(|listener| listener.id)
}
