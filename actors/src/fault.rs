//! A panic is a bug of ours. It costs what was being handled, never the thread that handled it, and
//! never what belongs to somebody else.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures_util::{FutureExt, future::lazy};

/// How long a task rests that is begun again: one that dies at once must not eat a core.
const REST: Duration = Duration::from_millis(100);

/// Who has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The actor of requests outside of dialogs; it begins anew and forgets its nonces.
    Front,
    /// The actor of a call; the call ends.
    Call,
    /// The actor of a leg; the call ends.
    Dialog,
    /// The actor of a request on its way to several; it answers 500.
    Relay,
    /// The actor of a connection; it goes on.
    Connection,
    /// The actor of a UDP socket; a datagram is lost.
    UdpListener,
    /// An arbiter's queue of deadlines; it goes on.
    Timers,
    /// What another thread had for an arbiter; it is lost.
    Parcel,
    /// The task that reads and writes a connection; the connection closes.
    Stream,
    /// The task that accepts connections; it goes on.
    Accept,
    /// What happens once a second; it waits for the next.
    Housekeeping,
    /// Taking a command; it is refused.
    Commands,
    /// Publishing events; it begins again after the last that was confirmed.
    Publisher,
    /// The journal's thread; entries are lost.
    Journal,
    /// The store's thread; records are lost.
    Store,
    /// The thread that keeps the managed nats-server; it starts another.
    NatsServer,
}

impl Part {
    /// As `ifbus_panics_total` names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Call => "call",
            Self::Dialog => "dialog",
            Self::Relay => "relay",
            Self::Connection => "connection",
            Self::UdpListener => "udp_listener",
            Self::Timers => "timers",
            Self::Parcel => "parcel",
            Self::Stream => "stream",
            Self::Accept => "accept",
            Self::Housekeeping => "housekeeping",
            Self::Commands => "commands",
            Self::Publisher => "publisher",
            Self::Journal => "journal",
            Self::Store => "store",
            Self::NatsServer => "nats_server",
        }
    }
}

/// Does `work`. `None`: it panicked, which is counted; what it left half done is the caller's to
/// put right.
pub(crate) fn contain<R>(part: Part, work: impl FnOnce() -> R) -> Option<R> {
    let work = || {
        strike(part, Moment::Before);
        let done = work();
        strike(part, Moment::After);
        done
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(_) => {
            died(part);
            None
        }
    }
}

/// The same for what takes its time. Of combinators, for there is one of it for each connection: an
/// `async` block would hold `work` twice.
pub(crate) fn contain_async<F: Future>(
    part: Part,
    work: F,
) -> impl Future<Output = Option<F::Output>> {
    let work = lazy(move |_| strike(part, Moment::Before)).then(|()| work);
    let done = AssertUnwindSafe(work).catch_unwind();
    done.map(move |done| done.inspect_err(|_| died(part)).ok())
}

/// Keeps a task alive: begins it again after a panic, until it ends by itself.
pub(crate) async fn tend<F: Future>(part: Part, mut begin: impl FnMut() -> F) -> F::Output {
    loop {
        if let Some(done) = contain_async(part, begin()).await {
            return done;
        }
        tokio::time::sleep(REST).await;
    }
}

/// Counts a panic. Where it was, the process's panic hook has said.
fn died(part: Part) {
    let actor = part.as_str();
    metrics::counter!("ifbus_panics_total", "actor" => actor).increment(1);
    tracing::error!(actor, "died of a bug; the rest goes on");
}

/// When a fault that a test asked for strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing has been done yet.
    Before,
    /// Everything has.
    After,
}

#[cfg(not(feature = "faults"))]
fn strike(_: Part, _: Moment) {}

#[cfg(feature = "faults")]
pub(crate) use on_demand::arm;
#[cfg(feature = "faults")]
use on_demand::strike;

/// Panics that the tests of whole nodes ask for. Not in any build of the product.
#[cfg(feature = "faults")]
mod on_demand {
    use std::cell::RefCell;

    use super::{Moment, Part};

    thread_local! {
        static ARMED: RefCell<Vec<(Part, Moment)>> = const { RefCell::new(Vec::new()) };
    }

    /// Has `part` panic the next time it works on this thread; asked for twice, twice.
    pub(crate) fn arm(part: Part, moment: Moment) {
        ARMED.with_borrow_mut(|armed| armed.push((part, moment)));
    }

    pub(super) fn strike(part: Part, moment: Moment) {
        let struck = ARMED.with_borrow_mut(|armed| {
            let at = armed.iter().position(|(armed, _)| *armed == part);
            at.filter(|at| armed[*at].1 == moment)
                .map(|at| armed.remove(at))
        });
        assert!(struck.is_none(), "a fault that was asked for");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_panics_is_told_from_what_does_not() {
        assert_eq!(contain(Part::Parcel, || 7), Some(7));
        let died: Option<u8> = contain(Part::Parcel, || panic!("as asked"));
        assert_eq!(died, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_is_begun_again_until_it_ends_by_itself() {
        let begun = Cell::new(0);
        let ended = tend(Part::Timers, || {
            begun.set(begun.get() + 1);
            let times = begun.get();
            async move {
                assert!(times == 3, "as asked");
                times
            }
        });
        assert_eq!(ended.await, 3);
    }
}
