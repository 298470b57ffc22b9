//! Inside an answered call.

use sip::{Message, Method, Now, ServerId};

use super::{Act, Ask, Phone, Purpose, Side, parse};

impl Phone {
    /// Decides what this party will do while it talks, and when it hangs up.
    pub(super) fn talk(&mut self, number: usize) {
        let talk = match self.dice.roll(6) {
            // It leaves that to the other, or to the limit of a call.
            5 => self.dice.millis(700_000, 800_000),
            0 => self.dice.millis(0, 50),
            1 | 2 => self.dice.millis(0, 5_000),
            3 => self.dice.millis(0, 40_000),
            _ => self.dice.millis(60_000, 200_000),
        };
        self.later(talk, Act::Leave(number));
        for _ in 0..self.dice.roll(5) {
            let asks = [
                Ask::Hold,
                Ask::Resume,
                Ask::LateOffer,
                Ask::Update,
                Ask::Info,
                Ask::Options,
            ];
            let ask = *self.dice.pick(&asks);
            let longest = u64::try_from(talk.as_millis()).unwrap().min(20_000);
            let wait = self.dice.millis(0, longest);
            self.later(wait, Act::Ask(number, ask));
        }
    }

    /// Asks the other party for something.
    pub(super) fn ask(&mut self, now: Now, number: usize, ask: Ask) {
        let session = &mut self.sessions[number];
        let busy = session.again.is_some() || session.unacked.is_some();
        if session.over || session.leaving || !session.up || session.invited.is_some() {
            return;
        }
        let method = match ask {
            Ask::Hold | Ask::Resume | Ask::LateOffer if busy => return,
            Ask::Hold | Ask::Resume | Ask::LateOffer => "INVITE",
            Ask::Update if busy => return,
            Ask::Update => "UPDATE",
            Ask::Info => "INFO",
            Ask::Options => "OPTIONS",
        };
        let (via, branch) = self.via();
        let Some(mut dialog) = self.sessions[number].dialog.take() else {
            return;
        };
        let mut out = dialog.request(method, via);
        self.sessions[number].dialog = Some(dialog);
        if matches!(method, "INVITE" | "UPDATE") {
            self.put_contact(&mut out);
        }
        let bytes = match ask {
            Ask::Hold => self.describe(&mut out, "sendonly"),
            Ask::Resume | Ask::Update => self.describe(&mut out, "sendrecv"),
            Ask::LateOffer | Ask::Info | Ask::Options => out.end(),
        };
        let purpose = match method {
            "INVITE" => Purpose::Again(ask),
            _ => Purpose::Other,
        };
        let id = self.request(now, number, purpose, &branch, bytes.clone());
        if method == "INVITE" {
            self.sessions[number].again = Some((id, bytes, false));
            if self.dice.chance(20) {
                let wait = self.dice.millis(0, 2_000);
                self.later(wait, Act::Recant(number));
            }
        }
    }

    /// Gives up a later INVITE of ours, once.
    pub(super) fn recant(&mut self, now: Now, number: usize) {
        let Some((_, invite, true)) = &mut self.sessions[number].again else {
            return;
        };
        let invite = std::mem::take(invite);
        let Some(bytes) = sip::cancel(&invite) else {
            return;
        };
        let branch = parse(&invite)
            .top_via()
            .unwrap()
            .branch()
            .unwrap()
            .to_owned();
        self.request(now, number, Purpose::Cancel, &branch, bytes);
    }

    /// A response to a later INVITE of ours.
    pub(super) fn agreed(
        &mut self,
        now: Now,
        number: usize,
        ask: Ask,
        cseq: u32,
        message: &Message,
    ) {
        let status = message.status().unwrap_or_default();
        if status < 200 {
            if let Some((_, _, heard)) = &mut self.sessions[number].again {
                *heard = true;
            }
            return;
        }
        self.sessions[number].again = None;
        match status {
            200..300 => {
                if self.acknowledged(number, message) {
                    return;
                }
                let Some(mut dialog) = self.sessions[number].dialog.take() else {
                    return;
                };
                dialog.refresh(message).unwrap();
                self.acknowledge(number, &dialog, cseq, ask == Ask::LateOffer);
                self.sessions[number].dialog = Some(dialog);
            }
            491 => {
                // RFC 3261 14.1: the owner of the Call-ID waits longer.
                let wait = match self.sessions[number].side {
                    Side::Caller => self.dice.millis(2_100, 4_000),
                    Side::Callee => self.dice.millis(0, 2_000),
                };
                self.later(wait, Act::Ask(number, ask));
            }
            // RFC 3261 12.2.1.2.
            481 => self.sessions[number].finish(now),
            408 => self.hang_up(now, number),
            _ => {}
        }
    }

    /// The other party asks for something.
    pub(super) fn asked_inside(&mut self, now: Now, id: ServerId, message: &Message) {
        let Some(number) = self.session_of(message) else {
            return self.say(now, id, message, 481);
        };
        let session = &mut self.sessions[number];
        let method = message.method().unwrap_or(Method::Extension);
        if session.over && method != Method::Bye {
            return self.say(now, id, message, 481);
        }
        if let Some(dialog) = &mut session.dialog
            && let Err(fault) = dialog.receive(message)
        {
            return self.say(now, id, message, fault.status);
        }
        match method {
            Method::Bye => self.left(now, number, id, message),
            Method::Invite => self.invited_again(now, number, id, message),
            Method::Update if self.is_negotiating(number) => self.say(now, id, message, 491),
            Method::Update if message.body().is_empty() => self.say(now, id, message, 200),
            Method::Update => {
                let mut out = sip::reply(message, 200, "OK", None);
                self.put_contact(&mut out);
                let bytes = self.describe(&mut out, "sendrecv");
                self.respond(now, id, 200, bytes);
            }
            _ => self.say(now, id, message, 200),
        }
    }

    fn is_negotiating(&self, number: usize) -> bool {
        let session = &self.sessions[number];
        session.again.is_some() || session.unacked.is_some() || session.invited.is_some()
    }

    fn invited_again(&mut self, now: Now, number: usize, id: ServerId, message: &Message) {
        if self.is_negotiating(number) {
            return self.say(now, id, message, 491);
        }
        match self.dice.roll(20) {
            0 => self.say(now, id, message, 488),
            1..=5 => {
                self.sessions[number].invited = Some((id, message.clone()));
                let wait = self.dice.millis(0, 3_000);
                self.later(wait, Act::Agree(number));
            }
            _ => self.accept(now, number, id, message, "sendrecv"),
        }
    }

    /// Answers a later INVITE that had to wait.
    pub(super) fn agree(&mut self, now: Now, number: usize) {
        if let Some((id, message)) = self.sessions[number].invited.take() {
            self.accept(now, number, id, &message, "sendrecv");
        }
    }

    /// A later INVITE that is not answered gets 487.
    pub(super) fn drop_invited(&mut self, now: Now, number: usize) {
        if let Some((id, message)) = self.sessions[number].invited.take() {
            self.say(now, id, &message, 487);
        }
    }

    /// The other party hung up.
    fn left(&mut self, now: Now, number: usize, id: ServerId, message: &Message) {
        self.say(now, id, message, 200);
        let session = &mut self.sessions[number];
        session.finish(now);
        session.unacked = None;
        self.drop_invited(now, number);
    }

    /// An ACK came.
    pub(super) fn acked(&mut self, now: Now, message: &Message) {
        let Some(number) = self.session_of(message) else {
            return;
        };
        let seq = message.cseq().map_or(0, |cseq| cseq.seq);
        let session = &mut self.sessions[number];
        let was = session.unacked.take_if(|(known, _)| *known == seq);
        if was.is_some() && session.leaving && !session.over {
            self.hang_up(now, number);
        }
    }

    /// Hangs up. RFC 3261 15: who answered waits for the ACK first, unless it has no manners.
    pub(super) fn hang_up(&mut self, now: Now, number: usize) {
        let session = &mut self.sessions[number];
        if session.over {
            return;
        }
        session.leaving = true;
        if session.unacked.is_some() && !self.dice.chance(10) {
            return;
        }
        self.drop_invited(now, number);
        let (via, branch) = self.via();
        let session = &mut self.sessions[number];
        session.finish(now);
        session.unacked = None;
        let Some(dialog) = &mut session.dialog else {
            return;
        };
        let bytes = dialog.request("BYE", via).end();
        self.request(now, number, Purpose::Bye, &branch, bytes);
    }
}
