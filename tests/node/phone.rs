//! A user agent made of text: it writes every header itself and hides nothing of what it hears.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use sip::{
    Message, Method, Name,
    digest::{Client, Secret},
};

use crate::wire::{Heard, Wire};

/// A session description, told apart by its owner.
pub(crate) fn sdp(owner: &str) -> String {
    format!(
        "v=0\r\no={owner} 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 0 8\r\na=x-odd:\u{e9} kept\r\na=sendrecv\r\n"
    )
}

/// The lines that describe `sdp`.
pub(crate) const SDP: &str = "Content-Type: application/sdp\r\n";

/// A user agent on one socket.
pub(crate) struct Phone {
    pub(crate) wire: Wire,
    pub(crate) user: String,
    pub(crate) domain: String,
    register: Option<Out>,
    /// What was heard and may be said again: then it is passed over.
    heard: HashSet<Bytes>,
}

/// Something this phone said outside of a dialog, to be said again or answered to.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) branch: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) extra: String,
    pub(crate) body: String,
}

/// A dialog as one end sees it.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) call_id: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) cseq: u32,
}

fn fresh() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Out {
    /// The message, with the Via of `phone`.
    pub(crate) fn text(&self, phone: &Phone) -> String {
        let Self {
            method,
            uri,
            branch,
            from,
            to,
            call_id,
            cseq,
            extra,
            body,
        } = self;
        let via = phone.via(branch);
        let forwards = if extra.contains("Max-Forwards:") {
            ""
        } else {
            "Max-Forwards: 70\r\n"
        };
        format!(
            "{method} {uri} SIP/2.0\r\n{via}{forwards}From: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{extra}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// The same in a new transaction.
    pub(crate) fn anew(&self) -> Self {
        Self {
            branch: fresh(),
            cseq: self.cseq + 1,
            ..self.clone()
        }
    }

    /// With more lines.
    pub(crate) fn plus(&self, lines: &str) -> Self {
        Self {
            extra: format!("{}{lines}", self.extra),
            ..self.clone()
        }
    }

    /// Its CANCEL.
    pub(crate) fn cancel(&self) -> Self {
        Self {
            method: "CANCEL".into(),
            extra: String::new(),
            body: String::new(),
            ..self.clone()
        }
    }
}

impl Phone {
    pub(crate) fn new(wire: Wire, user: &str, domain: &str) -> Self {
        Self {
            wire,
            user: user.into(),
            domain: domain.into(),
            register: None,
            heard: HashSet::new(),
        }
    }

    fn via(&self, branch: &str) -> String {
        let transport = self.wire.transport.to_uppercase();
        let by = self.wire.local;
        format!("Via: SIP/2.0/{transport} {by};branch=z9hG4bK{branch};rport\r\n")
    }

    pub(crate) fn aor(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }

    pub(crate) fn contact(&self) -> String {
        let Wire {
            local, transport, ..
        } = &self.wire;
        match *transport {
            "udp" => format!("<sip:{}@{local}>", self.user),
            "wss" => format!("<sip:{}@{local};transport=ws>", self.user),
            _ => format!("<sip:{}@{local};transport={transport}>", self.user),
        }
    }

    // ---- requests

    /// A request outside of dialogs.
    pub(crate) fn request(&self, method: &str, uri: &str) -> Out {
        Out {
            method: method.into(),
            uri: uri.into(),
            branch: fresh(),
            from: format!("<{}>;tag=f{}", self.aor(), fresh()),
            to: format!("<{uri}>"),
            call_id: format!("{}@test", fresh()),
            cseq: 1,
            extra: String::new(),
            body: String::new(),
        }
    }

    /// An INVITE with an offer.
    pub(crate) fn invite(&self, uri: &str) -> Out {
        Out {
            extra: format!("Contact: {}\r\n{SDP}", self.contact()),
            body: sdp(&self.user),
            ..self.request("INVITE", uri)
        }
    }

    /// A REGISTER; every one of a phone has the same Call-ID.
    pub(crate) fn registration(&mut self, lines: &str) -> Out {
        let fresh = match &self.register {
            Some(last) => last.anew(),
            None => Out {
                to: format!("<{}>", self.aor()),
                ..self.request("REGISTER", &format!("sip:{}", self.domain))
            },
        };
        self.register = Some(fresh.clone());
        fresh.plus(lines)
    }

    /// Registers this phone, at a domain that asks for nothing.
    pub(crate) async fn register(&mut self) {
        let contact = format!("Contact: {}\r\n", self.contact());
        let register = self.registration(&contact);
        let answer = self.ask(&register).await;
        assert_eq!(answer.status(), Some(200), "{answer:?}");
    }

    pub(crate) async fn say(&mut self, out: &Out) {
        let text = out.text(self);
        self.wire.send(text.as_bytes()).await;
    }

    /// Sends a request and hears its final answer.
    pub(crate) async fn ask(&mut self, out: &Out) -> Message {
        self.say(out).await;
        self.final_answer().await
    }

    /// The same for somebody who must prove to be `user`.
    pub(crate) async fn ask_as(&mut self, out: &Out, user: &str, password: &str) -> Message {
        let challenge = self.ask(out).await;
        if out.method == "INVITE" {
            self.ack_refusal(out, &challenge).await;
        }
        let again = answer(&out.anew(), &challenge, user, password);
        if let Some(register) = &mut self.register {
            register.cseq = register.cseq.max(again.cseq);
        }
        self.ask(&again).await
    }

    // ---- what comes

    /// The next message that is no repeat.
    pub(crate) async fn hear(&mut self) -> Message {
        loop {
            let message = match self.wire.hear().await {
                Heard::Message(message) => *message,
                other => panic!("{} heard {other:?}", self.user),
            };
            // A 200 to INVITE is repeated over every transport until its ACK comes.
            let accepted = message.status() == Some(200)
                && message
                    .cseq()
                    .is_ok_and(|cseq| cseq.method == Method::Invite);
            let repeats = self.wire.transport == "udp" || accepted;
            if !repeats || self.heard.insert(message.bytes().clone()) {
                return message;
            }
        }
    }

    /// From here on a repeat of this message is heard again.
    pub(crate) fn forget(&mut self, message: &Message) {
        self.heard.remove(message.bytes());
    }

    /// The next response that is not a 100.
    pub(crate) async fn answer(&mut self) -> Message {
        loop {
            let message = self.hear().await;
            match message.status() {
                Some(100) => {}
                Some(_) => return message,
                None => panic!("{} heard {message:?}", self.user),
            }
        }
    }

    /// The next final response.
    pub(crate) async fn final_answer(&mut self) -> Message {
        loop {
            let message = self.answer().await;
            if message.status() >= Some(200) {
                return message;
            }
        }
    }

    /// The response `status`.
    pub(crate) async fn expect(&mut self, status: u16) -> Message {
        let message = self.answer().await;
        assert_eq!(message.status(), Some(status), "{message:?}");
        message
    }

    /// The next request, which must be this one.
    pub(crate) async fn request_of(&mut self, method: Method) -> Message {
        let message = self.hear().await;
        assert_eq!(message.method(), Some(method), "{message:?}");
        message
    }

    /// Nothing has come that was not heard: the answer to an OPTIONS overtakes nothing.
    pub(crate) async fn expect_silence(&mut self) {
        let options = self.request("OPTIONS", &format!("sip:{}", self.domain));
        let answer = self.ask(&options).await;
        assert_eq!(answer.call_id(), Some(&*options.call_id), "{answer:?}");
    }

    /// The connection ends.
    pub(crate) async fn expect_end(&mut self) -> Option<u16> {
        loop {
            if let Heard::Closed(code) = self.wire.hear().await {
                return code;
            }
        }
    }

    // ---- answers

    /// Answers `request`; `lines` and a body stand at its end.
    pub(crate) async fn respond(
        &mut self,
        request: &Message,
        status: u16,
        tag: &str,
        lines: &str,
        body: &str,
    ) {
        let mut out = sip::reply(request, status, "Answered", Some(tag));
        out.copy_all(request, Name::RecordRoute);
        if matches!(request.method(), Some(Method::Invite | Method::Update)) && status < 300 {
            out.line(Name::Contact, self.contact());
        }
        let bytes = out.raw(lines.as_bytes()).body(None, body.as_bytes());
        self.wire.send(&bytes).await;
    }

    /// A plain 200.
    pub(crate) async fn ok(&mut self, request: &Message) {
        self.respond(request, 200, "t", "", "").await;
    }

    /// Accepts an INVITE.
    pub(crate) async fn accept(&mut self, invite: &Message) -> Talk {
        let (tag, body) = (fresh(), sdp(&self.user));
        self.respond(invite, 200, &tag, SDP, &body).await;
        Talk::callee(invite, &tag)
    }

    /// Acknowledges a refusal of `invite`.
    pub(crate) async fn ack_refusal(&mut self, invite: &Out, refusal: &Message) {
        let ack = Out {
            method: "ACK".into(),
            to: refusal.text(Name::To).unwrap().into(),
            extra: String::new(),
            body: String::new(),
            ..invite.clone()
        };
        self.say(&ack).await;
    }

    /// Acknowledges the acceptance of `invite`.
    pub(crate) async fn ack(&mut self, invite: &Out, ok: &Message, body: &str) -> Talk {
        let talk = Talk::caller(invite, ok);
        self.ack_in(&talk, invite.cseq, body).await;
        talk
    }

    /// Acknowledges number `cseq` of a dialog.
    pub(crate) async fn ack_in(&mut self, talk: &Talk, cseq: u32, body: &str) {
        let lines = if body.is_empty() { "" } else { SDP };
        let ack = Out {
            cseq,
            ..talk.out("ACK", lines, body)
        };
        self.say(&ack).await;
    }

    /// Refuses an INVITE and hears the ACK.
    pub(crate) async fn reject(&mut self, invite: &Message, status: u16) {
        self.respond(invite, status, "r", "", "").await;
        self.request_of(Method::Ack).await;
    }

    // ---- inside a dialog

    /// The next request of a dialog.
    pub(crate) fn within(&self, talk: &mut Talk, method: &str, lines: &str, body: &str) -> Out {
        talk.cseq += 1;
        let contact = if matches!(method, "INVITE" | "UPDATE") {
            format!("Contact: {}\r\n", self.contact())
        } else {
            String::new()
        };
        talk.out(method, &format!("{contact}{lines}"), body)
    }

    /// Hangs up; `other` hears it.
    pub(crate) async fn hang_up(&mut self, talk: &mut Talk, other: &mut Self) {
        let bye = self.within(talk, "BYE", "", "");
        self.say(&bye).await;
        self.expect(200).await;
        let heard = other.request_of(Method::Bye).await;
        other.ok(&heard).await;
    }
}

impl Talk {
    /// As the caller sees it once `answer` came, early or for good.
    pub(crate) fn caller(invite: &Out, answer: &Message) -> Self {
        Self {
            call_id: invite.call_id.clone(),
            local: invite.from.clone(),
            remote: answer.text(Name::To).unwrap().into(),
            target: target(answer),
            cseq: invite.cseq,
        }
    }

    pub(crate) fn callee(invite: &Message, tag: &str) -> Self {
        Self {
            call_id: invite.call_id().unwrap().into(),
            local: format!("{};tag={tag}", invite.text(Name::To).unwrap()),
            remote: invite.text(Name::From).unwrap().into(),
            target: target(invite),
            cseq: 0,
        }
    }

    fn out(&self, method: &str, lines: &str, body: &str) -> Out {
        Out {
            method: method.into(),
            uri: self.target.clone(),
            branch: fresh(),
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.call_id.clone(),
            cseq: self.cseq,
            extra: lines.into(),
            body: body.into(),
        }
    }
}

fn target(message: &Message) -> String {
    message.contacts().next().unwrap().unwrap().uri.into()
}

/// `out` with the answer to `challenge`.
pub(crate) fn answer(out: &Out, challenge: &Message, user: &str, password: &str) -> Out {
    credentials(out, &mut client(challenge, user, password))
}

/// `out` with the next answer of `client`.
pub(crate) fn credentials(out: &Out, client: &mut Client) -> Out {
    let header = match &*out.method {
        "REGISTER" => "Authorization",
        _ => "Proxy-Authorization",
    };
    let value = client.authorize(&out.method, &out.uri, out.body.as_bytes(), 7);
    out.plus(&format!(
        "{header}: {}\r\n",
        String::from_utf8(value).unwrap()
    ))
}

/// Who answers the challenges of `refusal`.
pub(crate) fn client(refusal: &Message, user: &str, password: &str) -> Client {
    let name = match refusal.status() {
        Some(401) => Name::WwwAuthenticate,
        Some(407) => Name::ProxyAuthenticate,
        _ => panic!("{refusal:?}"),
    };
    Client::new(refusal.all(name), user, &Secret::Password(password.into())).unwrap()
}
