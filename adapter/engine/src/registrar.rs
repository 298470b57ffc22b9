//! The registrar (RFC 3261 10.3): what a REGISTER does to the bindings of its AOR.
//!
//! One for each shard of the location table. It decides at once and changes the table at once; the
//! holder keeps what [`Kept`] says and sends the reply after that, so that a 200 is a promise. If
//! it cannot be kept, [`Registrar::revert`] takes the change back.

mod contact;
mod reply;
mod restore;

use core::time::Duration;

use bytes::Bytes;
use sip::{Message, Name, Now};
use smallvec::SmallVec;

use crate::headers;
use crate::hop::{Hop, Listeners};
use crate::location::{self, Aor, Binding, Locations, Removed};
use crate::route::is_secure;
use crate::seed::Seed;
use crate::token::TokenKey;
use contact::Asked;

pub use restore::Unrestored;

/// The option tags a REGISTER may require (RFC 3327; GRUU and Outbound are not implemented).
const OPTION_TAGS: [&str; 1] = ["path"];

/// The limits of registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrarSettings {
    /// The shortest time a contact may ask for, in seconds; less gets 423.
    pub expires_min: u32,
    /// What a contact gets that asks for nothing, in seconds.
    pub expires_default: u32,
    /// The longest time a contact gets, in seconds.
    pub expires_max: u32,
    /// The most bindings of one AOR.
    pub bindings_max: usize,
}

impl Default for RegistrarSettings {
    fn default() -> Self {
        Self {
            expires_min: 60,
            expires_default: 3600,
            expires_max: 86_400,
            bindings_max: 16,
        }
    }
}

/// A REGISTER that may be served: its sender is allowed to change the bindings of `aor`.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    /// Whose bindings, in normal form.
    pub aor: &'a Aor,
    /// The REGISTER, which has passed [`Message::check`].
    pub request: &'a Message,
    /// How requests will reach who sent it: its flow, or its UDP source.
    pub hop: Hop,
    /// The tag for To of the reply.
    pub to_tag: &'a str,
}

/// The answer to a REGISTER.
#[derive(Debug)]
pub struct Decision {
    /// Its status.
    pub status: u16,
    /// The reason phrase of a refusal.
    pub reason: &'static str,
    /// The whole response; it is sent once `kept` is durable.
    pub reply: Bytes,
    /// What changed; none for a query and for a refusal.
    pub kept: Option<Kept>,
    /// The AOR's bindings before, for [`Registrar::revert`].
    pub before: Vec<Binding>,
}

/// A change to the bindings of an AOR, to be kept and told.
#[derive(Debug)]
pub struct Kept {
    /// The store's key.
    pub aor: Aor,
    /// All bindings the AOR has now, for [`Registrar::restore`]; none: delete the key.
    pub record: Option<Bytes>,
    /// What happened to each binding.
    pub changes: SmallVec<[Change; 1]>,
    /// How many bindings the AOR has now.
    pub left: usize,
}

/// What happened to one binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub kind: ChangeKind,
    /// The binding as it is, or as it was.
    pub binding: Binding,
}

/// What can happen to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It is new.
    Bound,
    /// Its time begins again.
    Refreshed,
    /// Its user agent took it back.
    Removed,
    /// The same instance registered another contact.
    Replaced,
    /// Its time ran out.
    Expired,
    /// The connection it was bound to is gone.
    Lost,
    /// No listener of this run can reach it.
    Stranded,
}

/// One shard's registrar and its bindings.
pub struct Registrar {
    settings: RegistrarSettings,
    key: TokenKey,
    listeners: Listeners,
    locations: Locations,
}

impl Registrar {
    /// One without bindings. `key` hashes Call-IDs, and must be the same after a restart.
    /// `listeners` are those the hops of bindings speak by.
    #[must_use]
    pub fn new(
        settings: RegistrarSettings,
        key: TokenKey,
        listeners: Listeners,
        seed: Seed,
    ) -> Self {
        Self {
            settings,
            key,
            listeners,
            locations: Locations::new(seed),
        }
    }

    /// The bindings.
    #[must_use]
    pub fn locations(&self) -> &Locations {
        &self.locations
    }

    /// Takes new limits for what registers from now on.
    pub fn configure(&mut self, settings: RegistrarSettings) {
        self.settings = settings;
    }

    /// Serves a REGISTER.
    pub fn handle(&mut self, now: Now, registration: &Registration<'_>) -> Decision {
        let seconds = unix_seconds(now);
        match self.decide(seconds, registration) {
            Ok(update) => self.commit(seconds, registration, update),
            Err(refusal) => Decision {
                status: refusal.status,
                reason: refusal.reason,
                reply: reply::refuse(registration, &refusal),
                kept: None,
                before: Vec::new(),
            },
        }
    }

    /// Puts back what a decision changed that could not be kept. The holder answers the REGISTER
    /// with 500 and serves the next one of this AOR after that.
    pub fn revert(&mut self, aor: &Aor, before: Vec<Binding>) {
        self.locations.put(aor, before);
    }

    /// Removes the bindings whose time has come, one AOR a call.
    pub fn expire(&mut self, now: Now) -> Option<Kept> {
        let removed = self.locations.expire(unix_seconds(now))?;
        Some(self.gone(removed, ChangeKind::Expired))
    }

    /// Removes the bindings on a connection that is gone, one AOR a call.
    pub fn lose(&mut self, connection: u64) -> Option<Kept> {
        let removed = self.locations.lose(connection)?;
        Some(self.gone(removed, ChangeKind::Lost))
    }

    /// When [`expire`](Self::expire) has something to do, in [`Now::mono`].
    #[must_use]
    pub fn poll_timeout(&self, now: Now) -> Option<Duration> {
        let due_ms = u64::from(self.locations.next_expiry()?) * 1000;
        Some(now.mono + Duration::from_millis(due_ms.saturating_sub(now.unix_ms)))
    }

    fn gone(&self, removed: Removed, kind: ChangeKind) -> Kept {
        let Removed {
            aor,
            bindings,
            more: _,
        } = removed;
        let changes = bindings
            .into_iter()
            .map(|binding| Change { kind, binding })
            .collect();
        self.kept(aor, changes)
    }

    fn kept(&self, aor: Aor, changes: SmallVec<[Change; 1]>) -> Kept {
        let bindings = self.locations.all(&aor);
        let record = (!bindings.is_empty()).then(|| location::encode(bindings, &self.listeners));
        Kept {
            record,
            changes,
            left: bindings.len(),
            aor,
        }
    }

    /// RFC 3261 10.3 steps 2 to 7, without changing anything yet.
    fn decide(&self, now: u32, registration: &Registration<'_>) -> Result<Update, Refusal> {
        let request = registration.request;
        if let Some(tags) = headers::unsupported(request, &OPTION_TAGS) {
            return Err(Refusal::extension(tags));
        }
        // RFC 3327 5.3: a user agent that does not know of Path cannot be reached through one.
        let path = request.header(Name::Path).is_some();
        if path && !request.lists(Name::Supported, "path") {
            return Err(Refusal::extension("path".to_owned()));
        }
        let mut update = Update::new(now, self.locations.all(registration.aor));
        let call_id = self
            .key
            .hash(&[request.header(Name::CallId).unwrap_or_default()]);
        let cseq = request
            .cseq()
            .map_err(|fault| Refusal::new(fault.status, fault.reason))?
            .seq;
        match contact::read(request, &self.settings)? {
            Asked::Nothing => {}
            Asked::Everything => update.clear(call_id, cseq)?,
            Asked::Contacts(contacts) => {
                let path = contact::path(request)?;
                for contact in contacts {
                    // RFC 5630 5.1.1: where it is registered by is where it is called by.
                    if contact.is_secure() && !is_secure(&self.listeners, &registration.hop) {
                        return Err(Refusal::new(400, "SIPS Contact Without TLS"));
                    }
                    let mut binding = contact.binding(&path, registration.hop, now, request)?;
                    binding.call_id = call_id;
                    binding.cseq = cseq;
                    update.contact(binding, contact.expires == 0)?;
                }
            }
        }
        // Those it had before may be more, after a change of the limit: they may be refreshed.
        let had = self.locations.live(registration.aor, now).count();
        if update.bindings.len() > self.settings.bindings_max.max(had) {
            return Err(Refusal::new(403, "Too Many Bindings"));
        }
        Ok(update)
    }

    fn commit(&mut self, now: u32, registration: &Registration<'_>, update: Update) -> Decision {
        let Update {
            bindings,
            changes,
            now: _,
        } = update;
        let reply = reply::accept(registration, &bindings, now);
        let (kept, before) = if changes.is_empty() {
            (None, Vec::new())
        } else {
            // The table's own copy of the text is shared where there is one.
            let aor = self
                .locations
                .key(registration.aor)
                .unwrap_or(registration.aor)
                .clone();
            let before = self.locations.put(&aor, bindings);
            (Some(self.kept(aor, changes)), before)
        };
        Decision {
            status: 200,
            reason: "OK",
            reply,
            kept,
            before,
        }
    }
}

/// The bindings of an AOR while a REGISTER is worked through. All or nothing: a refusal on the way
/// leaves the table as it was (RFC 3261 10.3 step 7, last paragraph).
struct Update {
    now: u32,
    bindings: Vec<Binding>,
    changes: SmallVec<[Change; 1]>,
}

impl Update {
    fn new(now: u32, bindings: &[Binding]) -> Self {
        let mut update = Self {
            now,
            bindings: Vec::with_capacity(1),
            changes: SmallVec::new(),
        };
        for binding in bindings {
            if binding.expires > now {
                update.bindings.push(binding.clone());
            } else {
                update.note(ChangeKind::Expired, binding.clone());
            }
        }
        update
    }

    fn note(&mut self, kind: ChangeKind, binding: Binding) {
        self.changes.push(Change { kind, binding });
    }

    /// RFC 3261 10.3 step 6: Contact `*`.
    fn clear(&mut self, call_id: u64, cseq: u32) -> Result<(), Refusal> {
        for binding in &self.bindings {
            in_order(binding, call_id, cseq)?;
        }
        for binding in core::mem::take(&mut self.bindings) {
            self.note(ChangeKind::Removed, binding);
        }
        Ok(())
    }

    /// RFC 3261 10.3 step 7, one contact. RFC 5626 6: of one instance, the same reg-id is the same
    /// binding whatever the contact.
    fn contact(&mut self, binding: Binding, remove: bool) -> Result<(), Refusal> {
        let mut known = None;
        let mut at = 0;
        while at < self.bindings.len() {
            let old = &self.bindings[at];
            let same_contact = contact::same(old.contact(), binding.contact());
            let same_instance = !binding.instance().is_empty()
                && old.instance() == binding.instance()
                && old.reg_id == binding.reg_id;
            if !same_contact && !same_instance {
                at += 1;
                continue;
            }
            // One of this same request, taken up before: what the request did last counts.
            let fresh = self
                .changes
                .iter()
                .position(|change| change.binding == *old);
            if fresh.is_none() {
                in_order(old, binding.call_id, binding.cseq)?;
            }
            let old = self.bindings.remove(at);
            let kind = match fresh {
                Some(change) => self.changes.remove(change).kind,
                None => ChangeKind::Refreshed,
            };
            if same_contact && !remove {
                known = Some((at, kind));
            } else if kind != ChangeKind::Bound {
                let gone = if remove {
                    ChangeKind::Removed
                } else {
                    ChangeKind::Replaced
                };
                self.note(gone, old);
            }
        }
        if remove {
            return Ok(());
        }
        debug_assert!(
            binding.expires > self.now,
            "contacts that are over are removed"
        );
        let (at, kind) = known.unwrap_or((self.bindings.len(), ChangeKind::Bound));
        let at = at.min(self.bindings.len());
        self.bindings.insert(at, binding.clone());
        self.note(kind, binding);
        Ok(())
    }
}

/// A REGISTER of the same Call-ID must be later than the one that made the binding.
fn in_order(binding: &Binding, call_id: u64, cseq: u32) -> Result<(), Refusal> {
    if binding.call_id == call_id && cseq <= binding.cseq {
        return Err(Refusal::new(500, "CSeq Out Of Order"));
    }
    Ok(())
}

/// Why a REGISTER is refused.
struct Refusal {
    status: u16,
    reason: &'static str,
    /// The value of Unsupported (420).
    unsupported: Option<String>,
    /// The value of Min-Expires (423).
    min_expires: Option<u32>,
}

impl Refusal {
    fn new(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            unsupported: None,
            min_expires: None,
        }
    }

    fn extension(tags: String) -> Self {
        Self {
            unsupported: Some(tags),
            ..Self::new(420, "Bad Extension")
        }
    }

    fn too_brief(min: u32) -> Self {
        Self {
            min_expires: Some(min),
            ..Self::new(423, "Interval Too Brief")
        }
    }
}

/// Whole seconds: what bindings count in.
pub(crate) fn unix_seconds(now: Now) -> u32 {
    u32::try_from(now.unix_ms / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod after_restart;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
