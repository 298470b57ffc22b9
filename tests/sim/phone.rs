//! A user agent on `sip::Endpoint` and `sip::Dialog`. It keeps to the RFCs, except where its
//! temper says otherwise, and writes down what became of each of its requests.

mod answering;
mod calling;
mod session;
mod talking;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::Transport;
use sip::endpoint::{Input, Output};
use sip::{
    Builder, ClientId, Endpoint, EndpointSettings, Failure, Message, Method, Name, Now, ServerId,
};

use crate::dice::Dice;
use crate::node::DOMAIN;
pub(crate) use session::{Session, Side};

/// What a phone may do by and by; a number is its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Call this URI.
    Dial(String),
    /// Ring, or ring with media.
    Ring(usize, u16),
    Answer(usize),
    /// Answer a later INVITE.
    Agree(usize),
    /// Give up a later INVITE of our own.
    Recant(usize),
    Refuse(usize, u16),
    /// Give up, or hang up.
    Leave(usize),
    /// Ask the other party for something.
    Ask(usize, Ask),
}

/// What is asked inside a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Hold,
    Resume,
    /// A re-INVITE without an offer.
    LateOffer,
    Update,
    Info,
    Options,
}

/// How a phone treats those who call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// It does as it likes each time.
    Moody,
    /// It answers.
    Friendly,
    /// It rings until it is told not to.
    Absent,
    /// It refuses with this.
    Firm(u16),
    /// It does not say a word, ever.
    Mute,
    /// It answers and then does not say a word any more.
    Dying,
}

/// What a phone does to the world.
pub(crate) enum Does {
    Send(Bytes),
    Later(Duration, Act),
}

/// Why a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The INVITE that makes the session.
    Call,
    /// One inside it.
    Again(Ask),
    Bye,
    Cancel,
    Other,
}

/// One request of a phone and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) session: usize,
    pub(super) purpose: Purpose,
    pub(crate) method: Method,
    pub(crate) cseq: u32,
    pub(crate) call_id: Box<str>,
    pub(crate) at: Duration,
    /// Every end it came to: one, if all is well.
    pub(crate) outcomes: Vec<Result<u16, Failure>>,
}

impl Asked {
    /// Whether it was to make a call.
    pub(crate) fn is_first_invite(&self) -> bool {
        self.purpose == Purpose::Call
    }

    /// Whether the other party is asked, and not the node alone.
    pub(crate) fn is_passed_on(&self) -> bool {
        match self.purpose {
            Purpose::Again(_) | Purpose::Other => true,
            Purpose::Call | Purpose::Bye | Purpose::Cancel => false,
        }
    }
}

/// The phone.
pub(crate) struct Phone {
    pub(crate) index: usize,
    pub(crate) user: String,
    pub(crate) addr: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) temper: Temper,
    /// It hears and says nothing more.
    pub(crate) dead: bool,
    pub(crate) sessions: Vec<Session>,
    pub(crate) asked: BTreeMap<ClientId, Asked>,
    pub(crate) out: Vec<Does>,
    pub(super) dice: Dice,
    pub(super) endpoint: Endpoint,
    next_client: u32,
    next_branch: u32,
}

pub(super) fn parse(bytes: &Bytes) -> Message {
    Message::parse_datagram(bytes.clone(), &sip::Limits::default()).unwrap()
}

impl Phone {
    pub(crate) fn new(
        index: usize,
        transport: Transport,
        temper: Temper,
        settings: &Arc<EndpointSettings>,
        dice: Dice,
    ) -> Self {
        let host = u8::try_from(index + 1).unwrap();
        Self {
            index,
            user: format!("p{index}"),
            addr: SocketAddr::from(([198, 51, 100, host], 5060)),
            transport,
            dead: temper == Temper::Mute,
            temper,
            sessions: Vec::new(),
            asked: BTreeMap::new(),
            out: Vec::new(),
            dice,
            endpoint: Endpoint::new(settings.clone()),
            next_client: 0,
            next_branch: 0,
        }
    }

    /// Where it can be reached: what it registers, and the Contact of its dialogs.
    pub(crate) fn contact(&self) -> String {
        let Self { user, addr, .. } = self;
        match self.transport {
            Transport::Tcp => format!("sip:{user}@{addr};transport=tcp"),
            Transport::Ws => format!("sip:{user}@{user}.invalid;transport=ws"),
            _ => format!("sip:{user}@{addr}"),
        }
    }

    fn is_reliable(&self) -> bool {
        self.transport.is_reliable()
    }

    /// A Via and its branch.
    pub(super) fn via(&mut self) -> (String, String) {
        self.next_branch += 1;
        let branch = format!("z9hG4bKp{}x{}", self.index, self.next_branch);
        let (transport, addr) = (self.transport.via(), self.addr);
        let via = format!("SIP/2.0/{transport} {addr};branch={branch};rport");
        (via, branch)
    }

    pub(super) fn sdp(&self, way: &str) -> String {
        let (user, ip) = (&self.user, self.addr.ip());
        format!(
            "v=0\r\no={user} 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 0 8\r\na={way}\r\n"
        )
    }

    /// Ends a message with a session description.
    pub(super) fn describe(&self, out: &mut Builder, way: &str) -> Bytes {
        out.body(Some(b"application/sdp"), self.sdp(way).as_bytes())
    }

    pub(super) fn put_contact(&self, out: &mut Builder) {
        out.line(Name::Contact, format_args!("<{}>", self.contact()));
    }

    pub(super) fn aor(&self) -> String {
        format!("sip:{}@{DOMAIN}", self.user)
    }

    pub(super) fn later(&mut self, wait: Duration, act: Act) {
        self.out.push(Does::Later(wait, act));
    }

    /// Sends a request in a transaction of its own.
    pub(super) fn request(
        &mut self,
        now: Now,
        session: usize,
        purpose: Purpose,
        branch: &str,
        bytes: Bytes,
    ) -> ClientId {
        self.next_client += 1;
        let id = ClientId(self.next_client);
        let message = parse(&bytes);
        let method = message.method().unwrap();
        let asked = Asked {
            session,
            purpose,
            method,
            cseq: message.cseq().unwrap().seq,
            call_id: message.call_id().unwrap_or_default().into(),
            at: now.mono,
            outcomes: Vec::new(),
        };
        self.asked.insert(id, asked);
        let input = Input::Request {
            id,
            method,
            branch: branch.into(),
            bytes,
            reliable: self.is_reliable(),
        };
        self.endpoint.handle(now, input);
        id
    }

    pub(super) fn respond(&mut self, now: Now, id: ServerId, status: u16, bytes: Bytes) {
        self.endpoint
            .handle(now, Input::Respond { id, status, bytes });
    }

    /// Answers with no more than a status.
    pub(super) fn say(&mut self, now: Now, id: ServerId, request: &Message, status: u16) {
        let tag = self.dice.next();
        let tag = format!("t{tag:x}");
        let bytes = sip::reply(request, status, "So", Some(&tag)).end();
        self.respond(now, id, status, bytes);
    }

    pub(super) fn send(&mut self, bytes: Bytes) {
        if self.dead {
            return;
        }
        self.out.push(Does::Send(bytes));
    }

    // ---- from the world

    /// A message came.
    pub(crate) fn received(&mut self, now: Now, message: Message) {
        if self.dead {
            return;
        }
        let reliable = self.is_reliable();
        let input = Input::Received { message, reliable };
        self.endpoint.handle(now, input);
        self.drain(now);
    }

    /// Time has passed.
    pub(crate) fn timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
        for session in 0..self.sessions.len() {
            self.resend(now, session);
        }
        self.drain(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let resends = self.sessions.iter().filter_map(Session::timeout);
        resends.chain(self.endpoint.poll_timeout()).min()
    }

    /// What was sent cannot be delivered: there is no connection.
    pub(crate) fn undelivered(&mut self, now: Now, bytes: &Bytes) {
        let message = parse(bytes);
        let branch = message.top_via().ok().and_then(|via| via.branch());
        let client = message.is_request().then_some(branch).flatten();
        let id = self
            .asked
            .iter()
            .find(|(_, asked)| {
                asked.outcomes.is_empty()
                    && Some(asked.method) == message.method()
                    && message.cseq().is_ok_and(|cseq| cseq.seq == asked.cseq)
                    && message.call_id() == Some(&*asked.call_id)
            })
            .map(|(id, _)| *id);
        if let (Some(_), Some(id)) = (client, id) {
            self.endpoint.handle(now, Input::Unreachable { id });
            self.drain(now);
        }
    }

    pub(crate) fn act(&mut self, now: Now, act: Act) {
        if self.dead {
            return;
        }
        match act {
            Act::Dial(uri) => self.dial(now, &uri),
            Act::Ring(session, status) => self.ring(now, session, status),
            Act::Answer(session) => {
                self.answer(now, session);
                self.drain(now);
                self.dead = self.temper == Temper::Dying;
            }
            Act::Agree(session) => self.agree(now, session),
            Act::Recant(session) => self.recant(now, session),
            Act::Refuse(session, status) => self.refuse(now, session, status),
            Act::Leave(session) => self.leave(now, session),
            Act::Ask(session, ask) => self.ask(now, session, ask),
        }
        self.drain(now);
    }

    fn drain(&mut self, now: Now) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { bytes, .. } => self.send(bytes),
                Output::Request { id, message } => self.asked_for(now, id, &message),
                Output::Ack { message } => self.acked(now, &message),
                Output::Cancel {
                    id,
                    invite,
                    message,
                } => self.cancelled(now, id, invite, &message),
                Output::Response { id, message } => self.answered(now, id, &message),
                Output::Stray { message } => self.strayed(&message),
                Output::Failed { id, why } => self.failed(now, id, why),
                Output::NoAck { .. } | Output::Refused { .. } | Output::Ended { .. } => {}
            }
        }
    }

    fn asked_for(&mut self, now: Now, id: ServerId, message: &Message) {
        match (message.method(), message.to_tag()) {
            (Some(Method::Invite), None) => self.called(now, id, message),
            (Some(_), Some(_)) => self.asked_inside(now, id, message),
            _ => self.say(now, id, message, 481),
        }
    }

    /// A response to a request of ours.
    fn answered(&mut self, now: Now, id: ClientId, message: &Message) {
        let Some(asked) = self.asked.get_mut(&id) else {
            return;
        };
        let status = message.status().unwrap_or_default();
        let (session, purpose, cseq) = (asked.session, asked.purpose, asked.cseq);
        let again = asked.outcomes == [Ok(status)] && asked.method == Method::Invite;
        if status >= 200 && !(again && status < 300) {
            asked.outcomes.push(Ok(status));
        }
        match purpose {
            Purpose::Call => self.progress(now, session, id, message),
            Purpose::Again(ask) => self.agreed(now, session, ask, cseq, message),
            Purpose::Bye | Purpose::Cancel => {}
            Purpose::Other if matches!(status, 481 | 408) => self.sessions[session].finish(now),
            Purpose::Other => {}
        }
    }

    fn failed(&mut self, now: Now, id: ClientId, why: Failure) {
        let Some(asked) = self.asked.get_mut(&id) else {
            return;
        };
        asked.outcomes.push(Err(why));
        let (session, purpose) = (asked.session, asked.purpose);
        match purpose {
            Purpose::Call => self.sessions[session].give_up(now, id),
            // RFC 3261 12.2.1.2: as if a 408 had come.
            Purpose::Again(_) | Purpose::Other => {
                self.sessions[session].again = None;
                self.hang_up(now, session);
            }
            Purpose::Bye | Purpose::Cancel => {}
        }
    }

    /// What is left, in words.
    pub(crate) fn residue(&self) -> Vec<String> {
        let mut left = Vec::new();
        if !self.endpoint.is_empty() {
            left.push(format!("{} transactions", self.endpoint.len()));
        }
        for (number, session) in self.sessions.iter().enumerate() {
            if !session.over {
                left.push(format!("session {number}: {session:?}"));
            }
        }
        left
    }
}
