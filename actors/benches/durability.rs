//! What an event costs from the arbiter to the bus, and a registration to the disk: CPU of this
//! process per item, at a given rate. `cargo bench -p actors --bench durability -- journal 1600`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement, run by hand"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::ack::{Ack, AckSink, Notice};
use actors::bus::{Bus, CommandSink, Gap, GapSink, Options, Parts, Reply, Request, Responder};
use actors::clock::Clock;
use actors::journal::{self, Draft, Entry, Journal};
use actors::nats_server::{self, NatsServer};
use actors::store::{self, MemoryStore, SledStore, Store, Tree};
use bus_schema::{CallRef, DEFAULT_TENANT, Subject, Topic};
use bytes::Bytes;
use config::Events;
use ed25519_dalek::SigningKey;

const CALL: &str = "07.01J9ZK0000000000000000000A";

struct Event(u64);

impl Entry for Event {
    fn encode(&self, draft: &mut Draft) {
        let call: CallRef = CALL.parse().unwrap();
        let event = "call.ringing";
        let subject = Subject {
            tenant: DEFAULT_TENANT,
            topic: Topic::CallEvent { call, event },
        };
        subject.build_into(&mut draft.subject).unwrap();
        draft.id = format!("{CALL}:3:{}", self.0);
        draft.header("Content-Type", "application/cloudevents+json");
        draft.body.resize(550, b'x');
    }
}

struct Silent;

impl CommandSink for Silent {
    fn command(&self, _: Request, _: Responder) {}
    fn overloaded(&self, _: &Request) -> Reply {
        Reply::default()
    }
}

impl GapSink for Silent {
    fn gap(&self, _: Gap) {}
}

#[derive(Default)]
struct Count(AtomicU64, AtomicU64);

impl AckSink for Count {
    fn settle(&self, acks: &[Ack]) {
        self.0.fetch_add(acks.len() as u64, Ordering::Relaxed);
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// CPU time of every thread but the pacing one, in microseconds.
fn cpu_us() -> u64 {
    let main = std::process::id().to_string();
    let mut total = 0;
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        if task.file_name().to_str() == Some(&main) {
            continue;
        }
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        total += text
            .split(' ')
            .next()
            .and_then(|ns| ns.parse::<u64>().ok())
            .unwrap_or(0);
    }
    total / 1000
}

/// Calls `each` at `rate` for `seconds`, every call from one wake-up per event, as an arbiter
/// would.
fn pace(rate: u64, seconds: u64, mut each: impl FnMut(u64)) {
    let clock = Clock::start();
    for n in 0..rate * seconds {
        let due = Duration::from_nanos(n * 1_000_000_000 / rate);
        let now = clock.mono();
        if due > now {
            std::thread::sleep(due - now);
        }
        each(n);
    }
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let what = args.first().map_or("journal", String::as_str).to_owned();
    let rate: u64 = args
        .get(1)
        .and_then(|rate| rate.parse().ok())
        .unwrap_or(1600);
    let server = args.get(2).cloned();
    let own = concat!(env!("CARGO_TARGET_TMPDIR"), "/durability-bench");
    let dir = PathBuf::from(std::env::var("BENCH_DIR").unwrap_or_else(|_| own.into()));
    let _fresh = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let seconds = 8;
    match what.as_str() {
        "journal" | "core" | "jetstream" => journal_bench(&what, rate, seconds, server, &dir),
        _ => store_bench(rate, seconds, &dir),
    }
}

fn journal_bench(what: &str, rate: u64, seconds: u64, server: Option<String>, dir: &Path) {
    let clock = Clock::start();
    let mut options = journal::Options::new(dir.join("journal"));
    if what == "journal" {
        options.ring = (0, 0);
    }
    if let Some(ms) = std::env::var("GATHER").ok().and_then(|ms| ms.parse().ok()) {
        options.gather = Duration::from_millis(ms);
    }
    let key = SigningKey::from_bytes(&[7; 32]);
    let (journal, _) = Journal::open(options, key, 0, clock).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let running = (what != "journal").then(|| {
        let events = if what == "core" {
            Events::Core
        } else {
            Events::Jetstream
        };
        let server = server.unwrap_or_else(|| "nats-server".into());
        connect(events, server, dir, &journal, runtime.handle(), clock)
    });
    let before = cpu_us();
    let began = clock.mono();
    pace(rate, seconds, |n| {
        let pushed = if n % 4 == 3 {
            journal.append_synced(Event(n))
        } else {
            journal.append(Event(n))
        };
        pushed.unwrap();
    });
    let took = clock.mono() - began;
    let cost = (cpu_us() - before) as f64 / (rate * seconds) as f64;
    print!("{what} {rate}/s: {:.1} us CPU per event in {took:?}", cost);
    if let Some((nats, bus)) = running {
        let pid = nats.pid().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        print!("; published {} at once", bus.health().published());
        print!(
            "; server {:.1} us",
            ticks as f64 * 10_000.0 / (rate * seconds) as f64
        );
        journal.close();
        runtime.block_on(bus.stop(Duration::from_secs(60)));
    }
    println!();
}

/// A server of its own and the bus that publishes what the journal takes.
fn connect(
    events: Events,
    server: String,
    dir: &Path,
    journal: &Journal,
    runtime: &tokio::runtime::Handle,
    clock: Clock,
) -> (NatsServer, Bus) {
    let nats = NatsServer::start(
        &nats_server::Options {
            server: server.into(),
            port: 14229,
            state_dir: dir.to_owned(),
            node: "n1".into(),
            entropy: [3; 16],
        },
        clock,
    )
    .unwrap();
    let options = Options {
        address: nats.address().clone(),
        tenant: "default".into(),
        node: "n1".into(),
        version: "0.1.0".into(),
        clustered: false,
        events,
        shards: None,
        in_flight: 64,
        seed: 3,
    };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let parts = Parts {
        outbox: journal.outbox(),
        store,
        clock,
        commands: Arc::new(Silent),
        gaps: Arc::new(Silent),
    };
    let bus = Bus::start(options, parts, runtime);
    while !bus.health().events_up() {
        std::thread::sleep(Duration::from_millis(10));
    }
    (nats, bus)
}

fn store_bench(rate: u64, seconds: u64, dir: &Path) {
    let mut options = store::Options::new(dir.join("sled"));
    if let Some(ms) = std::env::var("GATHER").ok().and_then(|ms| ms.parse().ok()) {
        options.rest_awaited = Duration::from_millis(ms);
    }
    let (store, _) = SledStore::open(options, Clock::start()).unwrap();
    let count = Arc::new(Count::default());
    let sink: Arc<dyn AckSink> = Arc::clone(&count) as _;
    let keys: u64 = std::env::var("KEYS")
        .ok()
        .and_then(|k| k.parse().ok())
        .unwrap_or(20_000);
    let before = cpu_us();
    pace(rate, seconds, |n| {
        let key = (n % keys).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        let notice = Notice {
            sink: Arc::clone(&sink),
            token: n,
        };
        store
            .put(
                Tree::Registrations,
                &[key, key].concat(),
                Bytes::from(vec![7; 250]),
                Some(notice),
            )
            .unwrap();
    });
    let cost = (cpu_us() - before) as f64 / (rate * seconds) as f64;
    println!(
        "store {rate}/s: {cost:.1} us CPU per put, {} acked in {} batches",
        count.0.load(Ordering::Relaxed),
        count.1.load(Ordering::Relaxed),
    );
}
