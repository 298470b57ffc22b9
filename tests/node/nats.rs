//! A nats-server of a test, and an ear on everything it carries.

use std::{collections::HashSet, path::Path, process::Stdio};

use async_nats::{Subscriber, client::RequestErrorKind};
use futures_util::StreamExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{port::free_port, wire::PATIENCE};

/// The server; it goes with this.
pub(crate) struct Nats {
    url: String,
    _child: Child,
    _files: TempDir,
}

impl Nats {
    pub(crate) async fn start() -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/nats-server");
        let server = if own.is_file() {
            own
        } else {
            "nats-server".into()
        };
        let port = free_port();
        let files = TempDir::new().unwrap();
        let child = Command::new(server)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(files.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("there is a nats-server: run `make setup`");
        Self {
            url: format!("nats://127.0.0.1:{port}"),
            _child: child,
            _files: files,
        }
    }

    /// The section of a configuration that leads here.
    pub(crate) fn bus(&self) -> String {
        format!("[bus]\nurl = {:?}\n", self.url)
    }

    pub(crate) async fn client(&self) -> async_nats::Client {
        let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let client = options.connect(&self.url).await.unwrap();
        timeout(PATIENCE, client.flush()).await.unwrap().unwrap();
        client
    }

    /// Asks for something under the default tenant, once the node listens, and hears the reply.
    pub(crate) async fn ask(&self, tail: &str, body: &Value) -> Value {
        let client = self.client().await;
        let subject = format!("ifbus.sip.v1.default.{tail}");
        let asking = async {
            loop {
                let body = body.to_string().into();
                match client.request(subject.clone(), body).await {
                    Ok(reply) => return serde_json::from_slice(&reply.payload).unwrap(),
                    // Nobody is there yet.
                    Err(error) => assert_eq!(error.kind(), RequestErrorKind::NoResponders),
                }
            }
        };
        timeout(PATIENCE, asking).await.expect("a reply comes")
    }

    /// Asks a node that listens, within a trace.
    pub(crate) async fn ask_within(&self, trace: &str, tail: &str, body: &Value) -> Value {
        let client = self.client().await;
        let subject = format!("ifbus.sip.v1.default.{tail}");
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("traceparent", trace);
        let asking = client.request_with_headers(subject, headers, body.to_string().into());
        let reply = timeout(PATIENCE, asking).await.expect("a reply comes");
        serde_json::from_slice(&reply.unwrap().payload).unwrap()
    }

    /// Asks the same so many times at once, with nothing, and hears all replies.
    pub(crate) async fn ask_many(&self, tail: &str, times: usize) -> Vec<Value> {
        let client = self.client().await;
        let inbox = client.new_inbox();
        let mut heard = client.subscribe(inbox.clone()).await.unwrap();
        let subject = format!("ifbus.sip.v1.default.{tail}");
        for _ in 0..times {
            let (subject, inbox) = (subject.clone(), inbox.clone());
            client
                .publish_with_reply(subject, inbox, "".into())
                .await
                .unwrap();
        }
        let mut replies = Vec::new();
        while replies.len() < times {
            let reply = timeout(PATIENCE, heard.next()).await;
            let reply = reply.expect("a reply comes").unwrap();
            replies.push(serde_json::from_slice(&reply.payload).unwrap());
        }
        replies
    }

    /// Hears every event from now on.
    pub(crate) async fn events(&self) -> Events {
        let client = self.client().await;
        let heard = client.subscribe(">").await.unwrap();
        client.flush().await.unwrap();
        Events {
            heard,
            seen: HashSet::new(),
        }
    }
}

/// What is said on the bus.
pub(crate) struct Events {
    heard: Subscriber,
    /// Delivery is at least once: the same id again is the same event.
    seen: HashSet<String>,
}

/// One event, as it came.
#[derive(Debug)]
pub(crate) struct Event(pub(crate) Value);

impl Events {
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            let message = timeout(PATIENCE, self.heard.next()).await;
            let message = message.expect("an event comes").unwrap();
            let value = serde_json::from_slice::<Value>(&message.payload);
            if let Ok(value) = value
                && value.get("type").is_some()
                && self.seen.insert(value["id"].to_string())
            {
                return Event(value);
            }
        }
    }
}

impl Event {
    /// The reason of its cause.
    pub(crate) fn reason(&self) -> &str {
        self.0["data"]["cause"]["reason"].as_str().unwrap()
    }

    /// Its short name, as `call.ended`.
    pub(crate) fn name(&self) -> &str {
        let kind = self.0["type"].as_str().unwrap();
        let name = kind.strip_prefix("ifbus.sip.").unwrap_or(kind);
        name.strip_suffix(".v1").unwrap_or(name)
    }
}
