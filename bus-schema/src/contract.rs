//! The one table of the contract: every message, its subject, who speaks it and what is replied.
//! The documents are generated from it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::subject::template;
use crate::{
    AgentData, Agents, Ban, Bans, BusData, CallData, CallView, Calls, Command, Done, Drain,
    Draining, Envelope, EventName, Explained, Hangup, Heartbeat, Lease, NodeData, Nodes, Originate,
    Originated, QueryAgents, QueryBans, QueryCall, QueryCalls, QueryExplain, QueryNodes,
    QueryRegistrations, QueryTrace, RegData, Register, Registrations, Reload, Reloaded, Reply,
    SecurityData, SendMessage, Traced, Unban, Unregister,
};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// A command: an agent to the adapter, which replies. The second says whether ready nodes
    /// share the work in a queue group.
    Agent { shared: bool },
    /// An event: the adapter to whoever listens.
    Adapter,
}

/// One message of the contract.
pub(crate) struct Entry {
    /// `cmd.agent.originate`, `evt.call.answered`: the name of its schema and example.
    pub(crate) name: String,
    /// The subject, with `{parameters}` for names.
    pub(crate) subject: String,
    /// What it is for, in a sentence or two.
    pub(crate) summary: String,
    pub(crate) speaker: Speaker,
    pub(crate) message: Schema,
    pub(crate) reply: Option<Schema>,
    /// The event, where it is one.
    pub(crate) event: Option<EventName>,
}

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
}

fn command<D, R>(family: &str, verb: &str) -> Entry
where
    D: JsonSchema,
    Command<D>: JsonSchema,
    Reply<R>: JsonSchema,
{
    let summary = schema::<D>()
        .get("description")
        .and_then(|text| text.as_str())
        .unwrap_or_default()
        .replace('\n', " ");
    Entry {
        name: format!("cmd.{family}.{verb}"),
        subject: template::command(family, verb),
        summary,
        speaker: Speaker::Agent {
            shared: family == "agent",
        },
        message: schema::<Command<D>>(),
        reply: Some(schema::<Reply<R>>()),
        event: None,
    }
}

fn event(name: EventName) -> Entry {
    let word = name.as_str();
    let message = match word.split('.').next().unwrap_or_default() {
        "call" => schema::<Envelope<CallData>>(),
        "reg" => schema::<Envelope<RegData>>(),
        "agent" => schema::<Envelope<AgentData>>(),
        "node" => schema::<Envelope<NodeData>>(),
        "bus" => schema::<Envelope<BusData>>(),
        _ => schema::<Envelope<SecurityData>>(),
    };
    Entry {
        name: format!("evt.{word}"),
        subject: template::event(word),
        summary: name.summary().to_owned(),
        speaker: Speaker::Adapter,
        message,
        reply: None,
        event: Some(name),
    }
}

/// The whole contract, in the order of the documentation.
pub(crate) fn entries() -> Vec<Entry> {
    let mut entries = vec![
        command::<Register, Lease>("agent", "register"),
        command::<Unregister, Done>("agent", "unregister"),
        command::<Heartbeat, Lease>("agent", "heartbeat"),
        command::<Originate, Originated>("agent", "originate"),
        command::<SendMessage, Done>("agent", "message"),
        command::<Hangup, Done>("call", "hangup"),
        command::<QueryCalls, Calls>("query", "calls"),
        command::<QueryCall, CallView>("query", "call"),
        command::<QueryRegistrations, Registrations>("query", "registrations"),
        command::<QueryAgents, Agents>("query", "agents"),
        command::<QueryNodes, Nodes>("query", "nodes"),
        command::<QueryBans, Bans>("query", "bans"),
        command::<QueryExplain, Explained>("query", "route.explain"),
        command::<QueryTrace, Traced>("query", "trace"),
        command::<Reload, Reloaded>("admin", "reload"),
        command::<Drain, Draining>("admin", "drain"),
        command::<Ban, Bans>("admin", "ban"),
        command::<Unban, Bans>("admin", "unban"),
    ];
    entries.extend(EventName::ALL.iter().map(|&name| event(name)));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdminVerb, AgentVerb, CallVerb, QueryVerb};

    #[test]
    fn every_verb_is_in_the_table_once() {
        let table: Vec<String> = entries().into_iter().map(|entry| entry.name).collect();
        let families = [
            ("agent", AgentVerb::WORDS),
            ("call", CallVerb::WORDS),
            ("query", QueryVerb::WORDS),
            ("admin", AdminVerb::WORDS),
        ];
        let mut verbs = Vec::new();
        for (family, words) in families {
            verbs.extend(words.iter().map(|word| format!("cmd.{family}.{word}")));
        }
        let commands: Vec<&String> = table.iter().filter(|n| n.starts_with("cmd.")).collect();
        assert_eq!(commands, verbs.iter().collect::<Vec<_>>());
    }
}
