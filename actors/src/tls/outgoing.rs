//! The TLS side of connections that we make: whom we believe, and who we say we are.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use config::{Diagnostics, NamedFile};
use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore, client::ResolvesClientCert, crypto::ring, pki_types::ServerName,
};
use tokio::{
    io,
    net::TcpStream,
    task::{JoinError, spawn_blocking},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::entrance::authorities;

/// What connections to servers begin with. Made when the first is: reading the system's list takes
/// some milliseconds, and most nodes connect to nobody.
pub(super) struct Outgoing {
    /// The authorities that the operator trusts; none: those of the system.
    named: Mutex<Option<NamedFile>>,
    /// What is shown to who asks for our certificate.
    ours: Arc<dyn ResolvesClientCert>,
    config: ArcSwapOption<ClientConfig>,
}

/// Why there is no connection with a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The name is none that a certificate could be for.
    #[error("no server can have this name")]
    Name,
    /// Nobody is trusted.
    #[error("no certificate of an authority to judge the server's by")]
    NoAuthorities,
    /// TCP, or the handshake: the text says what about the certificate is wrong.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The authorities were not read to the end.
    #[error("{0}")]
    Reading(#[from] JoinError),
}

impl Outgoing {
    pub(super) fn new(named: Option<NamedFile>, ours: Arc<dyn ResolvesClientCert>) -> Self {
        Self {
            named: Mutex::new(named),
            ours,
            config: ArcSwapOption::empty(),
        }
    }

    /// The file of the authorities.
    pub(super) fn named(&self) -> Option<NamedFile> {
        self.named.lock().clone()
    }

    /// From now on by these authorities, as they are then.
    pub(super) fn renew(&self, named: Option<NamedFile>) {
        let mut kept = self.named.lock();
        *kept = named;
        self.config.store(None);
    }

    /// Shakes hands on a connection that is there with the server that we mean, which must show a
    /// certificate for `name` (RFC 5922 7.3): a DNS name or an address among its alternative names.
    pub(super) async fn shake(
        self: &Arc<Self>,
        stream: TcpStream,
        name: &str,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| ConnectError::Name)?;
        let config = match self.config.load_full() {
            Some(config) => config,
            None => {
                let this = self.clone();
                let made = spawn_blocking(move || this.config()).await?;
                made.ok_or(ConnectError::NoAuthorities)?
            }
        };
        Ok(TlsConnector::from(config).connect(name, stream).await?)
    }

    fn config(&self) -> Option<Arc<ClientConfig>> {
        // Locked to the end: what was named meanwhile is not to be covered by what was before.
        let named = self.named.lock();
        let roots = match &*named {
            Some(file) => authorities(file, &mut Diagnostics::default())?,
            None => system()?,
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let config = builder
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(roots)
            .with_client_cert_resolver(self.ours.clone());
        let config = Arc::new(config);
        self.config.store(Some(config.clone()));
        Some(config)
    }
}

/// Says what is wrong with the file of the authorities.
pub(super) fn check(named: Option<&NamedFile>, findings: &mut Diagnostics) {
    if let Some(file) = named {
        // Only what it finds is of interest.
        drop(authorities(file, findings));
    }
}

/// The authorities that the system trusts.
fn system() -> Option<Arc<RootCertStore>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "the system's authorities");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    (!roots.is_empty()).then(|| Arc::new(roots))
}
