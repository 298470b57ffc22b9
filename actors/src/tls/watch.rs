//! Looking after the files: what has changed is read again, without a restart.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc, time::Duration};

use bus_schema::{Actor, Cause, EventName, Incident, Reason, SecurityData, Severity};
use config::Config;
use tokio::time::{MissedTickBehavior, interval};

use super::{TlsError, expiry::Expiry};
use crate::{
    fault::{Part, contain_async},
    shared::Shared,
};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Reads the certificates again when their files have changed, and says when one is about to end.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut watch = Watch::new(prints(shared.keyring.files()).await);
    let mut expiry = Expiry::default();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        contain_async(Part::Housekeeping, async {
            if watch.is_due(prints(shared.keyring.files()).await) {
                read_again(&shared).await;
            }
            expiry.look(&shared);
        })
        .await;
    }
}

/// Tells apart what stood in a file and what stands there now, and one file of the name and
/// another; none where there is none.
type Print = Option<(u64, u64, u64, i64, i64)>;

async fn prints(files: Vec<PathBuf>) -> Vec<Print> {
    let look = move || {
        let print = |file: &PathBuf| {
            let data = fs::metadata(file).ok()?;
            let of = (data.dev(), data.ino(), data.len());
            Some((of.0, of.1, of.2, data.mtime(), data.mtime_nsec()))
        };
        files.iter().map(print).collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

/// What was seen of the files.
struct Watch {
    /// When they were last read.
    read: Vec<Print>,
    /// When they were last looked at, if that was another time.
    resting: Option<Vec<Print>>,
}

impl Watch {
    fn new(read: Vec<Print>) -> Self {
        let resting = None;
        Self { read, resting }
    }

    /// Whether they have changed since they were read, and then come to rest: of two files one is
    /// there before the other, and neither is written at a stroke.
    fn is_due(&mut self, seen: Vec<Print>) -> bool {
        if seen == self.read {
            self.resting = None;
            return false;
        }
        if self.resting.as_ref() != Some(&seen) {
            self.resting = Some(seen);
            return false;
        }
        self.resting = None;
        self.read = seen;
        true
    }
}

/// Those that do not do are told of once: until the files change they are not read again.
async fn read_again(shared: &Arc<Shared>) {
    let reader = shared.clone();
    let renewed = tokio::task::spawn_blocking(move || renew(&reader, None)).await;
    if let Err(error) = renewed {
        tracing::error!(%error, "certificates cannot be read again");
    }
}

/// Reads all certificates again, by another configuration if there is one, and says what came of
/// it. All or nothing. Blocks.
///
/// # Errors
/// What is wrong with the files; everything is as it was.
pub(crate) fn renew(shared: &Shared, config: Option<&Config>) -> Result<(), TlsError> {
    let renewed = shared.keyring.renew(config);
    match &renewed {
        Ok(()) => tracing::info!("certificates read again"),
        Err(error) => refused(shared, error),
    }
    renewed
}

/// Says that the certificates in the files were not taken.
fn refused(shared: &Shared, error: &TlsError) {
    tracing::warn!(%error, "certificates not taken: those before stay");
    let incident = Incident {
        severity: Severity::Warn,
        source: None,
        transport: None,
        aor: None,
        count: 1,
        until: shared.keyring.ends(),
    };
    let cause = Cause::new(Actor::System, Reason::Rejected).with_text("not taken");
    let data = SecurityData { incident, cause };
    shared.announce(EventName::SecurityCertificate, data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(length: u64) -> Vec<Print> {
        vec![Some((1, 2, length, 3, 4)), None]
    }

    #[test]
    fn what_changes_is_read_once_it_rests() {
        let mut watch = Watch::new(seen(0));
        assert!(!watch.is_due(seen(0)));
        // It is being written.
        for length in 1..4 {
            assert!(!watch.is_due(seen(length)), "{length}");
        }
        assert!(watch.is_due(seen(3)));
        assert!(!watch.is_due(seen(3)));
        // As it was, between two looks.
        assert!(!watch.is_due(seen(4)));
        assert!(!watch.is_due(seen(3)));
        assert!(!watch.is_due(seen(4)));
        assert!(watch.is_due(seen(4)));
    }
}
