//! The world of one seed: a clock, a node, phones, agents, the network between them, and what
//! goes wrong.

mod agents;
mod cast;
mod delivery;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus_schema::EventName;
use bytes::Bytes;
use engine::{Binding, BindingText, Hop, LegId, TokenKey, Transport};
use sip::{EndpointSettings, Now};

pub(crate) use self::agents::Wish;
use self::cast::phone;

use crate::agenda::Agenda;
use crate::book::Book;
use crate::call::{Call, Heard};
use crate::dice::Dice;
use crate::disk::Disk;
use crate::faults::{Plant, Weather};
use crate::network::Network;
use crate::node::{Effect, Ground, Node, Owner};
use crate::phone::{Act, Does, Phone};

/// Nothing takes longer than this, or it takes for ever.
const END: Duration = Duration::from_secs(4 * 3600);

const BEGIN: Duration = Duration::from_secs(1_000);

/// Both clocks.
fn moment(mono: Duration) -> Now {
    let millis = u64::try_from(mono.as_millis()).unwrap();
    Now {
        mono,
        unix_ms: 1_800_000_000_000 + millis,
    }
}

/// What happens.
pub(crate) enum Event {
    /// A message reaches the node, by this hop.
    ToNode {
        life: u64,
        phone: usize,
        hop: Hop,
        bytes: Bytes,
    },
    /// One reaches a phone; a stream has a number.
    ToPhone {
        phone: usize,
        connection: Option<u64>,
        bytes: Bytes,
    },
    /// A phone's connection is down.
    Down {
        phone: usize,
        connection: u64,
    },
    Reconnect(usize),
    Act(usize, Act),
    Wake(usize, Duration),
    Fire(u64, Owner, Duration),
    Disk(u64),
    Resolved(u64, Owner, Vec<Hop>),
    /// The node goes on after a pause.
    GoOn,
    Crash,
    Start,
    Reset,
    Drain,
    Agent(Wish),
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) weather: Weather,
    pub(crate) node: Option<Node>,
    /// The process's run, counted from 1: the epoch.
    life: u64,
    pub(crate) ground: Ground,
    pub(crate) disk: Disk,
    pub(crate) phones: Vec<Phone>,
    wakes: Vec<Option<Duration>>,
    pub(crate) network: Network,
    agenda: Agenda<Event>,
    dice: Dice,
    pub(crate) book: Book,
    /// Addresses with the phones behind them, and how much each is preferred.
    teams: BTreeMap<String, Vec<(usize, u16)>>,
}

impl World {
    pub(crate) fn new(seed: u64, plant: Plant, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let weather = Weather::draw(&mut dice);
        let now = moment(BEGIN);
        let settings = Arc::new(EndpointSettings {
            transactions_max: 1_000,
            patience: Duration::from_secs(600),
            seed: dice.bytes(),
        });
        let count = 3 + dice.index(4);
        let phones: Vec<Phone> = (0..count)
            .map(|index| phone(index, &mut dice, &settings))
            .collect();
        let ground = Ground {
            tokens: TokenKey::new(dice.bytes()),
            timeouts: weather.timeouts,
            digest: weather.digest,
            bugs: weather.bugs,
            users: phones.iter().map(|phone| phone.user.clone()).collect(),
            plant,
        };
        let mut world = Self {
            now,
            node: None,
            life: 0,
            disk: Disk::new(dice.fork()),
            wakes: vec![None; count],
            network: Network::new(dice.fork(), count),
            agenda: Agenda::new(dice.fork()),
            book: Book::new(traced),
            teams: BTreeMap::new(),
            weather,
            ground,
            phones,
            dice,
        };
        world.cast();
        world
    }

    /// The present epoch.
    pub(crate) fn epoch(&self) -> u64 {
        self.life
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.agenda.at(self.now.mono + wait, event);
    }

    /// Lets everything happen until nothing is left to happen.
    pub(crate) fn run(&mut self) {
        let mut events = 0;
        while let Some((when, event)) = self.agenda.pop() {
            events += 1;
            if when > BEGIN + END || events > 500_000 {
                return self
                    .book
                    .fail("it does not come to rest: something goes on for ever");
            }
            self.now = moment(when);
            self.book.now = self.now.mono;
            self.happen(event);
            self.work();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToNode {
                life,
                phone,
                hop,
                bytes,
            } => self.reach_node(life, phone, hop, bytes),
            Event::ToPhone {
                phone,
                connection,
                bytes,
            } => self.reach_phone(phone, connection, &bytes),
            Event::Down { phone, connection } => {
                if self.network.hung_up(phone, connection) {
                    let wait = self.dice.millis(10, 3_000);
                    self.after(wait, Event::Reconnect(phone));
                }
            }
            Event::Reconnect(phone) => self.connect(phone),
            Event::Act(phone, act) => {
                self.book.say(|| format!("p{phone} does {act:?}"));
                self.phones[phone].act(self.now, act);
                self.look_at(phone);
            }
            Event::Wake(phone, at) => {
                if self.wakes[phone] == Some(at) {
                    self.wakes[phone] = None;
                    self.phones[phone].timeout(self.now);
                    self.look_at(phone);
                }
            }
            Event::Fire(life, owner, at) => {
                if let Some(node) = self.alive(life) {
                    node.fire(owner, at);
                }
            }
            Event::Disk(life) => {
                if life != self.life {
                    return;
                }
                let Some(node) = &mut self.node else { return };
                let (acks, again) = self.disk.work(self.now.mono);
                for (token, kept) in acks {
                    node.persisted(token, kept);
                }
                if let Some(again) = again {
                    self.agenda.at(again, Event::Disk(life));
                }
            }
            Event::Resolved(life, Owner::Leg(call, leg), hops) => {
                if let Some(node) = self.alive(life) {
                    node.tell_call(call, Heard::Resolved(LegId(leg), hops));
                }
            }
            Event::Resolved(..) | Event::GoOn => {}
            Event::Crash => self.crash(),
            Event::Start => self.start(),
            Event::Reset => self.reset(),
            Event::Drain => {
                let (_, within) = self.weather.drain.unwrap();
                let deadline = self.now.mono + within;
                self.book.say(|| "the node is drained".into());
                if let Some(node) = &mut self.node {
                    node.drain(deadline);
                }
            }
            Event::Agent(wish) => self.wish(wish),
        }
    }

    fn alive(&mut self, life: u64) -> Option<&mut Node> {
        let is_this = life == self.life;
        self.node.as_mut().filter(|_| is_this)
    }

    // ---- the node

    /// Lets the node do what it has to, and does to the world what it wants done.
    fn work(&mut self) {
        loop {
            let Some(node) = &mut self.node else { return };
            node.now = self.now;
            let effects = std::mem::take(&mut node.effects);
            let busy = node.is_busy();
            if effects.is_empty() && !busy {
                return;
            }
            for effect in effects {
                self.effect(effect);
            }
            let Some(node) = &mut self.node else { return };
            if node.is_busy() {
                if self.dice.chance(self.weather.pauses) {
                    let wait = self.dice.millis(1, 40);
                    return self.after(wait, Event::GoOn);
                }
                node.step();
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        let (now, life) = (self.now.mono, self.life);
        match effect {
            Effect::Send(hop, bytes) => self.node_sends(hop, &bytes),
            Effect::Lost(bytes) => self.book.lost(&bytes, "no connection"),
            Effect::Connect(connection, remote) => {
                let phone = self.phones.iter().find(|phone| phone.addr == remote);
                let phone = phone.filter(|phone| phone.transport == Transport::Tcp);
                match phone.map(|phone| phone.index) {
                    Some(phone) => self.network.connected(phone, connection),
                    None => {
                        if let Some(node) = &mut self.node {
                            node.closed(connection);
                        }
                    }
                }
            }
            Effect::Arm(owner, at) => {
                let late = match self.dice.chance(self.weather.late) {
                    true => self.dice.millis(0, self.weather.late_by),
                    // Deadlines share ticks.
                    false => self.dice.millis(0, 8),
                };
                self.agenda
                    .at(at.max(now) + late, Event::Fire(life, owner, at));
            }
            Effect::Event(event) => {
                self.book.event(&event);
                let is_over = event.name == EventName::CallEnded;
                if is_over && self.dice.chance(self.weather.treacherous) {
                    let wait = self.dice.millis(0, 50);
                    self.after(wait, Event::Crash);
                }
                let at = self.disk.tell(now, event);
                self.agenda.at(at, Event::Disk(life));
            }
            Effect::Forget(key) => {
                let at = self.disk.forget(now, key);
                self.agenda.at(at, Event::Disk(life));
            }
            Effect::Keep(key, record, token) => {
                match self.disk.keep(now, &self.weather, key, record, token) {
                    Some(at) => self.agenda.at(at, Event::Disk(life)),
                    None => {
                        if let (Some(node), Some(token)) = (&mut self.node, token) {
                            node.persisted(token, false);
                        }
                    }
                }
            }
            Effect::Resolve(owner, host, port, transport) => {
                let hops = self.resolve(&host, port, transport);
                let wait = self.dice.millis(0, 500);
                self.after(wait, Event::Resolved(life, owner, hops));
            }
            Effect::Reply(asked, reply) => self.book.replied(asked, &reply),
            Effect::Over(key, stimulus) => self.book.over(key, *stimulus),
            Effect::Involved(key, leg, hop) => {
                let phone = self.phone_of(hop);
                self.book.involve(key, leg, phone);
            }
            Effect::Struck(call) => self.book.struck(call),
            Effect::Named(key, call_id) => self.book.named(key, call_id),
        }
    }

    /// Hops of a name: up to two phones play the other provider.
    fn resolve(&mut self, host: &str, port: Option<u16>, transport: Transport) -> Vec<Hop> {
        let Some(node) = &self.node else {
            return Vec::new();
        };
        if let Ok(ip) = host.parse::<std::net::IpAddr>() {
            let port = port.unwrap_or(5060);
            let hop = node.hop_to(transport, (ip, port).into());
            return hop.into_iter().collect();
        }
        let phones = self.phones.iter();
        let speaks = phones.filter(|phone| phone.transport == transport);
        let mut hops: Vec<Hop> = speaks
            .filter_map(|phone| node.hop_to(transport, phone.addr))
            .collect();
        let most = self.dice.index(3);
        hops.truncate(most);
        hops
    }

    fn phone_of(&self, hop: Hop) -> Option<usize> {
        match hop {
            Hop::Udp { remote, .. } | Hop::Connect { remote, .. } => {
                let mut phones = self.phones.iter();
                phones.position(|phone| phone.addr == remote)
            }
            Hop::Flow { connection, .. } => self.network.phone(connection),
        }
    }

    /// The process starts, and takes up what it finds.
    fn start(&mut self) {
        if self.node.is_some() {
            return;
        }
        self.life += 1;
        let dice = self.dice.fork();
        let mut node = Node::start(self.ground.clone(), self.life, self.now, dice);
        self.book.started(self.life);
        let mut told = self.disk.last_events();
        for (key, record) in self.disk.records() {
            let last = told.remove(&key.into());
            Call::recovered(&mut node, key, &record, last.as_ref());
        }
        for last in told.values() {
            if self.ground.plant != Plant::LookAway && last.name != EventName::CallEnded {
                Call::recovered_told(&mut node, last);
            }
        }
        self.node = Some(node);
        for phone in 0..self.phones.len() {
            self.connect(phone);
        }
        self.register();
    }

    /// A phone on a stream connects, if it has no connection.
    fn connect(&mut self, phone: usize) {
        let transport = self.phones[phone].transport;
        let (Some(node), true) = (&mut self.node, transport.is_reliable()) else {
            return;
        };
        if self.network.line(phone).is_none() {
            let connection = node.accept();
            self.network.connected(phone, connection);
            self.register();
        }
    }

    /// Everybody registers: the registrar is not what is tried here.
    fn register(&mut self) {
        let Some(node) = &mut self.node else { return };
        let hop = |phone: &Phone| match phone.transport {
            Transport::Udp => Some(Hop::Udp {
                listener: 0,
                remote: phone.addr,
            }),
            transport => Some(Hop::Flow {
                connection: self.network.live_line(phone.index)?,
                listener: if transport == Transport::Tcp { 1 } else { 2 },
            }),
        };
        node.bindings.clear();
        for (aor, phones) in &self.teams {
            let bindings = phones.iter().filter_map(|(index, q)| {
                let phone = &self.phones[*index];
                let contact = phone.contact();
                let text = BindingText {
                    contact: &contact,
                    ..BindingText::default()
                };
                let mut binding = Binding::new(text, hop(phone)?, u32::MAX).unwrap();
                binding.q = *q;
                Some(binding)
            });
            node.bindings.insert(aor.clone(), bindings.collect());
        }
    }

    /// The process dies: what it had in memory is gone, and so are its connections.
    fn crash(&mut self) {
        if self.node.take().is_none() {
            return;
        }
        self.disk.crash();
        self.book.crashed();
        for (phone, connection) in self.network.all() {
            let wait = self.dice.millis(0, 100);
            self.after(wait, Event::Down { phone, connection });
        }
        let away = self.dice.millis(1, 3_000);
        self.after(away, Event::Start);
    }

    /// A connection breaks: both ends learn it.
    fn reset(&mut self) {
        let all = self.network.all();
        if all.is_empty() {
            return;
        }
        let (phone, connection) = *self.dice.pick(&all);
        self.book.broke(phone, connection);
        self.network.broken(connection);
        if let Some(node) = &mut self.node {
            node.closed(connection);
        }
        self.register();
        let wait = self.dice.millis(0, 100);
        self.after(wait, Event::Down { phone, connection });
    }

    /// Does what a phone wants, and sees to its timers.
    fn look_at(&mut self, phone: usize) {
        loop {
            let out = std::mem::take(&mut self.phones[phone].out);
            if out.is_empty() {
                break;
            }
            for does in out {
                match does {
                    Does::Send(bytes) => self.phone_sends(phone, &bytes),
                    Does::Later(wait, act) => self.after(wait, Event::Act(phone, act)),
                }
            }
        }
        let due = self.phones[phone].poll_timeout();
        let due = due.map(|due| due.max(self.now.mono));
        if let Some(due) = due
            && self.wakes[phone].is_none_or(|armed| armed > due)
        {
            self.wakes[phone] = Some(due);
            self.agenda.at(due, Event::Wake(phone, due));
        }
    }
}
