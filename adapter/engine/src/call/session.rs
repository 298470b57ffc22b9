//! Session timers (RFC 4028): a party that has vanished is found out.
//!
//! Each leg has its own. Who asks for one gets it; a callee is asked for one if its caller asked,
//! or if the configuration says so. The refresher renews the session at half of its time, by
//! UPDATE where the party takes that, else by a re-INVITE with what it was last told. A session
//! that is not renewed ends shortly before its time is up, and the call with it.

use std::time::Duration;

use bus_schema::{Cause, Reason};
use bytes::Bytes;
use sip::offer::glare_wait;
use sip::{Builder, ClientId, Failure, Message, Method, Name, Now, ServerId, reply};

use super::leg_state::Ack;
use super::{Call, Stage, compose};
use crate::leg::Output;
use crate::token::LegId;

/// The option tag.
pub(super) const TAG: &str = "timer";

/// RFC 4028 4: no session is shorter.
const MIN_SE: u32 = 90;

/// A week: more is as good as none.
const MAX_SE: u32 = 604_800;

/// RFC 4028 10: a session ends this much before its time, or a third of it.
const GRACE: Duration = Duration::from_secs(32);

/// How often the time may be found too short before we do without.
const RAISES_MAX: u8 = 2;

/// The timer of one leg.
#[derive(Debug)]
pub(super) struct SessionTimer {
    /// Seconds.
    interval: u32,
    /// Whether we renew the session, or the party.
    ours: bool,
    /// When it is to be renewed, or has failed to be.
    pub(super) due: Duration,
    /// When it has failed to be.
    end: Duration,
    /// Our refresh under way.
    asked: Option<ClientId>,
    /// Whether the party takes UPDATE.
    updates: bool,
    /// What the party was last told, with its Content-Type, for a refresh by re-INVITE.
    told: Option<(Bytes, Bytes)>,
}

/// What we ask a callee for in our INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) interval: u32,
    /// Above the RFC's own minimum, if somebody has one.
    min: u32,
    raises: u8,
}

impl Asked {
    /// As `response`, a 422, wants it.
    pub(super) fn raised(self, response: &Message) -> Option<Self> {
        let min = seconds(response, Name::MinSe)?.min(MAX_SE);
        let raises = self.raises + 1;
        (min > self.interval && raises <= RAISES_MAX).then_some(Self {
            interval: min,
            min,
            raises,
        })
    }

    /// Writes it into an INVITE.
    pub(super) fn put(self, out: &mut Builder) {
        out.number(Name::SessionExpires, self.interval);
        if self.min > MIN_SE {
            out.number(Name::MinSe, self.min);
        }
    }
}

/// What a request or a response says of its session's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    interval: u32,
    /// Whether the user agent client is to renew it, if that is said.
    by_client: Option<bool>,
}

impl Term {
    fn of(message: &Message) -> Option<Self> {
        let interval = seconds(message, Name::SessionExpires)?;
        let mut params = message.text(Name::SessionExpires)?.split(';').skip(1);
        let by_client = params.find_map(|param| {
            let (name, value) = param.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case("refresher");
            is_it.then(|| value.trim().eq_ignore_ascii_case("uac"))
        });
        Some(Self {
            interval,
            by_client,
        })
    }
}

/// The minimum that a request of a party falls short of: it gets 422. One whose sender knows
/// nothing of session timers is not refused for it.
pub(super) fn too_small(request: &Message, least: Duration) -> Option<u32> {
    let least = u32::try_from(least.as_secs()).unwrap_or(MAX_SE).max(MIN_SE);
    let asked = seconds(request, Name::SessionExpires)?;
    (asked < least && supports(request)).then_some(least)
}

fn supports(message: &Message) -> bool {
    message.lists(Name::Supported, TAG) || message.lists(Name::Require, TAG)
}

fn seconds(message: &Message, name: Name) -> Option<u32> {
    let value = message.text(name)?;
    value.split(';').next()?.trim().parse().ok()
}

/// Whether a request does nothing but renew the session: it is between the party and us.
pub(super) fn is_refresh(request: &Message) -> bool {
    request.method() == Some(Method::Update)
        && request.body().is_empty()
        && request.header(Name::SessionExpires).is_some()
}

impl Call {
    /// What a callee is asked for: what the caller asked for, or else the configuration.
    pub(super) fn session_asked(&self, invite: Option<&Message>) -> Option<Asked> {
        let timeouts = &self.home.timeouts;
        let own = timeouts.session.map(|session| session.as_secs());
        let own = own.and_then(|own| u32::try_from(own).ok());
        let interval = invite.and_then(|invite| seconds(invite, Name::SessionExpires));
        let min = invite.and_then(|invite| seconds(invite, Name::MinSe));
        let min = min.unwrap_or(MIN_SE).clamp(MIN_SE, MAX_SE);
        let interval = interval.or(own)?.clamp(min, MAX_SE);
        Some(Asked {
            interval,
            min,
            raises: 0,
        })
    }

    /// Writes what the session of leg `at` is granted into our 2xx to `request`.
    pub(super) fn grant_session(
        &mut self,
        now: Now,
        at: usize,
        request: &Message,
        out: &mut Builder,
    ) {
        let term = Term::of(request);
        let own = self.home.timeouts.session;
        let timer = &self.legs[at].timer;
        if term.is_none() && timer.is_none() && own.is_none() {
            return;
        }
        let supports = supports(request);
        let (interval, ours) = match (term, timer) {
            // A client that knows nothing of it cannot be the one (RFC 4028 9, table 2).
            (Some(term), _) => (term.interval, !supports || term.by_client == Some(false)),
            (None, Some(timer)) => (timer.interval, timer.ours || !supports),
            (None, None) => {
                let own = own.unwrap_or_default().as_secs();
                let min = seconds(request, Name::MinSe).unwrap_or(MIN_SE);
                (u32::try_from(own).unwrap_or(MAX_SE).max(min), !supports)
            }
        };
        let refresher = if ours { "uas" } else { "uac" };
        let value = format_args!("{interval};refresher={refresher}");
        out.line(Name::SessionExpires, value);
        if supports {
            out.line(Name::Require, TAG);
        }
        self.begin_session(now, at, interval, ours, request);
    }

    /// Takes what a 2xx of the party says to our INVITE or UPDATE.
    pub(super) fn session_granted(&mut self, now: Now, at: usize, response: &Message) {
        if let Some(term) = Term::of(response) {
            let ours = term.by_client != Some(false);
            return self.begin_session(now, at, term.interval, ours, response);
        }
        // RFC 4028 7.2: to the party it does not expire. We may go on asking.
        let own = self.home.timeouts.session.map(|own| own.as_secs());
        let interval = match &self.legs[at].timer {
            Some(timer) if timer.ours => Some(timer.interval),
            Some(_) => None,
            None => own.and_then(|own| u32::try_from(own).ok()),
        };
        match interval {
            Some(interval) => self.begin_session(now, at, interval, true, response),
            None => self.legs[at].timer = None,
        }
    }

    fn begin_session(&mut self, now: Now, at: usize, interval: u32, ours: bool, said: &Message) {
        let interval = interval.clamp(MIN_SE, MAX_SE);
        let whole = Duration::from_secs(interval.into());
        let end = now.mono + whole - GRACE.min(whole / 3);
        let due = if ours { now.mono + whole / 2 } else { end };
        let leg = &mut self.legs[at];
        let before = leg.timer.take();
        // Not every message says what a party can do.
        let updates = said.lists(Name::Allow, Method::Update.as_str())
            || before.as_ref().is_some_and(|timer| timer.updates);
        let told = before.and_then(|timer| timer.told);
        leg.timer = Some(Box::new(SessionTimer {
            interval,
            ours,
            due,
            end,
            asked: None,
            updates,
            told: told.filter(|_| !updates),
        }));
    }

    /// Leg `at` is told the session description of `message`, if there is one: a refresh by
    /// re-INVITE repeats it.
    pub(super) fn told_session(&mut self, at: usize, message: &Message) {
        if let Some(timer) = &mut self.legs[at].timer
            && timer.ours
            && !timer.updates
            && !message.body().is_empty()
        {
            timer.told = Some(super::reliable::description(message));
        }
    }

    /// Writes the session's time into a request that renews it: also one of the other party.
    pub(super) fn put_session(&self, at: usize, out: &mut Builder) {
        if let Some(timer) = &self.legs[at].timer {
            let refresher = if timer.ours { "uac" } else { "uas" };
            let value = format_args!("{};refresher={refresher}", timer.interval);
            out.line(Name::SessionExpires, value);
        }
    }

    /// Answers a request that does nothing but renew the session.
    pub(super) fn refreshed(&mut self, now: Now, at: usize, id: ServerId, message: &Message) {
        let leg = self.legs[at].id;
        let mut out = reply(message, 200, "OK", None);
        self.dialog_lines(at, message, &mut out);
        self.grant_session(now, at, message, &mut out);
        let bytes = out.end();
        self.respond(leg, id, false, 200, bytes);
        self.persist_changes();
    }

    /// The session timer of leg `at` may be due.
    pub(super) fn session_timer(&mut self, now: Now, at: usize) {
        let Some(timer) = &mut self.legs[at].timer else {
            return;
        };
        if now.mono < timer.due {
            return;
        }
        if now.mono >= timer.end {
            let cause = Cause::timer("session_expires", Reason::TimerExpired);
            let reasons = compose::reason_of(&cause);
            return self.end(now, cause, &reasons);
        }
        timer.due = timer.end;
        if timer.asked.is_none() {
            self.refresh(now, at);
        }
    }

    /// Renews the session of leg `at`.
    fn refresh(&mut self, now: Now, at: usize) {
        let leg = &self.legs[at];
        let Some(timer) = &leg.timer else { return };
        let id = leg.id;
        let (method, told) = match (timer.updates, &timer.told) {
            (true, _) => (Method::Update, None),
            (false, Some(told)) => (Method::Invite, Some(told.clone())),
            // Nothing to say it with: the other side may still do it.
            (false, None) => return,
        };
        let is_busy = leg.unacked.is_some()
            || matches!(leg.ack, Ack::Owed(_))
            || self.relays.iter().any(|relay| relay.changes(id))
            || matches!(self.stage, Stage::Joining(_));
        if method == Method::Invite && is_busy {
            return self.refresh_later(now, at);
        }
        let branch = self.branch(at);
        let client = self.client();
        let Some(mut out) = self.in_dialog(at, None, method.as_str(), &branch) else {
            return;
        };
        self.put_session(at, &mut out);
        let bytes = match told {
            Some((content_type, body)) => out.body(Some(&content_type), &body),
            None => out.end(),
        };
        if let Some(timer) = &mut self.legs[at].timer {
            timer.asked = Some(client);
        }
        self.push(Output::Request {
            leg: id,
            id: client,
            method,
            branch,
            bytes,
        });
    }

    fn refresh_later(&mut self, now: Now, at: usize) {
        let wait = glare_wait(at != 0, self.entropy.next()).max(Duration::from_secs(1));
        if let Some(timer) = &mut self.legs[at].timer {
            timer.asked = None;
            timer.due = (now.mono + wait).min(timer.end);
        }
    }

    /// Whether `id` is our refresh on leg `at`.
    pub(super) fn is_refreshing(&self, at: usize, id: ClientId) -> bool {
        let timer = self.legs[at].timer.as_ref();
        timer.is_some_and(|timer| timer.asked == Some(id))
    }

    /// A response to our refresh on leg `at`.
    pub(super) fn refresh_response(&mut self, now: Now, at: usize, message: &Message) {
        let status = message.status().unwrap_or(500);
        let method = message.cseq().map(|cseq| cseq.method);
        match status {
            ..200 => {}
            200..300 => {
                if let Some(dialog) = &mut self.legs[at].dialog {
                    // A Contact that cannot be read leaves the target as it was.
                    let _unreadable = dialog.refresh(message);
                }
                if method == Ok(Method::Invite) {
                    let cseq = message.cseq().map_or(0, |cseq| cseq.seq);
                    self.acknowledge(at, cseq, None, |_| {});
                }
                self.session_granted(now, at, message);
                self.persist_changes();
            }
            // RFC 4028 10, RFC 3261 12.2.1.2: the party knows of no session.
            408 | 481 => {
                let cause = self.cause_of(at, status, message);
                let reasons = compose::reason_of(&cause);
                self.end(now, cause, &reasons);
            }
            422 => {
                let min = seconds(message, Name::MinSe).unwrap_or(0);
                if let Some(timer) = &mut self.legs[at].timer
                    && min > timer.interval
                {
                    timer.interval = min.min(MAX_SE);
                    timer.asked = None;
                    self.refresh(now, at);
                }
            }
            491 | 500 => self.refresh_later(now, at),
            405 | 501 => {
                // It does not do what it said. Another word may do.
                if let Some(timer) = &mut self.legs[at].timer {
                    timer.updates = false;
                    timer.asked = None;
                }
            }
            _ => {}
        }
    }

    /// Our refresh on leg `at` got no final response.
    pub(super) fn refresh_failed(&mut self, now: Now, at: usize, why: Failure) {
        match why {
            Failure::NoRoom => self.refresh_later(now, at),
            Failure::Timeout | Failure::Unreachable => {
                let cause = Cause::timer("session_expires", Reason::TimerExpired);
                let reasons = compose::reason_of(&cause);
                self.end(now, cause, &reasons);
            }
        }
    }

    /// A request whose session would be too short: 422 with our minimum.
    pub(super) fn refuse_small(&mut self, leg: LegId, id: ServerId, request: &Message) -> bool {
        let Some(least) = too_small(request, self.home.timeouts.session_min) else {
            return false;
        };
        let least = least.to_string();
        self.refuse(leg, id, request, 422, Some((Name::MinSe, &least)));
        true
    }
}
