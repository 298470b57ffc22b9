//! The journal: kept, chained, signed, recovered, and read back.

#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use actors::ack::{Ack, AckSink, Notice};
use actors::clock::Clock;
use actors::journal::{Draft, Entry, Fault, Journal, Opened, Options, Source, Step, verify};
use ed25519_dalek::SigningKey;

struct Numbered(u64);

impl Entry for Numbered {
    fn encode(&self, draft: &mut Draft) {
        draft
            .subject
            .push_str("ifbus.sip.v1.default.evt.node.n1.test");
        draft.id = self.0.to_string();
        draft.header("Content-Type", "application/json");
        draft
            .body
            .extend_from_slice(format!("{{\"n\":{}}}", self.0).as_bytes());
    }
}

struct Channel(SyncSender<Ack>);

impl AckSink for Channel {
    fn settle(&self, acks: &[Ack]) {
        for ack in acks {
            self.0.send(*ack).unwrap();
        }
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn open(dir: &Path) -> (Journal, Opened) {
    Journal::open(Options::new(dir), key(), 0, Clock::start()).unwrap()
}

fn fill(dir: &Path, numbers: std::ops::Range<u64>) {
    let (journal, _) = open(dir);
    numbers.for_each(|n| journal.append(Numbered(n)).unwrap());
    journal.close();
}

fn ids(journal: &Journal, position: u64) -> Vec<u64> {
    let mut reader = journal.read_from(position).unwrap();
    let mut ids = Vec::new();
    while let Step::Entry(record) = reader.step().unwrap() {
        ids.push(record.id().parse().unwrap());
    }
    ids
}

fn last_segment(dir: &Path) -> PathBuf {
    let mut logs: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    logs.sort();
    logs.pop().unwrap()
}

#[test]
fn entries_come_back_in_order_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..1000);
    let (journal, opened) = open(dir.path());
    assert_eq!(
        opened,
        Opened {
            oldest: 0,
            next: 1000,
            recovery: None
        }
    );
    assert_eq!(ids(&journal, 0), (0..1000).collect::<Vec<_>>());
    assert_eq!(ids(&journal, 990), (990..1000).collect::<Vec<_>>());
    let mut reader = journal.read_from(5).unwrap();
    let Step::Entry(record) = reader.step().unwrap() else {
        panic!("no entry")
    };
    assert_eq!(record.position, 5);
    assert_eq!(record.subject(), "ifbus.sip.v1.default.evt.node.n1.test");
    assert_eq!(
        record.headers().collect::<Vec<_>>(),
        [("Content-Type", "application/json")]
    );
    assert_eq!(&record.body()[..], b"{\"n\":5}");
}

#[test]
fn whoever_waits_is_told_once_it_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let (sender, acks) = sync_channel(16);
    let sink: Arc<dyn AckSink> = Arc::new(Channel(sender));
    for token in 0..5 {
        let notice = Notice {
            sink: Arc::clone(&sink),
            token,
        };
        journal.append_then(Numbered(token), notice).unwrap();
    }
    for token in 0..5 {
        assert_eq!(
            acks.recv().unwrap(),
            Ack {
                token,
                durable: true
            }
        );
    }
    // Synced, so it is there although the journal is still open.
    assert_eq!(
        verify(dir.path(), Some(&key().verifying_key()))
            .unwrap()
            .next,
        5
    );
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
    let (journal, _) = open(dir.path());
    let (sender, acks) = sync_channel(16);
    let told: Arc<dyn AckSink> = Arc::new(Channel(sender));
    let then = |n, sink: &Arc<dyn AckSink>| {
        let sink = Arc::clone(sink);
        journal
            .append_then(Numbered(n), Notice { sink, token: n })
            .unwrap();
    };
    then(0, &(Arc::new(Bug) as Arc<dyn AckSink>));
    // In the same batch or in the next: it hears of it, and does not wait for ever.
    then(1, &told);
    assert_eq!(acks.recv().unwrap().token, 1);
    then(2, &told);
    let ack = Ack {
        token: 2,
        durable: true,
    };
    assert_eq!(acks.recv().unwrap(), ack);
    journal.close();
    assert_eq!(ids(&journal, 0), [0, 1, 2]);
    verify(dir.path(), Some(&key().verifying_key())).unwrap();
}

#[test]
fn a_header_cannot_break_out_of_its_line() {
    let mut draft = Draft::default();
    draft.header("X", "a\r\nNats-Msg-Id: forged");
    assert!(format!("{draft:?}").contains(r#"X: a\r\n""#));
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..10);
    let path = last_segment(dir.path());
    let torn = [40, 0, 0, 0, 1, 2, 3];
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(&torn)
        .unwrap();

    let (journal, opened) = open(dir.path());
    assert_eq!(opened.recovery.unwrap().cut, torn.len() as u64);
    journal.append(Numbered(10)).unwrap();
    journal.close();
    assert_eq!(ids(&journal, 0), (0..11).collect::<Vec<_>>());
    assert_eq!(
        verify(dir.path(), Some(&key().verifying_key()))
            .unwrap()
            .faults,
        []
    );
}

#[test]
fn entries_no_seal_covers_are_kept_and_sealed_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..10);
    let path = last_segment(dir.path());
    // Without its last record (a seal of 4 + 1 + 24 + 64 + 32 bytes) the batch is unsealed.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 125).unwrap();
    assert!(verify(dir.path(), None).unwrap().unsealed > 0);

    let (journal, opened) = open(dir.path());
    assert!(opened.recovery.unwrap().unsealed > 0);
    journal.close();
    let report = verify(dir.path(), None).unwrap();
    assert_eq!((report.next, report.unsealed), (10, 0));
}

#[test]
fn a_changed_byte_and_a_foreign_key_do_not_pass_the_proof() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 0..100);
    let good = verify(dir.path(), Some(&key().verifying_key())).unwrap();
    assert_eq!((good.next, good.unsealed, good.faults), (100, 0, vec![]));
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
    let report = verify(dir.path(), Some(&other)).unwrap();
    assert!(matches!(report.faults[..], [Fault::Key { .. }]));

    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(last_segment(dir.path()))
        .unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(900)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(900)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    let report = verify(dir.path(), Some(&key().verifying_key())).unwrap();
    assert!(
        matches!(report.faults[..], [Fault::Damaged { .. }]),
        "{report:?}"
    );
}

#[test]
fn segments_turn_keep_the_chain_and_are_retired() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 4096,
        retain_bytes: 16384,
        ..Options::new(dir.path())
    };
    let (sender, acks) = sync_channel(16);
    let sink: Arc<dyn AckSink> = Arc::new(Channel(sender));
    let (journal, _) = Journal::open(options, key(), 0, Clock::start()).unwrap();
    for token in 0..300 {
        journal
            .append_then(
                Numbered(token),
                Notice {
                    sink: Arc::clone(&sink),
                    token,
                },
            )
            .unwrap();
        assert!(acks.recv().unwrap().durable);
    }
    journal.close();
    let report = verify(dir.path(), Some(&key().verifying_key())).unwrap();
    assert_eq!((report.next, report.faults), (300, vec![]));
    assert!(
        report.segments > 2 && report.oldest > 0,
        "{} {}",
        report.segments,
        report.oldest
    );

    let mut reader = journal.read_from(0).unwrap();
    assert_eq!(
        reader.step().unwrap(),
        Step::Missing {
            from: 0,
            to: report.oldest
        }
    );
    let Step::Entry(record) = reader.step().unwrap() else {
        panic!("no entry")
    };
    assert_eq!(record.position, report.oldest);
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (_journal, _) = open(dir.path());
    let second = Journal::open(Options::new(dir.path()), key(), 0, Clock::start());
    assert!(second.is_err());
}

#[test]
fn the_outbox_gives_what_is_in_memory_and_points_to_the_segments_for_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        ring: (8, 1 << 20),
        ..Options::new(dir.path())
    };
    let (journal, _) = Journal::open(options, key(), 0, Clock::start()).unwrap();
    let outbox = journal.outbox().unwrap();
    let mut records = Vec::new();
    assert_eq!(outbox.take(0, 10, &mut records), Source::Nothing);
    (0..20).for_each(|n| journal.append(Numbered(n)).unwrap());
    journal.close();
    assert_eq!(outbox.take(0, 10, &mut records), Source::Segments(20));
    assert_eq!(outbox.take(12, 3, &mut records), Source::Memory(3));
    assert_eq!(outbox.take(15, 10, &mut records), Source::Memory(5));
    assert_eq!(outbox.take(20, 10, &mut records), Source::Closed);
    let positions: Vec<_> = records.iter().map(|record| record.position).collect();
    assert_eq!(positions, (12..20).collect::<Vec<_>>());
}

#[test]
fn a_panic_in_an_entry_costs_that_entry() {
    struct Broken;
    impl Entry for Broken {
        fn encode(&self, _: &mut Draft) {
            panic!("on purpose");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.append(Numbered(0)).unwrap();
    journal.append(Broken).unwrap();
    journal.append(Numbered(1)).unwrap();
    journal.close();
    assert_eq!(ids(&journal, 0), [0, 1]);
}
