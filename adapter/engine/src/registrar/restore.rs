//! Taking the bindings up again at start.

use sip::{Now, Uri};
use smallvec::SmallVec;
use std::net::SocketAddr;

use super::{Change, ChangeKind, Kept, Registrar, unix_seconds};
use crate::hop::{Hop, Listener, Transport};
use crate::location::{self, Aor, BadRecord, Binding, Stored};
use crate::speaker::Speaker;

/// A stored registration that could not be taken up: it is damaged.
pub type Unrestored = BadRecord;

impl Registrar {
    /// Takes up the stored bindings of an AOR.
    ///
    /// Those whose time ran out meanwhile are expired. Connections did not survive: a binding on
    /// one stays if its contact says where to connect to, and is lost if only the client can
    /// connect (a browser). The listeners may be others than in the last run: a binding is reached
    /// by the one of the same name, or by another of that transport that reaches it, and is
    /// stranded where there is none. `Some`: something changed and is to be kept and told.
    ///
    /// # Errors
    /// The record cannot be read; nothing is taken up.
    pub fn restore(
        &mut self,
        now: Now,
        aor: &Aor,
        record: &[u8],
    ) -> Result<Option<Kept>, Unrestored> {
        let now = unix_seconds(now);
        let mut changes: SmallVec<[Change; 1]> = SmallVec::new();
        let mut stay = Vec::new();
        let mut moved = false;
        for stored in location::decode(record)? {
            let found = match stored.binding.expires <= now {
                true => Err(ChangeKind::Expired),
                false => way(&stored, &self.listeners),
            };
            let Stored {
                mut binding,
                speaker,
            } = stored;
            match found {
                Ok(hop) => {
                    moved |= core::mem::discriminant(&hop) != core::mem::discriminant(&binding.hop)
                        || speaker != Speaker::of(&self.listeners, &hop);
                    binding.hop = hop;
                    stay.push(binding);
                }
                Err(kind) => changes.push(Change { kind, binding }),
            }
        }
        self.locations.put(aor, stay);
        let changed = moved || !changes.is_empty();
        Ok(changed.then(|| self.kept(aor.clone(), changes)))
    }
}

/// How a stored binding is reached with the listeners there are now.
fn way(stored: &Stored<'_>, listeners: &[Listener]) -> Result<Hop, ChangeKind> {
    let Stored { binding, speaker } = stored;
    let by = |remote| {
        let listener = speaker.to(listeners, remote);
        listener.ok_or(ChangeKind::Stranded)
    };
    match binding.hop {
        Hop::Udp { remote, .. } => Ok(Hop::Udp {
            listener: by(remote)?,
            remote,
        }),
        Hop::Connect {
            transport, remote, ..
        } => Ok(Hop::Connect {
            transport,
            listener: by(remote)?,
            remote,
        }),
        Hop::Flow { .. } => match speaker.transport {
            Some(transport @ Transport::Tcp) => {
                let remote = contact_of(binding, transport).ok_or(ChangeKind::Lost)?;
                Ok(Hop::Connect {
                    transport,
                    listener: by(remote)?,
                    remote,
                })
            }
            // Nobody can connect to a browser, a phone is no TLS server with a certificate of its
            // own, and no connection is over UDP.
            Some(Transport::Tls | Transport::Ws | Transport::Wss | Transport::Udp) | None => {
                Err(ChangeKind::Lost)
            }
        },
    }
}

/// Where the contact says that it can be connected to.
fn contact_of(binding: &Binding, transport: Transport) -> Option<SocketAddr> {
    let uri = Uri::parse(binding.contact()).ok()?;
    let port = uri.host.port.unwrap_or_else(|| transport.default_port());
    Some(SocketAddr::new(uri.host.ip()?, port))
}
