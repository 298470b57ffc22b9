//! Files that the configuration names: users, passwords, certificates.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use config::{Anchor, Auth, BusUrl, Events, Secret, Target, Transport, load};

#[expect(
    clippy::unwrap_used,
    reason = "a helper of tests: a panic is the report"
)]
fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
}

#[test]
fn a_measured_server_loads() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let at = home.display();
    write(
        home,
        "users.htdigest",
        "bench000000:bench.local:0123456789abcdef0123456789ABCDEF\n",
    );
    let text = format!(
        r#"[node]
id = "bench"
state_dir = "{at}/state"
[bus]
url = "nats://127.0.0.1:14222"
events = "core"
[http]
addr = "127.0.0.1:15190"
[limits]
trusted = ["127.0.0.0/8"]
[[listen]]
transport = "udp"
addr = "127.0.0.1:15160"
[[listen]]
transport = "ws"
addr = "127.0.0.1:15180"
path = "/"
[[listen]]
transport = "wss"
addr = "127.0.0.1:15143"
path = "/"
[media]
ports = "20000-29999"
advertise = "127.0.0.1"
anchor = "always"
[[domain]]
name = "bench.local"
auth = "digest"
users_file = "{at}/users.htdigest"
callers = "open"
[[route]]
name = "phone"
to = "phone"
target = "uri:sip:phone@127.0.0.1:17171;transport=udp"
"#
    );
    write(home, "ifbus.toml", &text);
    let loaded = load(&home.join("ifbus.toml")).unwrap();
    let config = loaded.config;
    assert_eq!(
        config.bus.url,
        BusUrl::Server("nats://127.0.0.1:14222".to_owned())
    );
    assert_eq!(config.bus.events, Events::Core);
    assert!(config.limits.is_trusted("127.0.0.1".parse().unwrap()));
    assert_eq!(config.listen[1].transport, Transport::Ws);
    assert_eq!(config.listen[1].path, "/");
    assert_eq!(config.media.anchor, Anchor::Always);
    let domain = config.domain("BENCH.local").unwrap();
    assert_eq!((domain.auth, domain.callers), (Auth::Digest, Auth::Open));
    let found = config.users.find("bench000000", "bench.local").unwrap();
    assert_eq!(found.ha1_md5.unwrap()[..2], [0x01, 0x23]);
    let uri = "sip:phone@127.0.0.1:17171;transport=udp".to_owned();
    assert_eq!(
        config.route("phone").map(|route| &route.target),
        Some(&Target::Uri(uri))
    );
    assert_eq!(config.route("phones"), None);
    assert_eq!(
        loaded
            .warnings
            .iter()
            .filter(|found| !found.key.starts_with("media."))
            .count(),
        0
    );
}

#[test]
fn paths_start_at_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    write(home, "1001.txt", "first line\nsecond\n");
    for name in ["chain.pem", "key.pem", "users"] {
        write(home, name, "");
    }
    write(
        home,
        "ifbus.toml",
        "[tls]\ncert = \"chain.pem\"\nkey = \"key.pem\"\n[[domain]]\nname = \"example.test\"\n\
         users_file = \"users\"\n[[user]]\naor = \"1001@example.test\"\n\
         password_file = \"1001.txt\"\n",
    );
    let config = load(&home.join("ifbus.toml")).unwrap().config;
    assert_eq!(config.node.state_dir, home.join("state"));
    let certificate = &config.tls.certificates[0];
    assert_eq!(certificate.cert.path(), home.join("chain.pem"));
    let found = config.users.find("1001", "example.test").unwrap();
    assert_eq!(found.password.map(Secret::reveal), Some("first line"));
}

#[test]
fn a_users_file_says_which_line_is_wrong_and_never_quotes_it() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let md5 = "0".repeat(32);
    let mut users = format!("# people\n\nalice:example.test:{md5}\nalice:example.test:{md5}\n");
    writeln!(
        users,
        "bob:other.test:{md5}\ncarol:example.test:hunter2\n:example.test:{md5}\nx"
    )
    .unwrap();
    writeln!(users, "alice:example.test:{}", "1".repeat(64)).unwrap();
    for _ in 0..30 {
        users.push_str("junk\n");
    }
    write(home, "users", &users);
    write(
        home,
        "ifbus.toml",
        "[[domain]]\nname = \"example.test\"\nusers_file = \"users\"\n",
    );
    let findings = load(&home.join("ifbus.toml")).unwrap_err();
    let lines: Vec<usize> = findings.errors().map(|finding| finding.line).collect();
    assert_eq!(lines[..7], [0, 4, 5, 6, 7, 8, 10]);
    let said = findings.to_string();
    assert!(said.contains("15 more lines are wrong"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn absent_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    assert!(
        load(&home.join("none.toml"))
            .unwrap_err()
            .to_string()
            .contains("none.toml")
    );
    write(
        home,
        "ifbus.toml",
        "[bus]\nurl = \"tls://bus.example\"\nca = \"ca.pem\"\ncreds = \"a.creds\"\n\
         [[domain]]\nname = \"example.test\"\nusers_file = \"absent\"\n\
         [[user]]\naor = \"1001@example.test\"\npassword_file = \"gone.txt\"\n",
    );
    let said = load(&home.join("ifbus.toml")).unwrap_err().to_string();
    for name in ["ca.pem", "a.creds", "absent", "gone.txt"] {
        assert!(said.contains(name), "{name} in {said}");
    }
}

/// One pass and no allocation per user: the bound is loose for a slow machine, the count is not.
#[test]
fn a_hundred_thousand_users_load() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let mut users = String::new();
    for number in 0..100_000 {
        writeln!(users, "bench{number:06}:bench.local:{number:032x}").unwrap();
    }
    write(home, "users", &users);
    write(
        home,
        "ifbus.toml",
        "[[domain]]\nname = \"bench.local\"\nusers_file = \"users\"\n",
    );
    let config = load(&home.join("ifbus.toml")).unwrap().config;
    assert_eq!(config.users.len(), 100_000);
    let found = config.users.find("bench099999", "bench.local").unwrap();
    assert_eq!(found.ha1_md5, Some(&99_999u128.to_be_bytes()));
}

#[test]
fn certificates_and_whose_they_ask_for() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    for name in ["a.pem", "a.key", "b.pem", "b.key", "ca.pem"] {
        write(home, name, "");
    }
    let base = "[[domain]]\nname = \"example.test\"\nauth = \"open\"\n\
                [tls]\nca = \"ca.pem\"\n";
    let second = "[[tls.certificate]]\ncert = \"b.pem\"\nkey = \"b.key\"\n\
                  names = [\"*.B.test\", \"b.test\"]\n";
    let listen = "[[listen]]\ntransport = \"tls\"\naddr = \"127.0.0.1:5061\"\n";
    let load = |text: String| {
        write(home, "ifbus.toml", &text);
        load(&home.join("ifbus.toml"))
    };
    let asks = "client_certs = \"optional\"\nclient_ca = \"ca.pem\"\n";
    let first = "cert = \"a.pem\"\nkey = \"a.key\"\n";
    let config = load(format!("{base}{first}{second}{listen}{asks}"))
        .unwrap()
        .config;
    let names: Vec<_> = config.tls.certificates.iter().map(|it| &it.names).collect();
    assert_eq!(
        names,
        [&[][..], &["*.b.test".to_owned(), "b.test".to_owned()]]
    );
    assert_eq!(config.tls.ca.unwrap().path(), home.join("ca.pem"));
    let clients = config.listen[0].clients.clone().unwrap();
    assert!(!clients.required);
    assert_eq!(clients.ca.key(), "listen[1].client_ca");
    // Without one of its own, the first of the list is the default.
    let config = load(format!("{base}{second}{listen}")).unwrap().config;
    assert_eq!(
        config.tls.certificates[0].cert.key(),
        "tls.certificate[1].cert"
    );
    assert_eq!(config.listen[0].clients, None);
    for (more, key) in [
        (
            "[[tls.certificate]]\ncert = \"b.pem\"\n",
            "tls.certificate[1].key",
        ),
        (
            "[[tls.certificate]]\ncert = \"c.pem\"\nkey = \"b.key\"\n",
            "tls.certificate[1].cert",
        ),
        (&second.replace("*.B", "a.*"), "tls.certificate[1].names"),
        (&second.replace("names", "name"), "tls.certificate[1].name"),
        ("certificate = \"b.pem\"\n", "tls.certificate"),
        (
            &format!("{listen}client_ca = \"ca.pem\"\n"),
            "listen[1].client_ca",
        ),
        (
            &format!("{listen}client_certs = \"required\"\n"),
            "listen[1].client_certs",
        ),
    ] {
        let mistakes = load(format!("{base}{more}")).unwrap_err();
        assert!(
            mistakes.errors().any(|it| it.key == key),
            "{more}: {mistakes}"
        );
    }
}
