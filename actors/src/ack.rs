//! How a thread that does slow work (disk) tells the arbiters that it is done: once per batch and
//! receiver, never once per item, so that a thousand writes cost an arbiter one wake-up.

use std::sync::Arc;

/// What became of one piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The number that came with the work.
    pub token: u64,
    /// True: it is on disk. False: it is not, and will not be.
    pub durable: bool,
}

/// Whoever waits for acknowledgements: an arbiter's inbox.
pub trait AckSink: Send + Sync + 'static {
    /// Takes the acknowledgements of one batch, in the order in which the work was handed over.
    /// Called from the working thread: queue them, wake the receiver, return.
    fn settle(&self, acks: &[Ack]);
}

/// Where the acknowledgement of one piece of work goes.
#[derive(Clone)]
pub struct Notice {
    /// The receiver.
    pub sink: Arc<dyn AckSink>,
    /// The receiver's own number for it.
    pub token: u64,
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notice")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// The notices of one batch, grouped by receiver.
#[derive(Default)]
pub(crate) struct Settlement {
    groups: Vec<(Arc<dyn AckSink>, Vec<Ack>)>,
}

impl Settlement {
    pub(crate) fn add(&mut self, notice: Notice) {
        let ack = Ack {
            token: notice.token,
            durable: true,
        };
        // There are as many receivers as arbiters: a scan beats a map.
        let known = self
            .groups
            .iter_mut()
            .find(|(sink, _)| std::ptr::addr_eq(Arc::as_ptr(sink), Arc::as_ptr(&notice.sink)));
        match known {
            Some((_, acks)) => acks.push(ack),
            None => self.groups.push((notice.sink, vec![ack])),
        }
    }

    /// Tells every receiver, and is empty afterwards.
    pub(crate) fn settle(&mut self, durable: bool) {
        for (sink, acks) in &mut self.groups {
            if acks.is_empty() {
                continue;
            }
            if !durable {
                acks.iter_mut().for_each(|ack| ack.durable = false);
            }
            // Out of here first: whoever panics over them is not told them again.
            let mut told = std::mem::take(acks);
            sink.settle(&told);
            told.clear();
            *acks = told;
        }
    }
}
