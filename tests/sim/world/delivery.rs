//! Messages on their way between the node and the phones.

use bytes::Bytes;
use engine::{Hop, Transport};
use sip::Message;

use super::{Event, World};

impl World {
    pub(super) fn reach_node(&mut self, life: u64, phone: usize, hop: Hop, bytes: Bytes) {
        let is_this = match hop {
            Hop::Udp { .. } => self.node.is_some(),
            Hop::Flow { connection, .. } => {
                life == self.life && self.network.phone(connection).is_some()
            }
            Hop::Connect { .. } => false,
        };
        let Some(node) = self.node.as_mut().filter(|_| is_this) else {
            return self.book.lost(&bytes, "nobody there");
        };
        let message = Message::parse_datagram(bytes, &sip::Limits::default()).unwrap();
        let message = message.with_source(self.phones[phone].addr);
        node.now = self.now;
        node.arrived(message, hop);
    }

    pub(super) fn reach_phone(&mut self, phone: usize, connection: Option<u64>, bytes: &Bytes) {
        let is_up = connection.is_none_or(|it| self.network.phone(it) == Some(phone));
        if !is_up {
            return self.book.lost(bytes, "the connection broke");
        }
        let message = Message::parse_datagram(bytes.clone(), &sip::Limits::default()).unwrap();
        if let Err(fault) = message.check() {
            let text = String::from_utf8_lossy(bytes);
            self.book.fail(&format!("{fault:?} in\n{text}"));
        }
        self.phones[phone].received(self.now, message);
        self.look_at(phone);
    }

    pub(super) fn node_sends(&mut self, hop: Hop, bytes: &Bytes) {
        let connection = hop.connection();
        let Some(phone) = self.phone_of(hop) else {
            return self.book.lost(bytes, "nobody there");
        };
        self.book.packet(&format!("node -> p{phone}"), bytes);
        let now = self.now.mono;
        let flights = self
            .network
            .flights(now, &self.weather, phone, connection, false);
        if flights.is_empty() {
            self.book.lost(bytes, "lost");
        }
        for at in flights {
            let bytes = bytes.clone();
            let event = Event::ToPhone {
                phone,
                connection,
                bytes,
            };
            self.agenda.at(at, event);
        }
    }

    pub(super) fn phone_sends(&mut self, phone: usize, bytes: &Bytes) {
        self.book.packet(&format!("p{phone} -> node"), bytes);
        let line = self.network.line(phone);
        let hop = match (self.phones[phone].transport, line) {
            (Transport::Udp, _) => Hop::Udp {
                listener: 0,
                remote: self.phones[phone].addr,
            },
            (_, None) => {
                self.book.lost(bytes, "no connection");
                self.phones[phone].undelivered(self.now, bytes);
                return;
            }
            (transport, Some(connection)) => Hop::Flow {
                connection,
                listener: if transport == Transport::Tcp { 1 } else { 2 },
            },
        };
        let now = self.now.mono;
        let connection = hop.connection();
        let flights = self
            .network
            .flights(now, &self.weather, phone, connection, true);
        if flights.is_empty() {
            self.book.lost(bytes, "lost");
        }
        for at in flights {
            let event = Event::ToNode {
                life: self.life,
                phone,
                hop,
                bytes: bytes.clone(),
            };
            self.agenda.at(at, event);
        }
    }
}
