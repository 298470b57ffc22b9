//! The callee's side, until it answers.

use std::time::Duration;

use sip::{Dialog, Message, Now, Resend2xx, ServerId};

use super::{Act, Phone, Session, Side, Temper};

/// What refuses a call.
const REFUSALS: [u16; 8] = [486, 486, 603, 404, 302, 480, 488, 500];

/// How long a phone rings that nobody answers.
const PATIENCE: Duration = Duration::from_secs(240);

impl Phone {
    /// Somebody calls.
    pub(super) fn called(&mut self, now: Now, id: ServerId, message: &Message) {
        let call_id = message.call_id().unwrap_or_default();
        if self.sessions.iter().any(|it| *it.call_id == *call_id) {
            return self.say(now, id, message, 482);
        }
        let number = self.sessions.len();
        let mut session = Session::new(Side::Callee, call_id);
        session.invited = Some((id, message.clone()));
        session.tag = format!("g{:x}", self.dice.next());
        self.sessions.push(session);
        self.decide(number);
    }

    fn decide(&mut self, number: usize) {
        // No phone rings for ever: whoever called may be gone.
        self.later(PATIENCE, Act::Refuse(number, 480));
        let first = *self.dice.pick(&[0, 0, 5, 300, 2_000]);
        if first > 0 {
            let status = *self.dice.pick(&[180, 180, 180, 183]);
            let wait = self.dice.millis(0, first);
            self.later(wait, Act::Ring(number, status));
        }
        let most = *self.dice.pick(&[0, 500, 8_000, 40_000]);
        let wait = self.dice.millis(0, most);
        let act = match &self.temper {
            Temper::Friendly | Temper::Dying => Act::Answer(number),
            Temper::Firm(status) => Act::Refuse(number, *status),
            Temper::Absent | Temper::Mute => return self.later(wait, Act::Ring(number, 180)),
            Temper::Moody => match self.dice.roll(10) {
                0..=5 => Act::Answer(number),
                6..=8 => Act::Refuse(number, *self.dice.pick(&REFUSALS)),
                _ => Act::Ring(number, 180),
            },
        };
        self.later(wait, act);
    }

    pub(super) fn ring(&mut self, now: Now, number: usize, status: u16) {
        let session = &self.sessions[number];
        let Some((id, message)) = session.invited.clone().filter(|_| !session.up) else {
            return;
        };
        let mut out = sip::reply(&message, status, "Wait", Some(&session.tag));
        self.put_contact(&mut out);
        let bytes = match status {
            183 => self.describe(&mut out, "sendrecv"),
            _ => out.end(),
        };
        self.respond(now, id, status, bytes);
    }

    pub(super) fn refuse(&mut self, now: Now, number: usize, status: u16) {
        let session = &mut self.sessions[number];
        let Some((id, message)) = session.invited.take_if(|_| !session.up) else {
            return;
        };
        session.finish(now);
        let mut out = sip::reply(&message, status, "No", Some(&session.tag));
        if status == 302 {
            out.line("Contact", "<sip:elsewhere@203.0.113.9>");
        }
        let bytes = out.end();
        self.respond(now, id, status, bytes);
    }

    pub(super) fn answer(&mut self, now: Now, number: usize) {
        let session = &mut self.sessions[number];
        let Some((id, message)) = session.invited.take_if(|_| !session.up) else {
            return;
        };
        session.dialog = Dialog::uas(&message, &session.tag).ok();
        session.up = true;
        self.accept(now, number, id, &message, "sendrecv");
        self.talk(number);
    }

    /// Answers an INVITE, the first or a later one, with a 2xx.
    pub(super) fn accept(
        &mut self,
        now: Now,
        number: usize,
        id: ServerId,
        message: &Message,
        way: &str,
    ) {
        let tag = self.sessions[number].tag.clone();
        let mut out = sip::reply(message, 200, "OK", Some(&tag));
        self.put_contact(&mut out);
        let bytes = self.describe(&mut out, way);
        let seq = message.cseq().unwrap().seq;
        let resend = Resend2xx::new(now, bytes.clone());
        self.sessions[number].unacked = Some((seq, resend));
        self.respond(now, id, 200, bytes);
    }

    /// The caller gave up, or gave up a later INVITE.
    pub(super) fn cancelled(
        &mut self,
        now: Now,
        id: ServerId,
        invite: ServerId,
        message: &Message,
    ) {
        self.say(now, id, message, 200);
        let mut sessions = self.sessions.iter();
        let number = sessions.position(|session| {
            let known = session.invited.as_ref();
            known.is_some_and(|(known, _)| *known == invite)
        });
        let Some(number) = number else { return };
        if self.sessions[number].up {
            self.drop_invited(now, number);
        } else {
            self.refuse(now, number, 487);
        }
    }
}
