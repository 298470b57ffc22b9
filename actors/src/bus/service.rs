//! The NATS micro service `ifbus-sip` (ADR-32): who we are and what we take, for any NATS tool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bus_schema::{QUEUE, SERVICE};
use bytes::Bytes;
use serde::Serialize;

use super::Options;

/// A family of commands, as the service lists it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: &'static str,
    pub(super) subject: String,
    pub(super) shared: bool,
    pub(super) requests: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// The service's description.
#[derive(Debug)]
pub(super) struct Service {
    identity: Identity,
    started: String,
    endpoints: Vec<Arc<Endpoint>>,
}

#[derive(Clone, Debug, Serialize)]
struct Identity {
    name: &'static str,
    id: String,
    version: String,
    metadata: Metadata,
}

#[derive(Clone, Debug, Serialize)]
struct Metadata {
    tenant: String,
    node: String,
    clustered: String,
}

#[derive(Serialize)]
struct Answer<'a, T> {
    r#type: &'static str,
    #[serde(flatten)]
    identity: &'a Identity,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Info<'a> {
    description: &'static str,
    endpoints: Vec<EndpointInfo<'a>>,
}

#[derive(Serialize)]
struct EndpointInfo<'a> {
    name: &'a str,
    subject: &'a str,
    queue_group: &'a str,
}

#[derive(Serialize)]
struct Stats<'a> {
    started: &'a str,
    endpoints: Vec<EndpointStats<'a>>,
}

#[derive(Serialize)]
struct EndpointStats<'a> {
    #[serde(flatten)]
    info: EndpointInfo<'a>,
    num_requests: u64,
    num_errors: u64,
    last_error: &'static str,
    processing_time: u64,
    average_processing_time: u64,
}

impl Service {
    pub(super) fn new(
        options: &Options,
        id: String,
        started: String,
        endpoints: Vec<Arc<Endpoint>>,
    ) -> Self {
        let identity = Identity {
            name: SERVICE,
            id,
            version: options.version.clone(),
            metadata: Metadata {
                tenant: options.tenant.clone(),
                node: options.node.clone(),
                clustered: options.clustered.to_string(),
            },
        };
        Self {
            identity,
            started,
            endpoints,
        }
    }

    /// What to subscribe to: for everybody, for this service, for this instance.
    pub(super) fn subjects(&self) -> Vec<String> {
        ["PING", "INFO", "STATS"]
            .into_iter()
            .flat_map(|verb| {
                [
                    format!("$SRV.{verb}"),
                    format!("$SRV.{verb}.{SERVICE}"),
                    format!("$SRV.{verb}.{SERVICE}.{}", self.identity.id),
                ]
            })
            .collect()
    }

    /// The answer to a request on one of [`Service::subjects`].
    pub(super) fn answer(&self, subject: &str) -> Option<Bytes> {
        let verb = subject.strip_prefix("$SRV.")?.split('.').next()?;
        match verb {
            "PING" => self.write("io.nats.micro.v1.ping_response", Nothing {}),
            "INFO" => {
                let endpoints = self
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.info())
                    .collect();
                let description = "SIP and WebRTC calls for agents";
                self.write(
                    "io.nats.micro.v1.info_response",
                    Info {
                        description,
                        endpoints,
                    },
                )
            }
            "STATS" => {
                let endpoints = self
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.stats())
                    .collect();
                let started = &self.started;
                self.write(
                    "io.nats.micro.v1.stats_response",
                    Stats { started, endpoints },
                )
            }
            _ => None,
        }
    }

    fn write<T: Serialize>(&self, r#type: &'static str, rest: T) -> Option<Bytes> {
        let answer = Answer {
            r#type,
            identity: &self.identity,
            rest,
        };
        serde_json::to_vec(&answer).ok().map(Bytes::from)
    }
}

impl Endpoint {
    fn info(&self) -> EndpointInfo<'_> {
        let queue_group = if self.shared { QUEUE } else { "" };
        EndpointInfo {
            name: self.name,
            subject: &self.subject,
            queue_group,
        }
    }

    fn stats(&self) -> EndpointStats<'_> {
        EndpointStats {
            info: self.info(),
            num_requests: self.requests.load(Ordering::Relaxed),
            num_errors: self.refused.load(Ordering::Relaxed),
            last_error: "",
            // Answers are made on other threads; how long they take is in our own metrics.
            processing_time: 0,
            average_processing_time: 0,
        }
    }
}
