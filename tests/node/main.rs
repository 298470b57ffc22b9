//! A whole node in this process, driven through its sockets: what comes out for what goes in.
//!
//! Nothing here waits for a time to pass: a test waits for a message, and what must not come is
//! proved absent by something later that has come.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers: a panic is the report"
)]

mod authority;
mod call;
mod defence;
mod dialog;
mod dns;
mod edge;
mod events;
mod explain;
mod faults;
mod flow;
mod fork;
mod hostile;
mod incidents;
mod large;
mod limits;
mod meter;
mod nats;
mod outgoing;
mod phone;
#[path = "../../actors/tests/nats/port.rs"]
mod port;
mod redirect;
mod register;
mod reliable;
mod reload;
mod restart;
mod secrets;
mod session;
mod stage;
mod tls;
mod traffic;
mod transfer;
mod wire;
