//! Connections of an arbiter, who lives on them, and the way to names.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use engine::{
    Hop, LegId, Transport,
    locate::{self, Question},
};
use tokio::net::UdpSocket;

use super::Local;
use crate::{
    connection::{Bound, Connection, Notice},
    dialog::Order,
    limit::refused,
    net::Dial,
    parcel::{Opened, Parcel},
};

/// Ways that were looked up and that nobody has taken.
const PLANNED_MAX: usize = 1024;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Whom a connection of ours is with; connections to one are shared.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    remote: SocketAddr,
    /// The name that its certificate is for; none over TCP.
    name: Option<Arc<str>>,
}

impl Local {
    pub(super) fn owner_of(&self, connection: u64) -> usize {
        usize::try_from(connection % self.posts.len() as u64).unwrap_or(0)
    }

    /// The TCP connection to `remote`, made now if there is none.
    pub(super) fn outgoing(&self, remote: SocketAddr, listener: u16) -> u64 {
        let peer = Peer { remote, name: None };
        if let Some(connection) = self.outgoing.borrow().get(&peer) {
            return *connection;
        }
        let number = self.own_number();
        self.outgoing.borrow_mut().insert(peer, number);
        self.begin(number, Transport::Tcp);
        actix::spawn(self.to_dial(remote, listener, number).tcp());
        number
    }

    /// The way to the server `name` at `remote` over TLS: down the connection there is, or down one
    /// that is made when somebody first takes the way.
    fn secure_way(&self, listener: u16, remote: SocketAddr, name: &Arc<str>) -> Hop {
        let peer = Peer {
            remote,
            name: Some(name.clone()),
        };
        let known = self.outgoing.borrow().get(&peer).copied();
        let connection = known.unwrap_or_else(|| {
            let number = self.own_number();
            self.outgoing.borrow_mut().insert(peer.clone(), number);
            self.plan_way(number, listener, peer);
            number
        });
        Hop::Flow {
            connection,
            listener,
        }
    }

    /// Notes a way that may be taken. Of many that were not, the oldest is forgotten.
    fn plan_way(&self, connection: u64, listener: u16, peer: Peer) {
        let mut planned = self.planned.borrow_mut();
        planned.insert(connection, (listener, peer));
        if planned.len() > PLANNED_MAX
            && let Some((_, (_, oldest))) = planned.pop_first()
        {
            self.outgoing.borrow_mut().remove(&oldest);
        }
    }

    /// Makes the connection of a planned way. `false`: this is none.
    pub(super) fn take_way(&self, connection: u64) -> bool {
        let planned = self.planned.borrow_mut().remove(&connection);
        let Some((listener, Peer { remote, name })) = planned else {
            return false;
        };
        self.begin(connection, Transport::Tls);
        if let Some(name) = name {
            let dial = self.to_dial(remote, listener, connection);
            let keyring = self.shared.keyring.clone();
            // A handshake is work: not on an arbiter.
            self.shared.runtime.spawn(dial.tls(keyring, name));
        }
        true
    }

    /// A number for a connection of this arbiter.
    fn own_number(&self) -> u64 {
        loop {
            let number = self.shared.admission.number();
            if self.owner_of(number) == self.index {
                return number;
            }
        }
    }

    /// Starts the actor of a connection that is being made.
    fn begin(&self, number: u64, transport: Transport) {
        if let Some(local) = self.this.upgrade() {
            let actor = Connection::start_on(local, number, transport, None);
            self.connections.borrow_mut().insert(number, actor);
        }
    }

    fn to_dial(&self, remote: SocketAddr, listener: u16, connection: u64) -> Dial {
        Dial {
            remote,
            listener,
            connection,
            limits: self.shared.net.clone(),
            post: self.posts[self.index].clone(),
        }
    }

    /// A connection is up: accepted, or made by us.
    pub(crate) fn opened(&self, opened: Opened) {
        let Opened {
            connection,
            transport,
            writer,
        } = opened;
        if let Some(actor) = self.connections.borrow().get(&connection) {
            actor.do_send(Notice::Up(writer));
            return;
        }
        let Some(local) = self.this.upgrade() else {
            return;
        };
        let actor = Connection::start_on(local, connection, transport, Some(writer));
        self.connections.borrow_mut().insert(connection, actor);
    }

    /// Ends a connection.
    pub(crate) fn hang_up(&self, connection: u64) {
        let owner = self.owner_of(connection);
        if owner == self.index {
            self.closed(connection);
        } else {
            let close = move |local: &Rc<Self>| local.closed(connection);
            self.posts[owner].try_send(Parcel::Do(Box::new(close)));
        }
    }

    /// A connection is down.
    pub(crate) fn closed(&self, connection: u64) {
        if let Some(actor) = self.connections.borrow().get(&connection) {
            actor.do_send(Notice::Down);
        }
    }

    pub(crate) fn forget_connection(&self, connection: u64) {
        self.connections.borrow_mut().remove(&connection);
        self.outgoing
            .borrow_mut()
            .retain(|_, number| *number != connection);
        for kept in self.shared.registry.lose(connection) {
            self.shared.keep_registration(&kept, None);
            self.shared.announce_registration(&kept);
        }
    }

    /// Has `leg` hear when the connection under `hop` is gone.
    pub(crate) fn bind(&self, hop: &Hop, call: u64, leg: LegId) {
        self.bound(hop, call, leg, true);
    }

    /// Undoes `bind`.
    pub(crate) fn unbind(&self, hop: &Hop, call: u64, leg: LegId) {
        self.bound(hop, call, leg, false);
    }

    fn bound(&self, hop: &Hop, call: u64, leg: LegId, bind: bool) {
        let Hop::Flow { connection, .. } = *hop else {
            return;
        };
        let bound = Bound {
            arbiter: self.index,
            call,
            leg,
        };
        let tell = move |local: &Rc<Self>| {
            if let Some(actor) = local.connections.borrow().get(&connection) {
                return actor.do_send(match bind {
                    true => Notice::Bind(bound),
                    false => Notice::Unbind(bound),
                });
            }
            if bind && local.take_way(connection) {
                let connections = local.connections.borrow();
                let actor = connections.get(&connection);
                return actor.map_or((), |actor| actor.do_send(Notice::Bind(bound)));
            }
            // Already gone: the leg must not wait for what will never be said.
            if bind {
                local.tell_flow_lost(bound);
            }
        };
        let owner = self.owner_of(connection);
        if owner == self.index {
            if let Some(local) = self.this.upgrade() {
                tell(&local);
            }
        } else {
            self.posts[owner].try_send(Parcel::Do(Box::new(tell)));
        }
    }

    /// Tells a leg or a fork of a relay, wherever it lives, that its connection is gone.
    pub(crate) fn tell_flow_lost(&self, bound: Bound) {
        let tell = move |local: &Rc<Self>| {
            if let Some(dialog) = local.legs.borrow().get(&(bound.call, bound.leg.0)) {
                dialog.do_send(Order::FlowLost);
            } else if let Some(relay) = local.relays.borrow().get(&bound.call) {
                relay.do_send(crate::relay::FlowLost(bound.leg.0));
            }
        };
        if bound.arbiter == self.index {
            if let Some(local) = self.this.upgrade() {
                tell(&local);
            }
        } else {
            self.posts[bound.arbiter].try_send(Parcel::Do(Box::new(tell)));
        }
    }

    /// Hops to the servers of `name`, each by the listener of its transport and family; those that
    /// no listener can speak for are left out.
    fn hops(&self, name: &str, servers: Vec<(Transport, SocketAddr)>) -> Vec<Hop> {
        let name: Arc<str> = name.into();
        let by = |(transport, remote): (Transport, SocketAddr)| {
            let listener = engine::speaker(&self.shared.listeners, transport, remote)?.id;
            match transport {
                Transport::Udp => Some(Hop::Udp { listener, remote }),
                Transport::Tcp => Some(Hop::Connect {
                    transport,
                    listener,
                    remote,
                }),
                Transport::Tls => Some(self.secure_way(listener, remote, &name)),
                // Connections to browsers are theirs to make.
                Transport::Ws | Transport::Wss => None,
            }
        };
        servers
            .into_iter()
            .take(ADDRESSES_MAX)
            .filter_map(by)
            .collect()
    }

    pub(crate) fn add_socket(&self, listener: u16, socket: Rc<UdpSocket>) {
        self.sockets.borrow_mut().insert(listener, socket);
    }

    /// Finds the hops of a host (RFC 3263); `done` hears them in order, soon.
    pub(crate) fn resolve(
        &self,
        host: Box<str>,
        port: Option<u16>,
        transport: Option<Transport>,
        done: impl FnOnce(Vec<Hop>) + 'static,
    ) {
        let shared = self.shared.clone();
        if let Some(place) = locate::literal(&host, port, transport) {
            return done(self.hops(&host, vec![place]));
        }
        let Some(local) = self.this.upgrade() else {
            return;
        };
        if shared.look_ups.fetch_add(1, Ordering::Relaxed) >= shared.net.look_ups {
            shared.look_ups.fetch_sub(1, Ordering::Relaxed);
            refused("dns_queries");
            return done(Vec::new());
        }
        let question = Question::of(port, transport);
        actix::spawn(async move {
            // Not on an arbiter, which would read the answers.
            let (dns, name) = (shared.dns.clone(), host.clone());
            let patience = shared.net.resolve;
            let located = shared.runtime.spawn(async move {
                tokio::time::timeout(patience, dns.locate(&name, question)).await
            });
            let hops = match located.await {
                Ok(Ok(found)) => local.hops(&host, found),
                Ok(Err(_)) => {
                    refused("dns_ms");
                    Vec::new()
                }
                Err(_) => Vec::new(),
            };
            shared.look_ups.fetch_sub(1, Ordering::Relaxed);
            done(hops);
        });
    }
}
