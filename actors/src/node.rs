//! A node: started from a configuration, stopped in order.

mod housekeeping;
mod office;
mod reload;
mod state;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bus_schema::{BusData, BusGap, CallRef, Encoding, EventName, Reason, Timestamp};
use config::{BusUrl, Config, Diagnostics, Limits};
use engine::{CallKey, Listeners, Registrar};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    task::JoinSet,
    time::sleep,
};

pub use self::reload::Changes;
use self::{housekeeping::look_after, office::Office, reload::Settings, state::State};
use crate::{
    arbiter::Arbiters,
    book::Book,
    bus::{self, Bus, Gap, GapSink, PresenceError},
    call::{Call, Heard},
    clock::Clock,
    commands::{CommandLimits, Commands},
    defence::Defences,
    dns::Dns,
    forget::call_key,
    incidents::Incidents,
    journal::last_events,
    listeners::{Bound, bind},
    nats_server::{self, NatsServer},
    net::{Admission, Assets, NetLimits, StreamListener, accept},
    parcel::{Parcel, Post, Posts, Work},
    random::{random_bytes, random_u64, random_u128},
    registry::Registry,
    shared::{Parts, Shared, Voice},
    store::Tree,
    tls::{self, Keyring, TlsError},
    traffic,
};

/// How long the bus may take to get the last events.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("cannot listen on {what} {addr}: {source}")]
    Bind {
        /// For what.
        what: String,
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A listener needs TLS and there is no usable certificate.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The state directory cannot be used.
    #[error("state_dir {path}: {source}")]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The private nats-server does not run.
    #[error(transparent)]
    NatsServer(#[from] nats_server::StartError),
    /// Another adapter of the tenant is on the bus, and neither is clustered.
    #[error(
        "another adapter of this tenant, node {0}, is on the bus: stop it, or give this one \
         another \
         bus; several nodes need [cluster]"
    )]
    AnotherAdapter(String),
    /// The system refused something.
    #[error("{0}")]
    Io(#[source] io::Error),
}

/// Whether new work should be sent here.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    /// Whether it should.
    pub ready: bool,
    /// What does not work as it should, in words.
    pub degraded: Vec<&'static str>,
    /// Calls there are.
    pub calls: u64,
    /// Bindings there are.
    pub registrations: u64,
}

/// A running node.
pub struct Node {
    shared: Arc<Shared>,
    posts: Posts,
    commands: Arc<Commands>,
    bus: Mutex<Option<Bus>>,
    health: Option<Arc<bus::Health>>,
    server: Mutex<Option<NatsServer>>,
    arbiters: Mutex<Arbiters>,
    drained: Arc<Notify>,
    settings: Arc<Settings>,
    /// Accepting connections, and what happens by itself.
    tasks: Mutex<JoinSet<()>>,
    bound: Vec<(config::Transport, SocketAddr)>,
}

/// How many threads the shared runtime of a node needs.
#[must_use]
pub fn shared_threads() -> usize {
    cores().clamp(1, 4)
}

/// One arbiter for every two cores: see docs/decisions, thread layout.
fn arbiters() -> usize {
    (cores() / 2).max(1)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Node {
    /// Starts a node on the current runtime. `file` is what a reload reads.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(
        config: &Config,
        file: Option<PathBuf>,
        assets: Assets,
    ) -> Result<Self, StartError> {
        Self::start_on(arbiters(), config, file, assets).await
    }

    /// The same with so many arbiters, at least one, instead of those the machine is good for.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start_on(
        arbiters: usize,
        config: &Config,
        file: Option<PathBuf>,
        assets: Assets,
    ) -> Result<Self, StartError> {
        let clock = Clock::start();
        let count = arbiters.max(1);
        let state = State::open(config, clock)?;
        let net = crate::book::net_limits(config);
        let bound = bind(config, clock, &assets, &net, count)?;
        let server = managed(config, clock).await?;
        let address = state::address(config, server.as_ref());

        let (posts, inboxes): (Vec<_>, Vec<_>) = (0..count)
            .map(|_| Post::new(limit(config.limits.inbox)))
            .unzip();
        let posts: Posts = posts.into();
        let Bound {
            listeners,
            sockets,
            streams,
            addresses,
            keyring,
        } = bound;
        let shared = shared(config, clock, state, (&listeners, keyring), net, &posts);
        let inboxes = inboxes.into_iter().zip(sockets).collect();
        let arbiters = Arbiters::start(clock, &shared, &posts, inboxes).map_err(StartError::Io)?;
        recover(&shared, &posts).await;

        let drained = Arc::new(Notify::new());
        let settings = Arc::new(Settings::new(config));
        let admin = Box::new(Office {
            shared: shared.clone(),
            posts: posts.clone(),
            file,
            settings: settings.clone(),
            drained: drained.clone(),
        });
        let limits = command_limits(config);
        let commands = Commands::new(shared.clone(), posts.clone(), admin, limits);
        let bus = match address {
            None => None,
            Some(address) => {
                let options = bus_options(config, address, &shared);
                Some(take_part(options, &shared, &commands).await?)
            }
        };
        let tasks = listen(streams, &shared, &posts).map_err(StartError::Io)?;
        if let Some(bus) = &bus {
            bus.ready(true);
        }
        let health = bus.as_ref().map(|bus| bus.health().clone());
        let node = Self {
            shared,
            posts,
            commands,
            health,
            bus: Mutex::new(bus),
            server: Mutex::new(server),
            arbiters: Mutex::new(arbiters),
            drained,
            settings,
            tasks: Mutex::new(tasks),
            bound: addresses,
        };
        let (shared, commands) = (node.shared.clone(), node.commands.clone());
        let watch = tls::watch(shared.clone());
        node.tasks.lock().spawn(look_after(shared, commands));
        node.tasks.lock().spawn(watch);
        node.shared
            .announce_node(EventName::NodeUp, Reason::Started);
        for (transport, addr) in &node.bound {
            tracing::info!(transport = transport.as_str(), %addr, "listening");
        }
        Ok(node)
    }

    /// Where it listens, with the ports that were given for port 0.
    #[must_use]
    pub fn bound(&self) -> &[(config::Transport, SocketAddr)] {
        &self.bound
    }

    /// Calls there are.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Whether every arbiter answers.
    pub async fn is_alive(&self) -> bool {
        for post in self.posts.iter() {
            let (alive, heard) = oneshot::channel();
            let sent = post.try_send(Parcel::Do(Box::new(move |_| {
                alive.send(()).ok();
            })));
            if !sent
                || tokio::time::timeout(Duration::from_secs(2), heard)
                    .await
                    .is_err()
            {
                return false;
            }
        }
        true
    }

    /// Whether new work should be sent here, and what is degraded.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let mut degraded = Vec::new();
        let draining = self.shared.draining.load(Ordering::Relaxed);
        if draining {
            degraded.push("draining: no new calls");
        }
        if let Some(health) = &self.health {
            if !health.events_up() {
                degraded.push("bus: events wait in the journal");
            }
            if !health.commands_up() {
                degraded.push("bus: no commands arrive");
            }
        }
        Readiness {
            ready: !draining,
            degraded,
            calls: self.calls(),
            registrations: self.shared.registry.bindings(),
        }
    }

    /// Sets the gauges that are counted rather than kept.
    pub fn measure(&self) {
        metrics::gauge!("ifbus_calls").set(self.calls() as f64);
        metrics::gauge!("ifbus_registrations").set(self.shared.registry.bindings() as f64);
        metrics::gauge!("ifbus_connections").set(self.shared.admission.open() as f64);
        traffic::measure(&self.shared.traffic);
        self.shared.keyring.measure();
        if self.health.is_some()
            && let Some(outbox) = self.shared.journal.outbox()
        {
            metrics::gauge!("ifbus_journal_unpublished").set(outbox.unpublished() as f64);
        }
    }

    /// Has `part` panic the next time it works on an arbiter of this node or on the calling thread.
    #[cfg(feature = "faults")]
    pub async fn fault(&self, part: crate::Part, moment: crate::Moment) {
        crate::fault::arm(part, moment);
        for post in self.posts.iter() {
            let (done, armed) = oneshot::channel();
            let work = Box::new(move |_: &std::rc::Rc<crate::local::Local>| {
                crate::fault::arm(part, moment);
                done.send(()).ok();
            });
            post.send(Parcel::Do(work)).await;
            armed.await.ok();
        }
    }

    /// Reads the configuration again, all or nothing.
    ///
    /// # Errors
    /// Every mistake in the file; nothing has changed then.
    pub fn reload(&self, file: &Path) -> Result<Changes, Diagnostics> {
        self.settings.read(&self.shared, file)
    }

    /// Returns once a drain that a command asked for is over.
    pub async fn drained(&self) {
        self.drained.notified().await;
    }

    /// Takes no new calls, waits for those there are, and ends what is left after `within`.
    pub async fn drain(&self, within: Duration) {
        if let Some(bus) = &*self.bus.lock() {
            bus.ready(false);
        }
        drain(&self.shared, &self.posts, within).await;
    }

    /// Ends everything, in the order in which the one depends on the other.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        self.shared.tell_last_incidents();
        self.shared
            .announce_node(EventName::NodeDown, Reason::SystemShutdown);
        // What was announced must be written before the publisher is told to finish.
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || shared.journal.close())
            .await
            .ok();
        let bus = self.bus.lock().take();
        if let Some(bus) = bus {
            bus.stop(FAREWELL).await;
        }
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || shared.store.close())
            .await
            .ok();
        let server = self.server.lock().take();
        if let Some(server) = server {
            tokio::task::spawn_blocking(move || server.stop())
                .await
                .ok();
        }
        self.arbiters.lock().stop();
    }
}

/// Accepts on all of these.
fn listen(
    streams: Vec<(std::net::TcpListener, StreamListener)>,
    shared: &Arc<Shared>,
    posts: &Posts,
) -> io::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    for (socket, listener) in streams {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let admission = shared.admission.clone();
        tasks.spawn(accept(socket, listener, posts.clone(), admission));
    }
    Ok(tasks)
}

/// What the node's threads share, with the registrations of the last run taken up.
fn shared(
    config: &Config,
    clock: Clock,
    state: State,
    (listeners, keyring): (&Listeners, Arc<Keyring>),
    net: NetLimits,
    posts: &Posts,
) -> Arc<Shared> {
    let home = crate::book::home(config, listeners, state.epoch, state.token_key);
    let book = Arc::new(Book::new(config, listeners));
    let registry = Registry::new(state.token_key, || {
        let seed = engine::Seed(random_u128());
        Registrar::new(book.registrar, state.token_key, listeners.clone(), seed)
    });
    let limits = config.limits.clone();
    let incidents = Arc::new(Incidents::new(
        Limits::ms(limits.incident_ms),
        limit(limits.incident_sources),
    ));
    let trusted = move |source| limits.is_trusted(source);
    let defences = Arc::new(Defences::new(&book.defence));
    let judges = defences.clone();
    let shut_out = move |source| judges.is_banned(|| clock.now(), source);
    let voice = Voice {
        source: bus_schema::Source::new(&book.tenant, &config.node.id),
        encoding: encoding(config),
        epoch: state.epoch,
    };
    let dns = Dns::new(&config.dns.servers, net.resolve, &home.listeners);
    let parts = Parts {
        clock,
        home,
        net,
        nonces: crate::book::nonces(config),
        admission: Admission::new(incidents.clone(), trusted, shut_out),
        keyring,
        defences,
        book,
        registry,
        store: state.store.clone(),
        journal: state.journal,
        voice,
        incidents,
        dns,
        captured_bytes: limit(config.limits.capture_mbytes) << 20,
    };
    let shared = Arc::new(Shared::new(parts, posts));
    shared.restore_registrations();
    shared
}

fn command_limits(config: &Config) -> CommandLimits {
    CommandLimits {
        agents: limit(config.limits.agents),
        idempotency_keys: limit(config.limits.idempotency_keys),
    }
}

fn limit(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn encoding(config: &Config) -> Encoding {
    match config.bus.encoding {
        config::Encoding::Json => Encoding::Json,
        config::Encoding::Msgpack => Encoding::MsgPack,
    }
}

/// The private nats-server, where one is wanted. Its start blocks.
async fn managed(config: &Config, clock: Clock) -> Result<Option<NatsServer>, StartError> {
    if !matches!(config.bus.url, BusUrl::Managed) {
        return Ok(None);
    }
    let options = nats_server::Options {
        server: config.bus.server.clone(),
        port: config.bus.port,
        state_dir: config.node.state_dir.clone(),
        node: config.node.id.clone(),
        entropy: random_bytes(),
    };
    let started = tokio::task::spawn_blocking(move || NatsServer::start(&options, clock)).await;
    match started {
        Ok(server) => Ok(Some(server?)),
        Err(error) => Err(StartError::Io(io::Error::other(error))),
    }
}

fn bus_options(config: &Config, address: bus::Address, shared: &Shared) -> bus::Options {
    bus::Options {
        address,
        tenant: shared.voice.source.tenant().to_owned(),
        node: config.node.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clustered: false,
        events: config.bus.events,
        shards: None,
        in_flight: limit(config.limits.command_queue),
        seed: random_u64(),
    }
}

/// Joins the bus, unless an adapter of the tenant is there already. A bus that cannot be reached
/// now is joined when it can.
async fn take_part(
    options: bus::Options,
    shared: &Arc<Shared>,
    commands: &Arc<Commands>,
) -> Result<Bus, StartError> {
    match bus::another_adapter(&options).await {
        Ok(Some(node)) => return Err(StartError::AnotherAdapter(node)),
        Ok(None) => {}
        Err(error @ (PresenceError::Link(_) | PresenceError::Lost)) => {
            tracing::warn!(%error, "the bus is not there yet: events wait in the journal");
        }
    }
    let parts = bus::Parts {
        outbox: shared.journal.outbox(),
        store: shared.store.clone(),
        clock: shared.clock,
        commands: commands.clone(),
        gaps: Arc::new(Gaps(shared.clone())),
    };
    Ok(Bus::start(options, parts, &Handle::current()))
}

/// Takes up the calls that were there when the process ended.
async fn recover(shared: &Arc<Shared>, posts: &Posts) {
    let mut calls = Vec::new();
    let read = shared
        .store
        .scan(Tree::Dialogs, &mut |key, _format, record| {
            if let Some(key) = call_key(key) {
                calls.push((key, bytes::Bytes::copy_from_slice(record)));
            }
        });
    if let Err(error) = read {
        tracing::error!(%error, "calls of the last run are lost");
    }
    let wanted = calls.iter().map(|(key, _)| CallRef::from(*key)).collect();
    let journal = shared.clone();
    let read = tokio::task::spawn_blocking(move || last_events(&journal.journal, &wanted));
    let mut told = read.await.unwrap_or_default();
    // Thousands may come at once; the arbiters are already taking them.
    let send = async |key: CallKey, work: Work| {
        posts[shared.arbiter_of(key.shard)]
            .send(Parcel::Do(work))
            .await;
    };
    for (key, record) in calls {
        let last = told.remove(&CallRef::from(key));
        let work = move |local: &_| Call::recovered(local, key, &record, last.as_ref());
        send(key, Box::new(work)).await;
    }
    for (call, last) in told {
        let work = move |local: &_| Call::recovered_told(local, &last);
        send(call.into(), Box::new(work)).await;
    }
}

async fn drain(shared: &Arc<Shared>, posts: &Posts, within: Duration) {
    shared.leave();
    let deadline = shared.clock.mono() + within;
    for post in posts.iter() {
        post.send(Parcel::Do(Box::new(move |local| {
            for call in local.calls.borrow().values() {
                call.do_send(Heard::Drain { deadline });
            }
        })))
        .await;
    }
    // Calls end themselves by the deadline; what a BYE needs comes on top.
    let last = deadline + Duration::from_secs(2);
    while shared.calls.load(Ordering::Relaxed) > 0 && shared.clock.mono() < last {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Says on the bus that it was gone for a time.
struct Gaps(Arc<Shared>);

impl GapSink for Gaps {
    fn gap(&self, gap: Gap) {
        let Gap {
            since_ms,
            until_ms,
            delayed,
            dropped,
        } = gap;
        let node = self.0.voice.source.node().into();
        let gap = BusGap {
            node,
            since: Timestamp(since_ms),
            until: Timestamp(until_ms),
            delayed,
            dropped,
        };
        self.0.announce(
            EventName::BusGap,
            BusData {
                gap,
                cause: Shared::cause(Reason::BusLost),
            },
        );
    }
}
