//! Responses to a request at hand.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};

use crate::build::Builder;
use crate::header::value::{find, trim};
use crate::header::{Name, Params, Via};
use crate::message::Message;

/// Room for what a response adds to the headers it copies.
const ADDED_BYTES: usize = 256;

/// Begins the response to `request` (RFC 3261 8.2.6.2): Via, From, To, Call-ID and CSeq as they
/// came, with `to_tag` put on To when it has none. 100 also gets the Timestamp (8.2.6.1).
///
/// Where the request's source is known it is put on the top Via: `received` when it differs from
/// sent-by or rport was asked for, and `rport` then too (RFC 3261 18.2.1, RFC 3581 4).
#[must_use]
pub fn reply(request: &Message, status: u16, reason: &str, to_tag: Option<&str>) -> Builder {
    let head_bytes = request.bytes().len() - request.body().len();
    let mut out = Builder::status(status, reason, head_bytes + ADDED_BYTES);
    let mut source = request.source();
    for header in request.headers() {
        match header.name {
            Name::Via => match source.take() {
                Some(source) => stamp(&mut out, header.value, source),
                None => drop(out.copy(header)),
            },
            Name::To => match to_tag {
                Some(tag) if request.to_tag().is_none() => {
                    out.raw(header.line.strip_suffix(b"\r\n").unwrap_or(header.line));
                    out.raw(b";tag=").put_text(tag).raw(b"\r\n");
                }
                _ => drop(out.copy(header)),
            },
            Name::From | Name::CallId | Name::CSeq => drop(out.copy(header)),
            Name::Timestamp if status == 100 => drop(out.copy(header)),
            _ => {}
        }
    }
    out
}

/// Writes a Via line with the source on its first element.
fn stamp(out: &mut Builder, value: &[u8], source: SocketAddr) {
    let end = find(value, b',').unwrap_or(value.len());
    let (top, others) = value.split_at(end);
    let top = trim(top);
    out.raw(b"Via: ");
    match Via::parse(top) {
        Ok(via) => {
            let head = top.len() - via.params.text().len();
            out.raw(trim(&top[..head]));
            // What a client claims of itself here is not believed.
            for piece in Params::pieces(via.params) {
                if !named(piece, b"received") && !named(piece, b"rport") {
                    out.raw(b";").raw(piece);
                }
            }
            let asked = via.rport().is_some();
            if asked || via.sent_by.ip() != Some(source.ip().to_canonical()) {
                out.raw(b";received=").put(Received(source.ip()));
            }
            if asked {
                out.raw(b";rport=").put_number(source.port().into());
            }
        }
        Err(_) => drop(out.raw(top)),
    }
    out.raw(others).raw(b"\r\n");
}

fn named(piece: &[u8], name: &[u8]) -> bool {
    let end = memchr::memchr(b'=', piece).unwrap_or(piece.len());
    trim(&piece[..end]).eq_ignore_ascii_case(name)
}

/// IPv6 stands without brackets in `received`; a mapped IPv4 address is written as IPv4.
struct Received(IpAddr);

impl Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_canonical().fmt(f)
    }
}
