//! What reaches an arbiter from other threads, through one bounded inbox.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use bytes::Bytes;
use engine::{Hop, Transport};
use sip::Message;
use tokio::sync::mpsc;

use crate::{limit::refused, local::Local, net::Accepted};

/// A message from the wire with all that is known about its way here.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The message; the template of a connection has none.
    pub(crate) message: Option<Message>,
    /// Who sent it.
    pub(crate) remote: SocketAddr,
    /// The way back: this socket and peer, or this connection.
    pub(crate) hop: Hop,
    /// What carried it.
    pub(crate) transport: Transport,
}

impl Arrival {
    /// The same way, carrying `message`.
    pub(crate) fn with(&self, message: Message) -> Self {
        Self {
            message: Some(message.with_source(self.remote)),
            ..self.clone()
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The peer closed it.
    ByPeer,
    /// We closed it.
    ByUs,
    /// It broke.
    Failed,
    /// Nothing came for too long.
    Idle,
    /// The peer does not read.
    Slow,
    /// What came is not SIP.
    Malformed,
    /// A frame or message over its limit.
    TooBig,
}

/// A connection that is ready.
pub(crate) struct Opened {
    pub(crate) connection: u64,
    pub(crate) transport: Transport,
    /// To its task. Dropped: the task closes.
    pub(crate) writer: mpsc::Sender<Bytes>,
}

/// What another thread has for an arbiter.
pub(crate) enum Parcel {
    /// A plain connection was accepted; this arbiter reads it itself.
    Accepted(Box<Accepted>),
    /// A connection is up.
    Opened(Opened),
    /// A connection is down.
    Closed {
        connection: u64,
        transport: Transport,
        remote: SocketAddr,
        why: Closed,
    },
    /// A message for this arbiter, from a connection or from the socket of another arbiter.
    Arrived(Box<Arrival>),
    /// Bytes for a connection that lives here.
    Send { connection: u64, bytes: Bytes },
    /// Work that needs what lives on this arbiter: commands, queries, acknowledgements.
    Do(Work),
}

/// Something to be done on an arbiter.
pub(crate) type Work = Box<dyn FnOnce(&Rc<Local>) + Send>;

/// The way into an arbiter.
#[derive(Clone)]
pub(crate) struct Post {
    inbox: mpsc::Sender<Parcel>,
}

impl Post {
    /// An inbox and the way into it.
    pub(crate) fn new(capacity: usize) -> (Self, mpsc::Receiver<Parcel>) {
        let (inbox, parcels) = mpsc::channel(capacity);
        (Self { inbox }, parcels)
    }

    /// For threads that may wait: a full inbox slows the sender down. `false`: the arbiter is gone.
    pub(crate) async fn send(&self, parcel: Parcel) -> bool {
        self.inbox.send(parcel).await.is_ok()
    }

    /// For threads that may block.
    pub(crate) fn blocking_send(&self, parcel: Parcel) -> bool {
        self.inbox.blocking_send(parcel).is_ok()
    }

    /// For arbiters, which may not wait. `false`: full or gone, the parcel is dropped.
    pub(crate) fn try_send(&self, parcel: Parcel) -> bool {
        let sent = self.inbox.try_send(parcel);
        if matches!(sent, Err(mpsc::error::TrySendError::Full(_))) {
            refused("inbox");
        }
        sent.is_ok()
    }

    /// A message from a connection's task.
    pub(crate) async fn arrived(&self, arrival: Arrival) -> bool {
        self.send(Parcel::Arrived(Box::new(arrival))).await
    }
}

/// The inboxes of all arbiters.
pub(crate) type Posts = Arc<[Post]>;
