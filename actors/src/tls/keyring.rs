//! All our certificates, and which of them is shown to whom.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use bus_schema::Timestamp;
use config::{Config, Diagnostics, Severity};
use parking_lot::Mutex;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{
    entrance::Entrance,
    outgoing::{self, ConnectError, Outgoing},
    pair::Pair,
    self_signed::self_signed,
};
use crate::clock::Clock;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// What is wrong in the files that the configuration names.
    #[error(transparent)]
    Found(#[from] Diagnostics),
    /// A file cannot be written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A development certificate could not be made.
    #[error("self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
}

/// Our certificates and the listeners that show them.
pub(crate) struct Keyring {
    clock: Clock,
    /// The files, locked while they are read: one reading follows the other.
    named: Mutex<Vec<config::Certificate>>,
    shown: Arc<ArcSwap<Shown>>,
    /// By listener; none for those without TLS.
    entrances: Vec<Option<Arc<Entrance>>>,
    outgoing: Arc<Outgoing>,
}

/// The certificates of one reading.
#[derive(Debug, Default)]
struct Shown {
    /// The first is for who asks for no name, or for one that none has.
    pairs: Vec<Pair>,
    by_name: HashMap<Box<str>, usize>,
}

impl Keyring {
    /// Reads what the configuration names, or makes a certificate where one is needed and none is
    /// named.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub(crate) fn open(config: &Config, clock: Clock) -> Result<Self, TlsError> {
        let named = named(config)?;
        let mut findings = Diagnostics::default();
        let shown = Arc::new(Shown::read(&named, clock.unix_ms(), &mut findings));
        let ours: Arc<dyn ResolvesServerCert> = shown.clone();
        let entrances = config.listen.iter().map(|listen| {
            let web = listen.transport.is_websocket();
            let clients = listen.clients.as_ref();
            let tls = listen.transport.is_tls();
            let entrance = tls.then(|| Entrance::open(web, clients, &ours, &mut findings));
            entrance.flatten().map(Arc::new)
        });
        let entrances = entrances.collect();
        outgoing::check(config.tls.ca.as_ref(), &mut findings);
        if findings.has_errors() {
            return Err(TlsError::Found(findings));
        }
        warn(&findings);
        let shown = Arc::new(ArcSwap::new(shown));
        let trusted = config.tls.ca.clone();
        let outgoing = Outgoing::new(trusted, Arc::new(Current(shown.clone())));
        Ok(Self {
            clock,
            named: Mutex::new(named),
            shown,
            entrances,
            outgoing: Arc::new(outgoing),
        })
    }

    /// The TLS side of a listener.
    pub(crate) fn entrance(&self, listener: u16) -> Option<Arc<Entrance>> {
        self.entrances.get(usize::from(listener))?.clone()
    }

    /// Reads everything again, by another configuration if there is one. All or nothing: after an
    /// error everything is as it was. Blocks.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(crate) fn renew(&self, config: Option<&Config>) -> Result<(), TlsError> {
        let renewed = self.read_again(config);
        let result = if renewed.is_ok() { "taken" } else { "refused" };
        metrics::counter!("ifbus_tls_reloads_total", "result" => result).increment(1);
        renewed
    }

    fn read_again(&self, config: Option<&Config>) -> Result<(), TlsError> {
        let mut kept = self.named.lock();
        let given = config.map(named).transpose()?;
        let named = given.as_ref().unwrap_or(&kept);
        let mut findings = Diagnostics::default();
        let shown = Arc::new(Shown::read(named, self.clock.unix_ms(), &mut findings));
        let ours: Arc<dyn ResolvesServerCert> = shown.clone();
        let mut renewed = Vec::new();
        for entrance in self.entrances.iter().flatten() {
            let config = entrance.renewed(&ours, &mut findings);
            renewed.extend(config.map(|config| (entrance, config)));
        }
        let trusted = match config {
            Some(config) => config.tls.ca.clone(),
            None => self.outgoing.named(),
        };
        outgoing::check(trusted.as_ref(), &mut findings);
        if findings.has_errors() {
            return Err(TlsError::Found(findings));
        }
        warn(&findings);
        self.outgoing.renew(trusted);
        for (entrance, config) in renewed {
            entrance.set(config);
        }
        self.shown.store(shown);
        if let Some(given) = given {
            *kept = given;
        }
        Ok(())
    }

    /// The files that everything is made from.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let named = self.named.lock();
        let pairs = named.iter().flat_map(|pair| [&pair.cert, &pair.key]);
        let entrances = self.entrances.iter().flatten();
        let authorities = entrances.filter_map(|entrance| Some(&entrance.clients()?.ca));
        let files = pairs.chain(authorities);
        let files = files.map(|file| file.path().to_owned());
        let trusted = self.outgoing.named();
        files
            .chain(trusted.map(|file| file.path().to_owned()))
            .collect()
    }

    /// Shakes hands with the server of this name on a connection to it. Asked who we are, we show
    /// our first certificate.
    pub(crate) async fn shake(
        &self,
        stream: TcpStream,
        name: &str,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        self.outgoing.shake(stream, name).await
    }

    /// When the first of them ends.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        let shown = self.shown.load();
        shown.pairs.iter().filter_map(|pair| pair.ends).min()
    }

    /// Sets the gauges.
    pub(crate) fn measure(&self) {
        let now = self.clock.unix_ms();
        for pair in &self.shown.load().pairs {
            let Some(ends) = pair.ends else { continue };
            let file = pair.file.path().display().to_string();
            let left = (ends.0 as f64 - now as f64) / 1000.0;
            metrics::gauge!("ifbus_tls_certificate_expires_seconds", "file" => file).set(left);
        }
    }
}

/// The certificates that the configuration names, or one of our own making if it names none and
/// needs one.
fn named(config: &Config) -> Result<Vec<config::Certificate>, TlsError> {
    if config.tls.certificates.is_empty() && config.needs_certificate() {
        return Ok(vec![self_signed(config)?]);
    }
    Ok(config.tls.certificates.clone())
}

fn warn(findings: &Diagnostics) {
    for finding in findings {
        tracing::warn!(%finding, "certificates");
    }
}

impl Shown {
    fn read(named: &[config::Certificate], now_ms: u64, findings: &mut Diagnostics) -> Self {
        let mut shown = Self::default();
        for named in named {
            let Some(pair) = Pair::read(named, now_ms, findings) else {
                continue;
            };
            for name in &pair.names {
                let at = *shown
                    .by_name
                    .entry(name.clone())
                    .or_insert(shown.pairs.len());
                if let Some(other) = shown.pairs.get(at) {
                    let problem = format!("is for {name}, as {} is before it", other.file.key());
                    let remedy = "it is not shown for that: give the names that each is for";
                    findings.push(named.cert.finding(Severity::Warning, problem, remedy));
                }
            }
            shown.pairs.push(pair);
        }
        shown
    }

    /// The certificate for a server name: one for it, one for its neighbours, or the first.
    fn find(&self, name: Option<&str>) -> Option<&Pair> {
        let name = name.map(str::to_ascii_lowercase).unwrap_or_default();
        let exact = self.by_name.get(name.as_str());
        let wild = || {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(format!("*.{parent}").as_str())
        };
        self.pairs.get(*exact.or_else(wild).unwrap_or(&0))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name())?.key.clone())
    }
}

/// The certificates of the last reading.
#[derive(Debug)]
struct Current(Arc<ArcSwap<Shown>>);

impl ResolvesClientCert for Current {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().pairs.first()?.key.clone())
    }

    fn has_certs(&self) -> bool {
        !self.0.load().pairs.is_empty()
    }
}

/// What is wrong with the certificates that a configuration names, and what is worth a second look.
#[must_use]
pub fn check_certificates(config: &Config) -> Diagnostics {
    let mut findings = Diagnostics::default();
    let now = Clock::start().unix_ms();
    let shown = Shown::read(&config.tls.certificates, now, &mut findings);
    let ours: Arc<dyn ResolvesServerCert> = Arc::new(shown);
    for listen in config.listen.iter().filter(|it| it.transport.is_tls()) {
        let web = listen.transport.is_websocket();
        // Only what it finds is of interest.
        drop(Entrance::open(
            web,
            listen.clients.as_ref(),
            &ours,
            &mut findings,
        ));
    }
    outgoing::check(config.tls.ca.as_ref(), &mut findings);
    findings
}

#[cfg(test)]
mod tests;
