//! The stream that keeps the events.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, stream};
use bus_schema::{EVENT_STREAM, PREFIX};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the server recognises a repetition by its `Nats-Msg-Id`.
const DEDUPE: Duration = Duration::from_secs(120);
const REQUEST: Duration = Duration::from_secs(5);

/// Makes the stream if it is missing. One that is there is left as it is: an operator may have
/// given it replicas or another age.
pub(super) async fn ensure(client: &Client) -> Result<(), String> {
    let mut context = jetstream::new(client.clone());
    context.set_timeout(REQUEST);
    let config = stream::Config {
        name: EVENT_STREAM.into(),
        subjects: vec![format!("{PREFIX}.*.evt.>")],
        storage: stream::StorageType::File,
        discard: stream::DiscardPolicy::Old,
        max_age: WEEK,
        duplicate_window: DEDUPE,
        allow_direct: true,
        ..stream::Config::default()
    };
    let made = tokio::time::timeout(REQUEST, context.get_or_create_stream(config)).await;
    match made {
        Ok(Ok(_stream)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err("no answer from JetStream".into()),
    }
}
