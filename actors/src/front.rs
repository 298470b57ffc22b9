//! The front of an arbiter: requests outside any dialog. It challenges, registers, answers what is
//! for us, and turns what may go on into calls and relays. It keeps nothing for those it refuses
//! (RFC 3261 8.2.7): a flood of them costs no memory.

mod guard;

use std::{
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::atomic::Ordering,
};

use actix::{Actor, Context, Handler, Message as Letter};
use bus_schema::{EventName, Reason};
use bytes::Bytes;
use engine::{
    AuthSettings, Authenticator, Caller, Challenge, Directory, Hop, Outcome, Seed, Token,
    Transport,
    location::Locations,
    relay,
    replaces::{self, Asked},
    route::Plan,
};
use sip::{Message, Method, Name, digest::NonceSecret};

use crate::{
    call::Call,
    fault::{Part, contain},
    incidents::{Details, head},
    limit::{refused, refused_message},
    local::{Local, Registering},
    random::{random_bytes, random_u64, random_u128},
    registry::wanted,
    relay::Relay,
};

/// After how many seconds a refused caller may try again.
const RETRY_AFTER: u32 = 5;

/// The actor.
pub(crate) struct Front {
    local: Rc<Local>,
    authenticator: Authenticator,
    /// Who sent what is looked at just now.
    from: (SocketAddr, Transport),
}

/// A message that belongs to nothing there is.
#[derive(Letter)]
#[rtype(result = "()")]
pub(crate) struct Knock {
    pub(crate) message: Message,
    pub(crate) hop: Hop,
    pub(crate) from: (SocketAddr, Transport),
}

impl Front {
    pub(crate) fn new(local: Rc<Local>) -> Self {
        Self {
            authenticator: authenticator(&local),
            local,
            from: (
                SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
                Transport::Udp,
            ),
        }
    }

    fn take(&mut self, knock: Knock) {
        let Knock { message, hop, from } = knock;
        self.from = from;
        if !message.is_request() {
            // A response to nothing of ours.
            return;
        }
        let transaction = self.local.transaction_hash(&message);
        let Some(message) = self.local.to_transaction(transaction, message, hop) else {
            return;
        };
        if !self.may_ask(&message, hop) {
            return;
        }
        if self.is_overloaded() && message.method() != Some(Method::Ack) {
            refused("overload_ms");
            return self.busy(&message, hop);
        }
        if has_too_many_hops(&message, self.local.shared.book.load().hops_max) {
            refused("hops");
            if message.method() != Some(Method::Ack) {
                self.refuse(&message, hop, 483, "Too Many Hops");
            }
            return;
        }
        let tag = || self.local.stateless_tag(&message);
        match relay::front(&message, || self.is_for_us(&message), tag) {
            relay::Front::Drop => {}
            relay::Front::Answer { status: _, bytes } => self.local.reply(&message, hop, bytes),
            relay::Front::Relay => self.relay(message, hop),
            relay::Front::Elsewhere if message.method() == Some(Method::Register) => {
                self.register(&message, hop, transaction);
            }
            relay::Front::Elsewhere => self.invite(message, hop),
        }
    }

    // ---- answers

    fn refuse(&self, request: &Message, hop: Hop, status: u16, reason: &str) {
        let bytes = self.local.refuse(request, status, reason);
        self.local.reply(request, hop, bytes);
    }

    /// Whether there has been more to read for long: who comes now would wait, and make those wait
    /// who are being served.
    fn is_overloaded(&self) -> bool {
        let limit = self.local.shared.net.overload;
        let clock = self.local.clock;
        self.local.pressure.lasts(limit, || clock.mono())
    }

    fn busy(&self, request: &Message, hop: Hop) {
        let tag = self.local.stateless_tag(request);
        let mut out = sip::reply(request, 503, "Service Unavailable", Some(&tag));
        out.line(Name::RetryAfter, RETRY_AFTER);
        self.local.reply(request, hop, out.end());
    }

    fn challenge(&self, request: &Message, hop: Hop, challenge: &Challenge) {
        let tag = self.local.stateless_tag(request);
        let mut out = sip::reply(request, challenge.status, challenge.reason(), Some(&tag));
        challenge.write(&mut out);
        self.local.reply(request, hop, out.end());
        if let Some(failed) = &challenge.failure {
            self.incident(EventName::SecurityAuthFailed, request, Reason::Unauthorized);
            if request.method() == Some(Method::Register) {
                self.note_rejected(request, challenge.status, challenge.reason());
            }
            self.failed(hop, failed);
        }
    }

    /// A request-URI without a user part, at a host that is ours.
    fn is_for_us(&self, request: &Message) -> bool {
        let Some(Ok(uri)) = request.uri().map(sip::Uri::parse) else {
            return false;
        };
        uri.user.is_none()
            && self
                .local
                .shared
                .book
                .load()
                .domains
                .find(uri.host.host)
                .is_some()
    }

    /// Tells of what somebody did who claims to be its From.
    fn incident(&self, name: EventName, request: &Message, reason: Reason) {
        let (remote, transport) = self.from;
        let incidents = &self.local.shared.incidents;
        incidents.note(name, reason, remote.ip(), || {
            let from = request.from().ok().and_then(|from| from.uri().ok());
            let aor = from.and_then(|uri| Some(engine::aor(uri.user?, uri.host.host)));
            Details {
                transport: Some(transport),
                aor: aor.map(|aor| head(&aor).into()),
                ..Details::default()
            }
        });
    }

    /// Refuses for good what somebody asked.
    fn forbid(&self, request: &Message, hop: Hop, status: u16, reason: &'static str) {
        self.refuse(request, hop, status, reason);
        if status == 403 {
            self.incident(
                EventName::SecurityNotPermitted,
                request,
                Reason::NotPermitted,
            );
        }
    }

    /// Tells of a REGISTER that was refused.
    fn note_rejected(&self, request: &Message, status: u16, text: &'static str) {
        let (remote, transport) = self.from;
        let reason = match status {
            403 => Reason::NotPermitted,
            503 => Reason::Congestion,
            _ => Reason::from_sip(status),
        };
        let shared = &self.local.shared;
        let (name, now) = (EventName::RegRejected, shared.clock.unix_ms());
        shared
            .incidents
            .note(name, reason, remote.ip(), || Details {
                status: Some(status),
                text: Some(text),
                wanted: wanted(request, transport, remote, now),
                ..Details::default()
            });
    }

    /// Lets a caller through, or answers it.
    fn admit(&mut self, request: &Message, hop: Hop) -> Option<Caller> {
        let now = self.local.clock.now();
        let book = self.local.shared.book.load_full();
        let directory = Directory {
            domains: &book.domains,
            users: &book.users,
        };
        match self
            .authenticator
            .call(now, random_u64(), directory, request, false)
        {
            Outcome::Allowed(Caller::User(user)) if !self.proved(request, hop, &user) => None,
            Outcome::Allowed(caller) => Some(caller),
            Outcome::Challenge(challenge) => {
                self.challenge(request, hop, &challenge);
                None
            }
            Outcome::Refused { status, reason, .. } => {
                self.forbid(request, hop, status, reason);
                None
            }
        }
    }

    // ---- REGISTER

    /// The same for a REGISTER.
    fn admit_register(&mut self, request: &Message, hop: Hop) -> Option<Caller> {
        let now = self.local.clock.now();
        let book = self.local.shared.book.load_full();
        let directory = Directory {
            domains: &book.domains,
            users: &book.users,
        };
        match self
            .authenticator
            .register(now, random_u64(), directory, request)
        {
            Outcome::Allowed(Caller::User(user)) if !self.proved(request, hop, &user) => None,
            Outcome::Allowed(caller) => Some(caller),
            Outcome::Challenge(challenge) => {
                self.challenge(request, hop, &challenge);
                None
            }
            Outcome::Refused { status, reason, .. } => {
                self.forbid(request, hop, status, reason);
                self.note_rejected(request, status, reason);
                None
            }
        }
    }

    fn register(&mut self, request: &Message, hop: Hop, transaction: Option<u64>) {
        // Over a connection nothing is repeated.
        let transaction = transaction.filter(|_| !hop.is_reliable());
        if transaction.is_some_and(|key| self.local.answer_again(key, request, hop)) {
            return;
        }
        let Some(caller) = self.admit_register(request, hop) else {
            return;
        };
        let shared = &self.local.shared;
        let now = self.local.clock.now();
        let book = shared.book.load();
        let Some(aor) = caller.aor() else { return };
        let mut contacts = request.list(Name::Contact);
        if contacts.any(|contact| contact.len() > book.contact_bytes_max) {
            refused("contact_bytes");
            let reason = "Contact Too Long";
            self.refuse(request, hop, 400, reason);
            return self.note_rejected(request, 400, reason);
        }
        let known = |locations: &Locations| !locations.all(aor).is_empty();
        if shared.bindings.load(Ordering::Relaxed) >= book.registrations_max
            && !shared.registry.locations(aor, known)
        {
            refused("registrations");
            self.busy(request, hop);
            return self.note_rejected(request, 503, "limits.registrations");
        }
        let tag = self.local.stateless_tag(request);
        let asked = engine::Registration {
            aor,
            request,
            hop,
            to_tag: &tag,
        };
        self.local.begin_register(transaction);
        let decision = shared.registry.register(now, &asked);
        let way = crate::local::answer_hop(request, hop);
        match decision.kept {
            None => {
                if decision.status >= 300 {
                    match decision.status {
                        403 => refused("bindings_per_aor"),
                        423 => refused("expires_min_s"),
                        _ => {}
                    }
                    self.note_rejected(request, decision.status, decision.reason);
                }
                self.local.answer_register(transaction, way, decision.reply);
            }
            Some(kept) => {
                self.local.keep_registration(Registering {
                    kept,
                    before: decision.before,
                    reply: decision.reply,
                    request: request.clone(),
                    way,
                    remote: self.from.0,
                    transaction,
                });
            }
        }
    }

    // ---- INVITE

    fn invite(&mut self, message: Message, hop: Hop) {
        match replaces::asked(&message, &self.local.shared.token_key) {
            Asked::Nothing => self.call(message, hop),
            Asked::Ours(token) => self.replace(message, hop, token),
            Asked::Refused(status) => {
                if self.admit(&message, hop).is_some() {
                    self.refuse(&message, hop, status, replaces::reason(status));
                }
            }
        }
    }

    /// An INVITE for the place of a party in a call (RFC 3891). The call is run here, or nowhere.
    fn replace(&mut self, message: Message, hop: Hop, token: Token) {
        if self.local.is_merged(&message) {
            return self.refuse(&message, hop, 482, "Loop Detected");
        }
        let Some(caller) = self.admit(&message, hop) else {
            return;
        };
        let call = self.local.calls.borrow().get(&token.call).cloned();
        match call {
            Some(call) => Call::replacing(&self.local, &call, message, hop, &caller),
            None => self.refuse(&message, hop, 481, replaces::reason(481)),
        }
    }

    fn call(&mut self, message: Message, hop: Hop) {
        let shared = self.local.shared.clone();
        let full = shared.calls.load(Ordering::Relaxed) >= shared.book.load().calls_max;
        if full || shared.draining.load(Ordering::Relaxed) {
            if full {
                refused("calls");
            }
            metrics::counter!("ifbus_calls_refused_total").increment(1);
            return self.busy(&message, hop);
        }
        if self.local.is_merged(&message) {
            return self.refuse(&message, hop, 482, "Loop Detected");
        }
        let Some(caller) = self.admit(&message, hop) else {
            return;
        };
        let plan = self.local.plan_for(&caller, &message);
        self.note_forbidden(&message, &plan);
        Call::invited(&self.local, message, hop, &caller, plan);
    }

    // ---- anything else

    fn relay(&mut self, message: Message, hop: Hop) {
        let Some(caller) = self.admit(&message, hop) else {
            return;
        };
        let plan = self.local.plan_for(&caller, &message);
        self.note_forbidden(&message, &plan);
        match plan {
            Plan::Fork { groups } => Relay::start(&self.local, message, hop, groups),
            Plan::Refuse(refuse) => self.refuse(&message, hop, refuse.status, refuse.reason),
        }
    }
}

impl Front {
    /// Tells of a request that no route may take where it wants to go.
    fn note_forbidden(&self, request: &Message, plan: &Plan) {
        if let Plan::Refuse(refuse) = plan
            && refuse.cause == Reason::NotPermitted
        {
            self.incident(EventName::SecurityNotPermitted, request, refuse.cause);
        }
    }
}

/// Whether a request says that it came or has to go by more than `most` elements.
fn has_too_many_hops(request: &Message, most: usize) -> bool {
    [Name::Via, Name::Route, Name::RecordRoute]
        .into_iter()
        .any(|name| request.list(name).nth(most).is_some())
}

impl Actor for Front {
    type Context = Context<Self>;
}

impl Handler<Knock> for Front {
    type Result = ();

    fn handle(&mut self, knock: Knock, _: &mut Context<Self>) {
        let hop = knock.hop;
        let (bytes, source) = (knock.message.bytes().clone(), knock.message.source());
        if contain(Part::Front, || self.take(knock)).is_none() {
            self.authenticator = authenticator(&self.local);
            contain(Part::Front, || self.give_up(&bytes, source, hop));
        }
    }
}

impl Front {
    /// Answers a request that brought out a bug: else it comes again, and the bug with it.
    fn give_up(&self, bytes: &Bytes, source: Option<SocketAddr>, hop: Hop) {
        let Some(request) = Message::salvage(bytes, &self.local.shared.net.message) else {
            return;
        };
        let request = match source {
            Some(source) => request.with_source(source),
            None => request,
        };
        if self.local.is_seen_to(&request) {
            return;
        }
        let failed = self.local.refuse(&request, 500, "Server Internal Error");
        if request.method() == Some(Method::Register) && !hop.is_reliable() {
            let transaction = self.local.transaction_hash(&request);
            let way = crate::local::answer_hop(&request, hop);
            return self.local.answer_register(transaction, way, failed);
        }
        self.local.reply(&request, hop, failed);
    }
}

/// One that has challenged nobody: who answers an older challenge is told that it is stale.
fn authenticator(local: &Local) -> Authenticator {
    Authenticator::new(AuthSettings {
        secret: NonceSecret(random_bytes()),
        marks: Seed(random_u128()),
        nonce_life: local.shared.nonces.life,
        nonces_max: local.shared.nonces.most,
    })
}

/// The answer to bytes that are no message, where one can be given.
pub(crate) fn malformed(
    local: &Local,
    bytes: &Bytes,
    error: sip::ParseError,
    hop: Hop,
    remote: SocketAddr,
) {
    local.note_malformed(remote, Transport::Udp);
    refused_message(error);
    let Some(fault) = error.answer() else { return };
    let Some(request) = Message::salvage(bytes, &local.shared.net.message) else {
        return;
    };
    if request.method() == Some(Method::Ack) {
        return;
    }
    let request = request.with_source(remote);
    let bytes = local.refuse(&request, fault.status, fault.reason);
    local.reply(&request, hop, bytes);
}
