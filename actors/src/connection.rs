//! One connection: what is written to it, and which legs must hear when it is gone.

use std::{collections::VecDeque, rc::Rc};

use actix::{Actor, ActorContext, Addr, Context, Handler, Message as Letter};
use bytes::Bytes;
use engine::{LegId, Transport};
use smallvec::SmallVec;
use tokio::sync::mpsc;

use crate::{
    fault::{Part, contain},
    limit::refused,
    local::Local,
};

/// The actor of one connection, on the arbiter that owns it.
pub(crate) struct Connection {
    local: Rc<Local>,
    number: u64,
    transport: Transport,
    way: Way,
    legs: SmallVec<[Bound; 1]>,
}

/// A leg that lives on the connection, on whichever arbiter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) arbiter: usize,
    pub(crate) call: u64,
    pub(crate) leg: LegId,
}

enum Way {
    /// Being connected; what is to be sent waits.
    Opening(VecDeque<Bytes>),
    /// Up.
    Open(mpsc::Sender<Bytes>),
}

/// What a connection is told.
#[derive(Letter)]
#[rtype(result = "()")]
pub(crate) enum Notice {
    /// It is up.
    Up(mpsc::Sender<Bytes>),
    /// Write this.
    Write(Bytes),
    /// This leg lives on it.
    Bind(Bound),
    /// And now no more.
    Unbind(Bound),
    /// It is down.
    Down,
}

impl Connection {
    /// Starts the actor, `open` or yet to come up.
    pub(crate) fn start_on(
        local: Rc<Local>,
        number: u64,
        transport: Transport,
        open: Option<mpsc::Sender<Bytes>>,
    ) -> Addr<Self> {
        let way = open.map_or_else(|| Way::Opening(VecDeque::new()), Way::Open);
        Self {
            local,
            number,
            transport,
            way,
            legs: SmallVec::new(),
        }
        .start()
    }

    fn write(&mut self, bytes: Bytes) -> bool {
        match &mut self.way {
            Way::Open(writer) => {
                let taken = writer.try_send(bytes).is_ok();
                if taken {
                    self.local.traffic().sent(self.transport);
                }
                taken
            }
            Way::Opening(waiting) => {
                let room = waiting.len() < self.local.shared.net.write_queue();
                if room {
                    waiting.push_back(bytes);
                }
                room
            }
        }
    }

    fn down(&mut self, context: &mut Context<Self>) {
        self.local.forget_connection(self.number);
        while let Some(bound) = self.legs.pop() {
            self.local.tell_flow_lost(bound);
        }
        context.stop();
    }
}

impl Actor for Connection {
    type Context = Context<Self>;
}

impl Handler<Notice> for Connection {
    type Result = ();

    fn handle(&mut self, notice: Notice, context: &mut Context<Self>) {
        let ends = matches!(notice, Notice::Down);
        // What a connection holds is whole between any two steps: it goes on as it is.
        if contain(Part::Connection, || self.obey(notice, context)).is_none() && ends {
            contain(Part::Connection, || self.down(context));
            context.stop();
        }
    }
}

impl Connection {
    fn obey(&mut self, notice: Notice, context: &mut Context<Self>) {
        match notice {
            Notice::Up(writer) => {
                if let Way::Opening(waiting) = std::mem::replace(&mut self.way, Way::Open(writer)) {
                    for bytes in waiting {
                        self.write(bytes);
                    }
                }
            }
            Notice::Write(bytes) => {
                // A peer that does not read costs its own connection, never our memory.
                if !self.write(bytes) {
                    let (connection, transport) = (self.number, self.transport);
                    tracing::info!(connection, ?transport, "slow reader cut off");
                    metrics::counter!("ifbus_slow_readers_total").increment(1);
                    refused("send_queue_bytes");
                    self.down(context);
                }
            }
            Notice::Bind(bound) => self.legs.push(bound),
            Notice::Unbind(bound) => {
                if let Some(at) = self.legs.iter().position(|leg| *leg == bound) {
                    self.legs.swap_remove(at);
                }
            }
            Notice::Down => self.down(context),
        }
    }
}
