//! What of a certificate TLS itself does not tell us: how long it is good for, and whose it is.

use bus_schema::Timestamp;

/// From when until when an X.509 certificate is good (RFC 5280 4.1.2.5), out of its DER. TLS has
/// taken it: what cannot be read here is just not known.
pub(super) fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
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
    let (tag, from, rest) = element(validity)?;
    let from = time(tag, from)?;
    let (tag, until, _) = element(rest)?;
    Some((from, time(tag, until)?))
}

fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
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

/// A distinguished name (RFC 5280 4.1.2.4) on one line for the log, like `CN=alice, O=Example`; at
/// most [`SUBJECT_MAX`] letters, none of which could break the line.
pub(super) fn subject(name: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((_, set, after)) = element(rest) {
        rest = after;
        let part = element(set).and_then(|(_, part, _)| {
            let (_, kind, value) = element(part)?;
            let (_, value, _) = element(value)?;
            Some((kind, value))
        });
        let Some((kind, value)) = part else { continue };
        let known = KINDS.iter().find(|(oid, _)| *oid == kind);
        let Some((_, word)) = known else { continue };
        let comma = if text.is_empty() { "" } else { ", " };
        let value = String::from_utf8_lossy(value).replace(char::is_control, "?");
        text.push_str(&format!("{comma}{word}={value}"));
    }
    text.chars().take(SUBJECT_MAX).collect()
}

const SUBJECT_MAX: usize = 200;

/// The parts of a name that tell people apart (X.520): object identifiers and their short forms.
const KINDS: [(&[u8], &str); 5] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
];

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
            params.not_before = rcgen::date_time_ymd(1999, 12, 31);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let der = certificate.der();
            assert_eq!(validity(der).unwrap().1.to_string(), expected);
            assert_eq!(
                validity(der).unwrap().0.to_string(),
                "1999-12-31T00:00:00.000Z"
            );
            for end in 0..der.len() {
                assert_eq!(validity(&der[..end]), None, "{end}");
            }
        }
        assert_eq!(
            validity(&[0x30, 0x89, 255, 255, 255, 255, 255, 255, 255, 255, 255]),
            None
        );
    }

    #[test]
    fn a_subject_is_one_line() {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let name = &mut params.distinguished_name;
        name.push(rcgen::DnType::CommonName, "alice\r\nevil");
        name.push(rcgen::DnType::OrganizationName, "Example");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let parsed = webpki::EndEntityCert::try_from(certificate.der()).unwrap();
        assert_eq!(subject(parsed.subject()), "CN=alice??evil, O=Example");
        assert_eq!(subject(&[0x31, 0x84, 1]), "");
    }
}
