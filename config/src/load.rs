//! From a file to a [`Config`], or to everything that is wrong with it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::bus::{Bus, BusUrl};
use crate::calls::Calls;
use crate::diagnostic::Diagnostics;
use crate::dns::Dns;
use crate::domain::{Auth, Domain};
use crate::limits::Limits;
use crate::listen::{Listen, Transport};
use crate::media::Media;
use crate::node::{Http, Log, Node, read_cluster};
use crate::route::Route;
use crate::section::{Page, Section, one_of};
use crate::tls::Tls;
use crate::users::Users;
use crate::{Config, htdigest, user};

/// A configuration that holds together, and what is still worth a second look.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings only.
    pub warnings: Diagnostics,
}

/// Reads and checks `file`. Paths in it are relative to its directory.
///
/// # Errors
/// Every mistake of the file and of the files it names, at once.
pub fn load(file: &Path) -> Result<Loaded, Diagnostics> {
    match fs::read_to_string(file) {
        Ok(text) => parse(&text, Some(file)),
        Err(error) => Err(Diagnostics::about_file(
            file,
            format!("cannot be read: {error}"),
            "give a file with --config, or start without one for the built-in demo",
        )),
    }
}

/// Reads and checks `text`, as if it stood in `file`.
///
/// # Errors
/// Every mistake, at once.
pub fn parse(text: &str, file: Option<&Path>) -> Result<Loaded, Diagnostics> {
    let page = Page::new(text, file);
    let (document, mistakes) = DeTable::parse_recoverable(text);
    for mistake in &mistakes {
        page.syntax(mistake.span(), mistake.message().to_owned());
    }
    // After a syntax error, what else seems wrong is mostly its echo.
    let config = mistakes
        .is_empty()
        .then(|| Document::new(&page, document.get_ref()).read());
    let findings = page.into_findings();
    match config {
        Some(config) if !findings.has_errors() => Ok(Loaded {
            config,
            warnings: findings,
        }),
        Some(_) | None => Err(findings),
    }
}

/// The top of the file: named tables and lists of tables.
struct Document<'p> {
    page: &'p Page,
    table: &'p DeTable<'p>,
}

const TABLES: [&str; 10] = [
    "node", "bus", "cluster", "tls", "dns", "http", "log", "calls", "media", "limits",
];
const LISTS: [&str; 5] = ["listen", "domain", "user", "trunk", "route"];

impl<'p> Document<'p> {
    fn new(page: &'p Page, table: &'p DeTable<'p>) -> Self {
        Self { page, table }
    }

    fn read(&self) -> Config {
        self.refuse_unknown();
        self.table("cluster", read_cluster);
        for trunk in self.list("trunk") {
            trunk.error("", "trunks are not supported yet", "remove the section");
        }
        let (domains, users) = self.domains_and_users();
        let http = self.table("http", Http::read);
        let bus = self.table("bus", Bus::read);
        let listen = self.listeners(&http, &bus, &domains);
        Config {
            node: self.table("node", Node::read),
            tls: self.table("tls", Tls::read),
            dns: self.table("dns", Dns::read),
            log: self.table("log", Log::read),
            domains,
            users,
            routes: self.routes(&listen),
            listen,
            calls: self.table("calls", Calls::read),
            media: self.table("media", Media::read),
            limits: self.table("limits", Limits::read),
            http,
            bus,
        }
    }

    fn table<T>(&self, name: &'static str, read: impl FnOnce(&mut Section<'p>) -> T) -> T {
        let found = self.table.iter().find(|(key, _)| key.get_ref() == name);
        let mut section = match found {
            Some((key, value)) => match value.get_ref() {
                DeValue::Table(table) => {
                    Section::new(self.page, name.to_owned(), key.span(), table)
                }
                _ => self.wrong_shape(key, name, &format!("write it as [{name}]")),
            },
            None => Section::absent(self.page, name),
        };
        let value = read(&mut section);
        section.refuse_unknown();
        value
    }

    fn list(&self, name: &'static str) -> Vec<Section<'p>> {
        let Some((key, value)) = self.table.iter().find(|(key, _)| key.get_ref() == name) else {
            return Vec::new();
        };
        let DeValue::Array(elements) = value.get_ref() else {
            self.wrong_shape(key, name, &format!("write it as [[{name}]]"));
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let path = format!("{name}[{}]", index + 1);
            match element.get_ref() {
                DeValue::Table(table) => {
                    sections.push(Section::new(self.page, path, element.span(), table));
                }
                _ => {
                    self.wrong_shape(key, name, &format!("write it as [[{name}]]"));
                }
            }
        }
        sections
    }

    fn wrong_shape(
        &self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        name: &str,
        remedy: &str,
    ) -> Section<'p> {
        let top = Section::new(self.page, String::new(), key.span(), self.table);
        top.error(name, "has the wrong shape", remedy);
        Section::absent(self.page, name)
    }

    fn refuse_unknown(&self) {
        let known: Vec<&str> = TABLES.into_iter().chain(LISTS).collect();
        let top = Section::new(self.page, String::new(), 0..0, self.table);
        for key in self
            .table
            .keys()
            .filter(|key| !known.contains(&&**key.get_ref()))
        {
            top.error(
                key.get_ref(),
                "unknown section",
                one_of(key.get_ref(), &known),
            );
        }
    }

    fn domains_and_users(&self) -> (Vec<Domain>, Users) {
        let mut domains: Vec<Domain> = Vec::new();
        let mut users = Users::default();
        let mut sections = self.list("domain");
        for section in &mut sections {
            let (domain, users_file) = Domain::read(section);
            section.refuse_unknown();
            let Some(domain) = domain else {
                continue;
            };
            if domains.iter().any(|known| known.name == domain.name) {
                section.error(
                    "name",
                    "is a domain that is already there",
                    "remove one of the two",
                );
                continue;
            }
            if let Some(file) = users_file {
                htdigest::read(&file, &domain.name, &mut users, section);
            }
            domains.push(domain);
        }
        if sections.is_empty() {
            domains.push(Config::demo_domain());
        }
        for mut section in self.list("user") {
            user::read(&mut section, &domains, &mut users);
            section.refuse_unknown();
        }
        users.shrink();
        for domain in domains.iter().filter(|domain| domain.auth == Auth::Digest) {
            if !users.has_domain(&domain.name)
                && let Some(section) = sections.first()
            {
                section.warn(
                    "",
                    format!("no user can register at {}: it has none", domain.name),
                    "add a [[user]] or a users_file",
                );
            }
        }
        (domains, users)
    }

    fn routes(&self, listen: &[Listen]) -> Vec<Route> {
        let sections = self.list("route");
        let read = sections
            .into_iter()
            .enumerate()
            .filter_map(|(index, mut section)| {
                let route = Route::read(&mut section, index + 1);
                section.refuse_unknown();
                let needs_tls = route.as_ref().is_some_and(|route| route.target.needs_tls());
                let has_tls = listen.iter().any(|it| it.transport == Transport::Tls);
                if needs_tls && !has_tls {
                    let problem =
                        "is reached over TLS, and nothing listens there for what comes back";
                    let remedy = "add a [[listen]] with transport = \"tls\"";
                    section.warn("target", problem, remedy);
                }
                route
            });
        read.collect()
    }

    fn listeners(&self, http: &Http, bus: &Bus, domains: &[Domain]) -> Vec<Listen> {
        let sections = self.list("listen");
        if sections.is_empty() {
            return Config::demo_listeners();
        }
        let open = domains.iter().find(|domain| domain.auth == Auth::Open);
        let mut taken: Vec<(bool, SocketAddr, String)> = Vec::new();
        taken.extend(http.addr.map(|addr| (true, addr, "http.addr".to_owned())));
        if bus.url == BusUrl::Managed {
            let addr = SocketAddr::from(([127, 0, 0, 1], bus.port));
            taken.push((true, addr, "bus.port".to_owned()));
        }
        let mut listeners = Vec::with_capacity(sections.len());
        for (index, mut section) in sections.into_iter().enumerate() {
            let listen = Listen::read(&mut section);
            section.refuse_unknown();
            let Some(listen) = listen else {
                continue;
            };
            let stream = listen.transport != Transport::Udp;
            let clash = taken
                .iter()
                .find(|(kind, addr, _)| *kind == stream && overlaps(*addr, listen.addr));
            if let Some((_, addr, by)) = clash {
                let problem = format!("is taken by {by} ({addr})");
                section.error("addr", problem, "choose another port");
            }
            if let Some(domain) = open.filter(|_| !listen.addr.ip().is_loopback()) {
                section.warn(
                    "addr",
                    format!(
                        "anyone who reaches it may register at {}: auth = \"open\"",
                        domain.name
                    ),
                    "set auth = \"digest\" or listen on a loopback address",
                );
            }
            taken.push((stream, listen.addr, format!("listen[{}]", index + 1)));
            listeners.push(listen);
        }
        listeners
    }
}

/// Whether two sockets of one kind cannot both be bound. Port 0 never clashes.
fn overlaps(a: SocketAddr, b: SocketAddr) -> bool {
    let every = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0
        && a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (every || a.ip() == b.ip())
}
