//! `[bus]`: where NATS is and how we speak to it.

use std::path::PathBuf;

use crate::secret::Secret;
use crate::section::{Misfit, Section};

/// `[bus]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus {
    /// Which server, if any.
    pub url: BusUrl,
    /// The executable behind `managed`: a name to be looked up in `PATH`, or a path.
    pub server: PathBuf,
    /// The loopback port of the managed server.
    pub port: u16,
    /// How envelopes are written.
    pub encoding: Encoding,
    /// Whether events can be replayed.
    pub events: Events,
    /// How we prove who we are.
    pub login: Login,
    /// PEM file with the authorities that may sign the server's certificate; else the system's.
    pub ca: Option<PathBuf>,
}

/// Which NATS server serves the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusUrl {
    /// A private server that this process starts, on loopback.
    Managed,
    /// A server of the operator's, as `nats://host:port` or `tls://host:port`.
    Server(String),
    /// None: a SIP edge alone.
    Off,
}

/// How envelopes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/cloudevents+json`.
    Json,
    /// `application/msgpack`.
    Msgpack,
}

/// What becomes of an event after it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// Kept in a JetStream stream and acknowledged: it can be replayed.
    Jetstream,
    /// Core NATS: whoever listens gets it.
    Core,
}

/// How the adapter logs in to a server of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Not at all.
    None,
    /// A `.creds` file with a JWT and its key.
    Creds(PathBuf),
    /// An NKey seed.
    Nkey(Secret),
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
}

impl Bus {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        if section.text("url").is_some_and(|url| url.contains('@')) {
            section.hide("url");
        }
        let url = section.text("url").and_then(|text| match url(text) {
            Ok(url) => Some(url),
            Err(misfit) => {
                section.error("url", misfit.problem, misfit.remedy);
                None
            }
        });
        let server = section.text("server").map(|name| {
            // A bare name is looked up in PATH; anything with a slash is a file beside ours.
            if name.contains('/') {
                section.page().path(name)
            } else {
                PathBuf::from(name)
            }
        });
        let port = section
            .number("port", 1..=65_535)
            .and_then(|port| u16::try_from(port).ok());
        let encoding = section.word(
            "encoding",
            &[("json", Encoding::Json), ("msgpack", Encoding::Msgpack)],
        );
        let events = section.word(
            "events",
            &[("jetstream", Events::Jetstream), ("core", Events::Core)],
        );
        let bus = Self {
            url: url.unwrap_or(BusUrl::Managed),
            server: server.unwrap_or_else(|| PathBuf::from("nats-server")),
            port: port.unwrap_or(4222),
            encoding: encoding.unwrap_or(Encoding::Json),
            events: events.unwrap_or(Events::Jetstream),
            login: read_login(section),
            ca: section.path("ca"),
        };
        bus.check(section);
        bus
    }

    fn check(&self, section: &mut Section<'_>) {
        let ours = matches!(self.url, BusUrl::Managed);
        for key in ["creds", "nkey", "user", "password", "token", "ca"] {
            if section.has(key) && !matches!(self.url, BusUrl::Server(_)) {
                section.warn(
                    key,
                    "has no effect without a server of yours",
                    "set bus.url to \"nats://host:4222\" or remove the key",
                );
            }
        }
        for key in ["server", "port"] {
            if section.has(key) && !ours {
                section.warn(
                    key,
                    "has no effect unless bus.url is \"managed\"",
                    "remove the key",
                );
            }
        }
        if let Some(ca) = self.ca.as_ref().filter(|ca| !ca.is_file()) {
            section.error(
                "ca",
                "there is no such file",
                format!("put it at {}", ca.display()),
            );
        }
        if let Login::Creds(creds) = &self.login
            && !creds.is_file()
        {
            let remedy = format!("put it at {}", creds.display());
            section.error("creds", "there is no such file", remedy);
        }
    }
}

fn read_login(section: &mut Section<'_>) -> Login {
    let creds = section.path("creds").map(Login::Creds);
    let nkey = section.secret("nkey").map(Login::Nkey);
    let token = section.secret("token").map(Login::Token);
    let user = section.text("user").map(str::to_owned);
    let password = section.secret("password");
    let pair = match (user, password) {
        (Some(user), Some(password)) => Some(Login::Password { user, password }),
        (Some(_), None) => {
            section.error("user", "stands without a password", "add bus.password");
            None
        }
        (None, Some(_)) => {
            section.error("password", "stands without a user", "add bus.user");
            None
        }
        (None, None) => None,
    };
    let mut ways = [
        ("creds", creds),
        ("nkey", nkey),
        ("token", token),
        ("user", pair),
    ]
    .into_iter()
    .filter_map(|(key, login)| login.map(|login| (key, login)));
    let chosen = ways.next();
    for (key, _) in ways {
        section.error(
            key,
            "is a second way to log in",
            "keep one of creds, nkey, token, user",
        );
    }
    chosen.map_or(Login::None, |(_, login)| login)
}

fn url(text: &str) -> Result<BusUrl, Misfit> {
    match text {
        "managed" => return Ok(BusUrl::Managed),
        "off" => return Ok(BusUrl::Off),
        _ => {}
    }
    let host = text
        .strip_prefix("nats://")
        .or_else(|| text.strip_prefix("tls://"));
    let Some(host) = host else {
        return Err(url_misfit("is no bus"));
    };
    if host.contains('@') {
        let remedy = "write bus.user and bus.password, or bus.token, as keys of their own";
        return Err(Misfit::new("carries a secret in the URL", remedy));
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            if port.parse::<u16>().is_err() {
                return Err(url_misfit("has no valid port"));
            }
            name
        }
        Some(_) | None => host,
    };
    if name.is_empty() || name.contains(['/', '?', '#', ' ']) {
        return Err(url_misfit("has no valid host"));
    }
    Ok(BusUrl::Server(text.to_owned()))
}

fn url_misfit(problem: &str) -> Misfit {
    Misfit::new(
        problem,
        "write \"managed\", \"off\", \"nats://host:4222\" or \"tls://host:4222\"",
    )
}
