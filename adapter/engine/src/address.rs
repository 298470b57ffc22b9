//! Addresses-of-record in normal form: one text for one user, however it was written.

use core::fmt::Write;
use std::sync::Arc;

use crate::location::Aor;

/// The AOR of `user`, as a URI has it, at `domain`, as the configuration has it.
///
/// Escapes that need not be are resolved and the others written in one way (RFC 3261 10.3 step 5,
/// 19.1.4); what follows a `;` in the user part belongs to the number's notation and is kept.
#[must_use]
pub fn aor(user: &str, domain: &str) -> Aor {
    let mut text = String::with_capacity(user.len() + 1 + domain.len());
    push_user(&mut text, user);
    text.push('@');
    text.push_str(domain);
    Arc::from(text)
}

fn push_user(out: &mut String, user: &str) {
    let mut rest = user;
    while let Some((plain, escape)) = rest.split_once('%') {
        out.push_str(plain);
        let value = escape
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(value) = value else {
            out.push('%');
            rest = escape;
            continue;
        };
        if is_user(value) {
            out.push(char::from(value));
        } else {
            // Writing to a String does not fail.
            let _infallible = write!(out, "%{value:02X}");
        }
        rest = &escape[2..];
    }
    out.push_str(rest);
}

/// RFC 3261 25.1: unreserved / user-unreserved.
fn is_user(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_is_one_text() {
        for (user, normal) in [
            ("1001", "1001@x"),
            ("%31001", "1001@x"),
            ("Alice", "Alice@x"),
            ("a%40b", "a%40b@x"),
            ("a%0d%0ab", "a%0D%0Ab@x"),
            ("a%c3%a9", "a%C3%A9@x"),
            ("+49;isub=1", "+49;isub=1@x"),
            ("50%", "50%@x"),
            ("50%2", "50%2@x"),
            ("%2%41", "%2A@x"),
        ] {
            assert_eq!(&*aor(user, "x"), normal, "{user}");
        }
    }
}
