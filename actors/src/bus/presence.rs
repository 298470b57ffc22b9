//! Is another adapter of our tenant on the bus? Two that are not clustered would answer the same
//! commands and hold the same registrations.

use std::time::Duration;

use async_nats::StatusCode;
use bus_schema::SERVICE;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::timeout;

use super::Options;
use super::link::LinkError;

/// How long answers are waited for, if there is anybody who might answer. Long enough for one that
/// is busy; when nobody is there the bus says so at once.
const LISTEN: Duration = Duration::from_secs(2);

/// Why it cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// There is no connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The connection was lost meanwhile.
    #[error("the bus went away while we asked")]
    Lost,
}

#[derive(Deserialize)]
struct Pong {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    node: String,
    #[serde(default)]
    clustered: String,
}

/// Asks who is there, before our own service answers: the name of another adapter of our tenant
/// that must not be there, because it or we are not clustered.
///
/// # Errors
/// The bus cannot be reached; nothing is known then.
pub async fn another_adapter(options: &Options) -> Result<Option<String>, PresenceError> {
    let link = options.address.connect("presence").await?;
    let client = link.client;
    let inbox = client.new_inbox();
    let mut answers = client
        .subscribe(inbox.clone())
        .await
        .map_err(|_| PresenceError::Lost)?;
    let ping = format!("$SRV.PING.{SERVICE}");
    client
        .publish_with_reply(ping, inbox, bytes::Bytes::new())
        .await
        .map_err(|_| PresenceError::Lost)?;
    let listening = async {
        while let Some(message) = answers.next().await {
            if message.status == Some(StatusCode::NO_RESPONDERS) {
                return None;
            }
            let Ok(pong) = serde_json::from_slice::<Pong>(&message.payload) else {
                continue;
            };
            let Metadata {
                tenant,
                node,
                clustered,
            } = pong.metadata;
            if tenant == options.tenant && !(options.clustered && clustered == "true") {
                return Some(node);
            }
        }
        None
    };
    Ok(timeout(LISTEN, listening).await.unwrap_or(None))
}
