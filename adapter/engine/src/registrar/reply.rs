//! Responses to REGISTER.

use core::fmt::{self, Display};

use bytes::Bytes;
use sip::Name;

use super::{Refusal, Registration};
use crate::location::Binding;

/// RFC 3261 10.3 step 8: 200 with every binding and the time it has left.
pub(super) fn accept(registration: &Registration<'_>, bindings: &[Binding], now: u32) -> Bytes {
    let Registration {
        request, to_tag, ..
    } = *registration;
    let mut out = sip::reply(request, 200, "OK", Some(to_tag));
    // RFC 3327 5.3: the user agent sees which path its requests will take.
    out.copy_all(request, Name::Path);
    for binding in bindings {
        out.line(Name::Contact, Listed { binding, now });
    }
    out.line(Name::Supported, "path");
    out.end()
}

pub(super) fn refuse(registration: &Registration<'_>, refusal: &Refusal) -> Bytes {
    let Registration {
        request, to_tag, ..
    } = *registration;
    let mut out = sip::reply(request, refusal.status, refusal.reason, Some(to_tag));
    if let Some(tags) = &refusal.unsupported {
        out.line(Name::Unsupported, tags);
    }
    if let Some(seconds) = refusal.min_expires {
        out.line(Name::MinExpires, seconds);
    }
    out.end()
}

/// A binding as a Contact value.
struct Listed<'a> {
    binding: &'a Binding,
    now: u32,
}

impl Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { binding, now } = *self;
        let left = binding.expires.saturating_sub(now);
        write!(f, "<{}>;expires={left}", binding.contact())?;
        if binding.q < 1000 {
            write!(f, ";q=0.{:03}", binding.q)?;
        }
        if !binding.instance().is_empty() {
            f.write_str(";+sip.instance=\"")?;
            for part in binding.instance().split_inclusive(['"', '\\']) {
                match part.strip_suffix(['"', '\\']) {
                    Some(head) => write!(f, "{head}\\{}", &part[head.len()..])?,
                    None => f.write_str(part)?,
                }
            }
            f.write_str("\"")?;
        }
        if binding.reg_id > 0 {
            write!(f, ";reg-id={}", binding.reg_id)?;
        }
        Ok(())
    }
}
