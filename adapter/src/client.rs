//! The commands that ask a running adapter, over the public bus contract alone.

use std::{net::IpAddr, process::ExitCode, time::Duration};

use async_nats::{Client, ConnectOptions};
use bus_schema::{
    AdminVerb, AgentVerb, Ban, Bans, CallRef, CallVerb, Calls, Command, CommandError, Encoding,
    ErrorCode, Explained, Hangup, Nodes, Originate, Originated, QueryBans, QueryCalls,
    QueryExplain, QueryNodes, QueryRegistrations, QueryTrace, QueryVerb, Received, Registrations,
    Reply, Subject, Topic, Traced, Unban, filter,
};
use config::{BusUrl, Config, Login};
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};

use crate::{console, ladder};

/// The agent we speak as.
const AGENT: &str = "cli";
/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
pub(crate) enum Task {
    Watch(Option<CallRef>),
    Calls,
    Registrations(Option<String>),
    Nodes,
    Explain {
        to: String,
        from: Option<String>,
    },
    Trace {
        call: CallRef,
        messages: bool,
    },
    Bans,
    Ban {
        source: IpAddr,
        ban_ms: Option<u64>,
    },
    Unban(IpAddr),
    Originate {
        from: String,
        to: String,
        timeout_ms: Option<u64>,
        key: Option<String>,
        watch: bool,
    },
    Hangup(CallRef),
}

/// Why it failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no bus: [bus] url is \"off\", so there is nobody to ask")]
    Off,
    #[error(
        "{path}: {source}; is `ifbus run` up, and its state_dir the one of this configuration?"
    )]
    NoManagedBus {
        path: String,
        source: std::io::Error,
    },
    #[error("the bus at {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("no adapter answers on the bus")]
    Silent,
    #[error("{0}")]
    Refused(CommandError),
    #[error("the answer cannot be read: {0}")]
    Garbled(String),
}

/// Connects, asks and prints.
pub(crate) fn run(config: &Config, json: bool, task: Task) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(carry_out(config, json, task)),
        Err(error) => Err(Failure::Garbled(error.to_string())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match (&failure, json) {
                (Failure::Refused(error), true) => {
                    console::say(serde_json::json!(error));
                }
                _ => console::complain(format_args!("ifbus: {failure}")),
            }
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(config: &Config, json: bool, task: Task) -> Result<(), Failure> {
    let tenant = config
        .domains
        .first()
        .map_or("default", |domain| &*domain.tenant)
        .to_owned();
    let bus = Bus {
        client: connect(config).await?,
        tenant,
        json,
    };
    match task {
        Task::Watch(call) => bus.watch(call).await,
        Task::Calls => bus.calls().await,
        Task::Registrations(aor) => bus.registrations(aor).await,
        Task::Nodes => bus.nodes().await,
        Task::Explain { to, from } => bus.explain(to, from).await,
        Task::Trace { call, messages } => bus.trace(call, messages).await,
        Task::Bans => {
            let verb = QueryVerb::Bans(QueryBans {});
            let bans: Bans = bus.query(verb).await?;
            bus.show_bans(&bans);
            Ok(())
        }
        Task::Ban { source, ban_ms } => {
            let source = source.to_string().into();
            bus.administer(AdminVerb::Ban(Ban { source, ban_ms })).await
        }
        Task::Unban(source) => {
            let source = source.to_string().into();
            bus.administer(AdminVerb::Unban(Unban { source })).await
        }
        Task::Originate {
            from,
            to,
            timeout_ms,
            key,
            watch,
        } => {
            let data = Originate {
                from: from.into(),
                to: to.into(),
                timeout_ms,
                ..Originate::default()
            };
            bus.originate(data, key, watch).await
        }
        Task::Hangup(call) => bus.hangup(call).await,
    }
}

async fn connect(config: &Config) -> Result<Client, Failure> {
    let mut options = ConnectOptions::new()
        .name("ifbus-cli")
        .custom_inbox_prefix(format!("_IB.{AGENT}"))
        .connection_timeout(PATIENCE)
        .max_reconnects(Some(0));
    let url = match &config.bus.url {
        BusUrl::Off => return Err(Failure::Off),
        BusUrl::Server(url) => url.clone(),
        BusUrl::Managed => {
            let path = config.node.state_dir.join("bus.json");
            let name = path.display().to_string();
            let read = std::fs::read(&path).map_err(|source| Failure::NoManagedBus {
                path: name.clone(),
                source,
            })?;
            let bus: ManagedBus = serde_json::from_slice(&read)
                .map_err(|error| Failure::Garbled(format!("{name}: {error}")))?;
            options = options.token(bus.token);
            bus.url
        }
    };
    let unreachable = |reason: String| Failure::Unreachable {
        url: url.clone(),
        reason,
    };
    options = match &config.bus.login {
        Login::None => options,
        Login::Token(token) => options.token(token.reveal().to_owned()),
        Login::Password { user, password } => {
            options.user_and_password(user.clone(), password.reveal().to_owned())
        }
        Login::Nkey(seed) => options.nkey(seed.reveal().to_owned()),
        Login::Creds(file) => options
            .credentials_file(file)
            .await
            .map_err(|error| unreachable(format!("{}: {error}", file.display())))?,
    };
    if let Some(ca) = &config.bus.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    options
        .connect(&*url)
        .await
        .map_err(|error| unreachable(error.to_string()))
}

#[derive(serde::Deserialize)]
struct ManagedBus {
    url: String,
    token: String,
}

struct Bus {
    client: Client,
    tenant: String,
    json: bool,
}

impl Bus {
    /// Asks, and gives back the data of the reply.
    async fn ask<D: Serialize, R: DeserializeOwned>(
        &self,
        topic: Topic<'_>,
        command: &Command<D>,
    ) -> Result<R, Failure> {
        let garbled = |error: &dyn std::fmt::Display| Failure::Garbled(error.to_string());
        let subject = Subject {
            tenant: &self.tenant,
            topic,
        };
        let subject = subject.build().map_err(|error| garbled(&error))?;
        let mut body = Vec::new();
        command
            .encode_into(Encoding::Json, &mut body)
            .map_err(|error| garbled(&error))?;
        let asked = self.client.request(subject, body.into());
        let Ok(Ok(reply)) = tokio::time::timeout(PATIENCE, asked).await else {
            return Err(Failure::Silent);
        };
        let reply: Reply<R> = Encoding::Json
            .decode(&reply.payload)
            .map_err(|error| garbled(&error))?;
        reply.into_result().map_err(Failure::Refused)
    }

    async fn query<R: DeserializeOwned>(&self, verb: QueryVerb) -> Result<R, Failure> {
        let topic = Topic::Query {
            agent: AGENT,
            verb: verb.word(),
        };
        self.ask(topic, &Command::new(verb)).await
    }

    async fn explain(&self, to: String, from: Option<String>) -> Result<(), Failure> {
        let wanted = QueryExplain {
            to: to.into(),
            from: from.map(Into::into),
        };
        let explained: Explained = self.query(QueryVerb::Explain(wanted)).await?;
        self.say(&explained, || told(&explained));
        Ok(())
    }

    async fn trace(&self, call: CallRef, messages: bool) -> Result<(), Failure> {
        let wanted = QueryTrace { call: Some(call) };
        let traced: Traced = self.query(QueryVerb::Trace(wanted)).await?;
        self.say(&traced, || ladder::draw(&traced, messages));
        Ok(())
    }

    async fn administer(&self, verb: AdminVerb) -> Result<(), Failure> {
        let topic = Topic::Admin {
            agent: AGENT,
            verb: verb.word(),
        };
        let bans: Bans = self.ask(topic, &Command::new(verb)).await?;
        self.show_bans(&bans);
        Ok(())
    }

    fn show_bans(&self, bans: &Bans) {
        for ban in &bans.bans {
            if self.json {
                console::say(serde_json::json!(ban));
            } else {
                let whom = ban.aor.as_deref().unwrap_or("everybody");
                console::say(format_args!(
                    "{}  {whom}  until {}  ({} times)",
                    ban.source, ban.until, ban.times
                ));
            }
        }
    }

    async fn calls(&self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let wanted = QueryCalls {
                after,
                ..QueryCalls::default()
            };
            let page: Calls = self.query(QueryVerb::Calls(wanted)).await?;
            for view in &page.calls {
                let call = &view.call;
                self.say(view, || {
                    format!(
                        "{}  {:<12} {} -> {}",
                        call.call, call.state, call.from.uri, call.to.uri
                    )
                });
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn registrations(&self, aor: Option<String>) -> Result<(), Failure> {
        let aor: Option<bus_schema::Text> = aor.map(Into::into);
        let mut after = None;
        loop {
            let wanted = QueryRegistrations {
                aor: aor.clone(),
                after,
                ..QueryRegistrations::default()
            };
            let page: Registrations = self.query(QueryVerb::Registrations(wanted)).await?;
            for one in &page.registrations {
                self.say(one, || {
                    format!(
                        "{:<28} {:<4} {}  until {}",
                        one.aor, one.transport, one.contact, one.expires_at
                    )
                });
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn nodes(&self) -> Result<(), Failure> {
        let nodes: Nodes = self.query(QueryVerb::Nodes(QueryNodes {})).await?;
        for node in &nodes.nodes {
            self.say(node, || {
                format!(
                    "{:<16} {:<9} version {}, epoch {}, {} calls, {} registrations",
                    node.node, node.state, node.version, node.epoch, node.calls, node.registrations
                )
            });
        }
        Ok(())
    }

    async fn originate(
        &self,
        data: Originate,
        key: Option<String>,
        watch: bool,
    ) -> Result<(), Failure> {
        // Heard from the start, whatever the reply's and the events' order.
        let events = if watch {
            Some(self.events(None).await?)
        } else {
            None
        };
        let verb = AgentVerb::Originate(data);
        let topic = Topic::AgentCommand {
            agent: AGENT,
            verb: verb.word(),
        };
        let mut command = Command::new(verb);
        command.idempotency_key = key.map(Into::into);
        let done: Originated = self.ask(topic, &command).await?;
        self.say(&done, || done.call.to_string());
        match events {
            Some(events) => self.print(events, Some(done.call)).await,
            None => Ok(()),
        }
    }

    async fn hangup(&self, call: CallRef) -> Result<(), Failure> {
        let verb = CallVerb::Hangup(Hangup::default());
        let topic = Topic::CallCommand {
            call,
            agent: AGENT,
            verb: verb.word(),
        };
        let done: bus_schema::Done = self.ask(topic, &Command::new(verb)).await?;
        self.say(&done, || "ending".to_owned());
        Ok(())
    }

    async fn watch(&self, call: Option<CallRef>) -> Result<(), Failure> {
        let events = self.events(call).await?;
        self.print(events, call).await
    }

    async fn events(&self, call: Option<CallRef>) -> Result<async_nats::Subscriber, Failure> {
        let subject = match call {
            Some(call) => filter::call_events(&self.tenant, call),
            None => filter::events(&self.tenant),
        };
        let failed = |error: &dyn std::fmt::Display| Failure::Garbled(error.to_string());
        let events = self
            .client
            .subscribe(subject)
            .await
            .map_err(|error| failed(&error))?;
        self.client.flush().await.map_err(|error| failed(&error))?;
        Ok(events)
    }

    /// Prints events; those of `call` alone, and until it has ended, where one is given.
    async fn print(
        &self,
        mut events: async_nats::Subscriber,
        call: Option<CallRef>,
    ) -> Result<(), Failure> {
        while let Some(message) = events.next().await {
            let header = |name| {
                message
                    .headers
                    .as_ref()
                    .and_then(|headers| headers.get(name))
            };
            let encoding = header(bus_schema::header::CONTENT_TYPE)
                .map_or(Ok(Encoding::Json), |value| {
                    Encoding::from_content_type(Some(value.as_str()))
                });
            let Ok(encoding) = encoding else { continue };
            let Ok(value) = encoding.decode::<serde_json::Value>(&message.payload) else {
                continue;
            };
            if call.is_some_and(|call| value["call"] != call.to_string()) {
                continue;
            }
            let line = if self.json {
                value.to_string()
            } else {
                line(encoding, &message.payload)
            };
            if !console::say(line) {
                return Ok(());
            }
            if call.is_some() && value["type"] == bus_schema::EventName::CallEnded.type_uri() {
                return Ok(());
            }
        }
        Err(Failure::Unreachable {
            url: "nats".into(),
            reason: "the connection was lost".into(),
        })
    }

    fn say(&self, value: &impl Serialize, line: impl FnOnce() -> String) {
        if self.json {
            console::say(serde_json::json!(value));
        } else {
            console::say(line());
        }
    }
}

/// For people: the steps, and what they come to.
fn told(explained: &Explained) -> String {
    let mut lines = vec![explained.uri.to_string()];
    lines.extend(explained.steps.iter().map(|step| format!("  {step}")));
    for to in &explained.destinations {
        lines.push(format!("=> {}", to.uri));
        if to.hops.is_empty() {
            lines.push("     nowhere: its name leads to no server that we can speak to".into());
        }
        lines.extend(to.hops.iter().map(|hop| format!("     {hop}")));
    }
    if let (Some(status), Some(reason)) = (explained.sip_status, &explained.sip_reason) {
        lines.push(format!("=> {status} {reason}"));
    }
    lines.join("\n")
}

/// An event for people.
fn line(encoding: Encoding, bytes: &[u8]) -> String {
    let Ok(event) = Received::decode(encoding, bytes) else {
        return CommandError::new(ErrorCode::BadRequest, "an event that cannot be read")
            .to_string();
    };
    let (time, name, what) = match &event {
        Received::Call(event) => {
            let call = &event.data.call;
            let what = format!(
                "{} #{} {} -> {} ({})",
                call.call, event.seq, call.from.uri, call.to.uri, event.data.cause.reason
            );
            (event.time, &event.kind, what)
        }
        Received::Reg(event) => {
            let one = &event.data.registration;
            (
                event.time,
                &event.kind,
                format!("{} {}", one.aor, one.contact),
            )
        }
        Received::Agent(event) => (event.time, &event.kind, event.data.agent.agent.to_string()),
        Received::Node(event) => (event.time, &event.kind, event.data.node.node.to_string()),
        Received::Bus(event) => {
            let gap = &event.data.gap;
            (
                event.time,
                &event.kind,
                format!("{} delayed, {} lost", gap.delayed, gap.dropped),
            )
        }
        Received::Security(event) => {
            let source = event.data.incident.source.clone().unwrap_or_default();
            (
                event.time,
                &event.kind,
                format!("{source} ({})", event.data.cause.reason),
            )
        }
        Received::Other(event) => (event.time, &event.kind, String::new()),
    };
    let name = name.strip_prefix("ifbus.sip.").unwrap_or(name);
    let name = name.strip_suffix(".v1").unwrap_or(name);
    format!("{time} {name:<18} {what}")
}
