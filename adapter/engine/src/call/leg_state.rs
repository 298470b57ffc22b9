//! One leg as its call knows it: an INVITE usage with one party.

use std::time::Duration;

use bus_schema::{Actor, LegState, Text};
use bytes::Bytes;
use sip::{ClientId, Dialog, Message, Resend2xx};

use super::compose::Reasons;
use super::reliable::Late;
use super::session::{Asked, SessionTimer};
use crate::hop::{Hop, Target};
use crate::token::LegId;

/// One leg. What is rare or short-lived is boxed: an answered call holds two of these for hours.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    /// Whose leg it is: `Caller` or `Callee`.
    pub(super) party: Actor,
    /// None while the target's name is being looked up.
    pub(super) hop: Option<Hop>,
    /// Set at the answer; early dialogs need no more than their tags.
    pub(super) dialog: Option<Dialog>,
    /// Our INVITE that has no final response yet.
    pub(super) inviting: Option<Box<Inviting>>,
    /// A 2xx of ours that has no ACK yet.
    pub(super) unacked: Option<Box<Unacked>>,
    pub(super) ack: Ack,
    /// A reliable provisional response of ours without PRACK.
    pub(super) late: Option<Box<Late>>,
    /// When the session is over unless it is renewed (RFC 4028).
    pub(super) timer: Option<Box<SessionTimer>>,
    /// What numbers the branches, so that they differ across restarts too.
    pub(super) branches: u32,
    /// Whether the party has put us on hold.
    pub(super) holds: bool,
    /// Whether our Contact is `sips:`.
    pub(super) sips: bool,
    /// A BYE that may not go out before the ACK (RFC 3261 15).
    pub(super) bye_due: Option<Box<Reasons>>,
    pub(super) state: LegState,
    pub(super) uri: Text,
    pub(super) aor: Option<Text>,
    pub(super) call_id_hash: Text,
    /// Unix milliseconds.
    pub(super) answered_at: Option<u64>,
}

/// An INVITE of ours under way.
#[derive(Debug)]
pub(super) struct Inviting {
    /// The transaction on the present hop; none while the name is looked up.
    pub(super) client: Option<ClientId>,
    pub(super) branch: Box<str>,
    /// The INVITE, from which its CANCEL is made.
    pub(super) bytes: Bytes,
    /// Our half of the dialogs that answers to it make.
    pub(super) half: Option<Dialog>,
    /// Whether it carried an offer; if not, the 2xx does.
    pub(super) offered: bool,
    pub(super) target: Target,
    /// Its CSeq number; more than 1 once it was refused for a session too short.
    pub(super) seq: u32,
    /// How long a session it asks for.
    pub(super) session: Option<Asked>,
    /// Where to go on if this hop fails (RFC 3263 4.3), the next one last.
    pub(super) spare: Vec<Hop>,
    /// The hop that it was too large for, and that it takes if there is nobody over TCP.
    pub(super) by_udp: Option<Hop>,
    /// A CANCEL may go out only after a provisional response (RFC 3261 9.1).
    pub(super) provisional: bool,
    /// Nobody wants the answer any more; why, for the CANCEL.
    pub(super) lost: Option<Reasons>,
    pub(super) cancelled: bool,
    /// When it was lost or refused, in Unix milliseconds.
    pub(super) over_at: Option<u64>,
    /// Timer C (RFC 3261 16.6 step 11), or None once given up.
    pub(super) timer_c: Option<Duration>,
    /// The answer, while it has to wait for a PRACK of the caller.
    pub(super) held: Option<Box<Message>>,
}

/// A 2xx of ours that is sent again until its ACK comes (RFC 3261 13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) cseq: u32,
    pub(super) resend: Resend2xx,
    /// The leg whose 2xx this one passed on: it gets the ACK.
    pub(super) peer: Option<LegId>,
}

/// The ACK of the last 2xx that the party sent us.
#[derive(Debug)]
pub(super) enum Ack {
    /// No 2xx has come.
    None,
    /// Waits for the other party's ACK. A 2xx with an offer must not be left without an answer.
    Owed(Box<Owed>),
    /// What makes the same ACK again, should the 2xx be repeated.
    Sent {
        cseq: u32,
        branch: u32,
        answer: Option<Box<(Bytes, Bytes)>>,
    },
}

/// What an ACK that has not been sent will have to answer.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) cseq: u32,
    /// The body of the 2xx if it is an offer, that is if our INVITE had none.
    pub(super) offer: Option<Bytes>,
}

impl Leg {
    /// Whether the party has answered and not hung up.
    pub(super) fn is_up(&self) -> bool {
        self.dialog.is_some()
    }

    /// The earliest moment something has to be done for it.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let resend = self
            .unacked
            .as_ref()
            .and_then(|unacked| unacked.resend.poll_timeout());
        let timer_c = self.inviting.as_ref().and_then(|inviting| inviting.timer_c);
        let session = self.timer.as_ref().map(|timer| timer.due);
        [resend, timer_c, session].into_iter().flatten().min()
    }
}
