use std::{fs, path::Path};

use config::Diagnostic;

use super::*;

/// Writes a pair for `names` that ends at the beginning of `year`.
fn write(folder: &Path, file: &str, names: &[&str], year: i32) {
    let names = names.iter().map(|name| (*name).to_owned());
    let mut params = rcgen::CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(folder.join(format!("{file}.pem")), certificate.pem()).unwrap();
    fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
}

/// A configuration in `folder` with these pairs, and what is found in them.
fn check(folder: &Path, tls: &str) -> Vec<String> {
    let text = format!(
        "[node]\nstate_dir = {folder:?}\n[[listen]]\ntransport = \"tls\"\n\
         addr = \"127.0.0.1:0\"\n[[domain]]\nname = \"a.test\"\nauth = \"open\"\n{tls}"
    );
    let file = folder.join("ifbus.toml");
    let config = config::parse(&text, Some(&file)).unwrap().config;
    let say = |finding: &Diagnostic| {
        format!("{:?} {} {}", finding.severity, finding.key, finding.problem)
    };
    check_certificates(&config).iter().map(say).collect()
}

fn pair(cert: &str, key: &str) -> String {
    format!("[[tls.certificate]]\ncert = \"{cert}\"\nkey = \"{key}\"\n")
}

#[test]
fn each_mistake_is_told_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write(home, "a", &["a.test"], 2099);
    write(home, "b", &["b.test", "a.test"], 2099);
    write(home, "old", &["old.test"], 2001);
    fs::write(home.join("text"), "no PEM\n").unwrap();
    let good = pair("a.pem", "a.key");
    assert_eq!(check(home, &good), [""; 0]);
    for (tls, expected) in [
        (
            pair("text", "a.key"),
            "Error tls.certificate[1].cert holds no certificate in PEM form",
        ),
        (
            pair("a.pem", "text"),
            "Error tls.certificate[1].key holds no private key in PEM form",
        ),
        (
            format!("{good}{}", pair("b.pem", "a.key")),
            "Error tls.certificate[2].key is the key of another certificate",
        ),
        (
            format!("{good}{}", pair("b.pem", "b.key")),
            "Warning tls.certificate[2].cert is for a.test, \
             as tls.certificate[1].cert is before it",
        ),
        (
            pair("old.pem", "old.key"),
            "Warning tls.certificate[1].cert has ended on 2001-01-01T00:00:00.000Z",
        ),
        (
            format!("{good}names = [\"x.test\", \"a.test\"]\n"),
            "Warning tls.certificate[1].cert is not valid for x.test, which it is shown for",
        ),
        (
            format!(
                "{good}[[listen]]\ntransport = \"tls\"\naddr = \"[::1]:0\"\n\
                 client_certs = \"required\"\nclient_ca = \"text\"\n"
            ),
            "Error listen[2].client_ca holds no certificate in PEM form",
        ),
    ] {
        assert_eq!(check(home, &tls), [expected]);
    }
}

#[test]
fn a_name_finds_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write(home, "a", &["a.test"], 2099);
    write(home, "b", &["B.test", "*.b.test", "only.a.test"], 2099);
    write(home, "c", &["c.test", "d.test"], 2099);
    let named = |file: &str, names: &[&str]| config::Certificate {
        cert: config::NamedFile::unnamed(home.join(format!("{file}.pem"))),
        key: config::NamedFile::unnamed(home.join(format!("{file}.key"))),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let all = [named("a", &[]), named("b", &[]), named("c", &["d.test"])];
    let mut findings = Diagnostics::default();
    let shown = Shown::read(&all, Clock::start().unix_ms(), &mut findings);
    assert!(findings.is_empty(), "{findings}");
    for (name, file) in [
        (None, "a"),
        (Some("a.test"), "a"),
        (Some("b.TEST"), "b"),
        (Some("x.b.test"), "b"),
        (Some("y.x.b.test"), "a"),
        (Some("only.a.test"), "b"),
        (Some("d.test"), "c"),
        // It is for this name, too, and not to be shown for it.
        (Some("c.test"), "a"),
        (Some("nobody.test"), "a"),
    ] {
        let found = shown.find(name).unwrap().file.path();
        assert!(
            found.ends_with(format!("{file}.pem")),
            "{name:?}: {found:?}"
        );
    }
}
