//! CSeq.

use super::value::{is_token, number, trim};
use crate::message::Fault;
use crate::method::Method;

/// The order of a request in its dialog (RFC 3261 20.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261 8.1.1.5).
    pub seq: u32,
    /// The request's method.
    pub method: Method,
    /// The method as written: says which one when it is an extension.
    pub text: &'a str,
}

impl<'a> CSeq<'a> {
    /// Reads a CSeq value.
    ///
    /// # Errors
    /// 400 when it is not a number below 2^31 and a method.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let value = trim(value);
        let end = value.iter().position(|b| !b.is_ascii_digit()).ok_or(BAD)?;
        let (digits, rest) = value.split_at(end);
        let method = trim(rest);
        let parted = method.len() < rest.len();
        let seq = number(digits).filter(|seq| *seq < 1 << 31).ok_or(BAD)?;
        if !parted || method.is_empty() || !method.iter().all(|b| is_token(*b)) {
            return Err(BAD);
        }
        let text = super::value::text(method).ok_or(BAD)?;
        Ok(Self {
            seq,
            method: Method::from_bytes(method),
            text,
        })
    }
}

const BAD: Fault = Fault {
    status: 400,
    reason: "Bad CSeq",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_faults() {
        let cseq = CSeq::parse(b"0009\r\n  INVITE").unwrap();
        assert_eq!(
            (cseq.seq, cseq.method, cseq.text),
            (9, Method::Invite, "INVITE")
        );
        assert_eq!(CSeq::parse(b"1 invite").unwrap().method, Method::Extension);
        assert_eq!(CSeq::parse(b"2147483647 ACK").unwrap().seq, (1 << 31) - 1);
        for bad in [
            "",
            "1",
            "1INVITE",
            "INVITE",
            "2147483648 ACK",
            "-1 ACK",
            "1 A CK",
            "1 ACK;x",
        ] {
            assert!(CSeq::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
