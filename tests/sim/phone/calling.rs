//! The caller's side, until somebody answers.

use bytes::Bytes;
use sip::digest::{Client, Secret};
use sip::{ClientId, Dialog, Half, Message, Method, Name, Now};

use super::{Act, Phone, Purpose, Session, Side, parse};
use crate::node::PASSWORD;

impl Phone {
    pub(super) fn dial(&mut self, now: Now, uri: &str) {
        let call_id = format!("c{:x}-{}", self.dice.next(), self.index);
        let tag = format!("f{:x}", self.dice.next());
        let aor = self.aor();
        let half = Dialog::half(&Half {
            call_id: &call_id,
            local: format!("<{aor}>").as_bytes(),
            local_tag: &tag,
            remote: format!("<{uri}>").as_bytes(),
            target: uri,
            routes: &[],
            seq: 0,
        });
        let mut session = Session::new(Side::Caller, &call_id);
        session.half = Some(half);
        session.offered = !self.dice.chance(15);
        self.sessions.push(session);
        let number = self.sessions.len() - 1;
        self.invite(now, number, None);
        let patience = match self.dice.roll(4) {
            0 => self.dice.millis(0, 3_000),
            1 => self.dice.millis(0, 30_000),
            _ => self.dice.millis(100_000, 200_000),
        };
        self.later(patience, Act::Leave(number));
    }

    fn invite(&mut self, now: Now, session: usize, challenge: Option<&Message>) {
        let (via, branch) = self.via();
        let mut half = self.sessions[session].half.take().unwrap();
        let mut out = half.request("INVITE", via);
        self.put_contact(&mut out);
        if let Some(challenge) = challenge {
            let challenges = challenge.all(Name::ProxyAuthenticate);
            let secret = Secret::Password(PASSWORD.into());
            let client = Client::new(challenges, &self.user, &secret);
            let mut client = client.expect("a challenge we can answer");
            let entropy = self.dice.next();
            let value = client.authorize("INVITE", half.target(), b"", entropy);
            out.bytes(Name::ProxyAuthorization, &value);
        }
        let bytes = match self.sessions[session].offered {
            true => self.describe(&mut out, "sendrecv"),
            false => out.end(),
        };
        self.sessions[session].half = Some(half);
        let id = self.request(now, session, Purpose::Call, &branch, bytes.clone());
        self.sessions[session].inviting = Some((id, bytes, false));
    }

    /// A response to the INVITE that makes a session.
    pub(super) fn progress(&mut self, now: Now, number: usize, id: ClientId, message: &Message) {
        let status = message.status().unwrap_or_default();
        let session = &mut self.sessions[number];
        match status {
            ..200 => {
                if let Some((_, _, heard)) = &mut session.inviting {
                    *heard = true;
                }
                if message.to_tag().is_some() && status > 100 {
                    let half = session.half.as_ref();
                    session.early = half.and_then(|half| half.fork(message).ok());
                }
                if session.leaving {
                    self.cancel(now, number);
                }
            }
            200..300 => self.picked_up(now, number, message),
            407 if !session.authorized => {
                session.authorized = true;
                if session.leaving {
                    session.give_up(now, id);
                } else {
                    self.invite(now, number, Some(message));
                }
            }
            300.. => session.give_up(now, id),
        }
    }

    /// Somebody answered. A second one, behind another tag, is sent away.
    fn picked_up(&mut self, now: Now, number: usize, message: &Message) {
        if self.acknowledged(number, message) {
            return;
        }
        let session = &mut self.sessions[number];
        let half = session.half.as_ref().unwrap();
        let mut dialog = half.fork(message).expect("our 2xx makes a dialog");
        session.inviting = None;
        let cseq = message.cseq().unwrap().seq;
        let offered = session.offered;
        let is_first = session.dialog.is_none();
        let unwanted = session.leaving || session.over || !is_first;
        self.acknowledge(number, &dialog, cseq, !offered);
        if is_first {
            self.sessions[number].dialog = Some(dialog);
            if unwanted {
                self.hang_up(now, number);
            } else {
                self.sessions[number].up = true;
                self.talk(number);
            }
        } else {
            let (via, branch) = self.via();
            let bytes = dialog.request("BYE", via).end();
            self.request(now, number, Purpose::Bye, &branch, bytes);
        }
    }

    /// Whether a 2xx had its ACK before; it gets it again.
    pub(super) fn acknowledged(&mut self, number: usize, message: &Message) -> bool {
        let tag = message.to_tag().unwrap_or_default();
        let seq = message.cseq().map_or(0, |cseq| cseq.seq);
        let acks = &self.sessions[number].acks;
        let ack = acks
            .iter()
            .find(|(known, to, _)| *known == seq && to == tag)
            .map(|(_, _, bytes)| bytes.clone());
        let Some(ack) = ack else { return false };
        self.send(ack);
        true
    }

    /// Sends the ACK of a 2xx, with an answer if that had the offer.
    pub(super) fn acknowledge(&mut self, number: usize, dialog: &Dialog, cseq: u32, answer: bool) {
        let (via, _) = self.via();
        let mut out = dialog.ack(cseq, via);
        let bytes = match answer {
            true => self.describe(&mut out, "sendrecv"),
            false => out.end(),
        };
        let ack = (cseq, dialog.remote_tag().to_owned(), bytes.clone());
        self.sessions[number].acks.push(ack);
        self.send(bytes);
    }

    /// A 2xx whose transaction is over.
    pub(super) fn strayed(&mut self, message: &Message) {
        let is_answer = message.status().is_some_and(|s| (200..300).contains(&s));
        let is_invite = message.cseq().is_ok_and(|it| it.method == Method::Invite);
        let call_id = message.call_id().unwrap_or_default();
        let mut sessions = self.sessions.iter();
        let number = sessions.position(|session| *session.call_id == *call_id);
        if let (true, true, Some(number)) = (is_answer, is_invite, number) {
            self.acknowledged(number, message);
        }
    }

    /// Gives up, as far as it has come.
    pub(super) fn leave(&mut self, now: Now, number: usize) {
        let session = &mut self.sessions[number];
        if session.over || session.leaving {
            return;
        }
        if session.dialog.is_some() {
            return self.hang_up(now, number);
        }
        if session.inviting.is_none() {
            return;
        }
        session.leaving = true;
        if self.sessions[number].early.is_some() && self.dice.chance(15) {
            // RFC 3261 15: a caller may end an early dialog by BYE. The INVITE is answered 487.
            return self.bye_early(now, number);
        }
        self.cancel(now, number);
    }

    fn bye_early(&mut self, now: Now, number: usize) {
        let (via, branch) = self.via();
        let early = self.sessions[number].early.as_mut().unwrap();
        let bytes = early.request("BYE", via).end();
        self.request(now, number, Purpose::Bye, &branch, bytes);
    }

    /// Sends the CANCEL, once a provisional response came.
    fn cancel(&mut self, now: Now, number: usize) {
        let session = &mut self.sessions[number];
        let Some((_, invite, true)) = &session.inviting else {
            return;
        };
        if std::mem::replace(&mut session.cancelled, true) {
            return;
        }
        let bytes: Bytes = sip::cancel(invite).expect("an INVITE");
        let message = parse(&bytes);
        let branch = message.top_via().unwrap().branch().unwrap().to_owned();
        self.request(now, number, Purpose::Cancel, &branch, bytes);
    }
}
