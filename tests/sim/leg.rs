//! One leg as the node runs it: `actors/src/dialog.rs` without its mailbox.

use bytes::Bytes;
use engine::{Hop, LegEvent, LegId};
use sip::endpoint::{Input, Output};
use sip::{ClientId, Endpoint, Message, Method, Now, ServerId, Transmitter};

use crate::call::{Heard, Prepared};
use crate::faults::{Plant, Strike};
use crate::node::{Node, Owner, Seat, answer_hop};

/// The names an INVITE is known by.
#[derive(Clone, Copy)]
pub(crate) struct Noted {
    pub(crate) transaction: u64,
    pub(crate) request: u64,
}

/// What a leg is told.
pub(crate) enum Order {
    Received {
        message: Message,
        hop: Hop,
    },
    Request {
        id: ClientId,
        method: Method,
        branch: Box<str>,
        bytes: Bytes,
    },
    Respond {
        id: ServerId,
        status: u16,
        bytes: Bytes,
    },
    Send(Bytes),
    Move(Hop),
    FlowLost,
    Timeout,
    Close,
}

/// The transactions and the hop of one leg.
pub(crate) struct Leg {
    key: u64,
    leg: LegId,
    hop: Hop,
    endpoint: Endpoint,
    ways: Vec<(ServerId, Hop)>,
    unanswered: Vec<(ServerId, Message)>,
    arriving: Option<Hop>,
    noted: Option<Noted>,
    closed: bool,
}

impl Leg {
    /// Starts the leg on `hop`; a caller's with the transaction of its INVITE.
    pub(crate) fn open(
        node: &mut Node,
        key: u64,
        leg: LegId,
        hop: Hop,
        prepared: Option<Prepared>,
    ) {
        let mut unanswered = Vec::new();
        let (endpoint, noted) = match prepared {
            Some(prepared) => {
                unanswered.push(prepared.invite);
                (prepared.endpoint, Some(prepared.noted))
            }
            None => (Endpoint::new(node.endpoints.clone()), None),
        };
        let actor = Self {
            key,
            leg,
            hop,
            endpoint,
            ways: Vec::new(),
            unanswered,
            arriving: None,
            noted,
            closed: false,
        };
        node.legs.insert((key, leg.0), Seat::new(Some(actor)));
        node.bind(&hop, key, leg);
    }

    fn tell(&self, node: &mut Node, event: LegEvent) {
        node.tell_call(self.key, Heard::Leg(self.leg, event));
    }

    fn drain(&mut self, node: &mut Node, now: Now) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { who, bytes } => self.transmit(node, now, who, bytes),
                Output::Request { id, message } => {
                    self.arrived_by(id, &message);
                    self.unanswered.push((id, message.clone()));
                    self.tell(node, LegEvent::Request { id, message });
                    self.answer_if_closed(node, now);
                }
                Output::Ack { message } => self.tell(node, LegEvent::Ack { message }),
                Output::Cancel {
                    id,
                    invite,
                    message,
                } => {
                    self.arrived_by(id, &message);
                    if node.ground.plant == Plant::DeafToCancel {
                        continue;
                    }
                    self.unanswered.push((id, message.clone()));
                    let event = LegEvent::Cancel {
                        id,
                        invite,
                        message,
                    };
                    self.tell(node, event);
                    self.answer_if_closed(node, now);
                }
                Output::Response { id, message } => {
                    self.tell(node, LegEvent::Response { id, message });
                }
                Output::Failed { id, why } => self.tell(node, LegEvent::Failed { id, why }),
                Output::NoAck { id } => self.tell(node, LegEvent::NoAck { id }),
                Output::Refused { message } => {
                    let bytes = node.refuse(&message, 503, "Service Unavailable");
                    node.reply(&message, self.arriving.unwrap_or(self.hop), bytes);
                }
                Output::Stray { message: _ } => {}
                Output::Ended {
                    who: Transmitter::Server(id),
                } => self.ways.retain(|(known, _)| *known != id),
                Output::Ended {
                    who: Transmitter::Client(_),
                } => {}
            }
        }
    }

    /// Answers what the call will not answer any more. A call that is gone has said so by a
    /// `Close`, and what it still had to answer comes before that.
    fn answer_if_closed(&mut self, node: &Node, now: Now) {
        let hasty = node.ground.plant == Plant::Hasty && !node.calls.contains_key(&self.key);
        if self.closed || hasty {
            self.answer_all(node, now);
        }
    }

    fn answer_all(&mut self, node: &Node, now: Now) {
        for (id, message) in std::mem::take(&mut self.unanswered) {
            let (status, reason) = match message.method() {
                Some(Method::Cancel) => (200, "OK"),
                Some(Method::Invite) if message.to_tag().is_none() => {
                    (500, "Server Internal Error")
                }
                _ => (481, "Call/Transaction Does Not Exist"),
            };
            let bytes = node.refuse(&message, status, reason);
            let input = Input::Respond { id, status, bytes };
            self.endpoint.handle(now, input);
        }
    }

    fn arrived_by(&mut self, id: ServerId, message: &Message) {
        let Some(hop) = self.arriving else { return };
        let way = answer_hop(message, hop);
        if way != self.hop {
            self.ways.push((id, way));
        }
    }

    fn transmit(&mut self, node: &mut Node, now: Now, who: Transmitter, bytes: Bytes) {
        let bind = Some((self.key, self.leg));
        match who {
            Transmitter::Server(id) => {
                let mut others = self.ways.iter().filter(|(known, _)| *known == id);
                match others.next().map(|(_, way)| *way) {
                    Some(mut way) => node.send(&mut way, bytes, None),
                    None => node.send(&mut self.hop, bytes, bind),
                };
            }
            Transmitter::Client(id) => {
                if !node.send(&mut self.hop, bytes, bind) {
                    self.endpoint.handle(now, Input::Unreachable { id });
                }
            }
        }
    }

    /// After a panic: the transactions are let go of, and what waits for an answer gets one by a
    /// transaction made anew.
    fn rebuild(&mut self, node: &mut Node, now: Now) {
        node.disarm(Owner::Leg(self.key, self.leg.0));
        self.ways.clear();
        self.endpoint.reset();
        let reliable = self.hop.is_reliable();
        for (_, message) in std::mem::take(&mut self.unanswered) {
            let input = Input::Received { message, reliable };
            self.endpoint.handle(now, input);
            while let Some(output) = self.endpoint.poll_output() {
                if let Output::Request { id, message } | Output::Cancel { id, message, .. } = output
                {
                    self.unanswered.push((id, message));
                }
            }
        }
        self.answer_all(node, now);
        self.drain(node, now);
        self.tell(node, LegEvent::Fault);
    }

    /// Whether the leg lives on.
    fn settle(&mut self, node: &mut Node) -> bool {
        if self.closed && self.endpoint.is_empty() {
            node.unbind(&self.hop, self.key, self.leg);
            if let Some(noted) = &self.noted {
                node.forget_invite(noted);
            }
            return false;
        }
        let owner = Owner::Leg(self.key, self.leg.0);
        node.arm(owner, self.endpoint.poll_timeout());
        true
    }

    /// Reads a letter; `false` when it was the last one.
    pub(crate) fn take(&mut self, node: &mut Node, order: Order) -> bool {
        let now = node.now;
        let closes = matches!(order, Order::Close);
        let strike = node.strikes(self.key);
        if strike != Some(Strike::Before) {
            self.obey(node, order);
            self.drain(node, now);
        }
        if strike.is_some() {
            self.closed |= closes;
            self.rebuild(node, now);
        }
        let lives = self.settle(node);
        self.arriving = None;
        lives
    }

    fn obey(&mut self, node: &mut Node, order: Order) {
        let now = node.now;
        let reliable = self.hop.is_reliable();
        match order {
            Order::Received { message, hop } => {
                self.arriving = Some(hop);
                let reliable = hop.is_reliable();
                let input = Input::Received { message, reliable };
                self.endpoint.handle(now, input);
            }
            Order::Request { method, .. }
                if method == Method::Bye && node.ground.plant == Plant::DropBye => {}
            Order::Request {
                id,
                method,
                branch,
                bytes,
            } => {
                let input = Input::Request {
                    id,
                    method,
                    branch,
                    bytes,
                    reliable,
                };
                self.endpoint.handle(now, input);
            }
            Order::Respond { id, status, bytes } => {
                if status >= 200 {
                    self.unanswered.retain(|(known, _)| *known != id);
                }
                let input = Input::Respond { id, status, bytes };
                self.endpoint.handle(now, input);
            }
            Order::Send(bytes) => {
                let bind = Some((self.key, self.leg));
                node.send(&mut self.hop, bytes, bind);
            }
            Order::Move(hop) => {
                node.unbind(&self.hop, self.key, self.leg);
                self.hop = hop;
                node.bind(&hop, self.key, self.leg);
            }
            Order::FlowLost => self.tell(node, LegEvent::FlowLost),
            Order::Timeout => {
                node.fired(Owner::Leg(self.key, self.leg.0));
                self.endpoint.handle_timeout(now);
            }
            Order::Close => {
                if node.ground.plant != Plant::NeverClose {
                    self.closed = true;
                    self.answer_if_closed(node, now);
                }
            }
        }
    }
}
