//! A certificate and its key, as two files hold them.

use std::{fs, sync::Arc};

use bus_schema::Timestamp;
use config::{Diagnostic, Diagnostics, NamedFile, Severity};
use rustls::{
    Error, InconsistentKeys,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::CertifiedKey,
};
use webpki::EndEntityCert;

use super::der;

/// One of our certificates.
#[derive(Debug)]
pub(super) struct Pair {
    /// What TLS shows and signs with.
    pub(super) key: Arc<CertifiedKey>,
    /// The server names it is shown for, in lower case, perhaps beginning with `*.`.
    pub(super) names: Vec<Box<str>>,
    /// The file of the certificate.
    pub(super) file: NamedFile,
    /// When it ends, where that can be read.
    pub(super) ends: Option<Timestamp>,
}

impl Pair {
    /// Reads a pair as it is at `now_ms`. What is wrong goes to `findings`; `None`: it cannot be
    /// used.
    pub(super) fn read(
        named: &config::Certificate,
        now_ms: u64,
        findings: &mut Diagnostics,
    ) -> Option<Self> {
        let chain = chain(&named.cert, findings);
        let secret = secret(&named.key, findings);
        let (chain, secret) = (chain?, secret?);
        let leaf = chain.first()?.clone();
        let names = names(named, &leaf, findings)?;
        let mut key = match CertifiedKey::from_der(chain, secret, &ring::default_provider()) {
            Ok(key) => key,
            Err(error) => {
                findings.push(foreign(&named.key, &error));
                return None;
            }
        };
        // Nothing is stapled to it: a status would have to be fetched.
        key.ocsp = None;
        let (from, ends) = der::validity(&leaf).unzip();
        for (wrong, what) in [
            (ends.filter(|ends| ends.0 <= now_ms), "has ended on"),
            (from.filter(|from| from.0 > now_ms), "is not valid before"),
        ] {
            if let Some(at) = wrong {
                let problem = format!("{what} {at}");
                let remedy = "clients will refuse it: put a valid one there";
                findings.push(named.cert.finding(Severity::Warning, problem, remedy));
            }
        }
        Some(Self {
            key: Arc::new(key),
            names,
            file: named.cert.clone(),
            ends,
        })
    }
}

/// The bytes of a file.
pub(super) fn bytes(file: &NamedFile, findings: &mut Diagnostics) -> Option<Vec<u8>> {
    match fs::read(file.path()) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let problem = format!("cannot be read: {error}");
            let remedy = format!("see to {}", file.path().display());
            findings.push(file.finding(Severity::Error, problem, remedy));
            None
        }
    }
}

/// The certificates in a file, at least one.
pub(super) fn chain(
    file: &NamedFile,
    findings: &mut Diagnostics,
) -> Option<Vec<CertificateDer<'static>>> {
    let bytes = bytes(file, findings)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    if chain.is_none() {
        let problem = "holds no certificate in PEM form";
        let remedy = "it begins with -----BEGIN CERTIFICATE-----; `openssl x509 -inform der` \
                      makes it of DER";
        findings.push(file.finding(Severity::Error, problem, remedy));
    }
    chain
}

fn secret(file: &NamedFile, findings: &mut Diagnostics) -> Option<PrivateKeyDer<'static>> {
    let bytes = bytes(file, findings)?;
    let secret = PrivateKeyDer::from_pem_slice(&bytes).ok();
    if secret.is_none() {
        let problem = "holds no private key in PEM form";
        let remedy = "it begins with -----BEGIN PRIVATE KEY-----, and has no password";
        findings.push(file.finding(Severity::Error, problem, remedy));
    }
    secret
}

/// The names that the configuration gives, or else the certificate's own.
fn names(
    named: &config::Certificate,
    leaf: &CertificateDer<'_>,
    findings: &mut Diagnostics,
) -> Option<Vec<Box<str>>> {
    let parsed = match EndEntityCert::try_from(leaf) {
        Ok(parsed) => parsed,
        Err(error) => {
            let problem = format!("holds no certificate that TLS could use: {error}");
            let remedy = "it takes X.509 version 3 with a subject alternative name";
            findings.push(named.cert.finding(Severity::Error, problem, remedy));
            return None;
        }
    };
    if named.names.is_empty() {
        let own = parsed.valid_dns_names();
        return Some(own.map(|name| name.to_ascii_lowercase().into()).collect());
    }
    for name in &named.names {
        let host = name.replacen('*', "any", 1);
        let valid = ServerName::try_from(host)
            .is_ok_and(|name| parsed.verify_is_valid_for_subject_name(&name).is_ok());
        if !valid {
            let problem = format!("is not valid for {name}, which it is shown for");
            let remedy = "clients will refuse it: correct the names, or put another one there";
            findings.push(named.cert.finding(Severity::Warning, problem, remedy));
        }
    }
    Some(
        named
            .names
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
    )
}

/// Why a key does not do.
fn foreign(file: &NamedFile, error: &Error) -> Diagnostic {
    let (problem, remedy) = match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => (
            "is the key of another certificate".to_owned(),
            "put the key there that the certificate was made with",
        ),
        error => (
            format!("cannot be used: {error}"),
            "it takes an RSA key of 2,048 bits and more, ECDSA on P-256 or P-384, or Ed25519",
        ),
    };
    file.finding(Severity::Error, problem, remedy)
}
