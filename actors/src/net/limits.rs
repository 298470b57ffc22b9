//! What a peer may cost before it has proved anything.

use std::time::Duration;

/// Limits of connections and their handshakes; see the configuration's `[limits]`.
#[derive(Clone, Debug)]
pub(crate) struct NetLimits {
    /// Limits of a message.
    pub(crate) message: sip::Limits,
    /// Connections open at once.
    pub(crate) connections: usize,
    /// Connections open at once from one address that is not trusted.
    pub(crate) connections_per_source: usize,
    /// Connections whose handshakes are not done.
    pub(crate) handshakes: usize,
    /// Bytes of an HTTP request head before the WebSocket upgrade.
    pub(crate) handshake_bytes: usize,
    /// From accept to the end of the TLS handshake.
    pub(crate) tls_handshake: Duration,
    /// From there to the end of the upgrade.
    pub(crate) handshake: Duration,
    /// One WebSocket frame, and one message of several.
    pub(crate) frame_bytes: usize,
    /// Bytes waiting to be written to one connection: a slower reader is cut off.
    pub(crate) send_queue_bytes: usize,
    /// A connection with nothing received for this long is closed.
    pub(crate) idle: Duration,
    /// How often a WebSocket client is pinged.
    pub(crate) ping: Duration,
    /// How long an outgoing connection may take, and a write.
    pub(crate) connect: Duration,
    /// Names that are being resolved at once.
    pub(crate) look_ups: usize,
    /// How long an arbiter may have more to read than it reads at a time.
    pub(crate) overload: Duration,
    /// How long a name may take to resolve.
    pub(crate) resolve: Duration,
    /// The receive buffer of a UDP socket.
    pub(crate) udp_buffer_bytes: usize,
}

/// What a message that waits is taken to be long.
const MESSAGE_BYTES: usize = 4096;

impl NetLimits {
    /// Messages that may wait to be written to one connection.
    pub(crate) fn write_queue(&self) -> usize {
        (self.send_queue_bytes / MESSAGE_BYTES).max(8)
    }
}
