//! A certificate made for development, where the operator has none.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path};

use config::{Config, Listen, NamedFile};

use super::TlsError;

/// The pair in the state folder, made if it is not there yet.
///
/// # Errors
/// When the folder cannot be written or the certificate cannot be made.
pub(super) fn self_signed(config: &Config) -> Result<config::Certificate, TlsError> {
    let folder = config.node.state_dir.join("tls");
    tracing::warn!(
        folder = %folder.display(),
        "no [tls] certificate: a self-signed one is used, which browsers will not trust"
    );
    made(&folder, &names(config))
}

fn made(folder: &Path, names: &[String]) -> Result<config::Certificate, TlsError> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if !(cert.exists() && key.exists()) {
        let pair = rcgen::generate_simple_self_signed(names.to_vec())?;
        fs::create_dir_all(folder).map_err(|source| file(folder, source))?;
        write(&key, pair.signing_key.serialize_pem().as_bytes(), 0o600)?;
        write(&cert, pair.cert.pem().as_bytes(), 0o644)?;
    }
    Ok(config::Certificate {
        cert: NamedFile::unnamed(cert),
        key: NamedFile::unnamed(key),
        names: Vec::new(),
    })
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

/// Whom it is for.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let advertised = config.listen.iter().filter_map(Listen::host);
    let domains = config.domains.iter().map(|domain| domain.name.clone());
    for name in advertised.chain(domains) {
        let name = name.trim_matches(['[', ']']).to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        made(folder.path(), &names).unwrap();
        let first = fs::read(folder.path().join("cert.pem")).unwrap();
        made(folder.path(), &names).unwrap();
        assert_eq!(first, fs::read(folder.path().join("cert.pem")).unwrap());
        let mode = fs::metadata(folder.path().join("key.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
