//! How many messages came and went, by transport.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::Transport;

const TRANSPORTS: [Transport; 5] = [
    Transport::Udp,
    Transport::Tcp,
    Transport::Tls,
    Transport::Ws,
    Transport::Wss,
];

/// The counters of one arbiter, in the order of [`TRANSPORTS`]. Nobody else counts in them, and
/// they share no cache line with what others write.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Traffic {
    received: [AtomicU64; TRANSPORTS.len()],
    sent: [AtomicU64; TRANSPORTS.len()],
}

impl Traffic {
    /// A message came to the arbiter that looks at it.
    pub(crate) fn received(&self, transport: Transport) {
        count(&self.received[transport as usize]);
    }

    /// A message was given to the socket or the connection.
    pub(crate) fn sent(&self, transport: Transport) {
        count(&self.sent[transport as usize]);
    }
}

fn count(counter: &AtomicU64) {
    // One thread writes, so there is nothing to lose between reading and writing.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Tells the sums over all arbiters as `ifbus_messages_total{transport,direction}`.
pub(crate) fn measure(arbiters: &[Traffic]) {
    for (place, transport) in TRANSPORTS.into_iter().enumerate() {
        let tell = |direction: &'static str, counter: fn(&Traffic) -> &[AtomicU64]| {
            let counts = arbiters.iter().map(|arbiter| &counter(arbiter)[place]);
            let sum: u64 = counts.map(|count| count.load(Ordering::Relaxed)).sum();
            if sum > 0 {
                let transport = transport.as_str();
                let labels = [("transport", transport), ("direction", direction)];
                metrics::counter!("ifbus_messages_total", &labels).absolute(sum);
            }
        };
        tell("in", |arbiter| &arbiter.received);
        tell("out", |arbiter| &arbiter.sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_has_its_place() {
        for (place, transport) in TRANSPORTS.into_iter().enumerate() {
            assert_eq!(place, transport as usize);
        }
    }
}
