//! One leg: its transactions and its hop. It does as its call says and tells what happens.

use std::{rc::Rc, time::Duration};

use actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message as Letter, WeakAddr,
};
use bytes::Bytes;
use engine::{Hop, LegEvent, LegId};
use sip::{
    ClientId, Endpoint, Message, Method, Now, ServerId, Transmitter,
    endpoint::{Input, Output},
};
use smallvec::SmallVec;

use crate::{
    call::{Call, Heard, Prepared},
    capture::Seen,
    fault::{Part, contain},
    local::{Local, Noted, answer_hop},
    timers::{Armed, Owner},
};

/// The actor of one leg.
pub(crate) struct Dialog {
    local: Rc<Local>,
    call: WeakAddr<Call>,
    key: u64,
    leg: LegId,
    hop: Hop,
    endpoint: Endpoint,
    /// Requests to be answered by another way than the leg's own.
    ways: SmallVec<[(ServerId, Hop); 1]>,
    /// Requests that the call has not finally answered. When it is done with the leg, or dead, they
    /// are answered here: no transaction waits for ever.
    unanswered: Vec<(ServerId, Message)>,
    /// By which way what is handled just now came.
    arriving: Option<Hop>,
    noted: Option<Noted>,
    armed: Armed,
    /// The call wants nothing more of this leg.
    closed: bool,
}

/// What a leg is told.
#[derive(Letter)]
#[rtype(result = "()")]
pub(crate) enum Order {
    /// From the wire, by a way that answers may take.
    Received { message: Message, hop: Hop },
    /// Send a request in a transaction of its own.
    Request {
        id: ClientId,
        method: Method,
        branch: Box<str>,
        bytes: Bytes,
    },
    /// Answer a transaction.
    Respond {
        id: ServerId,
        status: u16,
        bytes: Bytes,
    },
    /// Send without a transaction.
    Send(Bytes),
    /// Go on by another hop.
    Move(Hop),
    /// The connection under the leg is gone.
    FlowLost,
    /// The deadline came.
    Timeout,
    /// The call is done with the leg.
    Close,
}

impl Dialog {
    /// Starts the leg on `hop`; a caller's with the transaction of its INVITE.
    pub(crate) fn open(
        local: &Rc<Local>,
        call: WeakAddr<Call>,
        key: u64,
        leg: LegId,
        hop: Hop,
        prepared: Option<Prepared>,
    ) -> Addr<Self> {
        let local = local.clone();
        let mut unanswered = Vec::new();
        let (endpoint, noted) = match prepared {
            Some(Prepared {
                endpoint,
                noted,
                invite,
                trying,
                ..
            }) => {
                let at = local.clock.mono();
                let seen = |sent| Seen {
                    at,
                    call: key,
                    leg,
                    sent,
                    hop,
                };
                let mut capture = local.capture.borrow_mut();
                capture.note(seen(false), invite.1.bytes());
                if let Some(trying) = trying {
                    capture.note(seen(true), &trying);
                }
                drop(capture);
                unanswered.push(invite);
                (endpoint, Some(noted))
            }
            None => (Endpoint::new(local.shared.endpoints.clone()), None),
        };
        Self::create(|context| {
            local
                .legs
                .borrow_mut()
                .insert((key, leg.0), context.address());
            local.bind(&hop, key, leg);
            Self {
                local,
                call,
                key,
                leg,
                hop,
                endpoint,
                ways: SmallVec::new(),
                unanswered,
                arriving: None,
                noted,
                armed: Armed::default(),
                closed: false,
            }
        })
    }

    fn tell(&self, event: LegEvent) {
        if let Some(call) = self.call.upgrade() {
            call.do_send(Heard::Leg(self.leg, event));
        }
    }

    fn drain(&mut self, now: Now) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { who, bytes } => self.transmit(now, who, bytes),
                Output::Request { id, message } => self.request(now, id, message),
                Output::Ack { message } => self.tell(LegEvent::Ack { message }),
                Output::Cancel {
                    id,
                    invite,
                    message,
                } => {
                    self.arrived_by(id, &message);
                    self.unanswered.push((id, message.clone()));
                    self.tell(LegEvent::Cancel {
                        id,
                        invite,
                        message,
                    });
                    self.answer_if_closed(now);
                }
                Output::Response { id, message } => self.tell(LegEvent::Response { id, message }),
                Output::Failed { id, why } => self.tell(LegEvent::Failed { id, why }),
                Output::NoAck { id } => self.tell(LegEvent::NoAck { id }),
                Output::Refused { message } => {
                    let bytes = self.local.refuse(&message, 503, "Service Unavailable");
                    self.local
                        .reply(&message, self.arriving.unwrap_or(self.hop), bytes);
                }
                // A 2xx to an INVITE whose transaction is over: the call was ended long ago.
                Output::Stray { message: _ } => {}
                Output::Ended {
                    who: Transmitter::Server(id),
                } => {
                    self.ways.retain(|(known, _)| *known != id);
                }
                Output::Ended {
                    who: Transmitter::Client(_),
                } => {}
            }
        }
    }

    fn request(&mut self, now: Now, id: ServerId, message: Message) {
        self.arrived_by(id, &message);
        self.unanswered.push((id, message.clone()));
        self.tell(LegEvent::Request { id, message });
        self.answer_if_closed(now);
    }

    /// Answers what the call will not answer any more. A call that is gone has said so by a
    /// `Close`, and what it still had to answer comes before that.
    fn answer_if_closed(&mut self, now: Now) {
        if self.closed {
            self.answer_all(now);
        }
    }

    fn answer_all(&mut self, now: Now) {
        for (id, message) in std::mem::take(&mut self.unanswered) {
            let (status, reason) = match message.method() {
                // RFC 3261 9.2: a CANCEL that found its INVITE is answered 200, however that ended.
                Some(Method::Cancel) => (200, "OK"),
                // The caller's own, of a call that died or of a leg that lost its transactions.
                Some(Method::Invite) if message.to_tag().is_none() => {
                    (500, "Server Internal Error")
                }
                // RFC 3261 12.2.2: no dialog here any more.
                _ => (481, "Call/Transaction Does Not Exist"),
            };
            let bytes = self.local.refuse(&message, status, reason);
            self.endpoint
                .handle(now, Input::Respond { id, status, bytes });
        }
    }

    /// Notes the way of a request's answer where it is not the leg's own.
    fn arrived_by(&mut self, id: ServerId, message: &Message) {
        let Some(hop) = self.arriving else { return };
        let way = answer_hop(message, hop);
        if way != self.hop {
            self.ways.push((id, way));
        }
    }

    /// Has a message remembered.
    fn note(&self, now: Now, sent: bool, hop: Hop, message: &[u8]) {
        let seen = Seen {
            at: now.mono,
            call: self.key,
            leg: self.leg,
            sent,
            hop,
        };
        self.local.capture.borrow_mut().note(seen, message);
    }

    fn transmit(&mut self, now: Now, who: Transmitter, bytes: Bytes) {
        let bind = Some((self.key, self.leg));
        match who {
            Transmitter::Server(id) => {
                let other = self
                    .ways
                    .iter()
                    .find(|(known, _)| *known == id)
                    .map(|(_, way)| *way);
                self.note(now, true, other.unwrap_or(self.hop), &bytes);
                match other {
                    Some(mut way) => self.local.send(&mut way, bytes, None),
                    None => self.local.send(&mut self.hop, bytes, bind),
                };
            }
            Transmitter::Client(id) => {
                self.note(now, true, self.hop, &bytes);
                if !self.local.send(&mut self.hop, bytes, bind) {
                    self.endpoint.handle(now, Input::Unreachable { id });
                }
            }
        }
    }

    /// After a panic nobody knows what became of the leg's transactions. They are let go of; what
    /// waits for an answer of ours gets one by a transaction made anew, and the call ends.
    fn rebuild(&mut self, now: Now) -> Option<Duration> {
        let owner = Owner::Leg(self.key, self.leg.0);
        self.local.timers.disarm(owner, &self.armed);
        self.ways.clear();
        self.endpoint.reset();
        let deadline = contain(Part::Dialog, || {
            self.receive_again(now);
            self.answer_all(now);
            self.drain(now);
            self.endpoint.poll_timeout()
        });
        self.tell(LegEvent::Fault);
        match deadline {
            Some(deadline) => deadline,
            None => {
                // Not even that. The peer's timers have to do the rest.
                self.endpoint.reset();
                self.closed = true;
                None
            }
        }
    }

    /// Makes a transaction for each request that is not answered.
    fn receive_again(&mut self, now: Now) {
        let reliable = self.hop.is_reliable();
        for (_, message) in std::mem::take(&mut self.unanswered) {
            self.endpoint
                .handle(now, Input::Received { message, reliable });
            while let Some(output) = self.endpoint.poll_output() {
                if let Output::Request { id, message } | Output::Cancel { id, message, .. } = output
                {
                    self.unanswered.push((id, message));
                }
            }
        }
    }

    fn settle(&mut self, now: Now, deadline: Option<Duration>, context: &mut Context<Self>) {
        let owner = Owner::Leg(self.key, self.leg.0);
        if self.closed && self.endpoint.is_empty() {
            self.local.timers.disarm(owner, &self.armed);
            self.local.legs.borrow_mut().remove(&(self.key, self.leg.0));
            self.local.unbind(&self.hop, self.key, self.leg);
            if let Some(noted) = &self.noted {
                self.local.forget_invite(noted);
            }
            context.stop();
        } else {
            self.local
                .timers
                .arm(now.mono, owner, &self.armed, deadline);
        }
    }
}

impl Actor for Dialog {
    type Context = Context<Self>;
}

impl Handler<Order> for Dialog {
    type Result = ();

    fn handle(&mut self, order: Order, context: &mut Context<Self>) {
        let now = self.local.clock.now();
        let closes = matches!(order, Order::Close);
        let deadline = contain(Part::Dialog, || {
            self.obey(now, order);
            self.drain(now);
            self.endpoint.poll_timeout()
        });
        let deadline = match deadline {
            Some(deadline) => deadline,
            None => {
                self.closed |= closes;
                self.rebuild(now)
            }
        };
        self.settle(now, deadline, context);
        self.arriving = None;
    }
}

impl Dialog {
    fn obey(&mut self, now: Now, order: Order) {
        let reliable = self.hop.is_reliable();
        match order {
            Order::Received { message, hop } => {
                self.arriving = Some(hop);
                self.note(now, false, hop, message.bytes());
                let reliable = hop.is_reliable();
                self.endpoint
                    .handle(now, Input::Received { message, reliable });
            }
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
                    if self.unanswered.is_empty() {
                        // An hour may pass until the next request.
                        self.unanswered = Vec::new();
                    }
                }
                self.endpoint
                    .handle(now, Input::Respond { id, status, bytes });
            }
            Order::Send(bytes) => {
                self.note(now, true, self.hop, &bytes);
                self.local
                    .send(&mut self.hop, bytes, Some((self.key, self.leg)));
            }
            Order::Move(hop) => {
                self.local.unbind(&self.hop, self.key, self.leg);
                self.local.bind(&hop, self.key, self.leg);
                self.hop = hop;
            }
            Order::FlowLost => self.tell(LegEvent::FlowLost),
            Order::Timeout => {
                self.local.timers.fired(&self.armed);
                self.endpoint.handle_timeout(now);
            }
            Order::Close => {
                self.closed = true;
                self.answer_if_closed(now);
            }
        }
    }
}
