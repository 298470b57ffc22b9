//! The node: what `actors` does with threads, sockets and disks, done with lists. What is said
//! here of mailboxes, tables and timers mirrors `actors/src/local.rs` and `front.rs`.

mod front;
mod ways;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bus_schema::{CallEvent, CommandError, ErrorCode, Outcome};
use bytes::Bytes;
use engine::route;
use engine::{
    AuthSettings, Authenticator, Binding, CallKey, Demand, Domain, Domains, Home, Hop, LegId,
    Listener, Listeners, Place, Seed, Timeouts, Token, TokenKey, Transport, Users,
};
use sip::digest::NonceSecret;
use sip::{EndpointSettings, Message, Method, Now};

use self::ways::Connection;
pub(crate) use self::ways::answer_hop;
use crate::call::{Call, Heard, Stimulus};
use crate::dice::Dice;
use crate::faults::{Plant, Strike};
use crate::leg::{Leg, Noted, Order};

/// The domain that is served.
pub(crate) const DOMAIN: &str = "example.test";
/// What everybody proves to know, where a proof is asked for.
pub(crate) const PASSWORD: &str = "secret";

/// Where the node listens: UDP, TCP and WebSocket on one address.
pub(crate) const NODE: &str = "192.0.2.100:5060";

/// What outlives a crash, or is there before the first start.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) tokens: TokenKey,
    pub(crate) timeouts: Timeouts,
    pub(crate) digest: bool,
    pub(crate) bugs: u64,
    pub(crate) users: Vec<String>,
    pub(crate) plant: Plant,
}

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Call(u64),
    Leg(u64, u16),
}

/// What a node does to the world.
pub(crate) enum Effect {
    Send(Hop, Bytes),
    /// What it has to say cannot be sent.
    Lost(Bytes),
    /// It connects to a phone by itself.
    Connect(u64, SocketAddr),
    /// Wake it at, or some time after, that moment.
    Arm(Owner, Duration),
    Event(Box<CallEvent>),
    /// Keep a record; who waits for it is named by a number.
    Keep(CallKey, Bytes, Option<u64>),
    /// Forget it once what was told so far is safe.
    Forget(CallKey),
    Resolve(Owner, Box<str>, Option<u16>, Transport),
    Reply(u64, Box<Outcome>),
    /// A call was decided: by this, then.
    Over(CallKey, Box<Stimulus>),
    /// A call has a leg with this Call-ID, to somebody by this hop.
    Involved(CallKey, LegId, Hop),
    /// A panic was caught in this call.
    Struck(u64),
    /// A caller's own Call-ID belongs to a call.
    Named(CallKey, Box<str>),
}

/// A message that belongs to nothing there is.
struct Knock {
    message: Message,
    hop: Hop,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Front,
    Call(u64),
    Leg(u64, u16),
}

/// An actor and its mailbox; the actor is away while it reads a letter.
pub(crate) struct Seat<A, L> {
    mail: VecDeque<L>,
    actor: Option<Box<A>>,
}

impl<A, L> Seat<A, L> {
    pub(crate) fn new(actor: Option<A>) -> Self {
        Self {
            mail: VecDeque::new(),
            actor: actor.map(Box::new),
        }
    }

    fn begin(&mut self) -> Option<(Box<A>, L)> {
        let letter = self.mail.pop_front()?;
        Some((self.actor.take()?, letter))
    }
}

/// One run of the process, from start to crash.
pub(crate) struct Node {
    pub(crate) now: Now,
    pub(crate) dice: Dice,
    pub(crate) ground: Ground,
    pub(crate) home: Arc<Home>,
    pub(crate) endpoints: Arc<EndpointSettings>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) calls: BTreeMap<u64, Seat<Call, Heard>>,
    pub(crate) legs: BTreeMap<(u64, u16), Seat<Leg, Order>>,
    /// The actors in whose mailbox a letter lies, once for each letter.
    turns: Vec<Turn>,
    front: VecDeque<Knock>,
    invites: BTreeMap<u64, (u64, LegId)>,
    merged: BTreeMap<u64, u64>,
    acks: BTreeMap<u64, u64>,
    next_ack: u64,
    connections: BTreeMap<u64, Connection>,
    outgoing: BTreeMap<SocketAddr, u64>,
    next_connection: u64,
    armed: BTreeMap<Owner, Duration>,
    /// Who is registered, as of now.
    pub(crate) bindings: BTreeMap<String, Vec<Binding>>,
    domains: Domains,
    users: Users,
    routes: route::Routes,
    authenticator: Authenticator,
    next_shard: u8,
    draining: bool,
}

fn listeners() -> Listeners {
    let listener = |(id, transport)| Listener {
        id,
        transport,
        ipv6: false,
        loopback: false,
        sent_by: NODE.into(),
        contact_host: NODE.into(),
    };
    let transports = [Transport::Udp, Transport::Tcp, Transport::Ws];
    (0..).zip(transports).map(listener).collect()
}

impl Node {
    pub(crate) fn start(ground: Ground, epoch: u64, now: Now, mut dice: Dice) -> Self {
        let home = Arc::new(Home {
            epoch,
            listeners: listeners(),
            tokens: ground.tokens,
            timeouts: ground.timeouts,
            redirects: engine::Redirects::Follow,
            large_over_tcp: true,
        });
        let seed = Seed(u128::from(dice.next()));
        let domain = Domain {
            name: DOMAIN.into(),
            register: Demand::Open,
            callers: if ground.digest {
                Demand::Digest
            } else {
                Demand::Open
            },
        };
        let mut users = Users::new(ground.users.len(), seed);
        for user in &ground.users {
            let algorithm = sip::digest::Algorithm::Md5;
            let ha1 = sip::digest::Ha1::from_password(algorithm, user, DOMAIN, PASSWORD);
            users.add(&engine::aor(user, DOMAIN), ha1);
        }
        let endpoints = Arc::new(EndpointSettings {
            transactions_max: 64,
            patience: Duration::from_secs(600),
            seed: dice.bytes(),
        });
        let authenticator = Authenticator::new(AuthSettings {
            secret: NonceSecret(dice.bytes()),
            marks: Seed(1),
            nonce_life: Duration::from_secs(300),
            nonces_max: 1000,
        });
        Self {
            now,
            home,
            endpoints,
            effects: Vec::new(),
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            turns: Vec::new(),
            front: VecDeque::new(),
            invites: BTreeMap::new(),
            merged: BTreeMap::new(),
            acks: BTreeMap::new(),
            next_ack: 1,
            connections: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            next_connection: epoch * 1000,
            armed: BTreeMap::new(),
            bindings: BTreeMap::new(),
            domains: Domains::new(vec![domain], [], seed),
            users,
            routes: route::Routes::default(),
            authenticator,
            next_shard: 0,
            draining: false,
            ground,
            dice,
        }
    }

    // ---- letters

    pub(crate) fn tell_call(&mut self, call: u64, heard: Heard) {
        if let Some(seat) = self.calls.get_mut(&call) {
            seat.mail.push_back(heard);
            self.turns.push(Turn::Call(call));
        }
    }

    pub(crate) fn tell_leg(&mut self, call: u64, leg: LegId, order: Order) {
        if let Some(seat) = self.legs.get_mut(&(call, leg.0)) {
            seat.mail.push_back(order);
            self.turns.push(Turn::Leg(call, leg.0));
        }
    }

    /// Whether there is something to do.
    pub(crate) fn is_busy(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Lets one actor, any that has a letter, read its first one. Between actors nothing is
    /// ordered.
    pub(crate) fn step(&mut self) {
        if self.turns.is_empty() {
            return;
        }
        let turn = self.dice.index(self.turns.len());
        match self.turns.swap_remove(turn) {
            Turn::Front => {
                if let Some(knock) = self.front.pop_front() {
                    self.knocked(knock);
                }
            }
            Turn::Call(key) => {
                let seat = self.calls.get_mut(&key);
                if let Some((mut call, heard)) = seat.and_then(Seat::begin) {
                    call.take(self, heard);
                    self.sit(call);
                }
            }
            Turn::Leg(call, leg) => {
                let seat = self.legs.get_mut(&(call, leg));
                if let Some((mut actor, order)) = seat.and_then(Seat::begin) {
                    if actor.take(self, order) {
                        if let Some(seat) = self.legs.get_mut(&(call, leg)) {
                            seat.actor = Some(actor);
                        }
                    } else {
                        self.disarm(Owner::Leg(call, leg));
                        self.legs.remove(&(call, leg));
                    }
                }
            }
        }
    }

    /// Puts a call back in its seat, unless it has ended.
    pub(crate) fn sit(&mut self, call: Box<Call>) {
        let key = call.key().low();
        if call.is_over() {
            self.disarm(Owner::Call(key));
            let seat = self.calls.remove(&key);
            for heard in seat.map(|seat| seat.mail).unwrap_or_default() {
                self.lost(&heard);
            }
        } else if let Some(seat) = self.calls.get_mut(&key) {
            seat.actor = Some(call);
        }
    }

    /// Whether a bug of ours strikes while an actor of this call reads a letter.
    pub(crate) fn strikes(&mut self, call: u64) -> Option<Strike> {
        if self.dice.roll(10_000) >= self.ground.bugs {
            return None;
        }
        self.effects.push(Effect::Struck(call));
        Some(*self.dice.pick(&[Strike::Before, Strike::After]))
    }

    /// A letter that nobody reads any more: a command in it is refused, whatever happens.
    pub(crate) fn lost(&mut self, heard: &Heard) {
        if let Heard::Command { reply, .. } = *heard {
            let error = CommandError::new(ErrorCode::Internal, "the command was lost");
            self.effects
                .push(Effect::Reply(reply, Box::new(Err(error))));
        }
    }

    // ---- in

    /// Takes a message from the wire to whoever it is for.
    pub(crate) fn arrived(&mut self, message: Message, hop: Hop) {
        if let Err(fault) = message.check() {
            if message.is_request() && message.method() != Some(Method::Ack) {
                let bytes = self.refuse(&message, fault.status, fault.reason);
                self.reply(&message, hop, bytes);
            }
            return;
        }
        match engine::classify(&message, &self.ground.tokens) {
            Place::Leg(token) => self.hand_to_leg(token, message, hop),
            Place::Front { .. } => {
                self.front.push_back(Knock { message, hop });
                self.turns.push(Turn::Front);
            }
        }
    }

    fn hand_to_leg(&mut self, token: Token, message: Message, hop: Hop) {
        if self.legs.contains_key(&(token.call, token.leg.0)) {
            let order = Order::Received { message, hop };
            return self.tell_leg(token.call, token.leg, order);
        }
        // A dialog that ended: RFC 3261 12.2.2. Stray responses and ACKs have nobody to tell.
        if message.is_request() && message.method() != Some(Method::Ack) {
            let bytes = self.refuse(&message, 481, "Call/Transaction Does Not Exist");
            self.reply(&message, hop, bytes);
        }
    }

    fn hand_to_transaction(&mut self, message: Message, hop: Hop) -> Option<Message> {
        let Some(key) = self.transaction_hash(&message) else {
            return Some(message);
        };
        let call = match message.method() {
            Some(Method::Invite | Method::Ack | Method::Cancel) => self.invites.get(&key).copied(),
            _ => None,
        };
        match call {
            Some((call, leg)) if self.legs.contains_key(&(call, leg.0)) => {
                self.tell_leg(call, leg, Order::Received { message, hop });
                None
            }
            _ => Some(message),
        }
    }

    // ---- names of INVITEs

    fn transaction_hash(&self, message: &Message) -> Option<u64> {
        let via = message.top_via().ok()?;
        let port = via.sent_by.port.unwrap_or(0).to_be_bytes();
        let branch = via.branch().unwrap_or_default().as_bytes();
        let call_id = message.call_id().unwrap_or_default().as_bytes();
        let parts = [branch, via.sent_by.host.as_bytes(), &port, call_id];
        Some(self.ground.tokens.hash(&parts))
    }

    fn request_hash(&self, request: &Message) -> u64 {
        let call_id = request.call_id().unwrap_or_default().as_bytes();
        let from = request.from_tag().unwrap_or_default().as_bytes();
        let cseq = request.header(sip::Name::CSeq).unwrap_or_default();
        self.ground.tokens.hash(&[b"merged", call_id, from, cseq])
    }

    pub(crate) fn note_invite(&mut self, invite: &Message, call: u64) -> Noted {
        let noted = Noted {
            transaction: self.transaction_hash(invite).unwrap_or_default(),
            request: self.request_hash(invite),
        };
        self.invites
            .insert(noted.transaction, (call, LegId::CALLER));
        self.merged.insert(noted.request, call);
        noted
    }

    pub(crate) fn forget_invite(&mut self, noted: &Noted) {
        self.invites.remove(&noted.transaction);
        self.merged.remove(&noted.request);
    }

    pub(crate) fn own_shard(&mut self) -> u8 {
        self.next_shard = (self.next_shard + 1) % CallKey::SHARDS;
        self.next_shard
    }

    // ---- timers

    /// As `actors/src/timers.rs` has it: a later deadline than the armed one costs nothing.
    pub(crate) fn arm(&mut self, owner: Owner, deadline: Option<Duration>) {
        let Some(deadline) = deadline else { return };
        if self.armed.get(&owner).is_some_and(|at| *at <= deadline) {
            return;
        }
        self.armed.insert(owner, deadline);
        if self.ground.plant == Plant::LoseTimer && self.dice.chance(33) {
            return;
        }
        self.effects.push(Effect::Arm(owner, deadline));
    }

    pub(crate) fn disarm(&mut self, owner: Owner) {
        self.armed.remove(&owner);
    }

    /// A deadline came, unless it was another one meanwhile.
    pub(crate) fn fire(&mut self, owner: Owner, at: Duration) {
        if self.armed.get(&owner) != Some(&at) {
            return;
        }
        match owner {
            Owner::Call(call) => self.tell_call(call, Heard::Timeout),
            Owner::Leg(call, leg) => self.tell_leg(call, LegId(leg), Order::Timeout),
        }
    }

    pub(crate) fn fired(&mut self, owner: Owner) {
        self.armed.remove(&owner);
    }

    // ---- records

    /// Keeps a call's record. Returns the number its acknowledgement is known by.
    pub(crate) fn persist(&mut self, key: CallKey, record: Bytes, ahead: bool) -> Option<u64> {
        let token = ahead.then(|| {
            self.next_ack += 1;
            self.acks.insert(self.next_ack, key.low());
            self.next_ack
        });
        self.effects.push(Effect::Keep(key, record, token));
        token
    }

    /// A record is durable, or will not be.
    pub(crate) fn persisted(&mut self, token: u64, kept: bool) {
        if let Some(call) = self.acks.remove(&token) {
            self.tell_call(call, Heard::Persisted { token, kept });
        }
    }

    // ---- what is left

    /// What has not been given back, in words.
    pub(crate) fn residue(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut say = |what: &str, count: usize| {
            if count > 0 {
                left.push(format!("{count} {what}"));
            }
        };
        say("calls", self.calls.len());
        say("legs", self.legs.len());
        say("letters", self.turns.len() + self.front.len());
        say("INVITEs noted", self.invites.len());
        say("requests noted", self.merged.len());
        say("acknowledgements awaited", self.acks.len());
        say("deadlines", self.armed.len());
        let bound = self.connections.values();
        say("legs on connections", bound.map(|it| it.bound.len()).sum());
        let calls = self.calls.values().filter_map(|seat| seat.actor.as_ref());
        left.extend(calls.map(|call| call.describe()));
        left
    }
}
