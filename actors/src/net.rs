//! Sockets: what comes in is parsed here and becomes a [`Parcel`](crate::parcel::Parcel).

mod connect;
mod handshake;
mod limits;
mod listen;
mod stream;
mod udp;
mod websocket;

pub(crate) use connect::Dial;
pub(crate) use handshake::Door;
pub use handshake::{Asset, Assets};
pub(crate) use limits::NetLimits;
pub(crate) use listen::{Accepted, Admission, StreamListener, accept, bind_tcp};
pub(crate) use udp::{bind_udp, receive};
