//! What passes between a call and its legs: the inputs and outputs of [`Call`](crate::Call).

use std::time::Duration;

use bus_schema::{CallCommand, CallEvent, Outcome, Text};
use bytes::Bytes;
use sip::{ClientId, Failure, Message, Method, ServerId};

use crate::call::Replacement;
use crate::hop::{Hop, Transport};
use crate::route::Plan;
use crate::token::LegId;

/// What a leg tells its call.
#[derive(Debug)]
pub enum LegEvent {
    /// A request inside the leg's dialog, other than ACK and CANCEL.
    Request {
        /// The server transaction to answer.
        id: ServerId,
        /// The request.
        message: Message,
    },
    /// The ACK of a 2xx.
    Ack {
        /// The ACK; its body is the answer to a late offer.
        message: Message,
    },
    /// A CANCEL that matched an INVITE of this leg; the call answers both.
    Cancel {
        /// The CANCEL's own server transaction.
        id: ServerId,
        /// The INVITE's.
        invite: ServerId,
        /// The CANCEL, whose Reason is passed on.
        message: Message,
    },
    /// A response to a request of ours, including repeats of a 2xx to INVITE (RFC 6026).
    Response {
        /// The client transaction.
        id: ClientId,
        /// The response.
        message: Message,
    },
    /// A request of ours will get no final response.
    Failed {
        /// The client transaction.
        id: ClientId,
        /// Why.
        why: Failure,
    },
    /// Timer H: the failure response to an INVITE was never acknowledged.
    NoAck {
        /// The server transaction.
        id: ServerId,
    },
    /// The connection the leg lives on is gone.
    FlowLost,
    /// A bug of ours has cost the leg its transactions; it can still send.
    Fault,
}

/// Ties a reply to the command it answers; the shell's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyToken(pub u64);

/// What a call is told.
#[derive(Debug)]
pub enum Input {
    /// News from a leg.
    Leg {
        /// Which.
        leg: LegId,
        /// The news.
        event: LegEvent,
    },
    /// A command from the bus; repeats have been answered before they get here.
    Command {
        /// To be given back with the reply.
        token: ReplyToken,
        /// Who speaks, from the subject.
        agent: Box<str>,
        /// The command's id, for the causes of what it brings about.
        id: Box<str>,
        /// What is asked.
        command: CallCommand,
    },
    /// The answer to [`Output::Resolve`].
    Resolved {
        /// The leg that asked.
        leg: LegId,
        /// Where to try, in this order (RFC 3263 4); empty if there is nowhere.
        hops: Vec<Hop>,
    },
    /// The answer to [`Output::Plan`].
    Planned {
        /// Where to look for the party, or why not to.
        plan: Plan,
    },
    /// Somebody wants to take the place of a party. Its leg will be
    /// [`Call::next_leg`](crate::Call::next_leg), which the call opens.
    Replace(Box<Replacement>),
    /// A record could not be kept in time: the call goes on unprotected.
    PersistFailed,
    /// A bug of ours was caught on the way through the call: it ends while it still can.
    Fault,
    /// The node is going down: end by then.
    Drain {
        /// In [`sip::Now::mono`].
        deadline: Duration,
    },
}

/// What a call wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// A leg comes to be, or goes on to another hop.
    Open {
        /// The leg.
        leg: LegId,
        /// What it talks to from now on.
        hop: Hop,
    },
    /// Look up where a target is (RFC 3263); answered by [`Input::Resolved`].
    Resolve {
        /// The leg that waits for it.
        leg: LegId,
        /// Host name or address literal.
        host: Box<str>,
        /// The port the URI names.
        port: Option<u16>,
        /// The transport the URI names.
        transport: Option<Transport>,
    },
    /// Plan the way to a party that is called only now, as things stand now; answered by
    /// [`Input::Planned`].
    Plan {
        /// The party's URI.
        uri: Text,
        /// Whether it may be anywhere, as an agent's party may; else only where our own domains
        /// and routes lead.
        trusted: bool,
    },
    /// Send a request in a client transaction of its own.
    Request {
        /// The leg.
        leg: LegId,
        /// Unique in the leg.
        id: ClientId,
        /// The request's method. A CANCEL carries the branch of the INVITE it cancels.
        method: Method,
        /// The branch in its Via.
        branch: Box<str>,
        /// The request.
        bytes: Bytes,
    },
    /// Answer a server transaction.
    Respond {
        /// The leg.
        leg: LegId,
        /// The transaction.
        id: ServerId,
        /// Whether it is an INVITE: those answers wait at the gate, others do not.
        invite: bool,
        /// The status.
        status: u16,
        /// The response.
        bytes: Bytes,
    },
    /// Send outside of transactions: the ACK of a 2xx, or a 2xx once more.
    Send {
        /// The leg.
        leg: LegId,
        /// Whether the same bytes went out before: such do not wait at the gate.
        again: bool,
        /// The message.
        bytes: Bytes,
    },
    /// The call is done with the leg. Its transactions live on until they have terminated; what
    /// else arrives is answered with 481.
    Close {
        /// The leg.
        leg: LegId,
    },
    /// Tell the bus.
    Event(Box<CallEvent>),
    /// Keep the record of the call, or forget it.
    Persist {
        /// What [`Call::recover`](crate::Call::recover) reads; `None` deletes it.
        record: Option<Bytes>,
        /// Whether what follows must wait until it is kept (see [`Gate`](crate::Gate)).
        ahead: bool,
    },
    /// Answer a command.
    Reply {
        /// From the command.
        token: ReplyToken,
        /// The answer.
        reply: Box<Outcome>,
    },
    /// Nothing will ever come again: forget the call.
    Ended,
}
