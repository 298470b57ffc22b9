//! When the first of our certificates ends, and who is told in time.

use std::time::Duration;

use bus_schema::{Actor, Cause, EventName, Incident, Reason, SecurityData, Severity};

use crate::shared::Shared;

/// How long before its end it is worth a word, and how often.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// Says once a day that a certificate is about to end, or has ended.
#[derive(Default)]
pub(super) struct Expiry {
    next: Duration,
}

impl Expiry {
    /// To be called now and then.
    pub(super) fn look(&mut self, shared: &Shared) {
        let now = shared.clock.now();
        let Some(ends) = shared.keyring.ends() else {
            return;
        };
        if now.mono < self.next {
            return;
        }
        self.next = now.mono + EVERY;
        let left = Duration::from_millis(ends.0.saturating_sub(now.unix_ms));
        if left > SOON {
            return;
        }
        let (days, over) = (left.as_secs() / (24 * 3600), left.is_zero());
        tracing::warn!(%ends, days, over, "the certificate must be replaced");
        let incident = Incident {
            severity: if over {
                Severity::Critical
            } else {
                Severity::Warn
            },
            source: None,
            transport: None,
            aor: None,
            count: 1,
            until: Some(ends),
        };
        let cause = Cause::new(Actor::System, Reason::Expired);
        let data = SecurityData { incident, cause };
        shared.announce(EventName::SecurityCertificate, data);
    }
}
