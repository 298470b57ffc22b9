//! What an operator sees when the file is wrong: all of it at once.

use config::parse;

/// The findings of `text`, a line each.
fn said(text: &str) -> String {
    match parse(text, None) {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(findings) => findings.to_string(),
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let text = r#"
[node]
id = "no spaces"
[bus]
ulr = "off"
port = 70000
encoding = "jsno"
[[listen]]
transport = "upd"
addr = "127.0.0.1"
[[listen]]
transport = "ws"
addr = "127.0.0.1:8080"
path = "ws"
origins = ["https://app.example/path", 7]
advertise = "sip:host"
[limits]
conections = 5
headers = "many"
trusted = ["10.0.0.0/8", "10.0.0.0/99"]
[listne]
"#;
    insta::assert_snapshot!(said(text));
}

#[test]
fn sections_that_contradict_each_other() {
    let text = r#"
[http]
addr = "127.0.0.1:5060"
[tls]
cert = "absent.pem"
[[listen]]
transport = "udp"
addr = "127.0.0.1:5060"
[[listen]]
transport = "tcp"
addr = "0.0.0.0:5060"
[[listen]]
transport = "udp"
addr = "127.0.0.1:5060"
[[domain]]
name = "example.test"
auth = "open"
[[domain]]
name = "EXAMPLE.test"
[[user]]
aor = "1001@exmaple.test"
password = "hunter2"
[[user]]
aor = "1002@example.test"
[[user]]
aor = "1003@example.test"
password = "hunter2"
[[user]]
aor = "1003@example.test"
password = "hunter3"
[[user]]
aor = "1004@example.test"
ha1_md5 = "c0ffee"
[limits]
expires_min_s = 7200
"#;
    insta::assert_snapshot!(said(text));
}

#[test]
fn words_of_later_releases_say_so() {
    let text = r#"
[cluster]
enabled = true
[[domain]]
name = "example.test"
auth = "upstream"
upstream = "trunk:pbx"
[[trunk]]
name = "pbx"
[[route]]
to = "6[0-9]{3}"
target = "trunk:pbx"
[[route]]
to = "desk"
target = "agent:desk"
[[route]]
to = "6[0-9"
target = "reject:200"
[[route]]
target = "registred"
"#;
    insta::assert_snapshot!(said(text));
}

#[test]
fn warnings_do_not_stop_a_start() {
    let text = r#"
[bus]
url = "off"
port = 4333
token = "hunter2"
[http]
addr = "0.0.0.0:8090"
[[listen]]
transport = "udp"
addr = "0.0.0.0:5060"
path = "/ws"
[[domain]]
name = "example.test"
auth = "open"
[media]
anchor = "always"
[limits]
trusted = ["0.0.0.0/0"]
"#;
    assert!(parse(text, None).is_ok());
    insta::assert_snapshot!(said(text));
}

#[test]
fn text_that_is_no_toml() {
    insta::assert_snapshot!("no_toml", said("[node]\nid = n1\n[bus\nurl = \"off\"\n"));
    insta::assert_snapshot!(
        "no_shape",
        said("node = 5\n[[bus]]\n[listen]\nid = \"a\"\n")
    );
}

#[test]
fn no_secret_is_ever_shown() {
    let text = r#"
[bus]
url = "nats://me:hunter2@host:4222"
password = "hunter2"
token = "hunter2"
nkey = 5
[[user]]
aor = "1001@absent.test"
password = "hunter2"
ha1_md5 = "hunter2"
ha1_sha256 = "hunter2"
"#;
    let said = said(text);
    assert!(
        said.contains("bus.url") && said.contains("user[1].ha1_md5"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    let json = serde_json::to_string(&parse(text, None).unwrap_err()).unwrap();
    assert!(!json.contains("hunter2"), "{json}");
}
