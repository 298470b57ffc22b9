//! An authority of a test: it signs certificates, and makes clients that believe it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

/// An authority and the folder of what it has signed.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) root: CertificateDer<'static>,
    folder: TempDir,
}

/// A certificate with its key.
pub(crate) struct Signed {
    pub(crate) cert: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
}

impl Signed {
    fn chain(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        (vec![self.cert.clone()], key.into())
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority of a test");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let root = certificate.der().clone();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            root,
            folder,
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        roots
    }

    /// Where `name` is, or may be put.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for hosts and addresses.
    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_until(names, 2099)
    }

    /// The same, that ends with the year before.
    pub(crate) fn sign_until(&self, names: &[&str], year: i32) -> Signed {
        let names = names.iter().map(|name| (*name).to_owned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed {
            cert: certificate.der().clone(),
            pem: certificate.pem(),
            key,
        }
    }

    /// What a server shows with it.
    pub(crate) fn server(signed: &Signed) -> TlsAcceptor {
        Self::server_for(signed, Arc::new(NoClientAuth))
    }

    /// The same of one that lets in whom this authority has signed a certificate for.
    pub(crate) fn guarded(&self, signed: &Signed) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(self.roots());
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        Self::server_for(signed, clients.unwrap())
    }

    fn server_for(signed: &Signed, clients: Arc<dyn ClientCertVerifier>) -> TlsAcceptor {
        let (chain, key) = signed.chain();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Puts it into `name.pem` and `name.key`.
    pub(crate) fn put(&self, name: &str, signed: &Signed) {
        replace(&self.path(&format!("{name}.pem")), &signed.pem);
        let key = self.path(&format!("{name}.key"));
        replace(&key, &signed.key.serialize_pem());
    }

    /// The two lines of a file that name it.
    pub(crate) fn lines(&self, name: &str) -> String {
        let (cert, key) = (
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.key")),
        );
        format!("cert = {cert:?}\nkey = {key:?}\n")
    }

    /// A client that believes this authority, shows `own` if asked, and speaks these protocols.
    pub(crate) fn client(&self, own: Option<&Signed>, protocols: &[&str]) -> Arc<ClientConfig> {
        self.client_of(rustls::DEFAULT_VERSIONS, own, protocols)
    }

    /// The same with these versions of TLS alone.
    pub(crate) fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Signed>,
        protocols: &[&str],
    ) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = own.chain();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| (*name).into()).collect();
        Arc::new(config)
    }
}

/// Puts a whole file into the place of another, as a renewal does.
pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    let put = || -> io::Result<()> {
        fs::write(&beside, text)?;
        fs::rename(&beside, path)
    };
    put().unwrap();
}
