//! The store: what was acknowledged is there, whatever happens to the process or the files.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use actors::ack::{Ack, AckSink, Notice};
use actors::clock::Clock;
use actors::store::{Opened, Options, Recovery, SledStore, Store, Tree};
use bytes::Bytes;

struct Channel(SyncSender<Vec<Ack>>);

impl AckSink for Channel {
    fn settle(&self, acks: &[Ack]) {
        // The test may have heard enough.
        let _gone = self.0.send(acks.to_vec());
    }
}

fn open(dir: &Path) -> (SledStore, Opened) {
    // A small log, so that it is folded all the time.
    let options = Options {
        log_bytes: 50_000,
        ..Options::new(dir.join("sled"))
    };
    SledStore::open(options, Clock::start()).unwrap()
}

fn scan(store: &SledStore, tree: Tree) -> Vec<(Vec<u8>, u8, Vec<u8>)> {
    let mut all = Vec::new();
    store
        .scan(tree, &mut |key, format, value| {
            all.push((key.into(), format, value.into()));
        })
        .unwrap();
    all
}

fn fill(dir: &Path, keys: u32) {
    let (store, _) = open(dir);
    for key in 0..keys {
        let value = Bytes::from(vec![key as u8; 300]);
        store
            .put(Tree::Registrations, &key.to_be_bytes(), value, None)
            .unwrap();
    }
    store.close();
}

#[test]
fn what_was_put_is_there_after_a_restart_and_what_was_deleted_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (store, opened) = open(dir.path());
    assert_eq!(
        opened,
        Opened {
            keys: 0,
            recovery: None
        }
    );
    store
        .put(Tree::Dialogs, b"a", Bytes::from_static(b"1"), None)
        .unwrap();
    store
        .put(Tree::Dialogs, b"b", Bytes::from_static(b"2"), None)
        .unwrap();
    store
        .put(Tree::Idempotency, b"c", Bytes::from_static(b"3"), None)
        .unwrap();
    store.delete(Tree::Dialogs, b"a", None).unwrap();
    store.close();
    drop(store);

    let (store, opened) = open(dir.path());
    assert_eq!(opened.recovery, None);
    assert_eq!(
        scan(&store, Tree::Dialogs),
        [(b"b".to_vec(), 1, b"2".to_vec())]
    );
    assert_eq!(
        scan(&store, Tree::Idempotency),
        [(b"c".to_vec(), 1, b"3".to_vec())]
    );
}

/// sled lets go of its file a little after it was dropped.
#[test]
fn a_store_that_is_still_being_closed_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 10);
    let held = fs::File::open(dir.path().join("sled/db")).unwrap();
    held.lock().unwrap();
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| open(dir.path()));
        // Only so that it would be noticed if it did not wait; what is asserted holds at any time.
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(held);
        let (store, opened) = opening.join().unwrap();
        assert_eq!(opened.recovery, None);
        assert_eq!(scan(&store, Tree::Registrations).len(), 10);
    });
}

#[test]
fn a_batch_wakes_its_receiver_once() {
    let dir = tempfile::tempdir().unwrap();
    // The first write goes at once; all after it wait for the end of a long rest.
    let options = Options {
        rest_awaited: std::time::Duration::from_secs(3600),
        ..Options::new(dir.path().join("sled"))
    };
    let (store, _) = SledStore::open(options, Clock::start()).unwrap();
    let (sender, acks) = sync_channel(8);
    let sink: Arc<dyn AckSink> = Arc::new(Channel(sender));
    let put = |token: u64| {
        let notice = Notice {
            sink: Arc::clone(&sink),
            token,
        };
        store
            .put(
                Tree::Dialogs,
                &token.to_be_bytes(),
                Bytes::from_static(b"x"),
                Some(notice),
            )
            .unwrap();
    };
    put(0);
    assert_eq!(acks.recv().unwrap().len(), 1);
    (0..100).for_each(put);
    store.close();
    let batch = acks.recv().unwrap();
    assert_eq!(batch.len(), 100);
    assert!(
        batch
            .iter()
            .enumerate()
            .all(|(n, ack)| ack.token == n as u64 && ack.durable)
    );
    assert!(acks.try_recv().is_err());
}

#[test]
fn a_full_queue_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let options = Options {
        queue: 10,
        gather: hour,
        ..Options::new(dir.path().join("sled"))
    };
    let (store, _) = SledStore::open(options, Clock::start()).unwrap();
    let put = |n: u32| {
        store.put(
            Tree::Dialogs,
            &n.to_be_bytes(),
            Bytes::from_static(b"x"),
            None,
        )
    };
    assert!((0..10).all(|n| put(n).is_ok()));
    assert!(put(10).is_err());
}

#[test]
fn a_garbage_snapshot_is_dropped_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 2000);
    // sled writes a snapshot when it opens a log that has grown.
    drop(open(dir.path()));
    let snapshot = fs::read_dir(dir.path().join("sled"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("snap")
        })
        .unwrap();
    fs::write(snapshot, [0xA5; 600]).unwrap();
    let (store, opened) = open(dir.path());
    assert!(
        matches!(opened.recovery, Some(Recovery::SnapshotDropped { .. })),
        "{opened:?}"
    );
    assert_eq!(scan(&store, Tree::Registrations).len(), 2000);
}

#[test]
fn flipped_bytes_never_keep_the_node_from_starting() {
    for place in [10, 30, 60, 90] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 5000);
        let path = dir.path().join("sled/db");
        let mut bytes = fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        let at = used * place / 100;
        bytes[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0xFF);
        fs::write(&path, bytes).unwrap();

        let (store, opened) = open(dir.path());
        if let Some(Recovery::SetAside { path, .. }) = &opened.recovery {
            assert!(path.is_dir());
        }
        store
            .put(Tree::Dialogs, b"new", Bytes::from_static(b"x"), None)
            .unwrap();
        store.close();
        drop(store);
        let (store, opened) = open(dir.path());
        assert_eq!(opened.recovery, None, "flipped at {place} %");
        assert_eq!(scan(&store, Tree::Dialogs).len(), 1);
    }
}

#[test]
fn the_last_write_of_a_key_wins_through_log_and_folding() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (sender, acks) = sync_channel(64);
    let sink: Arc<dyn AckSink> = Arc::new(Channel(sender));
    for round in 0..40_u32 {
        for key in 0..50_u32 {
            let notice = (key == 49).then(|| Notice {
                sink: Arc::clone(&sink),
                token: 0,
            });
            if key % 7 == round % 7 {
                store
                    .delete(Tree::Dialogs, &key.to_be_bytes(), notice)
                    .unwrap();
            } else {
                let value = Bytes::from(round.to_be_bytes().repeat(20));
                store
                    .put(Tree::Dialogs, &key.to_be_bytes(), value, notice)
                    .unwrap();
            }
        }
        acks.recv().unwrap();
    }
    store.close();
    drop(store);
    let (store, _) = open(dir.path());
    let found = scan(&store, Tree::Dialogs);
    let wanted: Vec<_> = (0..50_u32)
        .filter(|key| key % 7 != 39 % 7)
        .map(|key| {
            (
                key.to_be_bytes().to_vec(),
                1,
                39_u32.to_be_bytes().repeat(20),
            )
        })
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_torn_log_gives_all_before_the_tear() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("sled.recent");
    // One put of "k" = "v" in the first tree, as the log spells it, and half of the next.
    let record = [0_u8, 1, 1, 0, b'k', 1, b'v'];
    let mut hasher = siphasher::sip::SipHasher13::new();
    std::hash::Hasher::write(&mut hasher, &record);
    let sum = std::hash::Hasher::finish(&hasher);
    let mut bytes = (record.len() as u32).to_le_bytes().to_vec();
    bytes.extend(sum.to_le_bytes());
    bytes.extend(record);
    bytes.extend_from_within(..10);
    fs::write(path, bytes).unwrap();
    let (store, _) = open(dir.path());
    assert_eq!(
        scan(&store, Tree::Registrations),
        [(b"k".to_vec(), 1, b"v".to_vec())]
    );
}

/// The child of the next test: it puts, and says what was acknowledged, until it is killed.
#[test]
fn child_puts_until_killed() {
    let Ok(dir) = std::env::var("IFBUS_TEST_STORE") else {
        return;
    };
    let (store, _) = open(Path::new(&dir));
    let (sender, acks) = sync_channel(64);
    let sink: Arc<dyn AckSink> = Arc::new(Channel(sender));
    let mut out = std::io::stdout().lock();
    let mut next: u64 = 0;
    loop {
        for _ in 0..50 {
            let notice = Notice {
                sink: Arc::clone(&sink),
                token: next,
            };
            let value = Bytes::from(vec![next as u8; 300]);
            store
                .put(
                    Tree::Registrations,
                    &next.to_be_bytes(),
                    value,
                    Some(notice),
                )
                .unwrap();
            next += 1;
        }
        for ack in acks.recv().unwrap() {
            writeln!(out, "acked {}", ack.token).unwrap();
        }
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    for acks in [20, 500, 3000] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_puts_until_killed", "--nocapture"])
            .env("IFBUS_TEST_STORE", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acked: Vec<u64> = Vec::new();
        for line in lines {
            let Ok(line) = line else { break };
            acked.extend(
                line.strip_prefix("acked ")
                    .and_then(|token| token.parse::<u64>().ok()),
            );
            if acked.len() == acks {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acked.len() >= acks);
        let (store, opened) = open(dir.path());
        assert_eq!(opened.recovery, None);
        let there = scan(&store, Tree::Registrations);
        for token in acked {
            let key = token.to_be_bytes();
            let found = there
                .binary_search_by(|(other, ..)| other.as_slice().cmp(&key))
                .unwrap();
            assert_eq!(there[found].2, vec![token as u8; 300]);
        }
    }
}

#[test]
fn a_store_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options::new(dir.path().join("sled"));
    let clock = Clock::start();
    let (first, _) = SledStore::open(options(), clock).unwrap();
    let second = SledStore::open(options(), clock);
    assert_eq!(
        second.err().map(|error| error.kind()),
        Some(std::io::ErrorKind::ResourceBusy)
    );
    drop(first);
    let (_, opened) = SledStore::open(options(), clock).unwrap();
    assert_eq!(opened.recovery, None);
}

/// A receiver with a bug.
struct Bug;

impl AckSink for Bug {
    fn settle(&self, acks: &[Ack]) {
        assert!(acks.is_empty(), "a bug, as asked");
    }
}

#[test]
fn a_bug_loses_no_more_than_it_hits() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (sender, acks) = sync_channel(16);
    let told: Arc<dyn AckSink> = Arc::new(Channel(sender));
    let put = |token: u64, sink: &Arc<dyn AckSink>| {
        let sink = Arc::clone(sink);
        let value = Bytes::from_static(b"x");
        store
            .put(
                Tree::Dialogs,
                &token.to_be_bytes(),
                value,
                Some(Notice { sink, token }),
            )
            .unwrap();
    };
    put(0, &(Arc::new(Bug) as Arc<dyn AckSink>));
    // In the same batch or in the next: it hears of it, and does not wait for ever.
    put(1, &told);
    assert_eq!(acks.recv().unwrap()[0].token, 1);
    put(2, &told);
    let ack = Ack {
        token: 2,
        durable: true,
    };
    assert_eq!(acks.recv().unwrap(), [ack]);
    store.close();
    drop(store);
    let (store, opened) = open(dir.path());
    assert_eq!(opened.recovery, None);
    assert_eq!(scan(&store, Tree::Dialogs).len(), 3);
}
