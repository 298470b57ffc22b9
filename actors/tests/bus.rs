//! The bus: events arrive in order and once, whatever happens to the server; commands are answered.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod nats;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actors::bus::{
    Address, Bus, CommandSink, Gap, GapSink, Options, Parts, Reply, Request, Responder,
    another_adapter, published,
};
use actors::clock::Clock;
use actors::journal::{self, Draft, Entry, Journal};
use actors::store::{MemoryStore, Store};
use async_nats::jetstream;
use bytes::Bytes;
use config::Events;
use ed25519_dalek::SigningKey;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;

const SUBJECT: &str = "ifbus.sip.v1.default.evt.node.n1.test";

struct Numbered(u64);

impl Entry for Numbered {
    fn encode(&self, draft: &mut Draft) {
        draft.subject.push_str(SUBJECT);
        draft.id = format!("n1:{}", self.0);
        draft.header("Content-Type", "application/json");
        draft.body.extend_from_slice(self.0.to_string().as_bytes());
    }
}

#[derive(Default)]
struct Gaps(Mutex<Vec<Gap>>, AtomicBool);

impl GapSink for Gaps {
    fn gap(&self, gap: Gap) {
        self.0.lock().push(gap);
        assert!(!self.1.swap(false, Ordering::Relaxed), "a bug, as asked");
    }
}

/// Answers with the request's body, or keeps the responders.
#[derive(Default)]
struct Echo {
    keep: bool,
    kept: Mutex<Vec<Responder>>,
}

impl CommandSink for Echo {
    fn command(&self, request: Request, responder: Responder) {
        if self.keep {
            self.kept.lock().push(responder);
            return;
        }
        let header = request.header("X").unwrap_or_default().to_owned();
        assert_ne!(request.body, "bug", "a bug, as asked");
        let text = format!("{} {header} {}", request.subject, request.body.len());
        responder.send(Reply {
            headers: vec![("Y", "y".into())],
            body: Bytes::from(text),
        });
    }

    fn overloaded(&self, _: &Request) -> Reply {
        Reply {
            headers: Vec::new(),
            body: Bytes::from_static(b"busy"),
        }
    }
}

struct Node {
    journal: Journal,
    store: Arc<dyn Store>,
    gaps: Arc<Gaps>,
    commands: Arc<Echo>,
    bus: Bus,
}

fn options(address: &Address) -> Options {
    Options {
        address: address.clone(),
        tenant: "default".into(),
        node: "n1".into(),
        version: "0.1.0".into(),
        clustered: false,
        events: Events::Jetstream,
        shards: None,
        in_flight: 64,
        seed: 42,
    }
}

fn node(dir: &Path, options: Options, store: Arc<dyn Store>, commands: Echo) -> Node {
    let clock = Clock::start();
    let mut journal_options = journal::Options::new(dir.join("journal"));
    // Small, so that an outage is read back from the segments.
    journal_options.ring = (512, 1 << 20);
    let key = SigningKey::from_bytes(&[7; 32]);
    let (journal, _) = Journal::open(journal_options, key, published(&*store), clock).unwrap();
    let (gaps, commands) = (Arc::new(Gaps::default()), Arc::new(commands));
    let parts = Parts {
        outbox: journal.outbox(),
        store: Arc::clone(&store),
        clock,
        commands: Arc::clone(&commands) as Arc<dyn CommandSink>,
        gaps: Arc::clone(&gaps) as Arc<dyn GapSink>,
    };
    let bus = Bus::start(options, parts, &Handle::current());
    bus.ready(true);
    Node {
        journal,
        store,
        gaps,
        commands,
        bus,
    }
}

/// Everything in the stream, in its order.
async fn stream(address: &Address, count: u64) -> Vec<u64> {
    let client = client(address).await;
    let context = jetstream::new(client);
    let stream = context.get_stream("IFBUS_EVT").await.unwrap();
    let consumer = stream
        .create_consumer(jetstream::consumer::pull::Config::default())
        .await
        .unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut numbers = Vec::new();
    while (numbers.len() as u64) < count {
        let message = messages.next().await.unwrap().unwrap();
        assert_eq!(message.subject.as_str(), SUBJECT);
        let headers = message.headers.as_ref().unwrap();
        assert_eq!(
            headers.get("Content-Type").unwrap().as_str(),
            "application/json"
        );
        numbers.push(
            std::str::from_utf8(&message.payload)
                .unwrap()
                .parse()
                .unwrap(),
        );
        message.ack().await.unwrap();
    }
    let info = stream.get_info().await.unwrap();
    assert_eq!(info.state.messages, count);
    numbers
}

async fn client(address: &Address) -> async_nats::Client {
    let config::Login::Token(token) = &address.login else {
        unreachable!()
    };
    let options = async_nats::ConnectOptions::with_token(token.reveal().to_owned());
    options.connect(&address.url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_publishing_loses_nothing_and_changes_no_order() {
    for server in nats::servers() {
        let dir = tempfile::tempdir().unwrap();
        let nats_server = nats::start(&server, dir.path());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let node = node(
            dir.path(),
            options(nats_server.address()),
            store,
            Echo::default(),
        );
        let health = Arc::clone(node.bus.health());
        let mut next = 0;
        let mut append = |entries: u64| {
            for _ in 0..entries {
                node.journal.append(Numbered(next)).unwrap();
                next += 1;
            }
        };
        for round in 0..3 {
            let kills = round as usize + 1;
            append(3000);
            let wanted = round * 9000 + 1000;
            nats::until("some are published", || health.published() >= wanted).await;
            nats::kill_9(nats_server.pid().unwrap());
            append(3000);
            nats::until("loss noticed", || {
                !health.events_up() || node.gaps.0.lock().len() >= kills
            })
            .await;
            append(3000);
            let all = (round + 1) * 9000;
            nats::until("all are published", || health.published() >= all).await;
            nats::until("the gap is told", || node.gaps.0.lock().len() == kills).await;
        }
        let numbers = stream(nats_server.address(), 27000).await;
        assert!(
            numbers.iter().copied().eq(0..27000),
            "{}: out of order",
            server.display()
        );
        for gap in node.gaps.0.lock().iter() {
            assert!(
                gap.since_ms <= gap.until_ms && gap.delayed > 0 && gap.dropped == 0,
                "{gap:?}"
            );
        }
        node.journal.close();
        node.bus.stop(Duration::from_secs(5)).await;
        assert_eq!(published(&*node.store), 27000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_writer_in_the_stream_does_no_harm() {
    for server in nats::servers() {
        let dir = tempfile::tempdir().unwrap();
        let nats_server = nats::start(&server, dir.path());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let node = node(
            dir.path(),
            options(nats_server.address()),
            store,
            Echo::default(),
        );
        let health = Arc::clone(node.bus.health());
        let other = client(nats_server.address()).await;
        for n in 0..2000 {
            node.journal.append(Numbered(n)).unwrap();
            if n % 50 == 0 {
                nats::until("kept up", || health.published() > n).await;
                other
                    .publish("ifbus.sip.v1.other.evt.x", "".into())
                    .await
                    .unwrap();
            }
        }
        nats::until("all are published", || health.published() == 2000).await;
        let context = jetstream::new(other);
        let stream = context.get_stream("IFBUS_EVT").await.unwrap();
        assert_eq!(stream.get_info().await.unwrap().state.messages, 2040);
        node.bus.stop(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_left_is_published_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let nats_server = nats::start(&nats::servers()[0], dir.path());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut nowhere = options(nats_server.address());
    nowhere.address.url = format!("nats://127.0.0.1:{}", nats::free_port());
    let first = node(dir.path(), nowhere, Arc::clone(&store), Echo::default());
    (0..1000).for_each(|n| first.journal.append(Numbered(n)).unwrap());
    first.journal.close();
    first.bus.stop(Duration::from_secs(5)).await;
    assert_eq!(published(&*store), 0);

    let second = node(
        dir.path(),
        options(nats_server.address()),
        store,
        Echo::default(),
    );
    (1000..1100).for_each(|n| second.journal.append(Numbered(n)).unwrap());
    second.journal.close();
    second.bus.stop(Duration::from_secs(30)).await;
    assert!(
        stream(nats_server.address(), 1100)
            .await
            .into_iter()
            .eq(0..1100)
    );
    assert_eq!(published(&*second.store), 1100);
}

/// The cursor lags behind what was published, so a new run begins with repetitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_repeats_the_last_says_what_is_new_once() {
    let dir = tempfile::tempdir().unwrap();
    let nats_server = nats::start(&nats::servers()[0], dir.path());
    let listener = client(nats_server.address()).await;
    let mut heard = listener.subscribe(SUBJECT).await.unwrap();
    listener.flush().await.unwrap();
    // The second has no bus, so the third finds all of it in the journal.
    let mut nowhere = options(nats_server.address());
    nowhere.address.url = format!("nats://127.0.0.1:{}", nats::free_port());
    let here = options(nats_server.address());
    for (options, numbers) in [
        (here.clone(), 0..100),
        (nowhere, 100..110),
        (here, 110..110),
    ] {
        // Without the cursor of the run before.
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let node = node(dir.path(), options, store, Echo::default());
        numbers.for_each(|n| node.journal.append(Numbered(n)).unwrap());
        node.journal.close();
        node.bus.stop(Duration::from_secs(60)).await;
    }
    listener.publish(SUBJECT, "end".into()).await.unwrap();
    let mut new = Vec::new();
    while let Ok(number) = std::str::from_utf8(&heard.next().await.unwrap().payload)
        .unwrap()
        .parse::<u64>()
    {
        new.extend((number >= 100).then_some(number));
    }
    assert_eq!(new, (100..110).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_mode_reaches_whoever_listens() {
    let dir = tempfile::tempdir().unwrap();
    let nats_server = nats::start(&nats::servers()[0], dir.path());
    let listener = client(nats_server.address()).await;
    let mut heard = listener
        .subscribe("ifbus.sip.v1.default.evt.>")
        .await
        .unwrap();
    listener.flush().await.unwrap();
    let mut options = options(nats_server.address());
    options.events = Events::Core;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let node = node(dir.path(), options, store, Echo::default());
    (0..500).for_each(|n| node.journal.append(Numbered(n)).unwrap());
    for n in 0..500 {
        let message = heard.next().await.unwrap();
        assert_eq!(message.payload, n.to_string());
        assert!(message.reply.is_none());
    }
    node.journal.close();
    node.bus.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_answered_bounded_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let nats_server = nats::start(&nats::servers()[0], dir.path());
    let client = client(nats_server.address()).await;
    let subject = "ifbus.sip.v1.default.cmd.agent.bot.originate";
    assert_eq!(
        another_adapter(&options(nats_server.address()))
            .await
            .unwrap(),
        None
    );

    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut options = options(nats_server.address());
    options.in_flight = 2;
    let first = node(
        &dir.path().join("1"),
        options.clone(),
        Arc::clone(&store),
        Echo::default(),
    );
    let health = Arc::clone(first.bus.health());
    nats::until("commands are taken", || health.commands_up()).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("X", "x");
    let request = async_nats::Request::new()
        .headers(headers)
        .payload("12345".into());
    let reply = client.send_request(subject, request).await.unwrap();
    assert_eq!(reply.payload, format!("{subject} x 5"));
    assert_eq!(reply.headers.unwrap().get("Y").unwrap().as_str(), "y");
    let call = "ifbus.sip.v1.default.cmd.call.07.01J9ZK0000000000000000000A.bot.hangup";
    let reply = client.request(call, "".into()).await.unwrap();
    assert_eq!(reply.payload, format!("{call}  0"));

    // Another adapter must not start; a draining one takes only what is for its own calls.
    assert_eq!(another_adapter(&options).await.unwrap(), Some("n1".into()));
    let stats = client
        .request("$SRV.STATS.ifbus-sip", "".into())
        .await
        .unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&stats.payload).unwrap();
    assert_eq!(stats["endpoints"][0]["num_requests"], 1);
    assert_eq!(stats["metadata"]["tenant"], "default");
    first.bus.ready(false);
    let refused = async { while client.request(subject, "".into()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), refused)
        .await
        .unwrap();
    assert!(client.request(call, "".into()).await.is_ok());
    first.bus.stop(Duration::from_secs(1)).await;

    let keep = Echo {
        keep: true,
        ..Echo::default()
    };
    let second = node(&dir.path().join("2"), options, store, keep);
    let health = Arc::clone(second.bus.health());
    nats::until("commands are taken", || health.commands_up()).await;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.request(subject, "".into()).await })
        })
        .collect();
    nats::until("both are held", || second.commands.kept.lock().len() == 2).await;
    assert_eq!(
        client.request(subject, "".into()).await.unwrap().payload,
        "busy"
    );
    let kept = std::mem::take(&mut *second.commands.kept.lock());
    kept.into_iter()
        .for_each(|responder| responder.send(Reply::default()));
    for reply in waiting {
        assert!(reply.await.unwrap().is_ok());
    }
    second.bus.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bug_of_those_it_calls_stops_neither_events_nor_commands() {
    let dir = tempfile::tempdir().unwrap();
    let nats_server = nats::start(&nats::servers()[0], dir.path());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let options = options(nats_server.address());
    let node = node(dir.path(), options, store, Echo::default());
    let health = Arc::clone(node.bus.health());
    nats::until("commands are taken", || health.commands_up()).await;

    let subject = "ifbus.sip.v1.default.cmd.agent.bot.originate";
    let asking = client(nats_server.address()).await;
    asking.publish(subject, "bug".into()).await.unwrap();
    assert!(asking.request(subject, "bug".into()).await.is_err());
    let answered = async { while asking.request(subject, "".into()).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), answered)
        .await
        .unwrap();

    node.journal.append(Numbered(0)).unwrap();
    nats::until("the first is published", || health.published() == 1).await;
    node.gaps.1.store(true, Ordering::Relaxed);
    nats::kill_9(nats_server.pid().unwrap());
    (1..10).for_each(|n| node.journal.append(Numbered(n)).unwrap());
    nats::until("the gap is told", || !node.gaps.1.load(Ordering::Relaxed)).await;
    (10..20).for_each(|n| node.journal.append(Numbered(n)).unwrap());
    let numbers = stream(nats_server.address(), 20).await;
    assert!(numbers.into_iter().eq(0..20));
    node.journal.close();
    node.bus.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_missing_server_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let options = actors::nats_server::Options {
        server: "no-such-nats-server".into(),
        port: nats::free_port(),
        state_dir: dir.path().to_owned(),
        node: "n1".into(),
        entropy: [1; 16],
    };
    let Err(error) = actors::nats_server::NatsServer::start(&options, Clock::start()) else {
        panic!("started");
    };
    let text = error.to_string();
    assert!(
        text.contains("no-such-nats-server") && text.contains("bus.server"),
        "{text}"
    );
}
