//! The shells: sockets, clocks, mailboxes, NATS, journal, sled.
//!
//! ```text
//!  UdpListener  Connection   accept loops        Bus          Journal   Store
//!        \          |         /                  |               ^        ^
//!         v         v        v                   v               |        |
//!          arbiter: Local ──► Front ──► Call ◄── Commands ───────+--------+
//!                     |                 |  ^
//!                     +──► Dialog ◄─────+  |
//!                     |      └─────────────+
//!                     +──► Relay
//! ```
//!
//! Strong addresses point down (a call holds its dialogs), weak ones up. Actors tell and never ask.
//! What comes from other threads comes by the arbiter's one bounded inbox; what an arbiter reads
//! itself is taken in bursts, so that mailboxes stay short.

pub mod ack;
mod agents;
mod answered;
mod arbiter;
mod book;
pub mod bus;
mod call;
mod capture;
pub mod clock;
mod commands;
mod connection;
mod defence;
mod dialog;
mod dns;
mod fault;
mod forget;
mod front;
mod idempotency;
mod incidents;
pub mod journal;
mod limit;
mod listeners;
mod local;
pub mod nats_server;
mod net;
mod node;
mod parcel;
mod pressure;
mod priority;
mod random;
mod registry;
mod relay;
mod shared;
pub mod store;
mod timers;
mod tls;
mod traffic;

pub use fault::{Moment, Part};
pub use net::{Asset, Assets};
pub use node::{Changes, Node, Readiness, StartError, shared_threads};
pub use priority::give_way;
pub use random::random_password;
pub use tls::{TlsError, check_certificates};
