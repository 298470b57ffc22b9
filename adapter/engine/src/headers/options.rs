//! Option tags (RFC 3261 19.2): offered on to the other leg only if we implement them.

use core::fmt::{self, Display};

use sip::{Builder, Message, Name};

/// Writes the Supported header for the other leg: those of `implemented` that this peer lists
/// too. None in common: no header.
pub fn copy_supported(out: &mut Builder, message: &Message, implemented: &[&str]) {
    let common = Common {
        message,
        implemented,
    };
    if common.tags().next().is_some() {
        out.line(Name::Supported, common);
    }
}

/// The tags this request requires that are not in `implemented`: the value of Unsupported in the
/// 420 it gets (RFC 3261 8.2.2.3). `None` when all are known.
#[must_use]
pub fn unsupported(message: &Message, implemented: &[&str]) -> Option<String> {
    let mut refused = String::new();
    for tag in message
        .list(Name::Require)
        .chain(message.list(Name::ProxyRequire))
    {
        if implemented
            .iter()
            .any(|known| tag.eq_ignore_ascii_case(known.as_bytes()))
        {
            continue;
        }
        if !refused.is_empty() {
            refused.push_str(", ");
        }
        refused.push_str(&String::from_utf8_lossy(tag));
    }
    (!refused.is_empty()).then_some(refused)
}

struct Common<'a> {
    message: &'a Message,
    implemented: &'a [&'a str],
}

impl<'a> Common<'a> {
    fn tags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let message = self.message;
        self.implemented
            .iter()
            .copied()
            .filter(move |tag| message.lists(Name::Supported, tag))
    }
}

impl Display for Common<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tag) in self.tags().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(tag)?;
        }
        Ok(())
    }
}
