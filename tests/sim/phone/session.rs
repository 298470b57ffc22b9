//! One call as one phone sees it.

use std::time::Duration;

use bytes::Bytes;
use sip::{ClientId, Dialog, Message, Now, Resend, Resend2xx, ServerId};

use super::Phone;

/// Who began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Callee,
}

/// One call as one phone sees it. It is kept after its end: repeats still come.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) side: Side,
    pub(crate) call_id: Box<str>,
    /// A caller's half, then the dialog.
    pub(crate) dialog: Option<Dialog>,
    /// The half that forks are made of; the caller's.
    pub(super) half: Option<Dialog>,
    /// The caller's early dialog.
    pub(super) early: Option<Dialog>,
    /// Our INVITE that is not answered: its transaction, its bytes, and whether anything came.
    pub(super) inviting: Option<(ClientId, Bytes, bool)>,
    pub(super) offered: bool,
    pub(super) authorized: bool,
    /// We want it to end.
    pub(super) leaving: bool,
    pub(super) cancelled: bool,
    /// The INVITE of the other side that we have not answered, the first or a later one.
    pub(super) invited: Option<(ServerId, Message)>,
    pub(super) tag: String,
    /// Our 2xx that has no ACK yet.
    pub(super) unacked: Option<(u32, Resend2xx)>,
    /// The ACK of the last 2xx to us, for its repeats.
    pub(super) acks: Vec<(u32, String, Bytes)>,
    /// Our later INVITE that is not answered: as `inviting`.
    pub(super) again: Option<(ClientId, Bytes, bool)>,
    /// Both have answered.
    pub(crate) up: bool,
    pub(crate) over: bool,
    /// When it was over.
    pub(crate) over_at: Option<Duration>,
}

impl Session {
    pub(super) fn new(side: Side, call_id: &str) -> Self {
        Self {
            side,
            call_id: call_id.into(),
            dialog: None,
            half: None,
            early: None,
            inviting: None,
            offered: true,
            authorized: false,
            leaving: false,
            cancelled: false,
            invited: None,
            tag: String::new(),
            unacked: None,
            acks: Vec::new(),
            again: None,
            up: false,
            over: false,
            over_at: None,
        }
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.unacked
            .as_ref()
            .and_then(|(_, resend)| resend.poll_timeout())
    }

    pub(super) fn finish(&mut self, now: Now) {
        self.over = true;
        self.over_at.get_or_insert(now.mono);
    }

    /// Our INVITE came to nothing.
    pub(super) fn give_up(&mut self, now: Now, id: ClientId) {
        if self
            .inviting
            .as_ref()
            .is_some_and(|(known, _, _)| *known == id)
        {
            self.inviting = None;
            self.finish(now);
        }
    }
}

impl Phone {
    /// Sends the 2xx of a session again if it is time. Without an ACK for 32 s it is ended.
    pub(super) fn resend(&mut self, now: Now, session: usize) {
        let Some((_, resend)) = &mut self.sessions[session].unacked else {
            return;
        };
        match resend.handle_timeout(now) {
            None => {}
            Some(Resend::Transmit(bytes)) => self.send(bytes),
            Some(Resend::GaveUp) => {
                self.sessions[session].unacked = None;
                self.hang_up(now, session);
            }
        }
    }

    /// The session that a request of the other side belongs to.
    pub(super) fn session_of(&self, request: &Message) -> Option<usize> {
        self.sessions.iter().position(|session| {
            let mut dialogs = [&session.dialog, &session.early].into_iter().flatten();
            dialogs.any(|dialog| dialog.owns(request))
        })
    }
}
