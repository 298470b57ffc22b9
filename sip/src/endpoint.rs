//! The transactions of one holder: a leg of a call, or the front of an arbiter.
//!
//! ```text
//!   Received, Request, Respond …        Transmit, Request, Response …
//!            |                                   ^
//!            v                                   |
//!        handle(now) ──► key ──► machine ──► poll_output()
//!                                  ^
//!        handle_timeout(now) ──────┘     poll_timeout()
//! ```
//!
//! Drain [`Endpoint::poll_output`] after every call that takes `now`. There are many thousands of
//! endpoints, most of them without a transaction: an idle one holds no heap memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::transaction::{
    ClientId, Failure, Inform, InviteClient, InviteServer, KeySeed, Machine, NonInviteClient,
    NonInviteServer, ServerId, Step, Table, Transaction, Transmitter, ack,
};
use crate::{Message, Method, Now, reply};

/// What the endpoints of one shell have in common.
#[derive(Debug, Clone)]
pub struct EndpointSettings {
    /// The most transactions one endpoint holds. Beyond it new requests come out as
    /// [`Output::Refused`].
    pub transactions_max: usize,
    /// How long the transaction user may leave an INVITE without a final response. The guard
    /// against a TU that forgets; timer C and no-answer timers are the TU's and shorter.
    pub patience: Duration,
    /// The key of the hashes that messages are matched by: secret and random.
    pub seed: [u8; 16],
}

/// The transactions of one holder.
#[derive(Debug)]
pub struct Endpoint {
    settings: Arc<EndpointSettings>,
    table: Table,
    outputs: VecDeque<Output>,
    next_server: u32,
}

/// What can happen to an endpoint.
#[derive(Debug)]
pub enum Input {
    /// A message for this holder came from the network.
    Received {
        /// The message; its mandatory headers were checked.
        message: Message,
        /// Whether it came over TCP, TLS or WebSocket.
        reliable: bool,
    },
    /// Start a client transaction. Not for ACK, which has none.
    Request {
        /// Not used by any transaction that lives.
        id: ClientId,
        /// Its method.
        method: Method,
        /// The branch in its top Via, with the magic cookie. A CANCEL's is its INVITE's.
        branch: Box<str>,
        /// The whole request.
        bytes: Bytes,
        /// Whether it goes over TCP, TLS or WebSocket.
        reliable: bool,
    },
    /// Respond. Repeating the 2xx of an INVITE is the dialog's duty, not the transaction's.
    Respond {
        /// Which request.
        id: ServerId,
        /// The status in the bytes.
        status: u16,
        /// The whole response.
        bytes: Bytes,
    },
    /// Respond with a failure once and forget the request (RFC 3261 8.2.7): its repeat is a new
    /// request. For challenges, which a flood must not turn into memory.
    RespondStateless {
        /// Which request.
        id: ServerId,
        /// The whole response.
        bytes: Bytes,
    },
    /// The transport could not deliver what this transaction sent.
    Unreachable {
        /// Which request.
        id: ClientId,
    },
}

/// What an endpoint wants done.
#[derive(Debug)]
pub enum Output {
    /// Send: for the first time or again.
    Transmit {
        /// Whose bytes.
        who: Transmitter,
        /// The bytes, shared with the transaction that may repeat them.
        bytes: Bytes,
    },
    /// A new request. Every one gets a [`Input::Respond`] in the end; a CANCEL here matched
    /// no INVITE.
    Request {
        /// Its transaction.
        id: ServerId,
        /// The request. For an INVITE the 100 is already on its way.
        message: Message,
    },
    /// The ACK of a 2xx. No transaction.
    Ack {
        /// The ACK.
        message: Message,
    },
    /// A CANCEL. Both it and, unless that has its final response, the INVITE are to be answered.
    Cancel {
        /// The transaction of the CANCEL itself.
        id: ServerId,
        /// The INVITE it is for.
        invite: ServerId,
        /// The CANCEL.
        message: Message,
    },
    /// A response, also each repeated 2xx of an INVITE.
    Response {
        /// Which request.
        id: ClientId,
        /// The response.
        message: Message,
    },
    /// A response to nothing that lives here: a 2xx after its transaction, or a stray.
    Stray {
        /// The response.
        message: Message,
    },
    /// A request ended without a final response.
    Failed {
        /// Which request.
        id: ClientId,
        /// Why.
        why: Failure,
    },
    /// Timer H: the failure response to an INVITE was never acknowledged.
    NoAck {
        /// Which INVITE.
        id: ServerId,
    },
    /// No room for this request: respond 503 without a transaction.
    Refused {
        /// The request.
        message: Message,
    },
    /// A transaction is gone, the last that is heard of it.
    Ended {
        /// Which.
        who: Transmitter,
    },
}

impl Endpoint {
    /// Holds nothing yet.
    #[must_use]
    pub fn new(settings: Arc<EndpointSettings>) -> Self {
        Self {
            settings,
            table: Table::default(),
            outputs: VecDeque::new(),
            next_server: 0,
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Received { message, reliable } => {
                self.received(now.mono, message, reliable);
            }
            Input::Request {
                id,
                method,
                branch,
                bytes,
                reliable,
            } => {
                self.request(now.mono, id, method, &branch, bytes, reliable);
            }
            Input::Respond { id, status, bytes } => self.respond(now.mono, id, status, bytes),
            Input::RespondStateless { id, bytes } => self.respond_stateless(id, bytes),
            Input::Unreachable { id } => self.unreachable(id),
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && self.table.is_empty() {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due, monotonic; a little early at
    /// times, never late. `None` without a transaction.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.table.earliest()
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(place) = self.table.due(now.mono) {
            let Some(held) = self.table.get_mut(place) else {
                return;
            };
            let step = match &mut held.machine {
                Machine::InviteClient(machine) => machine.timeout(now.mono),
                Machine::NonInviteClient(machine) => machine.timeout(now.mono),
                Machine::InviteServer(machine) => machine.timeout(now.mono),
                Machine::NonInviteServer(machine) => machine.timeout(now.mono),
            };
            self.finish(place, step, None);
        }
    }

    /// Forgets every transaction, silently; for a holder that can no longer trust them. The ids of
    /// requests go on where they were, so that a late [`Input::Respond`] answers nothing new.
    pub fn reset(&mut self) {
        self.table = Table::default();
        self.outputs = VecDeque::new();
    }

    /// The number of transactions that live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no transaction lives and nothing waits in the output.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.outputs.is_empty()
    }

    /// The bytes of an INVITE that was sent and has no final response: what
    /// [`cancel`](crate::cancel) is made of.
    #[must_use]
    pub fn pending_invite(&self, id: ClientId) -> Option<&Bytes> {
        let place = self.table.by_id(Transmitter::Client(id))?;
        match &self.table.get(place)?.machine {
            Machine::InviteClient(machine) => machine.invite(),
            Machine::NonInviteClient(_)
            | Machine::InviteServer(_)
            | Machine::NonInviteServer(_) => None,
        }
    }

    fn received(&mut self, now: Duration, message: Message, reliable: bool) {
        match (message.status(), message.method()) {
            (Some(status), _) => self.received_response(now, status, message),
            (None, Some(Method::Ack)) => self.received_ack(now, message),
            (None, method) => {
                // Nothing can be kept of a request that cannot be told from others.
                let Some(key) = self.seed().of_request(&message) else {
                    return;
                };
                match self.table.by_key(key) {
                    Some(place) => self.repeated(place),
                    None if self.is_full() => self.outputs.push_back(Output::Refused { message }),
                    None => {
                        let id = self.new_server_id();
                        let machine = if method == Some(Method::Invite) {
                            let patience = self.settings.patience;
                            Machine::InviteServer(InviteServer::new(now, reliable, patience))
                        } else {
                            Machine::NonInviteServer(NonInviteServer::new(now, reliable))
                        };
                        let id_held = Transmitter::Server(id);
                        self.table.insert(Transaction::new(id_held, key, machine));
                        self.announce(now, id, message);
                    }
                }
            }
        }
    }

    /// A new request goes to the TU.
    fn announce(&mut self, now: Duration, id: ServerId, message: Message) {
        match message.method() {
            Some(Method::Invite) => {
                // RFC 3261 17.2.1 allows 200 ms of silence; at once costs the client no repeat.
                let trying = reply(&message, 100, "Trying", None).end();
                self.respond(now, id, 100, trying);
                self.outputs.push_back(Output::Request { id, message });
            }
            Some(Method::Cancel) => match self.cancelled(&message) {
                Some(invite) => self.outputs.push_back(Output::Cancel {
                    id,
                    invite,
                    message,
                }),
                None => self.outputs.push_back(Output::Request { id, message }),
            },
            Some(_) | None => self.outputs.push_back(Output::Request { id, message }),
        }
    }

    /// RFC 3261 9.2: the INVITE that a CANCEL is for.
    fn cancelled(&self, cancel: &Message) -> Option<ServerId> {
        let place = self.table.by_key(self.seed().of_cancelled(cancel)?)?;
        match self.table.get(place)?.id {
            Transmitter::Server(id) => Some(id),
            Transmitter::Client(_) => None,
        }
    }

    fn repeated(&mut self, place: usize) {
        let Some(held) = self.table.get_mut(place) else {
            return;
        };
        let step = match &held.machine {
            Machine::InviteServer(machine) => machine.invite(),
            Machine::NonInviteServer(machine) => machine.request(),
            // Their keys are of another kind.
            Machine::InviteClient(_) | Machine::NonInviteClient(_) => return,
        };
        self.finish(place, step, None);
    }

    fn received_ack(&mut self, now: Duration, message: Message) {
        let place = self
            .seed()
            .of_request(&message)
            .and_then(|key| self.table.by_key(key));
        let Some(place) = place else {
            self.outputs.push_back(Output::Ack { message });
            return;
        };
        let Some(held) = self.table.get_mut(place) else {
            return;
        };
        let Machine::InviteServer(machine) = &mut held.machine else {
            return;
        };
        let step = machine.ack(now);
        self.finish(place, step, Some(message));
    }

    fn received_response(&mut self, now: Duration, status: u16, message: Message) {
        let place = self
            .seed()
            .of_response(&message)
            .and_then(|key| self.table.by_key(key));
        let Some(place) = place else {
            self.outputs.push_back(Output::Stray { message });
            return;
        };
        let Some(held) = self.table.get_mut(place) else {
            return;
        };
        let step = match &mut held.machine {
            Machine::InviteClient(machine) => {
                machine.response(now, status, |invite| ack(invite, &message))
            }
            Machine::NonInviteClient(machine) => machine.response(now, status),
            Machine::InviteServer(_) | Machine::NonInviteServer(_) => return,
        };
        self.finish(place, step, Some(message));
    }

    fn request(
        &mut self,
        now: Duration,
        id: ClientId,
        method: Method,
        branch: &str,
        bytes: Bytes,
        reliable: bool,
    ) {
        let who = Transmitter::Client(id);
        let key = self.seed().of_sent(branch, method);
        if self.is_full() || self.table.by_id(who).is_some() || self.table.by_key(key).is_some() {
            self.outputs.push_back(Output::Failed {
                id,
                why: Failure::NoRoom,
            });
            return;
        }
        let (machine, step) = if method == Method::Invite {
            let patience = self.settings.patience;
            let (machine, step) = InviteClient::new(now, bytes, reliable, patience);
            (Machine::InviteClient(machine), step)
        } else {
            let (machine, step) = NonInviteClient::new(now, bytes, reliable);
            (Machine::NonInviteClient(machine), step)
        };
        if method == Method::Cancel {
            self.limit_cancelled(now, branch);
        }
        self.table.insert(Transaction::new(who, key, machine));
        self.finish(self.table.len() - 1, step, None);
    }

    /// Our own CANCEL limits how long its INVITE is waited for.
    fn limit_cancelled(&mut self, now: Duration, branch: &str) {
        let key = self.seed().of_sent(branch, Method::Invite);
        let Some(place) = self.table.by_key(key) else {
            return;
        };
        if let Some(Machine::InviteClient(machine)) =
            self.table.get_mut(place).map(|held| &mut held.machine)
        {
            machine.cancelled(now);
            self.table.reschedule(place);
        }
    }

    fn respond(&mut self, now: Duration, id: ServerId, status: u16, bytes: Bytes) {
        // Too late, if it is gone: RFC 4320 4.2 forbids to answer then.
        let Some(place) = self.table.by_id(Transmitter::Server(id)) else {
            return;
        };
        let Some(held) = self.table.get_mut(place) else {
            return;
        };
        let step = match &mut held.machine {
            Machine::InviteServer(machine) => machine.respond(now, status, bytes),
            Machine::NonInviteServer(machine) => machine.respond(now, status, bytes),
            Machine::InviteClient(_) | Machine::NonInviteClient(_) => return,
        };
        self.finish(place, step, None);
    }

    fn respond_stateless(&mut self, id: ServerId, bytes: Bytes) {
        let who = Transmitter::Server(id);
        let Some(place) = self.table.by_id(who) else {
            return;
        };
        self.table.remove(place);
        self.outputs.push_back(Output::Transmit { who, bytes });
        self.outputs.push_back(Output::Ended { who });
    }

    fn unreachable(&mut self, id: ClientId) {
        let Some(place) = self.table.by_id(Transmitter::Client(id)) else {
            return;
        };
        let Some(held) = self.table.get_mut(place) else {
            return;
        };
        let step = match &mut held.machine {
            Machine::InviteClient(machine) => machine.unreachable(),
            Machine::NonInviteClient(machine) => machine.unreachable(),
            Machine::InviteServer(_) | Machine::NonInviteServer(_) => return,
        };
        self.finish(place, step, None);
    }

    /// Does what a machine wants done, and lets go of it at Terminated.
    fn finish(&mut self, place: usize, step: Step, message: Option<Message>) {
        let Some(held) = self.table.get(place) else {
            return;
        };
        let (who, terminated) = (held.id, held.is_terminated());
        if let Some(bytes) = step.transmit {
            self.outputs.push_back(Output::Transmit { who, bytes });
        }
        match (step.inform, who, message) {
            (None, _, _) => {}
            (Some(Inform::Message), Transmitter::Client(id), Some(message)) => {
                self.outputs.push_back(Output::Response { id, message });
            }
            (Some(Inform::Message), Transmitter::Server(_), Some(message)) => {
                self.outputs.push_back(Output::Ack { message });
            }
            (Some(Inform::Failed(why)), Transmitter::Client(id), _) => {
                self.outputs.push_back(Output::Failed { id, why });
            }
            (Some(Inform::NoAck), Transmitter::Server(id), _) => {
                self.outputs.push_back(Output::NoAck { id });
            }
            // No machine says these.
            (Some(Inform::Message), _, None)
            | (Some(Inform::Failed(_)), Transmitter::Server(_), _)
            | (Some(Inform::NoAck), Transmitter::Client(_), _) => {}
        }
        if terminated {
            self.table.remove(place);
            self.outputs.push_back(Output::Ended { who });
        } else {
            self.table.reschedule(place);
        }
    }

    fn seed(&self) -> KeySeed {
        KeySeed(self.settings.seed)
    }

    fn is_full(&self) -> bool {
        self.table.len() >= self.settings.transactions_max
    }

    /// Ids are used again only after the counter has gone round, and not while they are held.
    fn new_server_id(&mut self) -> ServerId {
        loop {
            let id = ServerId(self.next_server);
            self.next_server = self.next_server.wrapping_add(1);
            if self.table.by_id(Transmitter::Server(id)).is_none() {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are two endpoints for each call and up to two transactions in each.
    #[test]
    fn small() {
        assert!(size_of::<Endpoint>() <= 80, "{}", size_of::<Endpoint>());
        assert!(
            size_of::<Transaction>() <= 176,
            "{}",
            size_of::<Transaction>()
        );
    }

    /// What a burst grew is given back when the last transaction ends.
    #[test]
    fn an_idle_endpoint_holds_no_heap() {
        let settings = EndpointSettings {
            transactions_max: 100,
            patience: Duration::from_secs(60),
            seed: [7; 16],
        };
        let mut endpoint = Endpoint::new(Arc::new(settings));
        for i in 0..50 {
            let (id, branch) = (ClientId(i), format!("z9hG4bK{i}").into());
            let bytes = Bytes::from_static(b"BYE");
            let method = Method::Bye;
            let input = Input::Request {
                id,
                method,
                branch,
                bytes,
                reliable: true,
            };
            endpoint.handle(Now::default(), input);
        }
        endpoint.handle_timeout(Now::default().after(Duration::from_secs(32)));
        while endpoint.poll_output().is_some() {}
        assert!(endpoint.is_empty());
        assert_eq!(endpoint.outputs.capacity(), 0);
        assert!(!endpoint.table.holds_heap());
    }
}
