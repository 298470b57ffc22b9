//! What lives on one arbiter, and what everything on it shares: the tables by which a message
//! finds its actor, the sockets, the timers. Nothing here waits.

mod durable;
mod flows;
mod plan;

use durable::Awaited;
pub(crate) use durable::Registering;
use flows::Peer;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    rc::{Rc, Weak},
};

use actix::Addr;
use bus_schema::{EventName, Reason};
use bytes::Bytes;
use engine::{CallKey, Hop, LegId, Place, Token, Transport};
use sip::{Message, Method};
use tokio::net::UdpSocket;

use crate::{
    answered::Answered,
    call::{Call, Heard},
    capture::Capture,
    clock::Clock,
    connection::{Connection, Notice},
    dialog::{Dialog, Order},
    front::{Front, Knock},
    incidents::Details,
    limit::refused,
    parcel::{Arrival, Parcel, Posts},
    pressure::Pressure,
    relay::Relay,
    shared::Shared,
    timers::{Owner, Timers},
    traffic::Traffic,
};

/// The state of one arbiter.
pub(crate) struct Local {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) shared: std::sync::Arc<Shared>,
    pub(crate) posts: Posts,
    pub(crate) timers: Timers,
    pub(crate) pressure: Rc<Pressure>,
    pub(crate) front: RefCell<Option<Addr<Front>>>,
    pub(crate) calls: RefCell<HashMap<u64, Addr<Call>>>,
    pub(crate) legs: RefCell<HashMap<(u64, u16), Addr<Dialog>>>,
    /// INVITEs that became calls, by transaction: for their repeats and their CANCEL.
    pub(crate) invites: RefCell<HashMap<u64, (u64, LegId)>>,
    sockets: RefCell<HashMap<u16, Rc<UdpSocket>>>,
    connections: RefCell<HashMap<u64, Addr<Connection>>>,
    /// Connections that we made, to be shared.
    outgoing: RefCell<HashMap<Peer, u64>>,
    /// Those of them that nobody has taken yet, with who speaks for us.
    planned: RefCell<BTreeMap<u64, (u16, Peer)>>,
    pub(crate) relays: RefCell<HashMap<u64, Addr<Relay>>>,
    /// Requests that are being relayed, by transaction: for their repeats.
    pub(crate) relayed: RefCell<HashMap<u64, u64>>,
    /// INVITEs that became calls, by Call-ID, From tag and CSeq, with their transaction: the same
    /// request by another way is merged (RFC 3261 8.2.2.2).
    merged: RefCell<HashMap<u64, u64>>,
    /// REGISTERs over UDP that were let in, and what they were answered.
    answered: RefCell<Answered>,
    /// What was said in calls of late.
    pub(crate) capture: RefCell<Capture>,
    acks: RefCell<HashMap<u64, Awaited>>,
    next_ack: Cell<u64>,
    next_shard: Cell<u8>,
    this: Weak<Self>,
}

impl Local {
    /// Nothing lives here yet.
    pub(crate) fn new(
        index: usize,
        clock: Clock,
        shared: std::sync::Arc<Shared>,
        posts: Posts,
    ) -> Rc<Self> {
        let captured = shared.captured_bytes / posts.len();
        Rc::new_cyclic(|this| Self {
            index,
            clock,
            shared,
            posts,
            timers: Timers::default(),
            pressure: Rc::default(),
            front: RefCell::default(),
            calls: RefCell::default(),
            legs: RefCell::default(),
            invites: RefCell::default(),
            sockets: RefCell::default(),
            connections: RefCell::default(),
            outgoing: RefCell::default(),
            planned: RefCell::default(),
            relays: RefCell::default(),
            relayed: RefCell::default(),
            merged: RefCell::default(),
            answered: RefCell::default(),
            capture: RefCell::new(Capture::new(captured)),
            acks: RefCell::default(),
            next_ack: Cell::new(1),
            next_shard: Cell::new(0),
            this: this.clone(),
        })
    }

    // ---- in

    /// Takes a message from the wire to whoever it is for, here or on another arbiter.
    pub(crate) fn arrived(&self, arrival: Arrival) {
        let Some(message) = &arrival.message else {
            return;
        };
        if let Hop::Flow { connection, .. } = arrival.hop
            && self.is_shut_out(arrival.remote)
        {
            return self.hang_up(connection);
        }
        if let Err(fault) = message.check() {
            self.traffic().received(arrival.transport);
            self.note_malformed(arrival.remote, arrival.transport);
            if message.is_request() && message.method() != Some(Method::Ack) {
                let bytes = self.refuse(message, fault.status, fault.reason);
                self.reply(message, arrival.hop, bytes);
            }
            return;
        }
        let place = engine::classify(message, &self.shared.token_key);
        let arbiter = match &place {
            Place::Leg(token) => self.shared.arbiter_of(token.shard),
            Place::Front { hash } => usize::try_from(*hash % self.posts.len() as u64).unwrap_or(0),
        };
        if arbiter != self.index {
            if !self.posts[arbiter].try_send(Parcel::Arrived(Box::new(arrival))) {
                metrics::counter!("ifbus_overload_dropped_total").increment(1);
            }
            return;
        }
        self.traffic().received(arrival.transport);
        match place {
            Place::Leg(token) => self.to_leg(token, arrival),
            Place::Front { .. } => self.to_front(arrival),
        }
    }

    /// Whether all that comes from there is dropped unread.
    pub(crate) fn is_shut_out(&self, remote: SocketAddr) -> bool {
        let defences = &self.shared.defences;
        let shut_out = defences.is_banned(|| self.clock.now(), remote.ip());
        if shut_out {
            refused("bans");
        }
        shut_out
    }

    fn to_leg(&self, token: Token, arrival: Arrival) {
        let Arrival {
            message: Some(message),
            hop,
            ..
        } = arrival
        else {
            return;
        };
        if let Some(dialog) = self.legs.borrow().get(&(token.call, token.leg.0)) {
            dialog.do_send(Order::Received { message, hop });
            return;
        }
        if let Some(relay) = self.relays.borrow().get(&token.call) {
            relay.do_send(crate::relay::Received {
                fork: token.leg.0,
                message,
            });
            return;
        }
        // A dialog that ended: RFC 3261 12.2.2. Stray responses and ACKs have nobody to tell.
        if message.is_request() && message.method() != Some(Method::Ack) {
            let bytes = self.refuse(&message, 481, "Call/Transaction Does Not Exist");
            self.reply(&message, hop, bytes);
        }
    }

    fn to_front(&self, arrival: Arrival) {
        let Arrival {
            message: Some(message),
            hop,
            remote,
            transport,
        } = arrival
        else {
            return;
        };
        if let Some(front) = &*self.front.borrow() {
            front.do_send(Knock {
                message,
                hop,
                from: (remote, transport),
            });
        }
    }

    /// Something came that is no SIP, or breaks its rules.
    pub(crate) fn note_malformed(&self, remote: SocketAddr, transport: Transport) {
        metrics::counter!("ifbus_malformed_total").increment(1);
        let (name, reason) = (EventName::SecurityMalformed, Reason::ProtocolError);
        let incidents = &self.shared.incidents;
        incidents.note(name, reason, remote.ip(), || Details {
            transport: Some(transport),
            ..Details::default()
        });
    }

    /// Takes a request to the transaction that it belongs to: it is a repeat, or the CANCEL or ACK
    /// of an INVITE. It comes back if there is none. Asked by the front alone, in the order of
    /// arrival: a repeat may follow the request before anybody has looked at that.
    pub(crate) fn to_transaction(
        &self,
        transaction: Option<u64>,
        message: Message,
        hop: Hop,
    ) -> Option<Message> {
        let Some(key) = transaction else {
            return Some(message);
        };
        let call = match message.method() {
            Some(Method::Invite | Method::Ack | Method::Cancel) => {
                self.invites.borrow().get(&key).copied()
            }
            _ => None,
        };
        if let Some((call, leg)) = call
            && let Some(dialog) = self.legs.borrow().get(&(call, leg.0))
        {
            dialog.do_send(Order::Received { message, hop });
            return None;
        }
        let relay = self.relayed.borrow().get(&key).copied();
        if let Some(relay) = relay.and_then(|key| self.relays.borrow().get(&key).cloned()) {
            relay.do_send(crate::relay::Again(message));
            return None;
        }
        Some(message)
    }

    /// RFC 3261 17.2.3: branch and sent-by name the transaction of an INVITE, its ACK and CANCEL.
    pub(crate) fn transaction_hash(&self, message: &Message) -> Option<u64> {
        let via = message.top_via().ok()?;
        let port = via.sent_by.port.unwrap_or(0).to_be_bytes();
        let branch = via.branch().unwrap_or_default().as_bytes();
        let call_id = message.call_id().unwrap_or_default().as_bytes();
        Some(
            self.shared
                .token_key
                .hash(&[branch, via.sent_by.host.as_bytes(), &port, call_id]),
        )
    }

    // ---- out

    /// Sends by `hop`, which becomes a flow once a connection was needed. `bind`: the leg that must
    /// hear when that connection goes. `false`: it cannot be sent.
    pub(crate) fn send(&self, hop: &mut Hop, bytes: Bytes, bind: Option<(u64, LegId)>) -> bool {
        match *hop {
            Hop::Udp { listener, remote } => self.datagram(listener, remote, &bytes),
            Hop::Flow { connection, .. } => self.write(connection, bytes),
            Hop::Connect {
                transport: Transport::Tcp,
                listener,
                remote,
            } => {
                let connection = self.outgoing(remote, listener);
                *hop = Hop::Flow {
                    connection,
                    listener,
                };
                if let Some((call, leg)) = bind {
                    self.bind(hop, call, leg);
                }
                self.write(connection, bytes)
            }
            Hop::Connect { .. } => false,
        }
    }

    fn datagram(&self, listener: u16, remote: SocketAddr, bytes: &[u8]) -> bool {
        let socket = self.sockets.borrow().get(&listener).cloned();
        // A full send buffer is a lost datagram, which retransmission is for.
        socket.is_some_and(|socket| match socket.try_send_to(bytes, remote) {
            Ok(_) => {
                self.traffic().sent(Transport::Udp);
                true
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        })
    }

    pub(crate) fn write(&self, connection: u64, bytes: Bytes) -> bool {
        let owner = self.owner_of(connection);
        if owner == self.index {
            if let Some(connection) = self.connections.borrow().get(&connection) {
                connection.do_send(Notice::Write(bytes));
                return true;
            }
            return self.take_way(connection) && self.write(connection, bytes);
        }
        self.posts[owner].try_send(Parcel::Send { connection, bytes })
    }

    /// Sends a stateless answer the way RFC 3261 18.2.2 and RFC 3581 say.
    pub(crate) fn reply(&self, request: &Message, hop: Hop, bytes: Bytes) {
        let mut way = answer_hop(request, hop);
        self.send(&mut way, bytes, None);
    }

    /// The response `status` to `request`, complete.
    pub(crate) fn refuse(&self, request: &Message, status: u16, reason: &str) -> Bytes {
        let tag = self.stateless_tag(request);
        sip::reply(request, status, reason, Some(&tag)).end()
    }

    /// RFC 3261 8.2.7: a stateless element gives every repeat of a request the same tag.
    pub(crate) fn stateless_tag(&self, request: &Message) -> String {
        let call_id = request.call_id().unwrap_or_default().as_bytes();
        let from = request.from_tag().unwrap_or_default().as_bytes();
        let cseq = request.header(sip::Name::CSeq).unwrap_or_default();
        format!(
            "{:016x}",
            self.shared.token_key.hash(&[b"tag", call_id, from, cseq])
        )
    }

    /// A shard that this arbiter runs.
    pub(crate) fn own_shard(&self) -> u8 {
        let turn = self.next_shard.get();
        self.next_shard.set(turn.wrapping_add(1));
        let shards = usize::from(CallKey::SHARDS);
        let mine = shards.div_ceil(self.posts.len()).max(1);
        let shard = self.index + (usize::from(turn) % mine) * self.posts.len();
        u8::try_from(if shard < shards { shard } else { self.index }).unwrap_or(0)
    }

    /// Whether the same INVITE came here before by another way.
    pub(crate) fn is_merged(&self, invite: &Message) -> bool {
        self.merged
            .borrow()
            .contains_key(&self.request_hash(invite))
    }

    /// Notes an INVITE that becomes a leg of a call.
    pub(crate) fn note_invite(&self, invite: &Message, call: u64, leg: LegId) -> Noted {
        let noted = Noted {
            transaction: self.transaction_hash(invite).unwrap_or_default(),
            request: self.request_hash(invite),
        };
        self.invites
            .borrow_mut()
            .insert(noted.transaction, (call, leg));
        self.merged.borrow_mut().insert(noted.request, call);
        noted
    }

    /// Forgets an INVITE whose transaction is gone.
    pub(crate) fn forget_invite(&self, noted: &Noted) {
        self.invites.borrow_mut().remove(&noted.transaction);
        self.merged.borrow_mut().remove(&noted.request);
    }

    /// Whether somebody sees to a request that the front failed over. What was noted of one that
    /// nobody sees to is forgotten.
    pub(crate) fn is_seen_to(&self, request: &Message) -> bool {
        let Some(transaction) = self.transaction_hash(request) else {
            return false;
        };
        let call = self.invites.borrow().get(&transaction).copied();
        if let Some((call, _)) = call {
            if self.calls.borrow().contains_key(&call) {
                return true;
            }
            self.forget_invite(&Noted {
                transaction,
                request: self.request_hash(request),
            });
        }
        let relay = self.relayed.borrow().get(&transaction).copied();
        relay.is_some_and(|relay| self.relays.borrow().contains_key(&relay))
    }

    fn request_hash(&self, request: &Message) -> u64 {
        let call_id = request.call_id().unwrap_or_default().as_bytes();
        let from = request.from_tag().unwrap_or_default().as_bytes();
        let cseq = request.header(sip::Name::CSeq).unwrap_or_default();
        self.shared
            .token_key
            .hash(&[b"merged", call_id, from, cseq])
    }

    /// Where the messages of this arbiter are counted.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.shared.traffic[self.index]
    }

    // ---- timers

    /// Wakes the owner of a deadline.
    pub(crate) fn fire(&self, owner: Owner) {
        match owner {
            Owner::Call(key) => {
                if let Some(call) = self.calls.borrow().get(&key) {
                    call.do_send(Heard::Timeout);
                }
            }
            Owner::Leg(key, leg) => {
                if let Some(dialog) = self.legs.borrow().get(&(key, leg)) {
                    dialog.do_send(Order::Timeout);
                }
            }
            Owner::Relay(key) => {
                if let Some(relay) = self.relays.borrow().get(&key) {
                    relay.do_send(crate::relay::Timeout);
                }
            }
        }
    }
}

/// The names an INVITE is known by here.
#[derive(Clone, Copy)]
pub(crate) struct Noted {
    transaction: u64,
    request: u64,
}

/// Where a response goes: back down the connection, or to the source if rport was asked for,
/// or else to the source's address at the Via's port (RFC 3261 18.2.2, RFC 3581 4).
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
    let port = via
        .sent_by
        .port
        .unwrap_or_else(|| Transport::Udp.default_port());
    Hop::Udp {
        listener,
        remote: SocketAddr::new(remote.ip(), port),
    }
}
