//! What happened, as far as the checks need to know it, and the ladder to read when one fails.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus_schema::{CallEvent, Outcome};
use bytes::Bytes;
use engine::{CallKey, LegId, Token, TokenKey};
use sip::Message;

use crate::call::Stimulus;
use crate::world::Wish;

/// What an agent asked.
#[derive(Debug)]
pub(crate) struct Wished {
    pub(crate) wish: Wish,
    pub(crate) life: u64,
    pub(crate) replies: usize,
    pub(crate) accepted: bool,
}

/// One call as the world saw it.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Who was talked to, or tried, on each leg.
    pub(crate) legs: BTreeMap<LegId, BTreeSet<Option<usize>>>,
    /// What decided it, in each run of the process that it lived in.
    pub(crate) over: Vec<(u64, Stimulus)>,
}

/// The time from a crash to the next start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

/// The book.
pub(crate) struct Book {
    pub(crate) now: Duration,
    trace: Option<Vec<String>>,
    pub(crate) failures: Vec<String>,
    pub(crate) calls: BTreeMap<CallKey, Facts>,
    callers: BTreeMap<Box<str>, CallKey>,
    lost: BTreeSet<Box<str>>,
    /// Calls in which a panic was caught.
    struck: BTreeSet<u64>,
    pub(crate) wishes: BTreeMap<u64, Wished>,
    pub(crate) outages: Vec<Outage>,
    /// When the connections of phones broke.
    breaks: Vec<(Duration, usize)>,
    life: u64,
}

impl Book {
    pub(crate) fn new(traced: bool) -> Self {
        Self {
            now: Duration::ZERO,
            trace: traced.then(Vec::new),
            failures: Vec::new(),
            calls: BTreeMap::new(),
            callers: BTreeMap::new(),
            lost: BTreeSet::new(),
            struck: BTreeSet::new(),
            wishes: BTreeMap::new(),
            outages: Vec::new(),
            breaks: Vec::new(),
            life: 0,
        }
    }

    // ---- the ladder

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.6} {}", self.now.as_secs_f64(), line()));
        }
    }

    pub(crate) fn fail(&mut self, why: &str) {
        self.say(|| format!("!!! {why}"));
        self.failures.push(why.to_owned());
    }

    pub(crate) fn into_trace(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }

    pub(crate) fn packet(&mut self, way: &str, bytes: &Bytes) {
        self.say(|| format!("{way}  {}", summary(bytes)));
    }

    pub(crate) fn event(&mut self, event: &CallEvent) {
        self.say(|| {
            let (call, cause) = (&event.data.call, &event.data.cause);
            let at = event.stamp.position;
            format!(
                "* {} {} {} by {} {} {:?} {:?} ({}.{})",
                call.call,
                event.name,
                call.state,
                cause.actor,
                cause.reason,
                cause.sip_status,
                cause.timer,
                at.epoch,
                at.seq
            )
        });
    }

    // ---- facts

    pub(crate) fn lost(&mut self, bytes: &Bytes, why: &str) {
        self.say(|| format!("x {why}: {}", summary(bytes)));
        let message = Message::parse_datagram(bytes.clone(), &sip::Limits::default()).unwrap();
        let call_id = message.call_id().unwrap_or_default();
        self.lost.insert(call_id.into());
    }

    pub(crate) fn struck(&mut self, call: u64) {
        self.say(|| format!("a panic is caught in {call:x}"));
        self.struck.insert(call);
    }

    pub(crate) fn named(&mut self, key: CallKey, call_id: Box<str>) {
        self.say(|| format!("{call_id} is {key}"));
        self.callers.insert(call_id, key);
    }

    pub(crate) fn involve(&mut self, key: CallKey, leg: LegId, phone: Option<usize>) {
        self.say(|| format!("{key} leg {leg} is {phone:?}"));
        let facts = self.calls.entry(key).or_default();
        facts.legs.entry(leg).or_default().insert(phone);
    }

    pub(crate) fn over(&mut self, key: CallKey, stimulus: Stimulus) {
        self.say(|| format!("{key} is decided by {stimulus:?}"));
        let facts = self.calls.entry(key).or_default();
        facts.over.push((self.life, stimulus));
    }

    pub(crate) fn started(&mut self, life: u64) {
        self.say(|| format!("the node starts, epoch {life}"));
        self.life = life;
        let now = self.now;
        if let Some(outage) = self.outages.last_mut() {
            outage.until = now;
        }
    }

    pub(crate) fn crashed(&mut self) {
        self.say(|| "the node dies".into());
        self.outages.push(Outage {
            from: self.now,
            until: Duration::MAX,
        });
    }

    pub(crate) fn broke(&mut self, phone: usize, connection: u64) {
        self.say(|| format!("the connection {connection} of p{phone} breaks"));
        self.breaks.push((self.now, phone));
    }

    // ---- agents

    pub(crate) fn asked(&mut self, wish: Wish, life: u64) -> u64 {
        self.say(|| format!("an agent asks: {wish:?}"));
        let number = self.wishes.len() as u64;
        let wished = Wished {
            wish,
            life,
            replies: 0,
            accepted: false,
        };
        self.wishes.insert(number, wished);
        number
    }

    pub(crate) fn replied(&mut self, asked: u64, reply: &Outcome) {
        self.say(|| format!("reply {asked}: {reply:?}"));
        if let Some(wished) = self.wishes.get_mut(&asked) {
            wished.replies += 1;
            wished.accepted = reply.is_ok();
        }
    }

    /// There was nothing to ask about.
    pub(crate) fn nothing_asked(&mut self, asked: u64) {
        self.wishes.remove(&asked);
    }

    /// It is answered before it gets to a call.
    pub(crate) fn not_found(&mut self, asked: u64) {
        self.say(|| format!("reply {asked}: not found"));
        if let Some(wished) = self.wishes.get_mut(&asked) {
            wished.replies += 1;
        }
    }

    // ---- questions

    /// The call that a Call-ID belongs to.
    pub(crate) fn call_of(&self, call_id: &str, tokens: &TokenKey) -> Option<CallKey> {
        if let Some(key) = self.callers.get(call_id) {
            return Some(*key);
        }
        let token = Token::parse(call_id, tokens)?;
        let mut keys = self.calls.keys();
        keys.find(|key| key.low() == token.call).copied()
    }

    /// Whether a panic was caught in a call.
    pub(crate) fn was_struck(&self, key: CallKey) -> bool {
        self.struck.contains(&key.low())
    }

    /// Whether anything of the call with this Call-ID was lost, on any of its legs.
    pub(crate) fn has_lost(&self, call_id: &str, tokens: &TokenKey) -> bool {
        if self.lost.contains(call_id) {
            return true;
        }
        let Some(key) = self.call_of(call_id, tokens) else {
            return false;
        };
        if self.was_struck(key) {
            return true;
        }
        let mut lost = self.lost.iter();
        lost.any(|lost| self.call_of(lost, tokens) == Some(key))
    }

    /// Whether a phone's connection broke at any time between.
    pub(crate) fn has_broken(&self, phone: usize, from: Duration, until: Duration) -> bool {
        let mut breaks = self.breaks.iter();
        breaks.any(|(at, broken)| *broken == phone && from <= *at && *at <= until)
    }

    /// Whether the process was away at any time between.
    pub(crate) fn was_away(&self, from: Duration, until: Duration) -> bool {
        let mut outages = self.outages.iter();
        outages.any(|outage| outage.from <= until && from <= outage.until)
    }
}

fn summary(bytes: &Bytes) -> String {
    let Ok(message) = Message::parse_datagram(bytes.clone(), &sip::Limits::default()) else {
        return "rubbish".into();
    };
    let cseq = message.cseq().map_or(0, |cseq| cseq.seq);
    let body = match message.body() {
        b"" => "",
        body if body.windows(10).any(|part| part == b"a=inactive") => " inactive",
        body if body.windows(10).any(|part| part == b"a=sendonly") => " sendonly",
        _ => " sdp",
    };
    let call_id = message.call_id().unwrap_or_default();
    match message.status() {
        Some(status) => {
            let method = message.cseq().map_or("?", |cseq| cseq.text);
            format!("{status} ({cseq} {method}){body}  {call_id}")
        }
        None => format!("{} ({cseq}){body}  {call_id}", message.method_text()),
    }
}
