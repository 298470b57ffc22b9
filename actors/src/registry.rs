//! Who is registered: the registrar's shards, each with one writer at a time and read from every
//! thread without asking anybody.

use std::net::SocketAddr;

use bus_schema::{Actor, Cause, EventName, Reason, RegData, Registration, Text, Timestamp};
use engine::{
    Change, ChangeKind, Decision, Kept, Registrar, TokenKey, Transport,
    location::{Aor, Binding, Locations, SHARDS, shard_of},
};
use parking_lot::{RwLock, RwLockReadGuard};
use sip::{Message, Name, Now};

use crate::{
    ack::Notice,
    incidents::head,
    shared::Shared,
    store::{Store, Tree},
};

/// All shards.
pub(crate) struct Registry {
    shards: Box<[RwLock<Registrar>]>,
    key: TokenKey,
}

impl Registry {
    /// The shards `make` makes.
    pub(crate) fn new(key: TokenKey, make: impl Fn() -> Registrar) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::new(make())).collect();
        Self { shards, key }
    }

    fn shard(&self, aor: &str) -> &RwLock<Registrar> {
        &self.shards[usize::from(shard_of(aor, &self.key)) % self.shards.len()]
    }

    /// The bindings of the shard that has this address.
    pub(crate) fn locations<R>(&self, aor: &str, read: impl FnOnce(&Locations) -> R) -> R {
        let registrar: RwLockReadGuard<'_, Registrar> = self.shard(aor).read();
        read(registrar.locations())
    }

    /// Serves a REGISTER.
    pub(crate) fn register(&self, now: Now, asked: &engine::Registration<'_>) -> Decision {
        self.shard(asked.aor).write().handle(now, asked)
    }

    /// Takes back what could not be kept.
    pub(crate) fn revert(&self, aor: &Aor, before: Vec<Binding>) {
        self.shard(aor).write().revert(aor, before);
    }

    /// Takes new limits.
    pub(crate) fn configure(&self, settings: engine::RegistrarSettings) {
        for shard in &self.shards {
            shard.write().configure(settings);
        }
    }

    /// What happened by itself: bindings whose time has come.
    pub(crate) fn expire(&self, now: Now) -> Vec<Kept> {
        self.each(|registrar| registrar.expire(now))
    }

    /// The bindings on a connection that is gone.
    pub(crate) fn lose(&self, connection: u64) -> Vec<Kept> {
        self.each(|registrar| registrar.lose(connection))
    }

    fn each(&self, mut next: impl FnMut(&mut Registrar) -> Option<Kept>) -> Vec<Kept> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut registrar = shard.write();
            while let Some(kept) = next(&mut registrar) {
                all.push(kept);
            }
        }
        all
    }

    /// Takes up what the store kept.
    pub(crate) fn restore(&self, store: &dyn Store, now: Now) -> Vec<Kept> {
        let mut changed = Vec::new();
        let read = store.scan(Tree::Registrations, &mut |key, _format, record| {
            let Ok(aor) = std::str::from_utf8(key) else {
                return;
            };
            let aor = Aor::from(aor);
            match self.shard(&aor).write().restore(now, &aor, record) {
                Ok(kept) => changed.extend(kept),
                Err(error) => tracing::error!(%error, "a stored registration is damaged"),
            }
        });
        if let Err(error) = read {
            tracing::error!(%error, "stored registrations are lost");
        }
        changed
    }

    /// The number of bindings.
    pub(crate) fn bindings(&self) -> u64 {
        let of = |shard: &RwLock<Registrar>| shard.read().locations().bindings();
        self.shards.iter().map(of).sum::<usize>() as u64
    }

    /// A page of bindings by address, after `after`, and where the next begins.
    pub(crate) fn page(
        &self,
        aor: Option<&str>,
        after: Option<&str>,
        most: usize,
        now_ms: u64,
        listeners: &[engine::Listener],
    ) -> (Vec<Registration>, Option<Text>) {
        let mut names: Vec<Aor> = match aor {
            Some(aor) => vec![Aor::from(aor)],
            None => self
                .shards
                .iter()
                .flat_map(|shard| {
                    shard
                        .read()
                        .locations()
                        .iter()
                        .map(|(aor, _)| aor.clone())
                        .collect::<Vec<_>>()
                })
                .collect(),
        };
        names.retain(|name| after.is_none_or(|after| &**name > after));
        names.sort_unstable();
        let seconds = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
        let mut page = Vec::new();
        for name in &names {
            if page.len() >= most {
                let last = page.last().map(|last: &Registration| last.aor.clone());
                return (page, last);
            }
            self.locations(name, |locations| {
                let live = locations.live(name, seconds);
                page.extend(live.map(|binding| registration(name, binding, listeners)));
            });
        }
        (page, None)
    }
}

/// A binding as the bus shows it.
pub(crate) fn registration(
    aor: &str,
    binding: &Binding,
    listeners: &[engine::Listener],
) -> Registration {
    let text = |text: &str| (!text.is_empty()).then(|| Text::from(text));
    let transport = listeners
        .get(usize::from(binding.hop.listener()))
        .map_or("udp", |listener| listener.transport.as_str());
    let source = match binding.hop {
        engine::Hop::Udp { remote, .. } | engine::Hop::Connect { remote, .. } => {
            Some(remote.to_string().into())
        }
        engine::Hop::Flow { .. } => None,
    };
    Registration {
        aor: aor.into(),
        contact: binding.contact().into(),
        transport: transport.into(),
        source,
        instance: text(binding.instance()),
        reg_id: (binding.reg_id != 0).then_some(binding.reg_id),
        q_milli: (binding.q != 1000).then_some(binding.q),
        user_agent: text(binding.agent()),
        bound_at: None,
        expires_at: Timestamp(u64::from(binding.expires) * 1000),
    }
}

/// What a REGISTER asked for that is refused: its first contact, if it had one.
pub(crate) fn wanted(
    request: &Message,
    transport: Transport,
    remote: SocketAddr,
    now_ms: u64,
) -> Option<Registration> {
    let to = request.to().ok()?.uri().ok()?;
    let contact = request.contacts().next().and_then(Result::ok);
    let agent = request.text(Name::UserAgent);
    Some(Registration {
        aor: head(&engine::aor(to.user?, to.host.host)).into(),
        contact: contact.map_or("", |contact| head(contact.uri)).into(),
        transport: transport.as_str().into(),
        source: Some(remote.to_string().into()),
        instance: None,
        reg_id: None,
        q_milli: None,
        user_agent: agent.map(|agent| head(agent).into()),
        bound_at: None,
        expires_at: Timestamp(now_ms),
    })
}

impl Shared {
    /// Takes up the registrations of the last run, and says what has become of them.
    pub(crate) fn restore_registrations(&self) {
        let changed = self.registry.restore(&*self.store, self.clock.now());
        let gone = |kind| {
            let changes = changed.iter().flat_map(|kept| &kept.changes);
            changes.filter(|change| change.kind == kind).count()
        };
        let [expired, lost, stranded] =
            [ChangeKind::Expired, ChangeKind::Lost, ChangeKind::Stranded].map(gone);
        let bindings = self.registry.bindings();
        if stranded > 0 {
            tracing::warn!(
                stranded,
                "no listener reaches some of the registered any more: they have to register again"
            );
        }
        if bindings > 0 || !changed.is_empty() {
            tracing::info!(bindings, expired, lost, "registrations of the last run");
        }
        for kept in changed {
            self.keep_registration(&kept, None);
            self.announce_registration(&kept);
        }
    }

    /// Has the store keep a change, and tells `notice` when it is durable. `false`: it will not.
    pub(crate) fn keep_registration(&self, kept: &Kept, notice: Option<Notice>) -> bool {
        let key = kept.aor.as_bytes();
        let written = match &kept.record {
            Some(record) => self
                .store
                .put(Tree::Registrations, key, record.clone(), notice),
            None => self.store.delete(Tree::Registrations, key, notice),
        };
        written.is_ok()
    }

    /// Tells the bus what happened to bindings.
    pub(crate) fn announce_registration(&self, kept: &Kept) {
        if !self.journal.is_kept() && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let bindings = u32::try_from(kept.left).unwrap_or(u32::MAX);
        for Change { kind, binding } in &kept.changes {
            let (name, cause) = told(*kind);
            let registration = registration(&kept.aor, binding, &self.listeners);
            tracing::debug!(
                aor = &*kept.aor,
                transport = &*registration.transport,
                bindings,
                "{name}"
            );
            self.announce(
                name,
                RegData {
                    registration,
                    bindings,
                    count: None,
                    cause,
                },
            );
        }
    }
}

fn told(kind: ChangeKind) -> (EventName, Cause) {
    match kind {
        ChangeKind::Bound => (
            EventName::RegBound,
            Cause::new(Actor::User, Reason::Requested),
        ),
        ChangeKind::Refreshed => (
            EventName::RegRefreshed,
            Cause::new(Actor::User, Reason::Requested),
        ),
        ChangeKind::Removed => (
            EventName::RegRemoved,
            Cause::new(Actor::User, Reason::Requested),
        ),
        ChangeKind::Replaced => (
            EventName::RegRemoved,
            Cause::new(Actor::User, Reason::Replaced),
        ),
        ChangeKind::Expired => (
            EventName::RegExpired,
            Cause::timer("expires", Reason::Expired),
        ),
        ChangeKind::Lost => (
            EventName::RegLost,
            Cause::new(Actor::System, Reason::FlowLost),
        ),
        ChangeKind::Stranded => (
            EventName::RegLost,
            Cause::new(Actor::System, Reason::Restart).with_text("no listener reaches it"),
        ),
    }
}
