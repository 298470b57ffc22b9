//! The knobs of the adapter: one TOML file in, one checked [`Config`] out.
//!
//! [`load`] reads a file and reports every mistake at once, each with its line, key, value and
//! remedy ([`Diagnostics`]). [`Config::default`] is the loopback demo that runs without a file;
//! [`DEFAULT_FILE`] is the same, written out and annotated.
//!
//! Pure: files are read while loading and never again; nothing here opens a socket or knows the
//! time. Certificates are only named here; what is in them is for who has a clock.

mod bus;
mod calls;
mod diagnostic;
mod dns;
mod domain;
mod htdigest;
mod limits;
mod listen;
mod load;
mod media;
mod named_file;
mod nearest;
mod network;
mod node;
mod route;
mod secret;
mod section;
mod tls;
mod user;
mod users;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use bus::{Bus, BusUrl, Encoding, Events, Login};
pub use calls::{Calls, Redirects};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use dns::{Dns, NameServer, NotANameServer};
pub use domain::{Auth, Domain};
pub use limits::Limits;
pub use listen::{Advertise, Clients, Listen, Transport};
pub use load::{Loaded, load, parse};
pub use media::{Anchor, Backend, Media, Ports};
pub use named_file::NamedFile;
pub use network::{Network, NotANetwork};
pub use node::{Http, Log, LogFormat, LogLevel, Node};
pub use route::{Pattern, Route, Target};
pub use secret::Secret;
pub use tls::{Certificate, Tls};
pub use users::{Credential, Refused, Users};

/// The annotated default file: every key with its meaning and its default.
pub const DEFAULT_FILE: &str = include_str!("../ifbus.default.toml");

/// Everything an operator may decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The process: name and state.
    pub node: Node,
    /// NATS.
    pub bus: Bus,
    /// Where SIP comes in, in the order of the file; a listener's position is its id.
    pub listen: Vec<Listen>,
    /// Certificates, ours and those of others.
    pub tls: Tls,
    /// Who knows where other servers are.
    pub dns: Dns,
    /// Health, metrics and console.
    pub http: Http,
    /// The log.
    pub log: Log,
    /// The domains we are responsible for.
    pub domains: Vec<Domain>,
    /// The users of these domains.
    pub users: Users,
    /// Where requests go that are not for a registered user.
    pub routes: Vec<Route>,
    /// What is agreed with the parties of a call.
    pub calls: Calls,
    /// Media, not acted on yet.
    pub media: Media,
    /// Every bound.
    pub limits: Limits,
}

impl Default for Config {
    /// The loopback demo, without users.
    fn default() -> Self {
        Self {
            node: Node {
                id: "n1".to_owned(),
                state_dir: PathBuf::from("state"),
            },
            bus: Bus {
                url: BusUrl::Managed,
                server: PathBuf::from("nats-server"),
                port: 4222,
                encoding: Encoding::Json,
                events: Events::Jetstream,
                login: Login::None,
                ca: None,
            },
            listen: Self::demo_listeners(),
            tls: Tls::default(),
            dns: Dns::default(),
            http: Http {
                addr: Some(loopback(8090)),
            },
            log: Log {
                format: LogFormat::Text,
                level: LogLevel::Info,
            },
            domains: vec![Self::demo_domain()],
            users: Users::default(),
            routes: Vec::new(),
            calls: Calls::default(),
            media: Media::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// The users of the demo, all at [`Config::demo_domain`].
    pub const DEMO_USERS: [&'static str; 4] = ["1001", "1002", "1003", "1004"];

    /// The loopback demo with its users. The caller draws the passwords, one for each of
    /// [`Config::DEMO_USERS`], and shows them to whoever started it.
    pub fn demo(passwords: &[Secret; 4]) -> Self {
        let mut config = Self::default();
        let domain = Self::demo_domain().name;
        for (user, password) in Self::DEMO_USERS.iter().zip(passwords) {
            let given = Credential {
                password: Some(password),
                ..Credential::default()
            };
            let added = config.users.add(user, &domain, given);
            debug_assert!(added.is_ok(), "four distinct users fit");
        }
        config
    }

    /// The domain of a file that has none: `example.test`, by digest.
    pub fn demo_domain() -> Domain {
        Domain {
            name: "example.test".to_owned(),
            auth: Auth::Digest,
            callers: Auth::Digest,
            tenant: "default".to_owned(),
        }
    }

    /// The listeners of a file that has none: UDP, TCP, WS and WSS on 127.0.0.1.
    pub fn demo_listeners() -> Vec<Listen> {
        let listen = |transport, port| Listen {
            transport,
            addr: loopback(port),
            advertise: None,
            origins: Vec::new(),
            path: "/ws".to_owned(),
            clients: None,
        };
        vec![
            listen(Transport::Udp, 5060),
            listen(Transport::Tcp, 5060),
            listen(Transport::Ws, 8080),
            listen(Transport::Wss, 8443),
        ]
    }

    /// The domain that `host` names, regardless of case.
    pub fn domain(&self, host: &str) -> Option<&Domain> {
        self.domains
            .iter()
            .find(|domain| domain.name.eq_ignore_ascii_case(host))
    }

    /// The first route for `user`.
    pub fn route(&self, user: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.to.matches(user))
    }

    /// Whether any listener needs a certificate.
    pub fn needs_certificate(&self) -> bool {
        self.listen.iter().any(|listen| listen.transport.is_tls())
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
