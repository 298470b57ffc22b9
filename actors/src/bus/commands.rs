//! Commands from the bus: taken in, bounded, handed to a sink, answered from any thread.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subject, SubscribeError, Subscriber};
use bus_schema::{QUEUE, Timestamp, filter};
use bytes::Bytes;
use futures_util::stream::SelectAll;
use futures_util::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::Options;
use super::backoff::Backoff;
use super::health::Health;
use super::link::Link;
use super::service::{Endpoint, Service};
use crate::clock::Clock;
use crate::limit::refused;

/// A server that needs longer than this for an answer counts as gone.
const ROUND_TRIP: Duration = Duration::from_secs(5);

/// A command as it arrived.
#[derive(Debug)]
pub struct Request {
    /// The full subject; the speaker's name is in it.
    pub subject: String,
    /// The body.
    pub body: Bytes,
    headers: Option<HeaderMap>,
}

impl Request {
    /// The first value of a header, by its exact name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(|value| value.as_str())
    }
}

/// An answer.
#[derive(Debug, Default)]
pub struct Reply {
    /// Headers, as (name, value).
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// Who takes commands. Called from a bus task: hand over and return.
pub trait CommandSink: Send + Sync + 'static {
    /// A command. Dropping the responder leaves the caller without an answer.
    fn command(&self, request: Request, responder: Responder);

    /// The answer to a command that is not taken, because too many wait to be answered.
    fn overloaded(&self, request: &Request) -> Reply;
}

/// Answers one command, from any thread, without waiting.
#[derive(Debug)]
pub struct Responder {
    to: Subject,
    out: mpsc::Sender<Answer>,
    permit: OwnedSemaphorePermit,
}

impl Responder {
    /// Sends the answer on its way.
    pub fn send(self, reply: Reply) {
        let Self { to, out, permit } = self;
        // There is a place for every permit; it fails only after the bus was stopped.
        let _stopped = out.try_send(Answer {
            to,
            reply,
            _permit: permit,
        });
    }
}

#[derive(Debug)]
struct Answer {
    to: Subject,
    reply: Reply,
    /// Held until the answer is with the connection.
    _permit: OwnedSemaphorePermit,
}

pub(super) struct Commands {
    options: Options,
    sink: Arc<dyn CommandSink>,
    health: Arc<Health>,
    clock: Clock,
    permits: Arc<Semaphore>,
    out: mpsc::Sender<Answer>,
    answers: Option<mpsc::Receiver<Answer>>,
}

/// Where a message was heard.
#[derive(Clone)]
enum Ear {
    Endpoint(Arc<Endpoint>),
    Service,
}

/// One subscription, and where what it brings was heard.
struct Listening {
    ear: Ear,
    messages: Subscriber,
}

impl Stream for Listening {
    type Item = (Ear, Message);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = self.messages.poll_next_unpin(context);
        message.map(|message| message.map(|message| (self.ear.clone(), message)))
    }
}

type Heard = SelectAll<Listening>;

/// What is listened to.
struct Ears {
    /// Commands to what lives here, always.
    own: Vec<Arc<Endpoint>>,
    /// Commands any ready node can perform.
    shared: Vec<Arc<Endpoint>>,
}

impl Ears {
    async fn own(&self, client: &Client, service: &Service) -> Result<Heard, SubscribeError> {
        let mut heard = subscribe(client, &self.own).await?;
        for subject in service.subjects() {
            let messages = client.subscribe(subject).await?;
            let ear = Ear::Service;
            heard.push(Listening { ear, messages });
        }
        Ok(heard)
    }

    async fn shared(&self, client: &Client) -> Result<Heard, SubscribeError> {
        subscribe(client, &self.shared).await
    }
}

async fn subscribe(client: &Client, endpoints: &[Arc<Endpoint>]) -> Result<Heard, SubscribeError> {
    let mut heard = Heard::new();
    for endpoint in endpoints {
        let subject = endpoint.subject.clone();
        let messages = if endpoint.shared {
            client.queue_subscribe(subject, QUEUE.into()).await?
        } else {
            client.subscribe(subject).await?
        };
        let ear = Ear::Endpoint(Arc::clone(endpoint));
        heard.push(Listening { ear, messages });
    }
    Ok(heard)
}

/// Returns when the server has what was said to it before: subscriptions are counted on only then.
/// What we say to ourselves comes back after all that came before it on the connection. (A request
/// that nobody listens for would not do: somebody may listen for everything.)
async fn arrive(client: &Client) {
    let own = client.new_inbox();
    let back = async {
        let mut heard = client.subscribe(own.clone()).await.ok()?;
        client.publish(own, Bytes::new()).await.ok()?;
        heard.next().await
    };
    // Without a connection the subscriptions are said again with the next one.
    let _back_or_disconnected = timeout(ROUND_TRIP, back).await;
}

impl Commands {
    pub(super) fn new(
        options: Options,
        sink: Arc<dyn CommandSink>,
        health: Arc<Health>,
        clock: Clock,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(options.in_flight));
        let (out, answers) = mpsc::channel(options.in_flight.max(1));
        Self {
            options,
            sink,
            health,
            clock,
            permits,
            out,
            answers: Some(answers),
        }
    }

    pub(super) async fn run(
        mut self,
        mut ready: watch::Receiver<bool>,
        stop: watch::Receiver<bool>,
    ) {
        let mut stop = stop;
        tokio::select! {
            () = self.serve(&mut ready) => {}
            // A change, or nobody left to make one: the end either way.
            _ = stop.wait_for(|stop| *stop) => {}
        }
        self.health.set_commands_up(false);
    }

    async fn serve(&mut self, ready: &mut watch::Receiver<bool>) {
        if ready.wait_for(|ready| *ready).await.is_err() {
            return;
        }
        let link = self.connect().await;
        let Some(answers) = self.answers.take() else {
            return;
        };
        let answering = tokio::spawn(answer(link.client.clone(), answers));
        let abort = answering.abort_handle();
        let _end_it_with_us = AbortOnDrop(abort);
        let (ears, service) = self.open();
        // Only a closed client refuses a subscription, and ours is never closed.
        let Ok(mut own) = ears.own(&link.client, &service).await else {
            return;
        };
        loop {
            let mut shared = Heard::new();
            if *ready.borrow_and_update() {
                let Ok(heard) = ears.shared(&link.client).await else {
                    return;
                };
                shared = heard;
            }
            arrive(&link.client).await;
            self.listen(&link, &mut own, &mut shared, &service, ready)
                .await;
            self.drain(&link.client, shared, &service).await;
            if ready.has_changed().is_err() {
                return;
            }
        }
    }

    async fn connect(&self) -> Link {
        let mut backoff = Backoff::new(self.options.seed.rotate_left(17));
        loop {
            match self.options.address.connect("commands").await {
                Ok(link) => return link,
                Err(error) => {
                    tracing::debug!(%error, "no commands yet");
                    sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Listens until readiness changes.
    async fn listen(
        &self,
        link: &Link,
        own: &mut Heard,
        shared: &mut Heard,
        service: &Service,
        ready: &mut watch::Receiver<bool>,
    ) {
        let mut up = link.up.clone();
        self.health.set_commands_up(*up.borrow_and_update());
        loop {
            tokio::select! {
                Some((ear, message)) = own.next() => {
                    self.hear(&link.client, service, ear, message).await;
                }
                Some((ear, message)) = shared.next() => {
                    self.hear(&link.client, service, ear, message).await;
                }
                changed = ready.changed() => {
                    let _also_when_the_bus_is_gone = changed;
                    return;
                }
                changed = up.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.health.set_commands_up(*up.borrow_and_update());
                }
            }
        }
    }

    /// Ends these subscriptions: what was on its way to us is taken, what comes later finds another
    /// node.
    async fn drain(&self, client: &Client, mut heard: Heard, service: &Service) {
        for listening in &mut heard {
            // Only a closed client refuses, and ours is never closed.
            let _closed = listening.messages.drain().await;
        }
        let rest = async {
            while let Some((ear, message)) = heard.next().await {
                self.hear(client, service, ear, message).await;
            }
        };
        // Without a connection the end comes only with the next one.
        let _disconnected = timeout(ROUND_TRIP, rest).await;
    }

    async fn hear(&self, client: &Client, service: &Service, ear: Ear, message: Message) {
        match ear {
            Ear::Endpoint(endpoint) => self.take(client, &endpoint, message).await,
            Ear::Service => {
                let body = service.answer(&message.subject);
                if let (Some(to), Some(body)) = (message.reply, body) {
                    let headers = Vec::new();
                    say(client, to, Reply { headers, body }).await;
                }
            }
        }
    }

    async fn take(&self, client: &Client, endpoint: &Endpoint, message: Message) {
        endpoint.requests.fetch_add(1, Ordering::Relaxed);
        let Some(to) = message.reply else {
            // Nobody to answer: it is no command.
            metrics::counter!("ifbus_bus_commands_unanswerable_total").increment(1);
            return;
        };
        let request = Request {
            subject: message.subject.into_string(),
            body: message.payload,
            headers: message.headers,
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            endpoint.refused.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("ifbus_bus_commands_refused_total").increment(1);
            refused("command_queue");
            let reply = self.sink.overloaded(&request);
            return say(client, to, reply).await;
        };
        self.sink.command(
            request,
            Responder {
                to,
                out: self.out.clone(),
                permit,
            },
        );
    }

    fn open(&self) -> (Ears, Service) {
        let tenant = &self.options.tenant;
        let endpoint = |name, subject, shared| {
            let (requests, refused) = Default::default();
            Arc::new(Endpoint {
                name,
                subject,
                shared,
                requests,
                refused,
            })
        };
        let own = match &self.options.shards {
            None => vec![endpoint("call", filter::all_call_commands(tenant), false)],
            Some(shards) => shards
                .iter()
                .map(|shard| endpoint("call", filter::call_commands(tenant, *shard), false))
                .collect(),
        };
        let shared = vec![
            endpoint("agent", filter::agent_commands(tenant), true),
            endpoint("query", filter::queries(tenant), true),
            endpoint("admin", filter::admin(tenant), true),
        ];
        let started = Timestamp(self.clock.unix_ms()).to_string();
        let listed = own.iter().chain(&shared).map(Arc::clone).collect();
        let service = Service::new(&self.options, self.id(), started, listed);
        (Ears { own, shared }, service)
    }

    /// Unique for this run of the node.
    fn id(&self) -> String {
        format!("{}-{:016x}", self.options.node, self.options.seed)
    }
}

/// Sends answers, coalesced by the connection.
async fn answer(client: Client, mut answers: mpsc::Receiver<Answer>) {
    while let Some(Answer { to, reply, _permit }) = answers.recv().await {
        publish(&client, to, reply).await;
    }
}

/// Answers what is not taken. Under overload this waits for the connection, and what comes after it
/// waits in the subscription: each is told, and none takes the place of an answer.
async fn say(client: &Client, to: Subject, reply: Reply) {
    let _disconnected = timeout(ROUND_TRIP, publish(client, to, reply)).await;
}

async fn publish(client: &Client, to: Subject, reply: Reply) {
    let mut headers = HeaderMap::new();
    for (name, value) in reply.headers {
        headers.insert(name, value);
    }
    let sent = if headers.is_empty() {
        client.publish(to, reply.body).await
    } else {
        client.publish_with_headers(to, headers, reply.body).await
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "an answer could not be sent");
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
