//! Who is let in, for all threads: judges ([`engine::Defence`]), each behind a lock of its own.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bus_schema::{
    Actor, Answer, Banned, Bans, Cause, CommandError, ErrorCode, EventName, Incident, Outcome,
    Reason, SecurityData, Severity, Timestamp,
};
use engine::{Ban, Defence, DefenceSettings, Errand, Seed};
use parking_lot::Mutex;
use sip::Now;

use crate::{random::random_u128, shared::Shared};

/// Locks; a source has one of them.
const JUDGES: usize = 16;

/// The judges.
pub(crate) struct Defences {
    judges: Vec<Mutex<Defence>>,
    /// Whether anybody is shut out: as a rule nobody is, and then no lock is taken for a datagram.
    bans: AtomicBool,
}

impl Defences {
    pub(crate) fn new(settings: &DefenceSettings) -> Self {
        let seed = Seed(random_u128());
        let judge = |_| Mutex::new(Defence::new(share(settings), seed));
        Self {
            judges: (0..JUDGES).map(judge).collect(),
            bans: AtomicBool::new(false),
        }
    }

    /// Other settings from now on.
    pub(crate) fn set(&self, settings: &DefenceSettings) {
        for judge in &self.judges {
            judge.lock().set(share(settings));
        }
    }

    /// Whether all that comes from `source` is to be dropped unread.
    pub(crate) fn is_banned(&self, now: impl FnOnce() -> Now, source: IpAddr) -> bool {
        self.bans.load(Ordering::Relaxed) && self.judge(source).lock().is_banned(now(), source)
    }

    /// Whether this user is shut out there.
    pub(crate) fn is_user_banned(&self, now: Now, source: IpAddr, user: &str) -> bool {
        self.bans.load(Ordering::Relaxed)
            && self.judge(source).lock().is_user_banned(now, source, user)
    }

    /// Takes the price of an errand. `false`: the source has asked for too much.
    pub(crate) fn admit(&self, now: Now, source: IpAddr, errand: Errand) -> bool {
        self.judge(source).lock().admit(now, source, errand)
    }

    pub(crate) fn proved(&self, now: Now, source: IpAddr, user: &str) {
        self.judge(source).lock().proved(now, source, user);
    }

    pub(crate) fn failed(&self, now: Now, source: IpAddr, user: &str) -> Option<Ban> {
        let ban = self.judge(source).lock().failed(now, source, Some(user));
        self.note(ban)
    }

    pub(crate) fn scanned(&self, now: Now, source: IpAddr) -> Option<Ban> {
        let ban = self.judge(source).lock().scanned(now, source);
        self.note(ban)
    }

    /// Shuts a source out, by order.
    pub(crate) fn ban(&self, source: IpAddr, until: u64) -> Option<Ban> {
        let ban = self.judge(source).lock().ban(source, until);
        self.note(ban)
    }

    /// Lets a source in again, by order.
    pub(crate) fn unban(&self, source: IpAddr) -> Vec<Ban> {
        self.judge(source).lock().unban(source)
    }

    /// Who is shut out.
    pub(crate) fn all(&self, now: Now) -> Vec<Ban> {
        let mut bans = Vec::new();
        for judge in &self.judges {
            bans.extend(judge.lock().bans(now));
        }
        bans.sort_unstable_by(|a, b| (a.source, &a.user).cmp(&(b.source, &b.user)));
        bans
    }

    /// The bans whose time is over. To be called about once a second.
    pub(crate) fn expire(&self, now: Now) -> Vec<Ban> {
        let mut over = Vec::new();
        let mut left = false;
        for judge in &self.judges {
            let mut judge = judge.lock();
            over.extend(judge.expire(now));
            left |= judge.has_bans();
        }
        if !left {
            self.bans.store(false, Ordering::Relaxed);
        }
        over
    }

    fn judge(&self, source: IpAddr) -> &Mutex<Defence> {
        &self.judges[engine::source_hash(source) % JUDGES]
    }

    fn note(&self, ban: Option<Ban>) -> Option<Ban> {
        if ban.is_some() {
            self.bans.store(true, Ordering::Relaxed);
        }
        ban
    }
}

fn source(text: &str) -> Result<IpAddr, CommandError> {
    text.parse()
        .map_err(|_| CommandError::bad_field("data.source", "not an IP address"))
}

/// What one judge may remember.
fn share(settings: &DefenceSettings) -> DefenceSettings {
    DefenceSettings {
        sources: settings.sources / JUDGES,
        bans: settings.bans.div_ceil(JUDGES),
        ..settings.clone()
    }
}

impl Shared {
    /// Shuts an address out, by order.
    pub(crate) fn ban(&self, order: &bus_schema::Ban) -> Outcome {
        let source = source(&order.source)?;
        if self.book.load().is_trusted(source) {
            let text = "the address is in limits.trusted";
            return Err(CommandError::new(ErrorCode::BadRequest, text));
        }
        let span = order.ban_ms.map(Duration::from_millis);
        let span = span.unwrap_or_else(|| self.book.load().defence.ban);
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let until = self.clock.unix_ms().saturating_add(span);
        let Some(ban) = self.defences.ban(source, until) else {
            let error = CommandError::new(ErrorCode::LimitExceeded, "there are too many bans");
            return Err(error.with("limit", "bans"));
        };
        self.announce_ban(
            EventName::SecurityBan,
            &ban,
            Actor::Operator,
            Reason::Requested,
        );
        Ok(Answer::Bans(self.bans(&[ban])))
    }

    /// Lets an address in again, by order.
    pub(crate) fn unban(&self, order: &bus_schema::Unban) -> Outcome {
        let bans = self.defences.unban(source(&order.source)?);
        for ban in &bans {
            self.announce_ban(
                EventName::SecurityUnban,
                ban,
                Actor::Operator,
                Reason::Requested,
            );
        }
        Ok(Answer::Bans(self.bans(&bans)))
    }

    /// Bans as the bus is told them.
    pub(crate) fn bans(&self, bans: &[Ban]) -> Bans {
        let told = bans.iter().map(|ban| Banned {
            source: ban.source.to_string().into(),
            aor: ban.user.as_deref().map(Into::into),
            until: Timestamp(ban.until),
            times: ban.times,
        });
        Bans {
            node: self.voice.source.node().into(),
            bans: told.collect(),
        }
    }

    /// Says that somebody is shut out, or let in again.
    pub(crate) fn announce_ban(&self, name: EventName, ban: &Ban, by: Actor, reason: Reason) {
        let shut_out = name == EventName::SecurityBan;
        tracing::warn!(source = %ban.source, user = ban.user.as_deref(), shut_out, %reason, "ban");
        let incident = Incident {
            severity: if shut_out {
                Severity::Warn
            } else {
                Severity::Info
            },
            source: Some(ban.source.to_string().into()),
            transport: None,
            aor: ban.user.as_deref().map(Into::into),
            count: u64::from(ban.times),
            until: shut_out.then_some(Timestamp(ban.until)),
        };
        let cause = Cause::new(by, reason);
        self.announce(name, SecurityData { incident, cause });
    }
}
