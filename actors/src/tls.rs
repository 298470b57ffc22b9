//! TLS: our certificates, what each listener asks of its clients, and how both are renewed while
//! the node runs.

mod der;
mod entrance;
mod expiry;
mod keyring;
mod outgoing;
mod pair;
mod self_signed;
mod watch;

pub(crate) use entrance::{Entrance, subject};
pub(crate) use keyring::Keyring;
pub use keyring::{TlsError, check_certificates};
pub(crate) use outgoing::ConnectError;
pub(crate) use watch::{renew, watch};
