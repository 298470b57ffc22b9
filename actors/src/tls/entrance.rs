//! The TLS side of one listener: which certificates it shows, and which it asks for.

use std::sync::Arc;

use arc_swap::ArcSwap;
use config::{Clients, Diagnostics, Severity};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::CertificateDer,
    server::{NoClientAuth, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio_rustls::TlsAcceptor;
use webpki::EndEntityCert;

use super::{der, pair::chain};

/// What is agreed on where both sides have a word for it (RFC 7301): who speaks another protocol
/// is told so by the handshake, and nobody's requests end up in the wrong parser.
const WEB: [&[u8]; 1] = [b"http/1.1"];
const SIP: [&[u8]; 2] = [b"sip/2", b"sip"];

/// The TLS side of one listener. What is renewed is for handshakes from then on.
pub(crate) struct Entrance {
    web: bool,
    clients: Option<Clients>,
    config: ArcSwap<ServerConfig>,
}

impl Entrance {
    /// One that shows `ours`. `web`: WSS.
    pub(super) fn open(
        web: bool,
        clients: Option<&Clients>,
        ours: &Arc<dyn ResolvesServerCert>,
        findings: &mut Diagnostics,
    ) -> Option<Self> {
        let config = config(web, clients, ours, findings)?;
        Some(Self {
            web,
            clients: clients.cloned(),
            config: ArcSwap::new(config),
        })
    }

    /// What it will be with `ours`, and with the authorities of the clients as they are now.
    pub(super) fn renewed(
        &self,
        ours: &Arc<dyn ResolvesServerCert>,
        findings: &mut Diagnostics,
    ) -> Option<Arc<ServerConfig>> {
        config(self.web, self.clients.as_ref(), ours, findings)
    }

    pub(super) fn set(&self, config: Arc<ServerConfig>) {
        self.config.store(config);
    }

    /// Whose certificates it believes, where it asks for any.
    pub(super) fn clients(&self) -> Option<&Clients> {
        self.clients.as_ref()
    }

    /// For the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn config(
    web: bool,
    clients: Option<&Clients>,
    ours: &Arc<dyn ResolvesServerCert>,
    findings: &mut Diagnostics,
) -> Option<Arc<ServerConfig>> {
    let clients = match clients {
        None => Arc::new(NoClientAuth),
        Some(clients) => verifier(clients, findings)?,
    };
    let provider = Arc::new(ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config
        .ok()?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(ours.clone());
    let protocols: &[&[u8]] = if web { &WEB } else { &SIP };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 1;
    Some(Arc::new(config))
}

/// Who judges the certificates of clients.
fn verifier(clients: &Clients, findings: &mut Diagnostics) -> Option<Arc<dyn ClientCertVerifier>> {
    let roots = authorities(&clients.ca, findings)?;
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let builder = match clients.required {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    match builder.build() {
        Ok(verifier) => Some(verifier),
        Err(error) => {
            let problem = format!("cannot be used: {error}");
            let remedy = "put the authorities' own certificates there";
            findings.push(clients.ca.finding(Severity::Error, problem, remedy));
            None
        }
    }
}

/// The authorities in a file, at least one.
pub(super) fn authorities(
    file: &config::NamedFile,
    findings: &mut Diagnostics,
) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let (_, odd) = roots.add_parsable_certificates(chain(file, findings)?);
    if roots.is_empty() {
        let problem = "holds no certificate of an authority";
        let remedy = "put the authorities' own certificates there";
        findings.push(file.finding(Severity::Error, problem, remedy));
        return None;
    }
    if odd > 0 {
        let problem = format!("{odd} of its certificates cannot be read");
        let remedy = "they are passed over: put others there";
        findings.push(file.finding(Severity::Warning, problem, remedy));
    }
    Some(Arc::new(roots))
}

/// Whose a certificate is that a client has shown and that was verified, for the log.
pub(crate) fn subject(certificate: &CertificateDer<'_>) -> String {
    EndEntityCert::try_from(certificate).map_or_else(
        |_| String::new(),
        |certificate| der::subject(certificate.subject()),
    )
}
