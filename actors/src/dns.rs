//! Where other servers are: asks for NAPTR, SRV and addresses, and puts the answers together as
//! RFC 3263 says (`engine::locate`). What was answered is kept for as long as the answer says.

use std::net::SocketAddr;
use std::time::Duration;

use config::NameServer;
use engine::locate::{self, Pointer, Question, Server};
use engine::{Listener, Transport};
use futures_util::future::join_all;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{TokioResolver, net::NetError};

use crate::random::random_u64;

/// Answers that are kept.
const ANSWERS_MAX: u64 = 4096;
/// A look-up may need four answers one after the other, each asked for twice.
const TRIES: u32 = 8;

/// The resolver of a node.
pub(crate) struct Dns {
    /// None: the system has no name servers, and none are configured.
    resolver: Option<TokioResolver>,
    /// What we can speak to servers, in the order in which it is tried.
    able: Vec<Transport>,
}

impl Dns {
    /// One that asks `servers`, or those of the system, and waits for `patience` in all.
    pub(crate) fn new(servers: &[NameServer], patience: Duration, ours: &[Listener]) -> Self {
        let resolver = resolver(servers, patience);
        if let Err(error) = &resolver {
            tracing::warn!(%error, "names of other servers cannot be looked up");
        }
        let spoken = [Transport::Udp, Transport::Tcp, Transport::Tls];
        Self {
            resolver: resolver.ok(),
            able: spoken
                .into_iter()
                .filter(|spoken| ours.iter().any(|listener| listener.transport == *spoken))
                .collect(),
        }
    }

    /// Where `host` is served, the first to be tried first (RFC 3263 4). Nobody answers in time:
    /// nothing is found.
    pub(crate) async fn locate(
        &self,
        host: &str,
        question: Question,
    ) -> Vec<(Transport, SocketAddr)> {
        let services = match question {
            Question::Addresses { transport, port } => {
                return self.addresses(host, transport, port).await;
            }
            Question::Service(transport) => locate::services(host, Vec::new(), &[transport]),
            Question::Pointers => locate::services(host, self.pointers(host).await, &self.able),
        };
        let asked = services.iter().map(|(_, name)| self.servers(name));
        let answers = join_all(asked).await;
        let mut found = Vec::new();
        let mut any = false;
        for ((transport, _), servers) in services.iter().zip(answers) {
            any |= !servers.is_empty();
            for server in locate::in_order(servers, random_u64) {
                let addresses = self.addresses(&server.target, *transport, server.port);
                found.extend(addresses.await);
            }
        }
        if any {
            return found;
        }
        // RFC 3263 4.1, 4.2: who has no SRV records is found by address, and by UDP.
        let transport = match question {
            Question::Service(transport) => transport,
            Question::Pointers | Question::Addresses { .. } => Transport::Udp,
        };
        self.addresses(host, transport, transport.default_port())
            .await
    }

    async fn addresses(
        &self,
        host: &str,
        transport: Transport,
        port: u16,
    ) -> Vec<(Transport, SocketAddr)> {
        let Some(resolver) = &self.resolver else {
            return Vec::new();
        };
        match resolver.lookup_ip(host).await {
            Ok(found) => found
                .iter()
                .map(|ip| (transport, SocketAddr::new(ip, port)))
                .collect(),
            Err(error) => {
                told(host, "addresses", &error);
                Vec::new()
            }
        }
    }

    async fn pointers(&self, host: &str) -> Vec<Pointer> {
        let found = self.ask(host, RecordType::NAPTR).await;
        let records = found.iter().flat_map(Lookup::answers);
        let pointers = records.filter_map(|record| match &record.data {
            RData::NAPTR(naptr) => Some(Pointer {
                order: naptr.order,
                preference: naptr.preference,
                flags: String::from_utf8_lossy(&naptr.flags).into(),
                services: String::from_utf8_lossy(&naptr.services).into(),
                replacement: naptr.replacement.to_ascii().into(),
            }),
            _ => None,
        });
        pointers.collect()
    }

    async fn servers(&self, service: &str) -> Vec<Server> {
        let found = self.ask(service, RecordType::SRV).await;
        let records = found.iter().flat_map(Lookup::answers);
        let servers = records.filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Server {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii().into(),
            }),
            _ => None,
        });
        servers.collect()
    }

    /// Asks for a name that is complete as it stands: such records are nobody's local abbreviation.
    async fn ask(&self, name: &str, records: RecordType) -> Option<Lookup> {
        let resolver = self.resolver.as_ref()?;
        let whole = format!("{}.", name.trim_end_matches('.'));
        let found = resolver.lookup(whole, records).await;
        found.inspect_err(|error| told(name, "records", error)).ok()
    }
}

fn told(name: &str, what: &str, error: &NetError) {
    if !error.is_no_records_found() {
        tracing::debug!(%error, name, "{what} not found");
    }
}

fn resolver(servers: &[NameServer], patience: Duration) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let mut config = ResolverConfig::default();
        config.name_servers = servers.iter().map(name_server).collect();
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = patience / TRIES;
    options.attempts = 2;
    options.cache_size = ANSWERS_MAX;
    // Which of the two can be reached, the listeners decide.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

fn name_server(NameServer(addr): &NameServer) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(addr.ip());
    for connection in &mut server.connections {
        let connection: &mut ConnectionConfig = connection;
        connection.port = addr.port();
    }
    server
}
