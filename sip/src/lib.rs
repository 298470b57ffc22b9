//! SIP with no sockets: messages, transactions, dialogs, digest, SDP text.

mod build;
pub mod dialog;
pub mod digest;
pub mod endpoint;
mod header;
mod limits;
mod message;
mod method;
mod now;
pub mod offer;
mod reply;
pub mod sdp;
mod stream;
pub mod transaction;
mod uri;

pub use build::Builder;
pub use dialog::{Dialog, Half, Resend, Resend1xx, Resend2xx};
pub use endpoint::{Endpoint, EndpointSettings};
pub use header::{CSeq, Elements, Header, Name, NameAddr, Param, Params, Via, unfold, unquote};
pub use limits::Limits;
pub use message::{Fault, Message, ParseError};
pub use method::Method;
pub use now::Now;
pub use reply::reply;
pub use stream::{Item, Stream};
pub use transaction::{ClientId, Failure, ServerId, Transmitter, cancel};
pub use uri::{HostPort, Uri};
