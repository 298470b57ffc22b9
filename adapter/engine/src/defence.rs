//! Who asks too often, fails too often, or scans: judged by source, in bounded memory.
//!
//! A source is an IPv4 address, or the /64 of an IPv6 address. What it asks for costs tokens; what
//! it fails at is counted; too many failures shut it out for a while, longer each time.
//!
//! Many users may share one address. Where one of them has proved to be who it says, the failures
//! of another are not held against the address: they shut out that user there, and nobody else.

mod generations;

use core::hash::BuildHasher;
use core::net::IpAddr;
use core::time::Duration;
use std::collections::HashMap;

use sip::{Message, Method, Name, Now};

use crate::seed::Seed;
use generations::Generations;

/// What is asked for outside of dialogs; each is paid for from a purse of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// A call.
    Invite,
    /// A registration.
    Register,
    /// Anything else.
    Other,
}

impl Errand {
    const ALL: usize = 3;

    /// What a request outside of a dialog asks for. Nobody pays for ACK and CANCEL: they follow
    /// what was paid for.
    #[must_use]
    pub fn of(method: Method) -> Option<Self> {
        match method {
            Method::Invite => Some(Self::Invite),
            Method::Register => Some(Self::Register),
            Method::Ack | Method::Cancel => None,
            Method::Bye
            | Method::Options
            | Method::Message
            | Method::Info
            | Method::Prack
            | Method::Update
            | Method::Refer
            | Method::Subscribe
            | Method::Notify
            | Method::Publish
            | Method::Extension => Some(Self::Other),
        }
    }
}

/// How much is too much.
#[derive(Clone, Debug)]
pub struct DefenceSettings {
    /// Requests a second from one source: INVITE, REGISTER, others. It may ask for ten seconds'
    /// worth at once.
    pub rates: [u32; Errand::ALL],
    /// Failures within `window` that shut a source out.
    pub failures: u32,
    /// How long a failure is held against its source.
    pub window: Duration,
    /// How long a source is shut out the first time. It doubles each time.
    pub ban: Duration,
    /// The longest ban.
    pub ban_max: Duration,
    /// Sources remembered at once.
    pub sources: usize,
    /// Bans there may be at once.
    pub bans: usize,
    /// How User-Agents of scanners begin, in lower case.
    pub scanners: Vec<Box<str>>,
}

impl DefenceSettings {
    /// Whether a message says that a scanner sent it.
    #[must_use]
    pub fn is_scanner(&self, message: &Message) -> bool {
        let Some(agent) = message.header(Name::UserAgent) else {
            return false;
        };
        self.scanners.iter().any(|scanner| {
            agent
                .get(..scanner.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(scanner.as_bytes()))
        })
    }
}

/// Somebody who is shut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The address; of IPv6 the /64 it is in.
    pub source: IpAddr,
    /// Only this user, where others come from the same address.
    pub user: Option<Box<str>>,
    /// Unix milliseconds.
    pub until: u64,
    /// How often it was shut out.
    pub times: u32,
}

/// Seconds' worth of requests that may come at once.
const BURST: u64 = 10;

/// How long a source counts as one that others may share.
const PROVEN_MS: u64 = 24 * 3600 * 1000;

/// How long after a ban the next one is a longer one.
const MEMORY_MS: u64 = 24 * 3600 * 1000;

/// What is remembered of a source.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// When the purse of each errand will be full again, in microseconds of [`Now::mono`].
    full_at: [u64; Errand::ALL],
    /// Unix milliseconds of the last success.
    proven_at: u64,
}

/// What is remembered of who fails.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    /// Unix milliseconds: older failures are forgotten.
    since: u64,
}

/// A ban, and what is left of it afterwards: it makes the next one longer.
#[derive(Clone, Debug)]
struct Sentence {
    source: IpAddr,
    user: Option<Box<str>>,
    until: u64,
    times: u32,
    served: bool,
}

/// Who is held to account: a source (no user), or one user at a source.
type Culprit = (u128, u64);

/// The judge of some of the sources; the shell has one for each of its locks.
#[derive(Debug)]
pub struct Defence {
    settings: DefenceSettings,
    seed: Seed,
    records: Generations<u128, Record>,
    failures: Generations<Culprit, Failures>,
    bans: HashMap<Culprit, Sentence, Seed>,
}

impl Defence {
    /// Nobody is known yet.
    #[must_use]
    pub fn new(settings: DefenceSettings, seed: Seed) -> Self {
        Self {
            records: Generations::new(settings.sources, seed),
            failures: Generations::new(settings.sources, seed),
            bans: HashMap::with_hasher(seed),
            settings,
            seed,
        }
    }

    /// Other settings from now on; what is known stays.
    pub fn set(&mut self, settings: DefenceSettings) {
        self.settings = settings;
    }

    /// Whether anybody is shut out: while nobody is, nobody needs to be looked up.
    #[must_use]
    pub fn has_bans(&self) -> bool {
        !self.bans.is_empty()
    }

    /// Whether all that comes from `source` is to be dropped unread.
    #[must_use]
    pub fn is_banned(&self, now: Now, source: IpAddr) -> bool {
        self.is_shut_out(now, (network(source), NOBODY))
    }

    /// Whether this user is shut out at this source.
    #[must_use]
    pub fn is_user_banned(&self, now: Now, source: IpAddr, user: &str) -> bool {
        !self.bans.is_empty() && self.is_shut_out(now, (network(source), self.user(user)))
    }

    /// Takes the price of an errand from the source's purse. `false`: it is empty.
    pub fn admit(&mut self, now: Now, source: IpAddr, errand: Errand) -> bool {
        let rate = u64::from(self.settings.rates[errand as usize].max(1));
        let (price, purse) = (1_000_000 / rate, 1_000_000 * BURST);
        let at = micros(now.mono);
        let record = self.records.entry(network(source));
        let full_at = &mut record.full_at[errand as usize];
        let after = (*full_at).max(at) + price;
        if after <= at + purse {
            *full_at = after;
            return true;
        }
        false
    }

    /// Somebody at this source proved to be who it says.
    pub fn proved(&mut self, now: Now, source: IpAddr, user: &str) {
        let source = network(source);
        self.records.entry(source).proven_at = now.unix_ms;
        let user = self.user(user);
        self.failures.remove(&(source, user));
    }

    /// A wrong password, or what no honest client sends. `user`: who it was said to be. The ban
    /// that follows, if it does.
    pub fn failed(&mut self, now: Now, source: IpAddr, user: Option<&str>) -> Option<Ban> {
        let key = network(source);
        let proven_at = self.records.get(&key).map_or(0, |record| record.proven_at);
        let shared = proven_at > 0 && now.unix_ms.saturating_sub(proven_at) < PROVEN_MS;
        let user = match (shared, user) {
            (false, _) => None,
            (true, Some(user)) => Some(user),
            // What names nobody is held against nobody here: the rates hold it down.
            (true, None) => return None,
        };
        let culprit = (key, user.map_or(NOBODY, |user| self.user(user)));
        let window = millis(self.settings.window);
        let failures = self.failures.entry(culprit);
        if now.unix_ms.saturating_sub(failures.since) > window {
            *failures = Failures {
                count: 0,
                since: now.unix_ms,
            };
        }
        failures.count += 1;
        if failures.count < self.settings.failures {
            return None;
        }
        self.failures.remove(&culprit);
        let known = self.bans.get(&culprit).map_or(0, |ban| ban.times);
        let doubled = millis(self.settings.ban).saturating_mul(1 << known.min(20));
        let span = doubled.min(millis(self.settings.ban_max));
        self.shut_out(culprit, source, user, now.unix_ms.saturating_add(span))
    }

    /// A scanner gave itself away. It is shut out at once, unless honest users share its address.
    /// Not to be asked over UDP, where anybody can write anybody's address.
    pub fn scanned(&mut self, now: Now, source: IpAddr) -> Option<Ban> {
        let key = network(source);
        let honest = self.records.get(&key).is_some_and(|record| {
            record.proven_at > 0 && now.unix_ms.saturating_sub(record.proven_at) < PROVEN_MS
        });
        let until = now.unix_ms.saturating_add(millis(self.settings.ban));
        (!honest && !self.is_banned(now, source))
            .then(|| self.shut_out((key, NOBODY), source, None, until))?
    }

    /// Shuts a source out until then, by order. None: there is no room for one more.
    pub fn ban(&mut self, source: IpAddr, until: u64) -> Option<Ban> {
        self.shut_out((network(source), NOBODY), source, None, until)
    }

    /// Lets a source in again, and everybody at it, by order. Who was shut out.
    pub fn unban(&mut self, source: IpAddr) -> Vec<Ban> {
        let key = network(source);
        let lifted = self.bans.extract_if(|culprit, _| culprit.0 == key);
        lifted
            .filter(|(_, sentence)| !sentence.served)
            .map(|(_, sentence)| sentence.told())
            .collect()
    }

    /// The bans whose time is over, each once. To be asked now and then.
    pub fn expire(&mut self, now: Now) -> Vec<Ban> {
        let mut over = Vec::new();
        self.bans.retain(|_, sentence| {
            if sentence.until <= now.unix_ms && !sentence.served {
                sentence.served = true;
                over.push(sentence.told());
            }
            sentence.until.saturating_add(MEMORY_MS) > now.unix_ms
        });
        over
    }

    /// Who is shut out now.
    pub fn bans(&self, now: Now) -> impl Iterator<Item = Ban> {
        let bans = self.bans.values();
        bans.filter(move |sentence| sentence.until > now.unix_ms)
            .map(Sentence::told)
    }

    fn shut_out(
        &mut self,
        culprit: Culprit,
        source: IpAddr,
        user: Option<&str>,
        until: u64,
    ) -> Option<Ban> {
        let full = self.bans.len() >= self.settings.bans.max(1);
        if full && !self.bans.contains_key(&culprit) {
            // One that is over makes room; else the one that is over first does not: it is the
            // attacker who would fill the list, and the rates still hold.
            let served = self.bans.iter().find(|(_, sentence)| sentence.served);
            let served = *served?.0;
            self.bans.remove(&served);
        }
        let sentence = self.bans.entry(culprit).or_insert_with(|| Sentence {
            source: base(source),
            user: user.map(Into::into),
            until,
            times: 0,
            served: false,
        });
        sentence.until = until;
        sentence.served = false;
        sentence.times = sentence.times.saturating_add(1);
        Some(sentence.told())
    }

    fn is_shut_out(&self, now: Now, culprit: Culprit) -> bool {
        self.bans
            .get(&culprit)
            .is_some_and(|sentence| sentence.until > now.unix_ms)
    }

    fn user(&self, user: &str) -> u64 {
        self.seed.hash_one(user).max(NOBODY + 1)
    }
}

impl Sentence {
    fn told(&self) -> Ban {
        Ban {
            source: self.source,
            user: self.user.clone(),
            until: self.until,
            times: self.times,
        }
    }
}

/// In place of a user: the whole source.
const NOBODY: u64 = 0;

/// Who gets an IPv6 address gets 2^64 of them.
const IPV6_NETWORK: u128 = !(u64::MAX as u128);

fn network(source: IpAddr) -> u128 {
    match source.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits() & IPV6_NETWORK,
    }
}

/// A number of the source's network, for choosing among judges.
#[must_use]
pub fn source_hash(source: IpAddr) -> usize {
    // Strangers may choose it: then their own judge has more to do.
    let network = network(source);
    let mixed = ((network >> 64) as u64 ^ network as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as usize
}

fn base(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & IPV6_NETWORK).into()),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests;
