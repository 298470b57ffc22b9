//! What every thread of a node may read: the snapshots, and the ways into journal and store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bus_schema::{
    Actor, Cause, Encoding, Event, EventData, EventName, NodeData, NodeSnapshot, NodeState,
    Position, Reason, Source, Stamp, Timestamp,
};
use bytes::Bytes;
use engine::{CallKey, Home, Listeners, TokenKey};
use sip::EndpointSettings;
use tokio::runtime::Handle;

use crate::{
    ack::{Ack, AckSink, Notice},
    book::{Book, Nonces},
    clock::Clock,
    defence::Defences,
    dns::Dns,
    fault::{Part, contain},
    forget::{Forgotten, record_name},
    incidents::Incidents,
    journal::{Draft, Entry, Journal},
    limit::refused,
    net::{Admission, NetLimits},
    parcel::{Parcel, Post, Posts},
    random::random_bytes,
    registry::Registry,
    store::{Store, Tree},
    tls::Keyring,
    traffic::Traffic,
};

/// Transactions that one leg or relay may have at once; a well-behaved one has two or three.
const TRANSACTIONS_OF_ONE: usize = 64;
/// The last guard against an INVITE that nobody answers: calls have their own, shorter timers.
const PATIENCE: Duration = Duration::from_secs(600);

/// The parts of a node that all its threads share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) token_key: TokenKey,
    pub(crate) listeners: Listeners,
    pub(crate) home: Arc<Home>,
    pub(crate) net: NetLimits,
    pub(crate) endpoints: Arc<EndpointSettings>,
    pub(crate) nonces: Nonces,
    pub(crate) started_ms: u64,
    pub(crate) admission: Arc<Admission>,
    pub(crate) keyring: Arc<Keyring>,
    /// What the configuration says about users, domains and routes; replaced by a reload.
    pub(crate) book: ArcSwap<Book>,
    pub(crate) defences: Arc<Defences>,
    pub(crate) registry: Registry,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Journal,
    forgotten: Arc<Forgotten>,
    pub(crate) voice: Arc<Voice>,
    pub(crate) incidents: Arc<Incidents>,
    pub(crate) sinks: Vec<Arc<dyn AckSink>>,
    /// No new calls any more.
    pub(crate) draining: AtomicBool,
    pub(crate) calls: AtomicU64,
    /// Bindings, counted once a second.
    pub(crate) bindings: AtomicU64,
    /// For what is too much work for an arbiter.
    pub(crate) runtime: Handle,
    /// Where other servers are.
    pub(crate) dns: Arc<Dns>,
    /// How much all arbiters together remember of what was said.
    pub(crate) captured_bytes: usize,
    /// Names that are being looked up.
    pub(crate) look_ups: AtomicUsize,
    /// By arbiter.
    pub(crate) traffic: Vec<Traffic>,
    node_seq: AtomicU64,
}

/// How this node speaks on the bus.
pub(crate) struct Voice {
    pub(crate) source: Source,
    pub(crate) encoding: Encoding,
    pub(crate) epoch: u64,
}

/// Everything [`Shared::new`] is made of that is not derived.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) home: Arc<Home>,
    pub(crate) net: NetLimits,
    pub(crate) nonces: Nonces,
    pub(crate) admission: Arc<Admission>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) defences: Arc<Defences>,
    pub(crate) book: Arc<Book>,
    pub(crate) registry: Registry,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Journal,
    pub(crate) voice: Voice,
    pub(crate) incidents: Arc<Incidents>,
    pub(crate) dns: Dns,
    pub(crate) captured_bytes: usize,
}

impl Shared {
    pub(crate) fn new(parts: Parts, posts: &Posts) -> Self {
        let sinks = posts
            .iter()
            .map(|post| Arc::new(Sink(post.clone())) as Arc<dyn AckSink>);
        Self {
            clock: parts.clock,
            token_key: parts.home.tokens,
            listeners: parts.home.listeners.clone(),
            home: parts.home,
            net: parts.net,
            endpoints: Arc::new(EndpointSettings {
                transactions_max: TRANSACTIONS_OF_ONE,
                patience: PATIENCE,
                seed: random_bytes(),
            }),
            nonces: parts.nonces,
            started_ms: parts.clock.unix_ms(),
            admission: parts.admission,
            keyring: parts.keyring,
            defences: parts.defences,
            book: ArcSwap::new(parts.book),
            registry: parts.registry,
            forgotten: Forgotten::new(parts.store.clone()),
            store: parts.store,
            journal: parts.journal,
            voice: Arc::new(parts.voice),
            incidents: parts.incidents,
            sinks: sinks.collect(),
            draining: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            bindings: AtomicU64::new(0),
            runtime: Handle::current(),
            dns: Arc::new(parts.dns),
            captured_bytes: parts.captured_bytes,
            look_ups: AtomicUsize::new(0),
            traffic: posts.iter().map(|_| Traffic::default()).collect(),
            node_seq: AtomicU64::new(0),
        }
    }

    /// The arbiter that runs a shard.
    pub(crate) fn arbiter_of(&self, shard: u8) -> usize {
        usize::from(shard) % self.sinks.len()
    }

    // ---- events

    /// Journals an event and so publishes it. `synced`: only once it is on disk.
    pub(crate) fn publish<D: EventData + Send + 'static>(&self, event: Event<D>, synced: bool) {
        let spoken = Spoken {
            event,
            voice: self.voice.clone(),
        };
        let taken = if synced {
            self.journal.append_synced(spoken)
        } else {
            self.journal.append(spoken)
        };
        if taken.is_err() {
            metrics::counter!("ifbus_journal_refused_total").increment(1);
            refused("bus_queue");
        }
    }

    /// Publishes an event that is about no call; its `seq` counts per node.
    /// This node, as queries and events show it.
    pub(crate) fn node_snapshot(&self) -> NodeSnapshot {
        let draining = self.draining.load(Ordering::Relaxed);
        NodeSnapshot {
            node: self.voice.source.node().into(),
            version: env!("CARGO_PKG_VERSION").into(),
            state: if draining {
                NodeState::Draining
            } else {
                NodeState::Up
            },
            epoch: self.voice.epoch,
            started_at: Timestamp(self.started_ms),
            shards: u32::from(engine::CallKey::SHARDS),
            calls: self.calls.load(Ordering::Relaxed),
            registrations: self.registry.bindings(),
        }
    }

    /// An event of this node.
    pub(crate) fn announce_node(&self, name: EventName, reason: Reason) {
        let (node, cause) = (self.node_snapshot(), Self::cause(reason));
        self.announce(name, NodeData { node, cause });
    }

    /// Takes no new calls from now on.
    pub(crate) fn leave(&self) {
        if !self.draining.swap(true, Ordering::Relaxed) {
            self.announce_node(EventName::NodeDraining, Reason::SystemShutdown);
        }
    }

    pub(crate) fn announce<D: EventData + Send + 'static>(&self, name: EventName, data: D) {
        let seq = self.node_seq.fetch_add(1, Ordering::Relaxed) + 1;
        let stamp = Stamp {
            at: Timestamp(self.clock.unix_ms()),
            position: Position {
                epoch: self.voice.epoch,
                seq,
            },
            offset_ms: 0,
            causation_id: None,
            traceparent: None,
        };
        self.publish(
            Event {
                name,
                stamp,
                leg: None,
                data,
            },
            false,
        );
    }

    /// A cause of ours.
    pub(crate) fn cause(reason: Reason) -> Cause {
        Cause::new(Actor::System, reason)
    }

    // ---- records

    /// Keeps the record of a call. `false`: the store takes no more.
    pub(crate) fn keep_call(&self, key: CallKey, record: Bytes, notice: Option<Notice>) -> bool {
        let name = record_name(key);
        self.store.put(Tree::Dialogs, &name, record, notice).is_ok()
    }

    /// Forgets the record of a call once what the call has told is safe.
    pub(crate) fn forget_call(&self, key: CallKey) {
        self.forgotten.forget(&self.journal, key);
    }
}

/// An event on its way into the journal; encoded on the journal's thread.
struct Spoken<D> {
    event: Event<D>,
    voice: Arc<Voice>,
}

impl<D: EventData + Send + 'static> Entry for Spoken<D> {
    fn encode(&self, draft: &mut Draft) {
        let Voice {
            source, encoding, ..
        } = &*self.voice;
        let subject = self.event.subject_into(source, &mut draft.subject);
        let body = self.event.encode_into(source, *encoding, &mut draft.body);
        if let (Err(error), _) = (&subject, &body) {
            tracing::error!(%error, event = %self.event.name, "an event has no subject");
        }
        if let Err(error) = body {
            tracing::error!(%error, event = %self.event.name, "an event cannot be encoded");
        }
        draft.id = self.event.id(source);
        draft.header(
            bus_schema::header::CONTENT_TYPE,
            encoding.event_content_type(),
        );
    }
}

/// Acknowledgements of the store, on their way to an arbiter: one parcel a batch.
struct Sink(Post);

impl AckSink for Sink {
    fn settle(&self, acks: &[Ack]) {
        let acks: Box<[Ack]> = acks.into();
        self.0.blocking_send(Parcel::Do(Box::new(move |local| {
            for ack in &acks {
                // Each on its own: many wait for their word of one batch.
                contain(Part::Parcel, || local.persisted(ack.token, ack.durable));
            }
        })));
    }
}
