//! Certificates: the operator's, or one made for development.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file holds no certificate or key.
    #[error("{path}: no usable {what} in PEM form")]
    Pem {
        /// Which.
        path: String,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// Certificate and key are not a pair, or not acceptable.
    #[error("certificate and key: {0}")]
    Pair(#[from] rustls::Error),
    /// A development certificate could not be made.
    #[error("self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
}

/// Who we are to whom connects.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    /// Our own certificate, in DER.
    pub(crate) leaf: CertificateDer<'static>,
}

/// The server side of TLS 1.2 and 1.3 with the certificate in `cert` and `key`.
///
/// # Errors
/// When a file is unreadable, holds no PEM, or the two are no pair.
pub(crate) fn identity(cert: &Path, key: &Path) -> Result<Identity, TlsError> {
    let name = |path: &Path| path.display().to_string();
    let chain = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| TlsError::Pem {
            path: name(cert),
            what: "certificate",
        })?;
    let leaf = chain[0].clone();
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| TlsError::Pem {
        path: name(key),
        what: "private key",
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 1;
    let config = Arc::new(config);
    Ok(Identity { config, leaf })
}

/// The certificate in `folder`, made for `names` (hosts or addresses) if it is not there yet.
///
/// # Errors
/// When the folder cannot be written or the certificate cannot be made.
pub(crate) fn self_signed(folder: &Path, names: &[String]) -> Result<Identity, TlsError> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if !(cert.exists() && key.exists()) {
        let pair = rcgen::generate_simple_self_signed(names.to_vec())?;
        fs::create_dir_all(folder).map_err(|source| file(folder, source))?;
        write(&key, pair.signing_key.serialize_pem().as_bytes(), 0o600)?;
        write(&cert, pair.cert.pem().as_bytes(), 0o644)?;
    }
    identity(&cert, &key)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| file(path, source))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let open = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path);
    open.and_then(|mut file| io::Write::write_all(&mut file, bytes))
        .map_err(|source| file(path, source))
}

fn file(path: &Path, source: io::Error) -> TlsError {
    TlsError::File {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        self_signed(folder.path(), &names).unwrap();
        let first = fs::read(folder.path().join("cert.pem")).unwrap();
        self_signed(folder.path(), &names).unwrap();
        assert_eq!(first, fs::read(folder.path().join("cert.pem")).unwrap());
        let mode = fs::metadata(folder.path().join("key.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_foreign_key_is_refused() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        self_signed(a.path(), &["a".to_owned()]).unwrap();
        self_signed(b.path(), &["b".to_owned()]).unwrap();
        let wrong = identity(&a.path().join("cert.pem"), &b.path().join("key.pem"));
        assert!(matches!(wrong, Err(TlsError::Pair(_))), "{wrong:?}");
        let none = identity(&a.path().join("key.pem"), &a.path().join("key.pem"));
        assert!(matches!(none, Err(TlsError::Pem { .. })));
    }
}
