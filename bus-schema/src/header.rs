//! NATS headers of the contract. Names are case-preserving on NATS.

/// The encoding of the body; absent means JSON.
pub const CONTENT_TYPE: &str = "Content-Type";
/// The content type wanted for the reply; absent means that of the request.
pub const ACCEPT: &str = "Ifbus-Accept";
/// The event's id, by which JetStream drops a second copy.
pub const MSG_ID: &str = "Nats-Msg-Id";
/// W3C trace context, copied into the events a command causes.
pub const TRACEPARENT: &str = "traceparent";
/// The reason of a refused command (NATS micro services).
pub const SERVICE_ERROR: &str = "Nats-Service-Error";
/// The HTTP-like number of a refused command (NATS micro services).
pub const SERVICE_ERROR_CODE: &str = "Nats-Service-Error-Code";
