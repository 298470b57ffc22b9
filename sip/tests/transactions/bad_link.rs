//! Two endpoints over a link that loses, repeats and reorders.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use sip::endpoint::{Input, Output};
use sip::{ClientId, Endpoint, Message, Method, Resend, Resend2xx, ServerId, Transmitter};

use super::{PATIENCE, at, drain, endpoint, parse, request, response, send};

/// splitmix64: a seed is a whole run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Two endpoints and the packets between them.
struct Link {
    ends: [Endpoint; 2],
    dice: Dice,
    loss: u64,
    flying: BTreeMap<(u64, u64), (usize, Bytes)>,
    sent: u64,
}

impl Link {
    fn new(seed: u64, loss: u64) -> Self {
        let ends = [endpoint(), endpoint()];
        Self {
            ends,
            dice: Dice(seed),
            loss,
            flying: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Lost, once or twice, each time after 1 to 400 ms: later ones overtake.
    fn transmit(&mut self, ms: u64, to: usize, bytes: &Bytes) {
        for _ in 0..1 + u64::from(self.dice.roll(5) == 0) {
            if self.dice.roll(100) >= self.loss {
                self.sent += 1;
                let due = ms + 1 + self.dice.roll(400);
                self.flying.insert((due, self.sent), (to, bytes.clone()));
            }
        }
    }
}

const CALLS: u64 = 20;

/// Client 0 sends INVITEs and others; server 1 answers each after a while.
struct Run {
    seed: u64,
    link: Link,
    ms: u64,
    /// The branches of the requests that reached the server's TU.
    seen: BTreeSet<String>,
    outcomes: BTreeMap<ClientId, u32>,
    ended: BTreeMap<(usize, Transmitter), u32>,
    /// What the server's TU will say, by when.
    answers: BTreeMap<(u64, ServerId), (u16, Bytes)>,
    /// The server's dialogs: the 2xx that wait for their ACK, by branch of the INVITE.
    accepted: BTreeMap<String, Resend2xx>,
}

impl Run {
    fn start(seed: u64, loss: u64) -> Self {
        let mut link = Link::new(seed, loss);
        for i in 0..CALLS {
            let method = if i % 2 == 0 {
                Method::Invite
            } else {
                Method::Options
            };
            let branch = format!("z9hG4bK{i}");
            let bytes = request(method.as_str(), &branch);
            send(&mut link.ends[0], i as u32, method, &branch, &bytes);
        }
        Self {
            seed,
            link,
            ms: 0,
            seen: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            ended: BTreeMap::new(),
            answers: BTreeMap::new(),
            accepted: BTreeMap::new(),
        }
    }

    fn finish(&mut self) {
        for step in 0.. {
            assert!(step < 200_000, "seed {}: it does not end", self.seed);
            for end in 0..2 {
                for output in drain(&mut self.link.ends[end]) {
                    self.take(end, output);
                }
            }
            let Some(next) = self.next() else { break };
            self.ms = self.ms.max(next);
            self.answer();
            self.resend();
            self.deliver();
            for end in &mut self.link.ends {
                end.handle_timeout(at(self.ms));
            }
        }
    }

    fn take(&mut self, end: usize, output: Output) {
        match output {
            Output::Transmit { bytes, .. } => self.link.transmit(self.ms, 1 - end, &bytes),
            Output::Request { id, message } => {
                let branch = message.top_via().unwrap().branch().unwrap().to_owned();
                let first = self.seen.insert(branch);
                assert!(first, "seed {}: the TU saw it twice", self.seed);
                let status = [200, 200, 486, 302][self.link.dice.roll(4) as usize];
                let after = self.ms + self.link.dice.roll(3_000);
                let answer = (status, response(message.bytes(), status));
                self.answers.insert((after, id), answer);
            }
            Output::Response { id, message } => self.response(id, &message),
            Output::Failed { id, .. } => *self.outcomes.entry(id).or_default() += 1,
            Output::Ended { who } => *self.ended.entry((end, who)).or_default() += 1,
            Output::Ack { message } => {
                let branch = message.top_via().unwrap().branch().unwrap();
                self.accepted.remove(branch.strip_suffix("-ack").unwrap());
            }
            Output::NoAck { .. } | Output::Stray { .. } => {}
            other => panic!("seed {}: {other:?}", self.seed),
        }
    }

    fn response(&mut self, id: ClientId, message: &Message) {
        let status = message.status().unwrap();
        if status < 200 {
            return;
        }
        if status >= 300 || message.cseq().unwrap().method != Method::Invite {
            *self.outcomes.entry(id).or_default() += 1;
        } else {
            // A 2xx to INVITE may come again, and is acknowledged each time.
            self.outcomes.insert(id, 1);
            let branch = message.top_via().unwrap().branch().unwrap();
            let ack = request("ACK", &format!("{branch}-ack"));
            self.link.transmit(self.ms, 1, &ack);
        }
    }

    /// When something is due next.
    fn next(&self) -> Option<u64> {
        let timers = self.link.ends.iter().filter_map(Endpoint::poll_timeout);
        let resends = self.accepted.values().filter_map(Resend2xx::poll_timeout);
        timers
            .chain(resends)
            .map(|due| due.as_millis() as u64)
            .chain(self.link.flying.keys().next().map(|(due, _)| *due))
            .chain(self.answers.keys().next().map(|(due, _)| *due))
            .min()
    }

    fn answer(&mut self) {
        let now = at(self.ms);
        let later = self.answers.split_off(&(self.ms + 1, ServerId(0)));
        for ((_, id), (status, bytes)) in std::mem::replace(&mut self.answers, later) {
            let answer = parse(&bytes);
            if status == 200 && answer.cseq().unwrap().method == Method::Invite {
                let branch = answer.top_via().unwrap().branch().unwrap().to_owned();
                let resend = Resend2xx::new(now, bytes.clone());
                self.accepted.insert(branch, resend);
            }
            self.link.ends[1].handle(now, Input::Respond { id, status, bytes });
        }
    }

    fn resend(&mut self) {
        let now = at(self.ms);
        for resend in self.accepted.values_mut() {
            match resend.handle_timeout(now) {
                Some(Resend::Transmit(bytes)) => self.link.transmit(self.ms, 0, &bytes),
                Some(Resend::GaveUp) | None => {}
            }
        }
    }

    fn deliver(&mut self) {
        let later = self.link.flying.split_off(&(self.ms + 1, 0));
        for (to, bytes) in std::mem::replace(&mut self.link.flying, later).into_values() {
            let message = parse(&bytes);
            let reliable = false;
            self.link.ends[to].handle(at(self.ms), Input::Received { message, reliable });
        }
    }

    fn check(&self) {
        let Self {
            seed,
            link,
            ms,
            outcomes,
            ended,
            seen,
            ..
        } = self;
        // When every repeat of a final response is lost, an INVITE that got its 100 waits PATIENCE.
        let end = if link.loss <= 10 {
            Duration::from_secs(70)
        } else {
            PATIENCE + Duration::from_secs(64)
        };
        assert!(
            u128::from(*ms) <= end.as_millis(),
            "seed {seed}: ended at {ms} ms"
        );
        assert!(
            link.ends.iter().all(Endpoint::is_empty),
            "seed {seed}: residue"
        );
        let count = outcomes.len() as u64;
        assert_eq!(count, CALLS, "seed {seed}: every request has an outcome");
        assert!(
            outcomes.values().all(|count| *count == 1),
            "seed {seed}: {outcomes:?}"
        );
        assert!(
            ended.values().all(|count| *count == 1),
            "seed {seed}: {ended:?}"
        );
        let clients = ended.keys().filter(|(end, _)| *end == 0).count() as u64;
        assert_eq!(clients, CALLS, "seed {seed}");
        if link.loss == 0 {
            assert_eq!(seen.len() as u64, CALLS, "seed {seed}");
        }
    }
}

fn run(seed: u64, loss: u64) {
    let mut run = Run::start(seed, loss);
    run.finish();
    run.check();
}

#[test]
fn every_transaction_ends_once_over_a_bad_link() {
    for seed in 0..40 {
        for loss in [0, 10, 40, 90] {
            run(seed * 4 + loss, loss);
        }
    }
}
