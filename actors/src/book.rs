//! What the configuration says, in the form in which the engine reads it. A reload makes a new one.

use std::{net::IpAddr, sync::Arc, time::Duration};

use config::{Config, Limits};
use engine::{
    DefenceSettings, Demand, Domain, Domains, Home, Listener, Listeners, RegistrarSettings, Seed,
    Timeouts, TokenKey, Users, route::Routes,
};
use sip::digest::{Algorithm, Ha1};

use crate::{net::NetLimits, random::random_u128};

/// The snapshot.
pub(crate) struct Book {
    pub(crate) domains: Domains,
    pub(crate) users: Users,
    pub(crate) routes: Routes,
    pub(crate) registrar: RegistrarSettings,
    pub(crate) tenant: String,
    /// Calls there may be at once.
    pub(crate) calls_max: u64,
    /// Bindings there may be at once.
    pub(crate) registrations_max: u64,
    /// The longest Contact of a REGISTER.
    pub(crate) contact_bytes_max: usize,
    /// The most elements of Via, Route or Record-Route in one request.
    pub(crate) hops_max: usize,
    /// The most targets of one request.
    pub(crate) forks_max: usize,
    /// The longest body of a command.
    pub(crate) command_bytes_max: usize,
    /// Networks that are exempt from the limits per source.
    trusted: Vec<config::Network>,
    pub(crate) defence: DefenceSettings,
}

impl Book {
    /// What `config`, which was checked, says.
    pub(crate) fn new(config: &Config, listeners: &[Listener]) -> Self {
        let seed = Seed(random_u128());
        let demand = |auth| match auth {
            config::Auth::Digest => Demand::Digest,
            config::Auth::Open => Demand::Open,
        };
        let list = config.domains.iter().map(|domain| Domain {
            name: domain.name.as_str().into(),
            register: demand(domain.auth),
            callers: demand(domain.callers),
        });
        let hosts = listeners.iter().map(Listener::host);
        Self {
            domains: Domains::new(list.collect(), hosts, seed),
            users: users(config, seed),
            routes: routes(config),
            registrar: registrar(&config.limits),
            tenant: config
                .domains
                .first()
                .map_or("default", |domain| &*domain.tenant)
                .to_owned(),
            calls_max: u64::from(config.limits.calls),
            registrations_max: u64::from(config.limits.registrations),
            contact_bytes_max: size(config.limits.contact_bytes),
            hops_max: size(config.limits.hops),
            forks_max: size(config.limits.forks),
            command_bytes_max: size(config.limits.command_bytes),
            trusted: config.limits.trusted.clone(),
            defence: defence(&config.limits),
        }
    }

    /// Whether `source` is exempt from the limits per source.
    pub(crate) fn is_trusted(&self, source: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(source))
    }
}

fn defence(limits: &Limits) -> DefenceSettings {
    let seconds = |value| Duration::from_secs(u64::from(value));
    DefenceSettings {
        rates: [
            limits.source_invites_per_s,
            limits.source_registers_per_s,
            limits.source_requests_per_s,
        ],
        failures: limits.auth_failures,
        window: seconds(limits.auth_failures_s),
        ban: seconds(limits.ban_s),
        ban_max: seconds(limits.ban_max_s),
        sources: size(limits.sources),
        bans: size(limits.bans),
        scanners: limits
            .scanners
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
    }
}

fn users(config: &Config, seed: Seed) -> Users {
    let mut users = Users::new(config.users.len(), seed);
    for (user, domain, given) in config.users.iter() {
        let aor = engine::aor(user, domain);
        if let Some(password) = given.password {
            // MD5 alone: SIP.js takes the first of two challenges, JsSIP the last, baresip gives up
            // at SHA-256, and none of them can do it. `ha1_sha256` is for users whose clients can.
            let secret = Ha1::from_password(Algorithm::Md5, user, domain, password.reveal());
            users.add(&aor, secret);
        }
        let given = [
            given.ha1_md5.map(|ha1| (Algorithm::Md5, ha1.as_slice())),
            given
                .ha1_sha256
                .map(|ha1| (Algorithm::Sha256, ha1.as_slice())),
        ];
        for (algorithm, ha1) in given.into_iter().flatten() {
            if let Some(ha1) = Ha1::from_hex(algorithm, &hex(ha1)) {
                users.add(&aor, ha1);
            }
        }
    }
    users
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}

fn routes(config: &Config) -> Routes {
    let mut routes = Routes::default();
    for route in &config.routes {
        let target = match &route.target {
            config::Target::Registered => "registered".to_owned(),
            config::Target::Uri(uri) => format!("uri:{uri}"),
            config::Target::Reject(code) => format!("reject:{code}"),
        };
        if let Err(error) = routes.add(&route.name, route.to.as_str(), &target) {
            tracing::error!(%error, route = route.name, "a route is left out");
        }
    }
    routes
}

fn registrar(limits: &Limits) -> RegistrarSettings {
    RegistrarSettings {
        expires_min: limits.expires_min_s,
        expires_default: limits.expires_default_s,
        expires_max: limits.expires_max_s,
        bindings_max: usize::try_from(limits.bindings_per_aor).unwrap_or(usize::MAX),
    }
}

/// How nonces are limited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nonces {
    /// How long one may be used.
    pub(crate) life: Duration,
    /// How many an arbiter remembers the counts of.
    pub(crate) most: usize,
}

/// The limits of nonces.
pub(crate) fn nonces(config: &Config) -> Nonces {
    let most = size(config.limits.nonces);
    Nonces {
        life: Limits::ms(config.limits.nonce_ms),
        most,
    }
}

/// What all calls share.
pub(crate) fn home(
    config: &Config,
    listeners: &Listeners,
    epoch: u64,
    tokens: TokenKey,
) -> Arc<Home> {
    Arc::new(Home {
        epoch,
        listeners: listeners.clone(),
        tokens,
        timeouts: timeouts(config),
        redirects: match config.calls.redirects {
            config::Redirects::Follow => engine::Redirects::Follow,
            config::Redirects::Pass => engine::Redirects::Pass,
        },
        large_over_tcp: config.calls.large_over_tcp,
    })
}

/// How long parts of calls may take.
fn timeouts(config: &Config) -> Timeouts {
    Timeouts {
        ring: Limits::ms(config.limits.ring_ms),
        call: Limits::ms(config.limits.call_ms),
        session: (config.calls.session_expires_s > 0)
            .then(|| Duration::from_secs(config.calls.session_expires_s.into())),
        session_min: Duration::from_secs(config.calls.session_min_s.into()),
        ..Timeouts::default()
    }
}

fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The limits of connections.
pub(crate) fn net_limits(config: &Config) -> NetLimits {
    let limits = &config.limits;
    NetLimits {
        message: sip::Limits {
            message_bytes_max: size(limits.message_bytes),
            headers_max: size(limits.headers),
            line_bytes_max: size(limits.header_bytes),
            body_bytes_max: size(limits.body_bytes),
        },
        connections: size(limits.connections),
        connections_per_source: size(limits.connections_per_source),
        handshakes: size(limits.handshakes),
        handshake_bytes: size(limits.ws_handshake_bytes),
        tls_handshake: Limits::ms(limits.tls_handshake_ms),
        handshake: Limits::ms(limits.ws_handshake_ms),
        frame_bytes: size(limits.frame_bytes),
        send_queue_bytes: size(limits.send_queue_bytes),
        idle: Limits::ms(limits.idle_ms),
        ping: Limits::ms(limits.ping_ms),
        connect: Limits::ms(limits.connect_ms),
        look_ups: size(limits.dns_queries),
        overload: Limits::ms(limits.overload_ms),
        resolve: Limits::ms(limits.dns_ms),
        udp_buffer_bytes: size(limits.udp_buffer_bytes),
    }
}
