//! Accepting connections: plain ones go to the arbiter that will read them, TLS stays here.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bus_schema::{EventName, Reason};
use engine::{Hop, Transport};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{
    NetLimits,
    handshake::{Door, upgrade},
    stream::Wire,
};
use crate::fault::{Part, contain_async, tend};
use crate::incidents::{Details, Incidents};
use crate::limit::refused;
use crate::parcel::{Arrival, Closed, Opened, Parcel, Post, Posts};
use crate::tls::{Entrance, subject};

/// After how long without a packet TCP asks whether the peer is there, and how often.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);

/// One listener for connections.
#[derive(Clone)]
pub(crate) struct StreamListener {
    pub(crate) id: u16,
    pub(crate) transport: Transport,
    /// For WS and WSS.
    pub(crate) door: Option<Door>,
    /// For TLS and WSS.
    pub(crate) tls: Option<Arc<Entrance>>,
    pub(crate) limits: NetLimits,
}

/// Counts connections, in all and by source; a number for each.
pub(crate) struct Admission {
    next: AtomicU64,
    open: AtomicUsize,
    shaking: AtomicUsize,
    by_source: Mutex<HashMap<IpAddr, usize>>,
    incidents: Arc<Incidents>,
    trusted: Judgement,
    shut_out: Judgement,
}

type Judgement = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The right to one handshake; dropped, it is free again.
struct Shaking(Arc<Admission>);

/// The right to one connection; dropped, it is free again.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    source: IpAddr,
    counted: bool,
}

impl Admission {
    /// `trusted`: whether a source is exempt from the limits per source. `shut_out`: whether it is
    /// to be turned away.
    pub(crate) fn new(
        incidents: Arc<Incidents>,
        trusted: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
        shut_out: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            next: AtomicU64::new(1),
            open: AtomicUsize::new(0),
            shaking: AtomicUsize::new(0),
            by_source: Mutex::default(),
            incidents,
            trusted: Box::new(trusted),
            shut_out: Box::new(shut_out),
        })
    }

    /// Connections that peers have made and that are there now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A number that no other connection of this process has.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn enter(
        self: &Arc<Self>,
        source: IpAddr,
        transport: Transport,
        limits: &NetLimits,
    ) -> Option<Permit> {
        let counted = !(self.trusted)(source);
        if counted && (self.shut_out)(source) {
            refused("bans");
            return None;
        }
        if counted {
            let mut by_source = self.by_source.lock();
            let open = by_source.entry(source).or_insert(0);
            if *open >= limits.connections_per_source {
                refused("connections_per_source");
                let (name, reason) = (EventName::SecurityRateLimited, Reason::RateLimited);
                self.incidents.note(name, reason, source, || Details {
                    transport: Some(transport),
                    text: Some("connections_per_source"),
                    ..Details::default()
                });
                return None;
            }
            *open += 1;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let permit = Permit {
            admission: self.clone(),
            source,
            counted,
        };
        if self.open.load(Ordering::Relaxed) <= limits.connections {
            return Some(permit);
        }
        refused("connections");
        None
    }

    /// The right to shake hands, until it is dropped.
    fn shake(self: &Arc<Self>, limits: &NetLimits) -> Option<Shaking> {
        let shaking = Shaking(self.clone());
        if self.shaking.fetch_add(1, Ordering::Relaxed) < limits.handshakes {
            return Some(shaking);
        }
        refused("handshakes");
        None
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.0.shaking.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
        if self.counted {
            let mut by_source = self.admission.by_source.lock();
            if let Some(open) = by_source.get_mut(&self.source) {
                *open -= 1;
                if *open == 0 {
                    by_source.remove(&self.source);
                }
            }
        }
    }
}

/// A plain connection on its way to its arbiter.
pub(crate) struct Accepted {
    stream: std::net::TcpStream,
    remote: SocketAddr,
    listener: StreamListener,
    connection: u64,
    permit: Permit,
    shaking: Option<Shaking>,
}

/// Binds a TCP socket for a listener.
pub(crate) fn bind_tcp(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Accepts for ever, on the shared runtime.
pub(crate) async fn accept(
    socket: TcpListener,
    listener: StreamListener,
    posts: Posts,
    admission: Arc<Admission>,
) {
    let accepting = || accept_all(&socket, &listener, &posts, &admission);
    tend(Part::Accept, accepting).await;
}

async fn accept_all(
    socket: &TcpListener,
    listener: &StreamListener,
    posts: &Posts,
    admission: &Arc<Admission>,
) {
    loop {
        let (stream, remote) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors: the connection stays queued, so give others time to end.
                tracing::warn!(%error, "accept failed");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(permit) = admission.enter(remote.ip(), listener.transport, &listener.limits)
        else {
            metrics::counter!("ifbus_connections_refused_total").increment(1);
            continue;
        };
        keep_alive(&stream);
        let shaking = match (&listener.tls, &listener.door) {
            (None, None) => None,
            _ => match admission.shake(&listener.limits) {
                None => continue,
                shaking => shaking,
            },
        };
        let connection = admission.number();
        let post = owner(posts, connection).clone();
        let listener = listener.clone();
        if let Some(tls) = listener.tls.clone() {
            tokio::spawn(async move {
                let limit = listener.limits.tls_handshake;
                let shaken = timeout(limit, tls.acceptor().accept(stream)).await;
                match shaken {
                    Ok(Ok(stream)) => {
                        note_client(&stream, remote);
                        serve(stream, remote, listener, connection, post, shaking).await;
                    }
                    Ok(Err(error)) => {
                        metrics::counter!("ifbus_tls_handshakes_failed_total").increment(1);
                        tracing::debug!(%error, %remote, "TLS handshake failed");
                    }
                    Err(_) => refused("tls_handshake_ms"),
                }
                drop(permit);
            });
        } else if let Ok(stream) = stream.into_std() {
            let accepted = Accepted {
                stream,
                remote,
                listener,
                connection,
                permit,
                shaking,
            };
            post.send(Parcel::Accepted(Box::new(accepted))).await;
        }
    }
}

/// Says who is there, where a client has shown a certificate: it was verified.
fn note_client(stream: &TlsStream<TcpStream>, remote: SocketAddr) {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().and_then(<[_]>::first);
    if let Some(certificate) = shown {
        tracing::info!(%remote, subject = subject(certificate), "client certificate verified");
    }
}

/// Small messages go at once, and a peer that is gone is found out without any of its packets.
pub(super) fn keep_alive(stream: &TcpStream) {
    stream.set_nodelay(true).ok();
    let probes = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&probes).ok();
}

/// The arbiter whose connection this is.
pub(crate) fn owner(posts: &Posts, connection: u64) -> &Post {
    &posts[usize::try_from(connection).unwrap_or(0) % posts.len()]
}

impl Accepted {
    /// Reads the connection to its end, on the arbiter.
    pub(crate) async fn serve(self, post: Post) {
        if let Ok(stream) = TcpStream::from_std(self.stream) {
            let Self {
                remote,
                listener,
                connection,
                shaking,
                ..
            } = self;
            serve(stream, remote, listener, connection, post, shaking).await;
        }
        drop(self.permit);
    }
}

async fn serve<S>(
    mut stream: S,
    remote: SocketAddr,
    listener: StreamListener,
    connection: u64,
    post: Post,
    shaking: Option<Shaking>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let StreamListener {
        id,
        transport,
        door,
        limits,
        ..
    } = listener;
    let early = match door {
        None => None,
        Some(door) => {
            let upgraded = upgrade(&mut stream, &door, limits.handshake_bytes);
            match timeout(limits.handshake, upgraded).await {
                Ok(Some(early)) => Some(early),
                Ok(None) => return,
                Err(_) => return refused("ws_handshake_ms"),
            }
        }
    };
    drop(shaking);
    let hop = Hop::Flow {
        connection,
        listener: id,
    };
    let arrival = Arrival {
        message: None,
        remote,
        hop,
        transport,
    };
    let owned = Owned {
        connection,
        limits,
        post,
        ours: false,
    };
    run(stream, early, arrival, owned).await;
}

/// Whose a connection is, and what it may cost.
pub(super) struct Owned {
    pub(super) connection: u64,
    pub(super) limits: NetLimits,
    pub(super) post: Post,
    /// Whether we made it.
    pub(super) ours: bool,
}

/// Runs a connection between its `Opened` and its `Closed`.
pub(super) async fn run<S>(stream: S, early: Option<Vec<u8>>, arrival: Arrival, owned: Owned)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Owned {
        connection,
        limits,
        post,
        ours,
    } = owned;
    let (writer, outgoing) = mpsc::channel(limits.write_queue());
    let (transport, remote) = (arrival.transport, arrival.remote);
    if !post
        .send(Parcel::Opened(Opened {
            connection,
            transport,
            writer,
        }))
        .await
    {
        return;
    }
    let wire = Wire {
        post: post.clone(),
        outgoing,
        arrival,
        limits,
        ours,
    };
    let why = match early {
        Some(early) => contain_async(Part::Stream, wire.run_websocket(stream, early)).await,
        None => contain_async(Part::Stream, wire.run_stream(stream)).await,
    };
    // After a panic nobody knows where its messages begin. Its owner must hear of it.
    let why = why.unwrap_or(Closed::Failed);
    let closed = Parcel::Closed {
        connection,
        transport,
        remote,
        why,
    };
    post.send(closed).await;
}
