//! Who may register and who may call: digest authentication (RFC 3261 22, RFC 8760) and the rule
//! that nobody speaks in another's name.

use core::hash::BuildHasher;
use core::time::Duration;

use sip::digest::{self, Credentials, NonceSecret, Refusal, ServerSettings, Verdict};
use sip::{Builder, Message, Method, Name, Now, Uri};

use crate::address;
use crate::caller::Caller;
use crate::domain::{Demand, Domain, Domains};
use crate::location::Aor;
use crate::seed::Seed;
use crate::users::{Offer, Users};

/// The host of a From that hides the caller (RFC 3323 4.1.1.3): anyone may use it.
const ANONYMOUS_HOST: &str = "anonymous.invalid";

/// What is to be done with a request.
#[derive(Debug)]
pub enum Outcome {
    /// It goes on, made by this caller.
    Allowed(Caller),
    /// It is answered with a challenge.
    Challenge(Challenge),
    /// It is refused for good.
    Refused {
        /// The status.
        status: u16,
        /// The reason phrase.
        reason: &'static str,
        /// Who proved to be somebody and spoke for somebody else.
        proven: Option<Aor>,
    },
}

/// A challenge to be sent.
#[derive(Debug)]
pub struct Challenge {
    /// 401 to REGISTER, 407 to anything else.
    pub status: u16,
    /// The values of its header, the preferred one first.
    pub values: Vec<String>,
    /// What was wrong with the credentials the request had, if it had any. For events and bans
    /// only: the peer is not told.
    pub failure: Option<Failed>,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Whom it was made for.
    pub user: Aor,
    /// What was wrong.
    pub why: Refusal,
    /// Whether the nonce was given to the very address that the request came from. If not, it may
    /// be somebody else who has written that address on a datagram.
    pub own: bool,
}

impl Challenge {
    /// The reason phrase of its status.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        if self.status == 401 {
            "Unauthorized"
        } else {
            "Proxy Authentication Required"
        }
    }

    /// Adds its headers to the response.
    pub fn write(&self, out: &mut Builder) {
        let name = if self.status == 401 {
            Name::WwwAuthenticate
        } else {
            Name::ProxyAuthenticate
        };
        for value in &self.values {
            out.bytes(name, value.as_bytes());
        }
    }
}

/// How an [`Authenticator`] is set up.
#[derive(Clone, Copy, Debug)]
pub struct AuthSettings {
    /// Signs the nonces. One authenticator each: with a shared one an answer could be used once on
    /// every thread. A nonce of another thread is answered with `stale=true`.
    pub secret: NonceSecret,
    /// Marks each nonce with the address it was given to.
    pub marks: Seed,
    /// How long a nonce may be used.
    pub nonce_life: Duration,
    /// How many nonces' counts are remembered, for each set of algorithms (there are 7).
    pub nonces_max: usize,
}

/// Challenges, and checks what answers them. One for each thread.
#[derive(Debug)]
pub struct Authenticator {
    /// One for each set of algorithms, by [`Offer::number`].
    servers: Vec<digest::Server>,
    /// Marks nonces with whom they are for.
    marks: Seed,
}

/// The bits of a nonce's random part that say whom it is for; the rest is still hard to guess.
const MARK: u64 = 0xffff;

/// The snapshots a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Directory<'a> {
    /// Our domains.
    pub domains: &'a Domains,
    /// Their users.
    pub users: &'a Users,
}

impl Authenticator {
    /// One that has not challenged anybody.
    #[must_use]
    pub fn new(settings: AuthSettings) -> Self {
        let server = |number| {
            digest::Server::new(ServerSettings {
                secret: settings.secret,
                life: settings.nonce_life,
                algorithms: Offer::algorithms(number).collect(),
                nonces_max: settings.nonces_max,
            })
        };
        Self {
            servers: (0..Offer::COUNT).map(server).collect(),
            marks: settings.marks,
        }
    }

    /// Whether this REGISTER may change the bindings of its To. `random` must be hard to guess.
    pub fn register(
        &mut self,
        now: Now,
        random: u64,
        directory: Directory<'_>,
        request: &Message,
    ) -> Outcome {
        let Some(to) = request.to().ok().and_then(|to| to.uri().ok()) else {
            return refused(400, "Bad To");
        };
        let Some(domain) = to
            .is_sip()
            .then(|| directory.domains.find(to.host.host))
            .flatten()
        else {
            return refused(404, "Unknown Domain");
        };
        // RFC 3261 10.3 step 1: it must be for us to serve at all.
        let served = request.uri().and_then(|uri| Uri::parse(uri).ok());
        if served.is_none_or(|uri| directory.domains.find(uri.host.host).is_none()) {
            return refused(404, "Unknown Domain");
        }
        let Some(user) = to.user else {
            return refused(404, "No User");
        };
        let aor = address::aor(user, &domain.name);
        match domain.register {
            Demand::Open => Outcome::Allowed(Caller::Claimed(aor)),
            Demand::Digest => self.demand(now, random, directory.users, request, domain, Some(aor)),
        }
    }

    /// Whether this request outside of a dialog may be made. `trusted`: it came from a trusted
    /// peer. `random` must be hard to guess.
    pub fn call(
        &mut self,
        now: Now,
        random: u64,
        directory: Directory<'_>,
        request: &Message,
        trusted: bool,
    ) -> Outcome {
        if trusted {
            return Outcome::Allowed(Caller::Trusted);
        }
        let Some(from) = request.from().ok().and_then(|from| from.uri().ok()) else {
            return refused(400, "Bad From");
        };
        let Directory { domains, users } = directory;
        if let Some(domain) = domains.find(from.host.host) {
            let aor = from.user.map(|user| address::aor(user, &domain.name));
            return match (domain.callers, aor) {
                (Demand::Open, Some(aor)) => Outcome::Allowed(Caller::Claimed(aor)),
                (Demand::Open, None) => Outcome::Allowed(Caller::Foreign),
                // Nobody's name is everybody's wrong name: 403 once the password was right.
                (Demand::Digest, aor) => {
                    let aor = aor.unwrap_or_else(|| nobody(domain));
                    self.demand(now, random, users, request, domain, Some(aor))
                }
            };
        }
        // From outside: whom it is for decides.
        let target = request.uri().and_then(|uri| Uri::parse(uri).ok());
        match target.and_then(|uri| domains.find(uri.host.host)) {
            None => refused(403, "Relaying Denied"),
            Some(domain) => match domain.callers {
                Demand::Open => Outcome::Allowed(Caller::Foreign),
                Demand::Digest => {
                    let hidden = from.host.host.eq_ignore_ascii_case(ANONYMOUS_HOST);
                    let claimed = (!hidden).then(|| nobody(domain));
                    self.demand(now, random, users, request, domain, claimed)
                }
            },
        }
    }

    /// Digest in the realm of `domain`; the proven user must be `claimed`, if anything is claimed.
    fn demand(
        &mut self,
        now: Now,
        random: u64,
        users: &Users,
        request: &Message,
        domain: &Domain,
        claimed: Option<Aor>,
    ) -> Outcome {
        let realm = &*domain.name;
        let mark = self.mark(request);
        let random = random & !MARK | mark;
        let register = request.method() == Some(Method::Register);
        let (status, header) = if register {
            (401, Name::Authorization)
        } else {
            (407, Name::ProxyAuthorization)
        };
        let given = request
            .all(header)
            .filter_map(Credentials::parse)
            .find(|credentials| credentials.realm().as_deref() == Some(realm));
        let Some(given) = given else {
            let offer = users.offer(&claimed.unwrap_or_else(|| nobody(domain)));
            // Credentials for other realms are not for us; broken ones for ours are a failure.
            return self.challenge(now, random, realm, status, offer, false, None);
        };
        let user = address::aor(&given.username().unwrap_or_default(), realm);
        let offer = users.offer(&user);
        let Some(server) = self.servers.get_mut(offer.number()) else {
            return refused(500, "Server Internal Error");
        };
        let ha1 = given
            .algorithm()
            .and_then(|algorithm| users.secret(&user, algorithm));
        match server.check(now, request.method_text(), realm, &given, ha1) {
            Verdict::Accepted => match claimed {
                Some(claimed) if claimed != user => Outcome::Refused {
                    status: 403,
                    reason: if register {
                        "Not Your Address"
                    } else {
                        "Not Your From"
                    },
                    proven: Some(user),
                },
                Some(_) | None => Outcome::Allowed(Caller::User(user)),
            },
            Verdict::Stale => self.challenge(now, random, realm, status, offer, true, None),
            Verdict::Refused(why) => {
                let own = server.random_of(realm, &given).map(|random| random & MARK) == Some(mark);
                let failed = Failed { user, why, own };
                self.challenge(now, random, realm, status, offer, false, Some(failed))
            }
        }
    }

    /// What marks nonces for the source of this request.
    fn mark(&self, request: &Message) -> u64 {
        let source = request.source().map(|source| source.ip().to_canonical());
        self.marks.hash_one(source) & MARK
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is one fact of the challenge"
    )]
    fn challenge(
        &self,
        now: Now,
        random: u64,
        realm: &str,
        status: u16,
        offer: Offer,
        stale: bool,
        failure: Option<Failed>,
    ) -> Outcome {
        let values = self
            .servers
            .get(offer.number())
            .map_or_else(Vec::new, |server| {
                let challenge = server.challenge(now, random, realm, stale);
                challenge.values().collect()
            });
        Outcome::Challenge(Challenge {
            status,
            values,
            failure,
        })
    }

    /// How many nonces' counts are remembered.
    #[must_use]
    pub fn nonces(&self) -> usize {
        self.servers.iter().map(digest::Server::nonces).sum()
    }
}

/// An AOR of the domain that no user can have.
fn nobody(domain: &Domain) -> Aor {
    address::aor("", &domain.name)
}

fn refused(status: u16, reason: &'static str) -> Outcome {
    Outcome::Refused {
        status,
        reason,
        proven: None,
    }
}

#[cfg(test)]
mod tests;
