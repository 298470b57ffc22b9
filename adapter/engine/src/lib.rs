//! The decisions: calls, registrar, routing, trunks, policy. No sockets, no clock.

mod address;
mod auth;
mod call;
mod caller;
mod defence;
mod domain;
mod gate;
pub mod headers;
mod hop;
mod ingress;
mod key;
mod large;
mod leg;
pub mod locate;
pub mod location;
mod perform;
mod registrar;
pub mod relay;
pub mod replaces;
pub mod route;
mod seed;
mod speaker;
mod token;
mod users;

pub use address::aor;
pub use auth::{AuthSettings, Authenticator, Challenge, Directory, Failed, Outcome};
pub use call::{
    Call, Home, Inbound, Origin, Originate, Party, Recovery, Redirects, Replacement, Setup,
    Timeouts,
};
pub use caller::Caller;
pub use defence::{Ban, Defence, DefenceSettings, Errand, source_hash};
pub use domain::{Demand, Domain, Domains};
pub use gate::{Gate, PATIENCE};
pub use hop::{Hop, Listener, Listeners, NextHop, Target, Transport};
pub use ingress::{Place, classify};
pub use key::CallKey;
pub use leg::{Input, LegEvent, Output, ReplyToken};
pub use location::{
    Aor, Binding, BindingText, Locations, Removed, SHARDS as LOCATION_SHARDS, shard_of,
};
pub use perform::Perform;
pub use registrar::{
    Change, ChangeKind, Decision, Kept, Registrar, RegistrarSettings, Registration, Unrestored,
};
pub use seed::Seed;
pub use speaker::{Speaker, speaker};
pub use token::{BRANCH_COOKIE, LegId, TOKEN_LEN, Token, TokenKey, TokenText};
pub use users::{Secrets, Users};
