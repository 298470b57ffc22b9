//! The threads that own calls. Each reads its own sockets, parses, decides and sends without
//! handing anything to another thread (docs/decisions: thread layout).

use std::{
    io,
    rc::Rc,
    sync::{Arc, mpsc as std_mpsc},
    thread::JoinHandle,
};

use actix::{Actor, AsyncContext, Context, System};
use bytes::Bytes;
use engine::{Hop, Transport};
use tokio::{net::UdpSocket, sync::mpsc};

use crate::{
    clock::Clock,
    fault::{Part, contain, tend},
    front::{Front, malformed},
    local::Local,
    net,
    parcel::{Arrival, Closed, Parcel, Posts},
    shared::Shared,
};

/// Parcels handled in one wake before sockets and mailboxes get their turn.
const BURST: usize = 64;

/// The UDP sockets of one arbiter, by listener.
pub(crate) type Sockets = Vec<(u16, std::net::UdpSocket)>;

/// The actix system and its arbiters.
pub(crate) struct Arbiters {
    system: System,
    thread: Option<JoinHandle<()>>,
}

impl Arbiters {
    /// Starts one arbiter for each inbox.
    pub(crate) fn start(
        clock: Clock,
        shared: &Arc<Shared>,
        posts: &Posts,
        inboxes: Vec<(mpsc::Receiver<Parcel>, Sockets)>,
    ) -> io::Result<Self> {
        let (up, ready) = std_mpsc::sync_channel(1);
        let (shared, posts) = (shared.clone(), posts.clone());
        let thread = std::thread::Builder::new()
            .name("actors".into())
            .spawn(move || {
                let runner = System::new();
                let arbiters = runner.block_on(async move {
                    let mut arbiters = Vec::with_capacity(inboxes.len());
                    for (index, (inbox, sockets)) in inboxes.into_iter().enumerate() {
                        let (shared, posts) = (shared.clone(), posts.clone());
                        let arbiter = actix::Arbiter::new();
                        arbiter.spawn_fn(move || {
                            let local = Local::new(index, clock, shared, posts);
                            actix::spawn(async move { serve(&local, inbox, sockets).await });
                        });
                        arbiters.push(arbiter);
                    }
                    up.send(System::current()).ok();
                    arbiters
                });
                if let Err(error) = runner.run() {
                    tracing::error!(%error, "the actors' system failed");
                }
                // Their sockets close with them.
                for arbiter in arbiters {
                    arbiter.stop();
                    arbiter.join().ok();
                }
            })?;
        let system = ready.recv().map_err(io::Error::other)?;
        Ok(Self {
            system,
            thread: Some(thread),
        })
    }

    /// Ends all arbiters.
    pub(crate) fn stop(&mut self) {
        self.system.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn serve(local: &Rc<Local>, mut inbox: mpsc::Receiver<Parcel>, sockets: Sockets) {
    let front = Front::new(local.clone()).start();
    local.front.replace(Some(front));
    for (listener, socket) in sockets {
        match UdpSocket::from_std(socket) {
            Ok(socket) => {
                let socket = Rc::new(socket);
                local.add_socket(listener, socket.clone());
                UdpListener {
                    local: local.clone(),
                    listener,
                    socket,
                }
                .start();
            }
            Err(error) => tracing::error!(%error, listener, "a UDP listener did not start"),
        }
    }
    actix::spawn(keep_time(local.clone()));
    let mut parcels = Vec::with_capacity(BURST);
    let mut gauge = local.pressure.gauge();
    while inbox.recv_many(&mut parcels, BURST).await > 0 {
        gauge.note(!inbox.is_empty(), || local.clock.mono());
        for parcel in parcels.drain(..) {
            contain(Part::Parcel, || open(local, parcel));
        }
        tokio::task::yield_now().await;
    }
}

/// Wakes who is due. A deadline that is not told leaves its owner without another: once more, then.
async fn keep_time(local: Rc<Local>) {
    let fire = |owner| {
        let told = contain(Part::Timers, || local.fire(owner));
        told.or_else(|| contain(Part::Timers, || local.fire(owner)));
    };
    tend(Part::Timers, || local.timers.run(local.clock, fire)).await;
}

fn open(local: &Rc<Local>, parcel: Parcel) {
    match parcel {
        Parcel::Accepted(accepted) => {
            actix::spawn(accepted.serve(local.posts[local.index].clone()));
        }
        Parcel::Opened(opened) => local.opened(opened),
        Parcel::Closed {
            connection,
            transport,
            remote,
            why,
        } => {
            tracing::debug!(connection, ?why, "connection closed");
            if matches!(why, Closed::Malformed | Closed::TooBig) {
                local.note_malformed(remote, transport);
            }
            local.closed(connection);
        }
        Parcel::Arrived(arrival) => local.arrived(*arrival),
        Parcel::Send { connection, bytes } => {
            local.write(connection, bytes);
        }
        Parcel::Do(work) => work(local),
    }
}

/// The actor of one UDP socket.
struct UdpListener {
    local: Rc<Local>,
    listener: u16,
    socket: Rc<UdpSocket>,
}

impl Actor for UdpListener {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Self {
            local,
            listener,
            socket,
        } = self;
        let (local, listener, socket) = (local.clone(), *listener, socket.clone());
        let mut gauge = local.pressure.gauge();
        let read = async move {
            let deliver = |bytes, remote| {
                contain(Part::UdpListener, || {
                    datagram(&local, listener, &bytes, remote);
                });
            };
            let burst = |full| gauge.note(full, || local.clock.mono());
            net::receive(&socket, deliver, burst).await;
        };
        context.spawn(actix::fut::wrap_future(read));
    }
}

fn datagram(local: &Local, listener: u16, bytes: &Bytes, remote: std::net::SocketAddr) {
    // Keep-alives (RFC 5626 4.4.1, and the bare zeros some phones send) are no messages.
    if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return;
    }
    if local.is_shut_out(remote) {
        return;
    }
    let hop = Hop::Udp { listener, remote };
    match sip::Message::parse_datagram(bytes.clone(), &local.shared.net.message) {
        Ok(message) => local.arrived(Arrival {
            message: Some(message.with_source(remote)),
            remote,
            hop,
            transport: Transport::Udp,
        }),
        Err(error) => malformed(local, bytes, error, hop, remote),
    }
}
