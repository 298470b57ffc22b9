//! A node of its own for each test: ports that are its own, a state folder that goes with it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actors::{Asset, Assets, Node};
use bytes::Bytes;
use config::{Config, Transport};
use tempfile::TempDir;

use crate::{phone::Phone, port::free_port, wire::Wire};

/// The listeners of every node here, each on a port of its own, and domains where anybody is
/// somebody or must prove it.
const BASE: &str = r#"
[http]
addr = "off"
[[listen]]
transport = "udp"
addr = "127.0.0.1:PORT"
[[listen]]
transport = "tcp"
addr = "127.0.0.1:PORT"
[[listen]]
transport = "ws"
addr = "127.0.0.1:PORT"
origins = ["https://app.test"]
[[listen]]
transport = "wss"
addr = "127.0.0.1:PORT"
[[listen]]
transport = "udp"
addr = "[::1]:PORT"
[[listen]]
transport = "tcp"
addr = "[::1]:PORT"
[[listen]]
transport = "ws"
addr = "[::1]:PORT"
[[listen]]
transport = "tls"
addr = "127.0.0.1:PORT"
[[listen]]
transport = "tls"
addr = "[::1]:PORT"
[[domain]]
name = "open.test"
auth = "open"
[[domain]]
name = "digest.test"
auth = "digest"
[[user]]
aor = "1001@digest.test"
password = "secret-of-1001"
[[user]]
aor = "1002@digest.test"
password = "secret-of-1002"
"#;

/// A running node and what belongs to it.
pub(crate) struct Stage {
    pub(crate) node: Node,
    config: Config,
    arbiters: usize,
    state: Arc<TempDir>,
}

impl Stage {
    /// A node without a bus.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// The same with more in its file.
    pub(crate) async fn with(more: &str) -> Self {
        Self::on(1, more).await
    }

    /// The same on several arbiters.
    pub(crate) async fn on(arbiters: usize, more: &str) -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        let config = configuration(state.path(), more);
        let node = start(arbiters, &config).await;
        Self {
            node,
            config,
            arbiters,
            state,
        }
    }

    /// A node of a file, which can be read again.
    pub(crate) async fn of_file(more: &str) -> (Self, PathBuf) {
        let state = Arc::new(TempDir::new().unwrap());
        let file = state.path().join("ifbus.toml");
        fs::write(&file, text(state.path(), more)).unwrap();
        let config = config::load(&file).unwrap().config;
        let node = start_of(1, &config, Some(file.clone())).await;
        let stage = Self {
            node,
            config,
            arbiters: 1,
            state,
        };
        (stage, file)
    }

    /// A node on the state and the ports of another that is gone.
    pub(crate) async fn again(state: &Path, more: &str, bound: &[SocketAddr]) -> Self {
        let mut config = configuration(state, more);
        for (listen, addr) in config.listen.iter_mut().zip(bound) {
            listen.addr = *addr;
        }
        Self {
            node: start(1, &config).await,
            config,
            arbiters: 1,
            state: Arc::new(TempDir::new().unwrap()),
        }
    }

    /// Ends the node, and starts another on the same state.
    pub(crate) async fn restart(self) -> Self {
        self.node.stop().await;
        let Self {
            mut config,
            arbiters,
            state,
            node,
        } = self;
        // The same ports again: they must be free.
        for (listen, (_, addr)) in config.listen.iter_mut().zip(node.bound()) {
            listen.addr = *addr;
        }
        drop(node);
        let node = start(arbiters, &config).await;
        Self {
            node,
            config,
            arbiters,
            state,
        }
    }

    /// Ends the node, and starts another on the same state: its listeners are those in `listen`.
    pub(crate) async fn restart_on(self, listen: &str, more: &str) -> Self {
        self.node.stop().await;
        let Self {
            node,
            arbiters,
            state,
            ..
        } = self;
        drop(node);
        let (_, domains) = BASE.split_once("[[domain]]").unwrap();
        let base = format!("[http]\naddr = \"off\"\n{listen}[[domain]]{domains}");
        let config = configuration_of(state.path(), &base, more);
        let node = start(arbiters, &config).await;
        Self {
            node,
            config,
            arbiters,
            state,
        }
    }

    /// Ends the node.
    pub(crate) async fn stop(self) {
        self.node.stop().await;
    }

    /// Waits until the node is as it must come to be.
    pub(crate) async fn until(&self, there: impl Fn(&Node) -> bool) {
        let looks = async {
            let mut look = tokio::time::interval(Duration::from_millis(2));
            while !there(&self.node) {
                look.tick().await;
            }
        };
        let found = tokio::time::timeout(crate::wire::PATIENCE, looks).await;
        found.expect("it comes to that");
    }

    /// Waits until there are no calls.
    pub(crate) async fn no_calls(&self) {
        self.until(|node| node.calls() == 0).await;
    }

    /// Where it listens for one transport and address family.
    pub(crate) fn at(&self, transport: Transport, ipv6: bool) -> SocketAddr {
        let bound = self.node.bound().iter();
        let mut found = bound.filter(|(kind, addr)| *kind == transport && addr.is_ipv6() == ipv6);
        found.next().unwrap().1
    }

    /// A phone of `user@open.test` on UDP.
    pub(crate) async fn udp(&self, user: &str) -> Phone {
        let wire = Wire::udp(self.at(Transport::Udp, false)).await;
        Phone::new(wire, user, "open.test")
    }

    /// The same on TCP.
    pub(crate) async fn tcp(&self, user: &str) -> Phone {
        let wire = Wire::tcp(self.at(Transport::Tcp, false)).await;
        Phone::new(wire, user, "open.test")
    }

    /// The same on TLS.
    pub(crate) async fn tls(&self, user: &str) -> Phone {
        let wire = Wire::tls(self.at(Transport::Tls, false)).await;
        Phone::new(wire, user, "open.test")
    }

    /// The same on a WebSocket.
    pub(crate) async fn ws(&self, user: &str) -> Phone {
        let wire = Wire::ws(self.at(Transport::Ws, false)).await;
        Phone::new(wire, user, "open.test")
    }

    /// The same on a secure WebSocket.
    pub(crate) async fn wss(&self, user: &str) -> Phone {
        let wire = Wire::wss(self.at(Transport::Wss, false)).await;
        Phone::new(wire, user, "open.test")
    }
}

/// What the node of a test is told, from `state` on.
pub(crate) fn text(state: &Path, more: &str) -> String {
    text_of(state, BASE, more)
}

fn text_of(state: &Path, base: &str, more: &str) -> String {
    let bus = if more.contains("[bus]") {
        ""
    } else {
        "[bus]\nurl = \"off\"\n"
    };
    let mut base = base.to_owned();
    while base.contains("PORT") {
        base = base.replacen("PORT", &free_port().to_string(), 1);
    }
    format!("[node]\nstate_dir = {state:?}\n{bus}{base}{more}")
}

fn configuration(state: &Path, more: &str) -> Config {
    configuration_of(state, BASE, more)
}

fn configuration_of(state: &Path, base: &str, more: &str) -> Config {
    config::parse(&text_of(state, base, more), None)
        .unwrap()
        .config
}

/// What a node serves beside the WebSocket.
pub(crate) fn assets() -> Assets {
    Arc::new(|path: &str| {
        (path == "/phone").then(|| Asset {
            content_type: "text/html",
            body: Bytes::from_static(b"<html>phone</html>"),
        })
    })
}

async fn start(arbiters: usize, config: &Config) -> Node {
    start_of(arbiters, config, None).await
}

async fn start_of(arbiters: usize, config: &Config, file: Option<PathBuf>) -> Node {
    crate::meter::start();
    let starting = Node::start_on(arbiters, config, file, assets());
    let started = tokio::time::timeout(Duration::from_secs(60), starting).await;
    started.expect("the node starts in time").unwrap()
}
