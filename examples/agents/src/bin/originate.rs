//! Calls two people, joins them, and tells what happens until the call is over.
//!
//! ```text
//! cargo run --bin originate 1001@example.test 1002@example.test
//! ```
//!
//! Needs a running adapter; `state/bus.json`, or the file in `IFBUS_BUS`, says where its bus is.
//! Ctrl-C hangs up.
#![expect(clippy::print_stdout, reason = "what it tells is told to a person")]

use std::{env, error::Error, fs};

use async_nats::{Client, ConnectOptions};
use bus_schema::{
    CallRef, Command, DEFAULT_TENANT, Encoding, EventName, Originate, Originated, Received, Reply,
    Subject, Topic, filter,
};
use futures_util::StreamExt;
use serde_json::{Value, from_slice, from_value, json, to_value};
use tokio::signal::ctrl_c;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Our name. It is part of every subject we speak on.
const AGENT: &str = "example";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut words = env::args().skip(1);
    let (Some(from), Some(to)) = (words.next(), words.next()) else {
        return Err("who calls whom? originate 1001@example.test 1002@example.test".into());
    };
    let bus = connect().await?;

    // Listen first: the first events come with the reply.
    let mut events = bus.subscribe(filter::events(DEFAULT_TENANT)).await?;
    let originate = Originate {
        from: from.into(),
        to: to.into(),
        ..Originate::default()
    };
    let topic = Topic::AgentCommand {
        agent: AGENT,
        verb: "originate",
    };
    let Originated { call, .. } = from_value(command(&bus, topic, to_value(originate)?).await?)?;
    println!("call {call}");

    loop {
        tokio::select! {
            Some(message) = events.next() => {
                if tell(call, &message.payload)? {
                    return Ok(());
                }
            }
            _ = ctrl_c() => {
                let (agent, verb) = (AGENT, "hangup");
                command(&bus, Topic::CallCommand { call, agent, verb }, json!({})).await?;
            }
        }
    }
}

/// Prints an event if it is of our call. `true`: it was the last one.
fn tell(ours: CallRef, bytes: &[u8]) -> Outcome<bool> {
    let Received::Call(event) = Received::decode(Encoding::Json, bytes)? else {
        return Ok(false);
    };
    if event.call != Some(ours) {
        return Ok(false);
    }
    let (seconds, cause) = (
        event.offsetms.unwrap_or(0) as f64 / 1000.0,
        &event.data.cause,
    );
    let name = event
        .kind
        .trim_start_matches("ifbus.sip.")
        .trim_end_matches(".v1");
    let state = event.data.call.state;
    println!(
        "{seconds:7.3} s  {name}: {state} ({}: {})",
        cause.actor, cause.reason
    );
    Ok(event.name() == Some(EventName::CallEnded))
}

/// One command, one reply, at once. The id makes it safe to send again: it is done once.
async fn command(bus: &Client, topic: Topic<'_>, data: Value) -> Outcome<Value> {
    let tenant = DEFAULT_TENANT;
    let subject = Subject { tenant, topic }.build()?;
    let command = Command::new(data).with_id(bus.new_inbox());
    let reply = bus
        .request(subject, serde_json::to_vec(&command)?.into())
        .await?;
    let reply: Reply<Value> = from_slice(&reply.payload)?;
    Ok(reply.into_result()?)
}

async fn connect() -> Outcome<Client> {
    let file = env::var("IFBUS_BUS").unwrap_or_else(|_| "state/bus.json".to_owned());
    let bus = fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
    let bus: Value = from_slice(&bus)?;
    let (url, token) = (bus["url"].as_str(), bus["token"].as_str());
    let options = ConnectOptions::with_token(token.unwrap_or_default().to_owned());
    Ok(options.connect(url.unwrap_or_default()).await?)
}
