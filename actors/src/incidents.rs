//! What strangers do that they should not, summed up: of one source and kind there is one event in
//! an interval, with the number of times. A flood of misdeeds is no flood of events.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use bus_schema::{
    Actor, Cause, EventName, Incident, Reason, RegData, Registration, SecurityData, Severity, Text,
};
use engine::Transport;
use parking_lot::Mutex;

use crate::{limit::refused, shared::Shared};

/// What was seen and is not told yet.
pub(crate) struct Incidents {
    seen: Mutex<HashMap<Key, Seen>>,
    /// The least time between two events of one key.
    interval: Duration,
    /// Keys with a source of their own; beyond, sources are told together.
    most: usize,
}

/// What is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) name: EventName,
    pub(crate) reason: Reason,
    /// Where it came from; none: from more sources than can be told apart.
    pub(crate) source: Option<IpAddr>,
}

/// What is told of the first of many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    pub(crate) transport: Option<Transport>,
    pub(crate) aor: Option<Text>,
    pub(crate) status: Option<u16>,
    pub(crate) text: Option<&'static str>,
    /// What a REGISTER that was refused wanted.
    pub(crate) wanted: Option<Registration>,
}

struct Seen {
    /// Since it was told last.
    count: u64,
    told: Option<Duration>,
    details: Details,
}

impl Incidents {
    pub(crate) fn new(interval: Duration, most: usize) -> Self {
        Self {
            seen: Mutex::default(),
            interval,
            most,
        }
    }

    /// Something was seen. Its details are asked for if it is the first since the last event.
    pub(crate) fn note(
        &self,
        name: EventName,
        reason: Reason,
        source: IpAddr,
        details: impl FnOnce() -> Details,
    ) {
        let mut key = Key {
            name,
            reason,
            source: Some(source.to_canonical()),
        };
        let mut seen = self.seen.lock();
        if seen.len() >= self.most && !seen.contains_key(&key) {
            refused("incident_sources");
            key.source = None;
        }
        let seen = seen.entry(key).or_insert_with(|| Seen {
            count: 0,
            told: None,
            details: Details::default(),
        });
        if seen.count == 0 {
            seen.details = details();
        }
        seen.count += 1;
    }

    /// What is to be told now: what was seen since its last event, if that is an interval ago.
    fn due(&self, now: Duration, interval: Duration) -> Vec<(Key, u64, Details)> {
        let mut due = Vec::new();
        self.seen.lock().retain(|key, seen| {
            if seen.told.is_some_and(|told| now < told + interval) {
                return true;
            }
            if seen.count == 0 {
                return false;
            }
            let details = std::mem::take(&mut seen.details);
            due.push((*key, std::mem::take(&mut seen.count), details));
            seen.told = Some(now);
            true
        });
        due
    }
}

impl Shared {
    /// Tells the bus of incidents whose time has come. To be called about once a second.
    pub(crate) fn tell_incidents(&self) {
        self.tell_those(self.incidents.interval);
    }

    /// The same of all, before the node goes.
    pub(crate) fn tell_last_incidents(&self) {
        self.tell_those(Duration::ZERO);
    }

    fn tell_those(&self, interval: Duration) {
        for (key, count, details) in self.incidents.due(self.clock.mono(), interval) {
            let Details {
                transport,
                aor,
                status,
                text,
                wanted,
            } = details;
            let mut cause = Cause::new(actor(key.name), key.reason);
            cause.sip_status = status;
            cause.text = text.map(Text::from);
            if let Some(registration) = wanted {
                let bindings = self.registry.locations(&registration.aor, |locations| {
                    locations.all(&registration.aor).len()
                });
                let data = RegData {
                    registration,
                    bindings: u32::try_from(bindings).unwrap_or(u32::MAX),
                    count: Some(count),
                    cause,
                };
                self.announce(key.name, data);
                continue;
            }
            let severity = match key.name {
                EventName::SecurityMalformed => Severity::Info,
                _ => Severity::Warn,
            };
            let incident = Incident {
                severity,
                source: key.source.map(|source| source.to_string().into()),
                transport: transport.map(|transport| transport.as_str().into()),
                aor,
                count,
                until: None,
            };
            self.announce(key.name, SecurityData { incident, cause });
        }
    }
}

fn actor(name: EventName) -> Actor {
    match name {
        // What was refused, and not what was done.
        EventName::RegRejected => Actor::System,
        _ => Actor::User,
    }
}

/// As much of a stranger's words as is worth telling.
pub(crate) fn head(text: &str) -> &str {
    const MOST: usize = 256;
    text.char_indices()
        .nth(MOST)
        .map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: EventName = EventName::SecurityAuthFailed;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn note(incidents: &Incidents, source: [u8; 4]) {
        incidents.note(NAME, Reason::Unauthorized, source.into(), Details::default);
    }

    fn counts(incidents: &Incidents, now: u64) -> Vec<(Option<IpAddr>, u64)> {
        let due = incidents.due(at(now), incidents.interval);
        let mut counts: Vec<_> = due
            .into_iter()
            .map(|(key, count, _)| (key.source, count))
            .collect();
        counts.sort_unstable();
        counts
    }

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let incidents = Incidents::new(at(10), 100);
        let source = Some(IpAddr::from([192, 0, 2, 1]));
        note(&incidents, [192, 0, 2, 1]);
        assert_eq!(counts(&incidents, 0), [(source, 1)]);
        for _ in 0..1000 {
            note(&incidents, [192, 0, 2, 1]);
        }
        assert!(counts(&incidents, 9).is_empty());
        assert_eq!(counts(&incidents, 10), [(source, 1000)]);
        // An interval without any: forgotten.
        assert!(counts(&incidents, 20).is_empty());
        assert!(incidents.seen.lock().is_empty());
        note(&incidents, [192, 0, 2, 1]);
        assert_eq!(counts(&incidents, 21), [(source, 1)]);
    }

    #[test]
    fn more_sources_than_can_be_told_apart_are_told_together() {
        let incidents = Incidents::new(at(10), 2);
        for last in 0..200 {
            note(&incidents, [192, 0, 2, last]);
        }
        let told = counts(&incidents, 0);
        assert_eq!(told[0], (None, 198));
        assert_eq!(told.len(), 3);
    }
}
