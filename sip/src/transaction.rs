//! SIP transactions: RFC 3261 section 17 as amended by RFC 6026 and RFC 4320.
//!
//! Four machines, one figure a file, states named as the figures name them:
//!
//! | machine | figure of 3261 | states |
//! | --- | --- | --- |
//! | [`InviteClient`] | 5; 6026 3 | Calling Proceeding Accepted Completed Terminated |
//! | [`NonInviteClient`] | 6 | Trying Proceeding Completed Terminated |
//! | [`InviteServer`] | 7; 6026 5 | Proceeding Accepted Completed Confirmed Terminated |
//! | [`NonInviteServer`] | 8 | Trying Proceeding Completed Terminated |
//!
//! A machine knows no sockets, no clock and no messages: it is told what came (a status, a
//! request, a timer that is due) and answers with a [`Step`]: the bytes to send and what to tell
//! the transaction user. A retransmission is the same stored [`Bytes`] again, a reference count.
//! [`Endpoint`](crate::Endpoint) holds the machines of one holder and finds the right one.

use bytes::Bytes;

mod follow;
mod invite_client;
mod invite_server;
mod key;
mod non_invite_client;
mod non_invite_server;
mod table;
mod timers;

pub use follow::cancel;
pub use invite_client::InviteClient;
pub use invite_server::InviteServer;
pub use non_invite_client::NonInviteClient;
pub use non_invite_server::NonInviteServer;
pub use timers::{T1, T2, T4, TIMER_D};

pub(crate) use follow::ack;
pub(crate) use key::KeySeed;
pub(crate) use table::{Machine, Table, Transaction};
pub(crate) use timers::{Cap, Retransmit, SIXTY_FOUR_T1};

/// A server transaction, unique in its [`Endpoint`](crate::Endpoint).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u32);

/// A client transaction, unique in its [`Endpoint`](crate::Endpoint); the holder numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u32);

/// Whose bytes these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transmitter {
    /// A server transaction: a response.
    Server(ServerId),
    /// A client transaction: a request, or the ACK of a failure.
    Client(ClientId),
}

/// Why a client transaction failed without a final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Timer B or F, or no final response within 64*T1 of a CANCEL (RFC 3261 9.1).
    Timeout,
    /// The transport could not deliver the request (RFC 3261 17.1.4).
    Unreachable,
    /// The holder has as many transactions as its limit allows, or one of this id or branch;
    /// nothing was sent.
    NoRoom,
}

/// What a machine wants done: send first, then tell the transaction user.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Bytes for the wire.
    pub transmit: Option<Bytes>,
    /// News for the transaction user.
    pub inform: Option<Inform>,
}

/// News for the transaction user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inform {
    /// The message that was just received.
    Message,
    /// The transaction ended without a final response.
    Failed(Failure),
    /// Timer H: no ACK came for the failure response.
    NoAck,
}

impl Step {
    const NOTHING: Self = Self {
        transmit: None,
        inform: None,
    };

    const fn transmit(bytes: Bytes) -> Self {
        Self {
            transmit: Some(bytes),
            inform: None,
        }
    }

    const fn inform(news: Inform) -> Self {
        Self {
            transmit: None,
            inform: Some(news),
        }
    }
}
