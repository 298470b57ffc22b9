//! One connection to NATS.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use config::Login;
use tokio::sync::watch;

/// An address nothing ever answers at; see [`Address::connect_once`].
const NOWHERE: &str = "nats://127.0.0.1:0";
const CONNECT: Duration = Duration::from_secs(5);
const PING: Duration = Duration::from_secs(15);

/// Where the server is, and how we log in.
#[derive(Clone, Debug)]
pub struct Address {
    /// `nats://host:port` or `tls://host:port`; several, comma-separated, are one cluster.
    pub url: String,
    /// How we prove who we are.
    pub login: Login,
    /// PEM file with the authorities that may sign the server's certificate; else the system's.
    pub ca: Option<PathBuf>,
    /// The node's name: shown by the server, and the private inbox is `_IB.<name>`.
    pub name: String,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The credentials file cannot be used.
    #[error("the credentials cannot be read: {0}")]
    Credentials(std::io::Error),
    /// An address in the list is none.
    #[error("not a NATS address: {0}")]
    Address(std::io::Error),
    /// The server cannot be reached, or refuses us.
    #[error("cannot connect to {url}: {why}")]
    Connect {
        /// Where to.
        url: String,
        /// What the client said.
        why: String,
    },
}

/// A connection, and whether it is up.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) up: watch::Receiver<bool>,
}

impl Address {
    /// A connection that comes back by itself and subscribes again, for commands.
    pub(super) async fn connect(&self, label: &'static str) -> Result<Link, LinkError> {
        self.open(label, |options| options).await
    }

    /// A connection that is never revived, for events. A revived one would first send what had been
    /// queued behind the loss, and only then could what was lost before it be sent again: out of
    /// order. So when this one is lost, its queue dies with it.
    pub(super) async fn connect_once(&self, label: &'static str) -> Result<Link, LinkError> {
        let once = |options: ConnectOptions| options.max_reconnects(1).ignore_discovered_servers();
        let link = self.open(label, once).await?;
        let fenced = link.client.set_server_pool(NOWHERE).await;
        fenced.map_err(|error| self.refused(&error))?;
        Ok(link)
    }

    async fn open(
        &self,
        label: &'static str,
        shape: impl FnOnce(ConnectOptions) -> ConnectOptions,
    ) -> Result<Link, LinkError> {
        let (sender, up) = watch::channel(true);
        let options = ConnectOptions::new()
            .name(format!("ifbus {} {label}", self.name))
            .custom_inbox_prefix(format!("_IB.{}", self.name))
            .connection_timeout(CONNECT)
            .ping_interval(PING)
            .client_capacity(4096)
            .subscription_capacity(8192)
            // Our own subjects are built from checked tokens.
            .skip_subject_validation(true)
            .event_callback(move |event| {
                note(label, &event, &sender);
                std::future::ready(())
            });
        let options = shape(self.authenticate(options)?);
        let servers = self
            .url
            .split(',')
            .map(|url| url.trim().parse::<async_nats::ServerAddr>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(LinkError::Address)?;
        let client = options
            .connect(servers)
            .await
            .map_err(|error| self.refused(&error))?;
        Ok(Link { client, up })
    }

    fn authenticate(&self, options: ConnectOptions) -> Result<ConnectOptions, LinkError> {
        let options = match &self.ca {
            Some(ca) => options.add_root_certificates(ca.clone()),
            None => options,
        };
        Ok(match &self.login {
            Login::None => options,
            Login::Creds(path) => {
                let creds = std::fs::read_to_string(path).map_err(LinkError::Credentials)?;
                options
                    .credentials(&creds)
                    .map_err(LinkError::Credentials)?
            }
            Login::Nkey(seed) => options.nkey(seed.reveal().to_owned()),
            Login::Password { user, password } => {
                options.user_and_password(user.clone(), password.reveal().to_owned())
            }
            Login::Token(token) => options.token(token.reveal().to_owned()),
        })
    }

    fn refused(&self, why: &dyn std::error::Error) -> LinkError {
        let mut text = why.to_string();
        if let Some(source) = why.source() {
            text = format!("{text}: {source}");
        }
        LinkError::Connect {
            url: self.url.clone(),
            why: text,
        }
    }
}

fn note(label: &'static str, event: &Event, up: &watch::Sender<bool>) {
    match event {
        Event::Connected => {
            up.send_replace(true);
        }
        Event::Disconnected | Event::Closed => {
            up.send_replace(false);
            metrics::counter!("ifbus_bus_disconnected_total", "link" => label).increment(1);
        }
        Event::SlowConsumer(_) => {
            metrics::counter!("ifbus_bus_slow_consumer_total", "link" => label).increment(1);
            tracing::error!(
                link = label,
                "messages from the bus were dropped: too slow to take them"
            );
        }
        Event::ServerError(error) => tracing::warn!(link = label, %error, "the bus complains"),
        Event::ClientError(error) => tracing::debug!(link = label, %error, "bus connection"),
        Event::LameDuckMode | Event::Draining => {
            tracing::info!(link = label, %event, "the bus server is leaving");
        }
    }
}
