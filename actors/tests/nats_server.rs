//! The private server: it never outlives us, and keeps its port and token when it is restarted.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

mod nats;

/// The child of the next test: it says where its server is, and waits to be killed.
#[test]
fn child_keeps_a_server_until_killed() {
    let Ok(dir) = std::env::var("IFBUS_TEST_NATS") else {
        return;
    };
    let server = nats::start(&nats::servers()[0], Path::new(&dir));
    println!("\nurl {}", server.address().url);
    std::io::stdin().lines().for_each(drop);
}

#[tokio::test]
async fn a_killed_adapter_leaves_no_server_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_keeps_a_server_until_killed",
            "--nocapture",
        ])
        .env("IFBUS_TEST_NATS", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let port = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .find_map(|line| {
            line.strip_prefix("url nats://127.0.0.1:")?
                .parse::<u16>()
                .ok()
        })
        .unwrap();
    let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    assert!(listens());
    nats::kill_9(child.id());
    child.wait().unwrap();
    nats::until("the server is gone", || !listens()).await;
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_port_and_token() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats::start(&nats::servers()[0], dir.path());
    let file = std::fs::read(dir.path().join("bus.json")).unwrap();
    let first = server.pid().unwrap();
    nats::kill_9(first);
    nats::until("another server", || {
        server.pid().is_some_and(|pid| pid != first)
    })
    .await;
    server.stop();
    let again = nats::start(&nats::servers()[0], dir.path());
    let now: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("bus.json")).unwrap()).unwrap();
    let before: serde_json::Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(before["token"], now["token"]);
    assert_eq!(now["url"], again.address().url.as_str());
}
