//! What a message is matched to its transaction by: RFC 3261 17.1.3 and 17.2.3.
//!
//! A key is a keyed hash of 128 bits. Peers choose what goes into it but do not know the seed, so
//! they can neither crowd a bucket nor make two transactions meet.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::{Message, Method, Name};

/// The secret of one holder's keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeySeed(pub(crate) [u8; 16]);

impl std::fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySeed(***)")
    }
}

/// Where a transaction is filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(u128);

impl Key {
    /// Enough of it for a hash table; the whole key is compared on a hit.
    pub(crate) const fn short(self) -> u64 {
        self.0 as u64
    }
}

/// The magic cookie of RFC 3261 8.1.1.7. A branch without it is an RFC 2543 peer's and no key.
const COOKIE: &str = "z9hG4bK";

impl KeySeed {
    /// What a request is filed under, or looked for. ACK belongs to its INVITE. `None` if its
    /// mandatory headers cannot be read.
    pub(crate) fn of_request(&self, request: &Message) -> Option<Key> {
        let method = match request.method()? {
            Method::Ack => Method::Invite.as_str(),
            _ => request.method_text(),
        };
        self.of_request_as(request, method)
    }

    /// What the INVITE is filed under that this CANCEL is for.
    pub(crate) fn of_cancelled(&self, cancel: &Message) -> Option<Key> {
        self.of_request_as(cancel, Method::Invite.as_str())
    }

    /// What a client transaction is filed under: its branch and method.
    pub(crate) fn of_sent(&self, branch: &str, method: Method) -> Key {
        self.file(Kind::Client)
            .text(branch.as_bytes())
            .text(method.as_str().as_bytes())
            .key()
    }

    /// What the transaction is filed under that this response is for (RFC 3261 17.1.3).
    pub(crate) fn of_response(&self, response: &Message) -> Option<Key> {
        let via = response.top_via().ok()?;
        Some(self.of_sent(via.branch()?, response.cseq().ok()?.method))
    }

    fn of_request_as(&self, request: &Message, method: &str) -> Option<Key> {
        let via = request.top_via().ok()?;
        match via.branch() {
            Some(branch) if has_cookie(branch) => {
                let mut file = self.file(Kind::Server);
                file.text(branch.as_bytes()).text(method.as_bytes());
                for byte in via.sent_by.host.bytes() {
                    file.0.write_u8(byte.to_ascii_lowercase());
                }
                file.0
                    .write_u32(via.sent_by.port.map_or(0, |port| u32::from(port) + 1));
                Some(file.key())
            }
            Some(_) | None => self.of_legacy(request, method),
        }
    }

    /// RFC 3261 17.2.3 for a peer without the cookie. The tag of To is left out, for the ACK has
    /// one that the INVITE had not; the CSeq number tells a re-INVITE from the first.
    fn of_legacy(&self, request: &Message, method: &str) -> Option<Key> {
        let mut file = self.file(Kind::Legacy);
        file.text(request.uri()?.as_bytes())
            .text(request.call_id()?.as_bytes())
            .text(request.from_tag().unwrap_or_default().as_bytes())
            .text(request.list(Name::Via).next()?)
            .text(method.as_bytes());
        file.0.write_u32(request.cseq().ok()?.seq);
        Some(file.key())
    }

    fn file(&self, kind: Kind) -> File {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write_u8(kind as u8);
        File(hasher)
    }
}

/// Which namespace a key is of: no key of one kind is equal to one of another.
#[derive(Clone, Copy)]
enum Kind {
    Server,
    Client,
    Legacy,
}

/// A key in the making.
struct File(SipHasher13);

impl File {
    /// One part; its length keeps it from running into the next.
    fn text(&mut self, part: &[u8]) -> &mut Self {
        self.0.write_usize(part.len());
        self.0.write(part);
        self
    }

    fn key(&self) -> Key {
        Key(self.0.finish128().as_u128())
    }
}

fn has_cookie(branch: &str) -> bool {
    branch
        .as_bytes()
        .get(..COOKIE.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(COOKIE.as_bytes()))
}
