//! When our certificate ends, and who is told in time.

use std::time::Duration;

use bus_schema::{Actor, Cause, EventName, Incident, Reason, SecurityData, Severity, Timestamp};

use crate::shared::Shared;

/// How long before its end it is worth a word, and how often.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// Says once a day that the certificate is about to end, or has ended.
pub(crate) struct Certificate {
    ends: Option<Timestamp>,
    next: Duration,
}

impl Certificate {
    /// One that ends at this moment; none: there is none, or nobody knows.
    pub(crate) fn new(ends: Option<Timestamp>) -> Self {
        Self {
            ends,
            next: Duration::ZERO,
        }
    }

    /// To be called now and then.
    pub(crate) fn look(&mut self, shared: &Shared) {
        let now = shared.clock.now();
        let Some(ends) = self.ends else { return };
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

/// When an X.509 certificate ends (RFC 5280 4.1.2.5), out of its DER. It is the operator's own, and
/// TLS has taken it: what cannot be read here is just not known.
pub(crate) fn ends(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    // Version, which may be absent, serial number, signature, issuer.
    let mut before = 3;
    while before > 0 {
        let (tag, _, after) = element(rest)?;
        before -= u8::from(tag != VERSION);
        rest = after;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, until) = element(validity)?;
    let (tag, until, _) = element(until)?;
    let text = std::str::from_utf8(until).ok()?;
    let (century, text) = match tag {
        // Of two digits, 50 and more are of the last century.
        UTC_TIME if text.get(..1)? < "5" => ("20", text),
        UTC_TIME => ("19", text),
        GENERALIZED_TIME => (text.get(..2)?, text.get(2..)?),
        _ => return None,
    };
    let part = |from: usize| text.get(from..from + 2);
    let [year, month, day, hour, minute, second] = [0, 2, 4, 6, 8, 10].map(part);
    let (date, time) = (
        format!("{century}{}-{}-{}", year?, month?, day?),
        format!("{}:{}:{}", hour?, minute?, second?),
    );
    format!("{date}T{time}Z").parse().ok()
}

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The tag and content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], mut rest) = der.split_first_chunk()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (long, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let shift = |length: usize, byte: &u8| length.checked_mul(256)?.checked_add((*byte).into());
        length = long.iter().try_fold(0, shift)?;
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read_in_either_form() {
        for (year, expected) in [
            (2031, "2031-02-03T00:00:00.000Z"),
            (2150, "2150-02-03T00:00:00.000Z"),
        ] {
            let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 2, 3);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let der = certificate.der();
            assert_eq!(ends(der).unwrap().to_string(), expected);
            for end in 0..der.len() {
                assert_eq!(ends(&der[..end]), None, "{end}");
            }
        }
        assert_eq!(
            ends(&[0x30, 0x89, 255, 255, 255, 255, 255, 255, 255, 255, 255]),
            None
        );
    }
}
