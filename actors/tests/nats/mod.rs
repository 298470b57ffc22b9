//! A nats-server for a test, of every version at hand.

mod port;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use actors::clock::Clock;
use actors::nats_server::{NatsServer, Options};

pub(crate) use self::port::free_port;

/// Every server at hand: the project's own and the one in `PATH`.
pub(crate) fn servers() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/nats-server");
    let path = std::env::var_os("PATH").unwrap();
    let servers: Vec<_> = [own]
        .into_iter()
        .chain(std::env::split_paths(&path).map(|dir| dir.join("nats-server")))
        .filter(|file| file.is_file())
        .collect();
    assert!(!servers.is_empty(), "no nats-server: run `make setup`");
    servers
}

pub(crate) fn start(server: &Path, state: &Path) -> NatsServer {
    let options = Options {
        server: server.to_owned(),
        port: free_port(),
        state_dir: state.to_owned(),
        node: "n1".into(),
        entropy: [9; 16],
    };
    NatsServer::start(&options, Clock::start()).unwrap()
}

pub(crate) fn kill_9(pid: u32) {
    assert!(
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// Waits for something that will come; a test that waits a minute has failed.
pub(crate) async fn until(what: &str, mut come: impl FnMut() -> bool) {
    let waiting = async {
        while !come() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(60), waiting)
            .await
            .is_ok(),
        "never: {what}"
    );
}
