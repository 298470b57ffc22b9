//! The ways out: datagrams, connections, and who lives on them (`actors/src/local/flows.rs`).

use std::net::SocketAddr;

use bytes::Bytes;
use engine::{Hop, LegId, Listener, Transport};
use sip::Message;

use super::{Effect, Node};
use crate::leg::Order;

/// One connection.
pub(super) struct Connection {
    /// The legs that must hear when it is gone.
    pub(super) bound: Vec<(u64, LegId)>,
}

impl Node {
    /// `false`: it cannot be sent.
    pub(crate) fn send(&mut self, hop: &mut Hop, bytes: Bytes, bind: Option<(u64, LegId)>) -> bool {
        match *hop {
            Hop::Udp { .. } => {}
            Hop::Flow { connection, .. } => {
                if !self.connections.contains_key(&connection) {
                    self.effects.push(Effect::Lost(bytes));
                    return false;
                }
            }
            Hop::Connect {
                transport: Transport::Tcp,
                listener,
                remote,
            } => {
                let connection = self.connect(remote);
                *hop = Hop::Flow {
                    connection,
                    listener,
                };
                if let Some((call, leg)) = bind {
                    self.bind(hop, call, leg);
                }
            }
            Hop::Connect { .. } => return false,
        }
        self.effects.push(Effect::Send(*hop, bytes));
        true
    }

    /// Sends a stateless answer.
    pub(crate) fn reply(&mut self, request: &Message, hop: Hop, bytes: Bytes) {
        let mut way = answer_hop(request, hop);
        self.send(&mut way, bytes, None);
    }

    pub(crate) fn refuse(&self, request: &Message, status: u16, reason: &str) -> Bytes {
        let tag = self.stateless_tag(request);
        sip::reply(request, status, reason, Some(&tag)).end()
    }

    pub(super) fn stateless_tag(&self, request: &Message) -> String {
        let call_id = request.call_id().unwrap_or_default().as_bytes();
        let from = request.from_tag().unwrap_or_default().as_bytes();
        let cseq = request.header(sip::Name::CSeq).unwrap_or_default();
        let hash = self.ground.tokens.hash(&[b"tag", call_id, from, cseq]);
        format!("{hash:016x}")
    }

    /// Hops to an address, by the listener of its transport.
    pub(crate) fn hop_to(&self, transport: Transport, remote: SocketAddr) -> Option<Hop> {
        let speaks = |listener: &&Listener| listener.transport == transport;
        let listener = self.home.listeners.iter().find(speaks)?.id;
        match transport {
            Transport::Udp => Some(Hop::Udp { listener, remote }),
            Transport::Tcp => Some(Hop::Connect {
                transport,
                listener,
                remote,
            }),
            Transport::Tls | Transport::Ws | Transport::Wss => None,
        }
    }

    // ---- connections

    /// A phone has connected.
    pub(crate) fn accept(&mut self) -> u64 {
        self.next_connection += 1;
        let bound = Vec::new();
        let connection = Connection { bound };
        self.connections.insert(self.next_connection, connection);
        self.next_connection
    }

    fn connect(&mut self, remote: SocketAddr) -> u64 {
        if let Some(connection) = self.outgoing.get(&remote) {
            return *connection;
        }
        let connection = self.accept();
        self.outgoing.insert(remote, connection);
        self.effects.push(Effect::Connect(connection, remote));
        connection
    }

    /// A connection is down.
    pub(crate) fn closed(&mut self, connection: u64) {
        self.outgoing.retain(|_, number| *number != connection);
        let gone = self.connections.remove(&connection);
        for (call, leg) in gone.map(|gone| gone.bound).unwrap_or_default() {
            self.tell_leg(call, leg, Order::FlowLost);
        }
    }

    pub(crate) fn bind(&mut self, hop: &Hop, call: u64, leg: LegId) {
        let Some(connection) = hop.connection() else {
            return;
        };
        match self.connections.get_mut(&connection) {
            Some(connection) => connection.bound.push((call, leg)),
            // Already gone: the leg must not wait for what will never be said.
            None => self.tell_leg(call, leg, Order::FlowLost),
        }
    }

    pub(crate) fn unbind(&mut self, hop: &Hop, call: u64, leg: LegId) {
        let connection = hop.connection();
        let connection = connection.and_then(|number| self.connections.get_mut(&number));
        if let Some(connection) = connection {
            connection.bound.retain(|bound| *bound != (call, leg));
        }
    }
}

/// Where a response goes (RFC 3261 18.2.2, RFC 3581 4).
pub(crate) fn answer_hop(request: &Message, hop: Hop) -> Hop {
    let Hop::Udp { listener, remote } = hop else {
        return hop;
    };
    let Ok(via) = request.top_via() else {
        return hop;
    };
    if via.rport().is_some() {
        return hop;
    }
    let port = via.sent_by.port.unwrap_or(5060);
    let remote = SocketAddr::new(remote.ip(), port);
    Hop::Udp { listener, remote }
}
