//! Reading the configuration again: what of it is taken, and what waits for a restart.

use std::{path::Path, sync::Arc};

use config::{Config, Diagnostics, Users};
use parking_lot::Mutex;

use crate::{
    book::Book,
    shared::Shared,
    tls::{self, TlsError},
};

/// What a node takes while it runs, by the names of the keys: what makes a [`Book`], and
/// certificates. All else waits.
const TAKEN: [&str; 25] = [
    "domain",
    "user",
    "route",
    "tls",
    "limits.trusted",
    "limits.scanners",
    "limits.hops",
    "limits.source_invites_per_s",
    "limits.source_registers_per_s",
    "limits.source_requests_per_s",
    "limits.auth_failures",
    "limits.auth_failures_s",
    "limits.ban_s",
    "limits.ban_max_s",
    "limits.sources",
    "limits.bans",
    "limits.calls",
    "limits.forks",
    "limits.registrations",
    "limits.bindings_per_aor",
    "limits.contact_bytes",
    "limits.expires_min_s",
    "limits.expires_default_s",
    "limits.expires_max_s",
    "limits.command_bytes",
];

/// What a file that was read again says otherwise, by the names of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Since it was last read; in force from now on.
    pub taken: Vec<String>,
    /// Since the start; in force after the next one.
    pub waiting: Vec<String>,
}

/// The configuration in force.
pub(super) struct Settings {
    /// What the node was started with. Users are taken at once, and kept in one place.
    started: Config,
    /// What was read last.
    last: Mutex<Config>,
}

impl Settings {
    pub(super) fn new(config: &Config) -> Self {
        let last = config.clone();
        let started = Config {
            users: Users::default(),
            ..config.clone()
        };
        Self {
            started,
            last: Mutex::new(last),
        }
    }

    /// Takes from `file` what can be changed while the node runs.
    ///
    /// # Errors
    /// Every mistake in it and in the certificates that it names; nothing has changed then.
    pub(super) fn read(&self, shared: &Shared, file: &Path) -> Result<Changes, Diagnostics> {
        // Of two readings at once the second waits.
        let mut last = self.last.lock();
        let read = config::load(file)?.config;
        match tls::renew(shared, Some(&read)) {
            Ok(()) => {}
            Err(TlsError::Found(findings)) => return Err(findings),
            Err(error) => {
                let remedy = "name a certificate of yours in [tls]";
                return Err(Diagnostics::about_file(file, error.to_string(), remedy));
            }
        }
        let book = Book::new(&read, &shared.listeners);
        shared.registry.configure(book.registrar);
        shared.defences.set(&book.defence);
        shared.book.store(Arc::new(book));
        let changes = Changes {
            taken: differences(&last, &read, true),
            waiting: differences(&self.started, &read, false),
        };
        *last = read;
        Ok(changes)
    }
}

/// What differs of what is taken, or of what waits.
fn differences(one: &Config, other: &Config, taken: bool) -> Vec<String> {
    let tenant = |config: &Config| config.domains.first().map(|domain| domain.tenant.clone());
    let parts = [
        ("node", one.node != other.node),
        ("bus", one.bus != other.bus),
        ("listen", one.listen != other.listen),
        ("tls", one.tls != other.tls),
        ("dns", one.dns != other.dns),
        ("http", one.http != other.http),
        ("log", one.log != other.log),
        ("domain", one.domains != other.domains),
        // Subjects are made of it once.
        ("domain.tenant", tenant(one) != tenant(other)),
        ("user", one.users != other.users),
        ("route", one.routes != other.routes),
        ("calls", one.calls != other.calls),
        ("media", one.media != other.media),
    ];
    let (before, after) = (&one.limits, &other.limits);
    let lists = [
        ("trusted", before.trusted != after.trusted),
        ("scanners", before.scanners != after.scanners),
    ];
    let numbers = before.numbers().into_iter().zip(after.numbers());
    let numbers = numbers.map(|((name, before), (_, after))| (name, before != after));
    let limits = lists.into_iter().chain(numbers);
    let limits = limits.map(|(name, differs)| (format!("limits.{name}"), differs));
    parts
        .into_iter()
        .map(|(name, differs)| (name.to_owned(), differs))
        .chain(limits)
        .filter(|(name, differs)| *differs && TAKEN.contains(&&**name) == taken)
        .map(|(name, _)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_are_keys_that_there_are() {
        let limits = Config::default().limits.numbers();
        for name in TAKEN.iter().filter_map(|name| name.strip_prefix("limits.")) {
            let list = ["trusted", "scanners"].contains(&name);
            assert!(list || limits.iter().any(|(number, _)| *number == name));
        }
    }
}
