//! Digest access authentication: RFC 7616 and RFC 2617, for SIP as RFC 3261 22 and RFC 8760 say.
//!
//! * [`Server`] issues challenges and checks the answers to them.
//! * [`Client`] answers the challenges of others (trunks).
//! * [`Ha1`] is the stored secret: the hash of `user:realm:password`.

mod algorithm;
mod client;
mod credentials;
mod nonce;
mod params;
mod response;
mod server;

pub use algorithm::{Algorithm, Ha1};
pub use client::{Client, Secret};
pub use credentials::Credentials;
pub use nonce::NonceSecret;
pub use server::{Refusal, Server, ServerSettings, Verdict};
