//! `[tls]` and `[[tls.certificate]]`: who we are to others, and whom we believe.

use crate::listen::is_host_name;
use crate::named_file::NamedFile;
use crate::section::{Misfit, Section};

/// `[tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Our certificates. The first is shown to who asks for no name or for one that none has; none
    /// at all: a self-signed one is made.
    pub certificates: Vec<Certificate>,
    /// PEM of the authorities that may sign the certificates of servers we connect to; `None`:
    /// those of the system.
    pub ca: Option<NamedFile>,
}

/// PEM files of a certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, leaf first.
    pub cert: NamedFile,
    /// The private key.
    pub key: NamedFile,
    /// The server names it is shown for, in lower case, perhaps beginning with `*.`; none: those
    /// that it is for by itself.
    pub names: Vec<String>,
}

impl Tls {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let mut certificates: Vec<Certificate> = Certificate::read(section).into_iter().collect();
        for mut section in section.tables("certificate") {
            for key in ["cert", "key"] {
                if !section.has(key) {
                    let remedy = "every [[tls.certificate]] has a cert and a key";
                    section.error(key, "is missing", remedy);
                }
            }
            let names = section.list("names", "sip.example.org").unwrap_or_default();
            if let Some(mut certificate) = Certificate::read(&mut section) {
                certificate.names = lower(names, &section);
                certificates.push(certificate);
            }
            section.refuse_unknown();
        }
        Self {
            certificates,
            ca: section.file("ca"),
        }
    }
}

impl Certificate {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let (cert, key) = (section.file("cert"), section.file("key"));
        if section.has("cert") && !section.has("key") {
            section.error("cert", "stands without a key", "add the key beside it");
        }
        if section.has("key") && !section.has("cert") {
            section.error(
                "key",
                "stands without a certificate",
                "add the cert beside it",
            );
        }
        Some(Self {
            cert: cert?,
            key: key?,
            names: Vec::new(),
        })
    }
}

/// Host names in the form they are looked up in; what is none is a finding.
fn lower(names: Vec<String>, section: &Section<'_>) -> Vec<String> {
    for name in &names {
        if !is_host_name(name.strip_prefix("*.").unwrap_or(name)) {
            let Misfit { problem, remedy } = Misfit::new(
                format!("{name:?} is no host name"),
                "write a name like \"sip.example.org\" or \"*.example.org\"",
            );
            section.error("names", problem, remedy);
        }
    }
    names
        .into_iter()
        .map(|name| name.to_ascii_lowercase())
        .collect()
}
