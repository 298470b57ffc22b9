//! The two requests that are made of the INVITE they follow: RFC 3261 17.1.1.3 and 9.1.

use bytes::Bytes;

use crate::{Builder, Limits, Message, Method, Name};

/// The ACK of a failure response: Request-URI, Call-ID, From, CSeq number, top Via and Route are
/// the INVITE's, To is the response's. `None` if either lacks one of them.
pub(crate) fn ack(invite: &Bytes, response: &Message) -> Option<Bytes> {
    let invite = sent(invite)?;
    follow(&invite, Method::Ack, response)
}

/// The CANCEL of an INVITE that was sent: everything is the INVITE's, also the branch. `None` if
/// the bytes are no INVITE. It may be sent once a provisional response came.
#[must_use]
pub fn cancel(invite: &Bytes) -> Option<Bytes> {
    let invite = sent(invite)?;
    follow(&invite, Method::Cancel, &invite)
}

/// What we built ourselves was within every limit.
fn sent(invite: &Bytes) -> Option<Message> {
    let limits = Limits {
        message_bytes_max: usize::MAX,
        headers_max: usize::from(u16::MAX),
        line_bytes_max: usize::from(u16::MAX),
        body_bytes_max: usize::MAX,
    };
    let invite = Message::parse_datagram(invite.clone(), &limits).ok()?;
    (invite.method() == Some(Method::Invite)).then_some(invite)
}

fn follow(invite: &Message, method: Method, to: &Message) -> Option<Bytes> {
    let mut out = Builder::request(method.as_str(), invite.uri()?, 512);
    out.bytes(Name::Via, invite.list(Name::Via).next()?);
    out.line(Name::MaxForwards, 70);
    out.copy_all(invite, Name::Route);
    out.bytes(Name::From, invite.header(Name::From)?);
    out.bytes(Name::To, to.header(Name::To)?);
    out.bytes(Name::CallId, invite.header(Name::CallId)?);
    out.line(
        Name::CSeq,
        format_args!("{} {method}", invite.cseq().ok()?.seq),
    );
    Some(out.end())
}
