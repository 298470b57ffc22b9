//! Connections of an arbiter, who lives on them, and the way to names.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::atomic::Ordering,
};

use engine::{Hop, LegId, Transport};
use tokio::net::UdpSocket;

use super::Local;
use crate::{
    connection::{Bound, Connection, Notice},
    dialog::Order,
    limit::refused,
    net,
    parcel::{Opened, Parcel},
};

impl Local {
    pub(super) fn owner_of(&self, connection: u64) -> usize {
        usize::try_from(connection % self.posts.len() as u64).unwrap_or(0)
    }

    /// The connection to `remote`, made now if there is none.
    pub(super) fn outgoing(&self, remote: SocketAddr, listener: u16) -> u64 {
        let key = (Transport::Tcp, remote);
        if let Some(connection) = self.outgoing.borrow().get(&key) {
            return *connection;
        }
        let number = loop {
            let number = self.shared.admission.number();
            if self.owner_of(number) == self.index {
                break number;
            }
        };
        self.outgoing.borrow_mut().insert(key, number);
        if let Some(local) = self.this.upgrade() {
            let actor = Connection::start_on(local, number, Transport::Tcp, None);
            self.connections.borrow_mut().insert(number, actor);
        }
        let (limits, post) = (self.shared.net.clone(), self.posts[self.index].clone());
        actix::spawn(net::connect(remote, listener, number, limits, post));
        number
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
            let connections = local.connections.borrow();
            match connections.get(&connection) {
                Some(actor) if bind => actor.do_send(Notice::Bind(bound)),
                Some(actor) => actor.do_send(Notice::Unbind(bound)),
                // Already gone: the leg must not wait for what will never be said.
                None if bind => local.tell_flow_lost(bound),
                None => {}
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

    pub(crate) fn add_socket(&self, listener: u16, socket: Rc<UdpSocket>) {
        self.sockets.borrow_mut().insert(listener, socket);
    }

    /// Finds the hops of a host, without NAPTR and SRV; `done` hears them in order, soon.
    pub(crate) fn resolve(
        &self,
        host: Box<str>,
        port: Option<u16>,
        transport: Option<Transport>,
        done: impl FnOnce(Vec<Hop>) + 'static,
    ) {
        let transport = transport.unwrap_or(Transport::Udp);
        let port = port.unwrap_or_else(|| transport.default_port());
        let shared = self.shared.clone();
        if let Ok(ip) = host.parse::<IpAddr>() {
            done(shared.hops(transport, [SocketAddr::new(ip, port)].into_iter()));
            return;
        }
        if shared.look_ups.fetch_add(1, Ordering::Relaxed) >= shared.net.look_ups {
            shared.look_ups.fetch_sub(1, Ordering::Relaxed);
            refused("dns_queries");
            return done(Vec::new());
        }
        actix::spawn(async move {
            let looked_up = tokio::net::lookup_host((&*host, port));
            let hops = match tokio::time::timeout(shared.net.resolve, looked_up).await {
                Ok(Ok(found)) => shared.hops(transport, found),
                Ok(Err(_)) => Vec::new(),
                Err(_) => {
                    refused("dns_ms");
                    Vec::new()
                }
            };
            shared.look_ups.fetch_sub(1, Ordering::Relaxed);
            done(hops);
        });
    }
}
