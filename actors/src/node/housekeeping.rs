//! Everything that happens by itself, about once a second.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bus_schema::{Actor as Who, EventName, Reason};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    commands::Commands,
    fault::{Part, contain},
    shared::Shared,
};

/// Does it for ever.
pub(super) async fn look_after(shared: Arc<Shared>, commands: Arc<Commands>) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        contain(Part::Housekeeping, || {
            for kept in shared.registry.expire(shared.clock.now()) {
                shared.keep_registration(&kept, None);
                shared.announce_registration(&kept);
            }
            for ban in shared.defences.expire(shared.clock.now()) {
                shared.announce_ban(EventName::SecurityUnban, &ban, Who::Timer, Reason::Expired);
            }
            let bindings = shared.registry.bindings();
            shared.bindings.store(bindings, Ordering::Relaxed);
            commands.expire();
            shared.tell_incidents();
        });
    }
}
