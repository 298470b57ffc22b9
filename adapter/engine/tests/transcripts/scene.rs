//! A call on a stage: it is told what its peers do, and what it does is written down.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bus_schema::{CallCommand, CallEvent, CallVerb, Hangup};
use bytes::Bytes;
use engine::route::Plan;
use engine::{
    Call, CallKey, Home, Hop, Input, LegEvent, LegId, Origin, Originate, Output, Replacement,
    ReplyToken, Setup, Target,
};
use sip::{ClientId, Failure, Message, Now, ServerId, reply};

pub(crate) use crate::props::*;
use crate::words::{check_events, describe, summary};

/// How the caller calls us while it knows no tag of ours.
const EARLY: &str = "<sip:bob@example.test>;tag=early";

/// The call, its clock, and what was last said on each leg.
pub(crate) struct Scene {
    pub(crate) call: Call,
    pub(crate) now: Now,
    /// What has been done and not yet been looked at.
    told: String,
    /// All that has been told the bus.
    pub(crate) events: Vec<CallEvent>,
    /// The last request on each leg that waits for responses, by method.
    requests: HashMap<(LegId, String), (ClientId, Message)>,
    /// The last final response or ACK on each leg.
    pub(crate) sent: HashMap<LegId, Message>,
    /// The tags and the Call-ID of each leg's peer dialog.
    peers: HashMap<LegId, Peer>,
    servers: u32,
    /// The legs that were opened and not closed.
    open: HashSet<LegId>,
    pub(crate) record: Option<Bytes>,
    pub(crate) is_ended: bool,
    /// The way to a party that is called later.
    pub(crate) plan: Plan,
}

struct Peer {
    call_id: String,
    from: String,
    to: String,
    seq: u32,
    /// Of its last INVITE: its ACK has that number.
    invite: u32,
}

impl Scene {
    /// A call of alice to these groups of targets.
    pub(crate) fn inbound(plan: Vec<Vec<Target>>) -> Self {
        Self::inbound_with(plan, invite("", OFFER))
    }

    pub(crate) fn inbound_with(plan: Vec<Vec<Target>>, message: Message) -> Self {
        Self::built(home(), Origin::Inbound(Box::new(inbound(plan, message)))).with_caller()
    }

    /// An agent's call of alice and then bob.
    pub(crate) fn originate(first: Vec<Vec<Target>>, second: Vec<Vec<Target>>) -> Self {
        Self::originate_with(originate(first), second)
    }

    pub(crate) fn originate_with(originate: Originate, second: Vec<Vec<Target>>) -> Self {
        Self::originate_at((*home()).clone(), originate, second)
    }

    pub(crate) fn originate_at(home: Home, originate: Originate, second: Vec<Vec<Target>>) -> Self {
        let mut scene = Self::built(Arc::new(home), Origin::Originate(Box::new(originate)));
        scene.plan = Plan::Fork { groups: second };
        scene
    }

    pub(crate) fn inbound_at(home: Home, plan: Vec<Vec<Target>>) -> Self {
        Self::inbound_at_with(home, plan, invite("", OFFER))
    }

    pub(crate) fn inbound_at_with(home: Home, plan: Vec<Vec<Target>>, message: Message) -> Self {
        let origin = Origin::Inbound(Box::new(inbound(plan, message)));
        Self::built(Arc::new(home), origin).with_caller()
    }

    fn with_caller(mut self) -> Self {
        let peer = Peer {
            call_id: "from-alice".into(),
            from: "\"Alice\" <sip:alice@example.test>;tag=alice".into(),
            to: EARLY.into(),
            seq: 1,
            invite: 1,
        };
        self.peers.insert(A, peer);
        self
    }

    /// Looks at what a call has to say of itself.
    pub(crate) fn look(&mut self) {
        self.drain();
    }

    /// The last request we sent of this method.
    pub(crate) fn last_request(&self, leg: LegId, method: &str) -> &Message {
        &self.requests[&(leg, method.to_owned())].1
    }

    /// The peer of `leg` acknowledges our 2xx to its request number `seq`.
    pub(crate) fn ack_seq(&mut self, leg: LegId, seq: u32) {
        let peer = self.peers.get_mut(&leg).unwrap();
        let now = std::mem::replace(&mut peer.invite, seq);
        self.ack(leg, "");
        self.peers.get_mut(&leg).unwrap().invite = now;
    }

    /// The caller knows us by the early dialog of what it heard last.
    pub(crate) fn enter_early(&mut self) {
        let to = self.sent[&A].text(sip::Name::To).unwrap().to_owned();
        self.peers.get_mut(&A).unwrap().to = to;
    }

    /// The dialog of an answered leg: Call-ID, our tag, its phone's tag.
    pub(crate) fn dialog(&self, leg: LegId) -> (String, String, String) {
        let peer = &self.peers[&leg];
        let tag = |value: &str| {
            let (_, tag) = value.rsplit_once("tag=").unwrap();
            tag.to_owned()
        };
        (peer.call_id.clone(), tag(&peer.to), tag(&peer.from))
    }

    /// Somebody asks for the place of a party, and will be this leg.
    pub(crate) fn newcomer(&mut self, leg: LegId, message: Message) -> ServerId {
        let remote = SocketAddr::from(([192, 0, 2, 3], 5060));
        let hop = Hop::Udp {
            listener: 0,
            remote,
        };
        self.newcomer_by(leg, message, hop)
    }

    pub(crate) fn newcomer_by(&mut self, leg: LegId, message: Message, hop: Hop) -> ServerId {
        assert_eq!(self.call.next_leg(), leg);
        let peer = Peer {
            call_id: message.call_id().unwrap().into(),
            from: message.text(sip::Name::From).unwrap().into(),
            to: EARLY.into(),
            seq: 1,
            invite: 1,
        };
        self.peers.insert(leg, peer);
        self.servers += 1;
        let server = ServerId(self.servers);
        self.input(Input::Replace(Box::new(Replacement {
            server,
            message,
            hop,
            aor: Some("carol@example.test".into()),
        })));
        server
    }

    /// Whether we have sent such a request on a leg.
    pub(crate) fn has_request(&self, leg: LegId, method: &str) -> bool {
        self.requests.contains_key(&(leg, method.to_owned()))
    }

    /// Whether a leg's peer has a dialog to send requests in.
    pub(crate) fn has_peer(&self, leg: LegId) -> bool {
        self.peers.contains_key(&leg)
    }

    /// How many legs the shell still has.
    pub(crate) fn open_legs(&self) -> usize {
        self.open.len()
    }

    /// Our tag in what was sent last on a leg.
    pub(crate) fn sent_tag(&self, leg: LegId) -> String {
        self.sent[&leg].to_tag().unwrap().into()
    }

    /// The peer of `leg` goes back to an old CSeq.
    pub(crate) fn set_seq(&mut self, leg: LegId, seq: u32) {
        self.peers.get_mut(&leg).unwrap().seq = seq;
    }

    fn built(home: Arc<Home>, origin: Origin) -> Self {
        let key = CallKey::new(7, start().unix_ms, 0xfeed);
        let call = Call::new(
            Setup {
                key,
                home,
                entropy: 42,
                origin,
            },
            start(),
        );
        let mut scene = Self::with(call);
        scene.drain();
        scene
    }

    pub(crate) fn with(call: Call) -> Self {
        Self {
            call,
            now: start(),
            told: String::new(),
            events: Vec::new(),
            requests: HashMap::new(),
            sent: HashMap::new(),
            peers: HashMap::new(),
            servers: 100,
            open: HashSet::new(),
            record: None,
            is_ended: false,
            plan: Plan::Fork { groups: Vec::new() },
        }
    }

    /// What has been done since the last look.
    pub(crate) fn told(&mut self) -> String {
        std::mem::take(&mut self.told)
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.call.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn leg(&mut self, leg: LegId, event: LegEvent) {
        self.input(Input::Leg { leg, event });
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn wait(&mut self, by: Duration) {
        let end = self.now.mono + by;
        while let Some(due) = self.call.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.after(due.saturating_sub(self.now.mono));
            let before = self.call.poll_timeout();
            self.call.handle_timeout(self.now);
            self.drain();
            assert_ne!(self.call.poll_timeout(), before, "a timer that stays due");
        }
        self.now = self.now.after(end.saturating_sub(self.now.mono));
    }

    /// A response of the peer of `leg` to our last request of this method.
    pub(crate) fn answer(&mut self, leg: LegId, method: &str, status: u16, tag: &str, body: &str) {
        self.answer_with(leg, method, status, tag, "", body);
    }

    /// The same with more lines.
    pub(crate) fn answer_with(
        &mut self,
        leg: LegId,
        method: &str,
        status: u16,
        tag: &str,
        extra: &str,
        body: &str,
    ) {
        let (id, request) = self
            .requests
            .get(&(leg, method.to_owned()))
            .unwrap()
            .clone();
        let mut out = reply(&request, status, "Whatever", Some(tag));
        if (method == "INVITE" || method == "UPDATE") && !extra.contains("Contact") {
            out.line("Contact", format_args!("<sip:{leg:?}@192.0.2.77>"));
        }
        out.raw(extra.as_bytes());
        let bytes = match body {
            "" => out.end(),
            body => out.body(Some(b"application/sdp"), body.as_bytes()),
        };
        let message = parse(&bytes);
        let is_early = extra.contains("RSeq");
        // It goes on counting in a dialog that it has.
        let is_known = self.peers.get(&leg).is_some_and(|peer| {
            peer.call_id == request.call_id().unwrap()
                && message.text(sip::Name::To) == Some(&*peer.from)
        });
        if method == "INVITE" && ((200..300).contains(&status) || is_early) && !is_known {
            self.peers.insert(
                leg,
                Peer {
                    call_id: request.call_id().unwrap().into(),
                    from: message.text(sip::Name::To).unwrap().into(),
                    to: message.text(sip::Name::From).unwrap().into(),
                    seq: 100,
                    invite: 100,
                },
            );
        }
        self.leg(leg, LegEvent::Response { id, message });
    }

    pub(crate) fn fail(&mut self, leg: LegId, method: &str, why: Failure) {
        let (id, _) = self
            .requests
            .get(&(leg, method.to_owned()))
            .unwrap()
            .clone();
        self.leg(leg, LegEvent::Failed { id, why });
    }

    /// A request of the peer of `leg` inside its dialog.
    pub(crate) fn request(
        &mut self,
        leg: LegId,
        method: &str,
        extra: &str,
        body: &str,
    ) -> ServerId {
        let message = self.in_dialog(leg, method, extra, body);
        self.servers += 1;
        let id = ServerId(self.servers);
        self.leg(leg, LegEvent::Request { id, message });
        id
    }

    fn in_dialog(&mut self, leg: LegId, method: &str, extra: &str, body: &str) -> Message {
        let peer = self.peers.get_mut(&leg).unwrap();
        if method != "ACK" && method != "CANCEL" {
            peer.seq += 1;
        }
        if method == "INVITE" {
            peer.invite = peer.seq;
        }
        let seq = match method {
            "ACK" => peer.invite,
            _ => peer.seq,
        };
        let Peer {
            call_id, from, to, ..
        } = peer;
        message(&format!(
            "{method} sip:x@192.0.2.100 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKr{seq}\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {seq} {method}\r\nContact: <sip:p@192.0.2.78>\r\n{extra}\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// The peer of `leg` acknowledges our last 2xx.
    pub(crate) fn ack(&mut self, leg: LegId, body: &str) {
        let message = self.in_dialog(leg, "ACK", "", body);
        self.leg(leg, LegEvent::Ack { message });
    }

    pub(crate) fn cancel(&mut self, leg: LegId, invite: ServerId, reason: &str) {
        self.servers += 1;
        let id = ServerId(self.servers);
        let message = message(&format!(
            "CANCEL sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa1\r\n\
             From: <sip:alice@example.test>;tag=alice\r\nTo: <sip:bob@example.test>\r\n\
             Call-ID: from-alice\r\nCSeq: 1 CANCEL\r\n{reason}\r\n"
        ));
        self.leg(
            leg,
            LegEvent::Cancel {
                id,
                invite,
                message,
            },
        );
    }

    pub(crate) fn hangup(&mut self) {
        self.command(CallCommand::new(CallVerb::Hangup(Hangup::default())));
    }

    pub(crate) fn command(&mut self, command: CallCommand) {
        self.input(Input::Command {
            token: ReplyToken(1),
            agent: "robot".into(),
            id: "cmd-9".into(),
            command,
        });
    }

    fn drain(&mut self) {
        while let Some(output) = self.call.poll_output() {
            assert!(!self.is_ended, "after the end: {output:?}");
            if let Output::Plan { uri, .. } = output {
                writeln!(self.told, "plan {uri}").unwrap();
                let plan = std::mem::replace(&mut self.plan, Plan::Fork { groups: Vec::new() });
                self.call.handle(self.now, Input::Planned { plan });
            } else {
                self.write(output);
            }
        }
    }

    fn write(&mut self, output: Output) {
        let line = match output {
            Output::Open { leg, .. } => {
                self.open.insert(leg);
                format!("{leg}: open")
            }
            Output::Resolve { leg, host, .. } => format!("{leg}: resolve {host}"),
            Output::Plan { uri, .. } => unreachable!("{uri} is planned where it is asked for"),
            Output::Request {
                leg,
                id,
                bytes,
                branch,
                ..
            } => {
                let message = parse(&bytes);
                assert_eq!(message.top_via().unwrap().branch(), Some(&*branch));
                let line = format!("{leg}: > {}", summary(&message));
                let method = message.method_text().to_owned();
                self.requests.insert((leg, method), (id, message));
                line
            }
            Output::Respond {
                leg, status, bytes, ..
            } => {
                let message = parse(&bytes);
                assert_eq!(message.status(), Some(status));
                if (200..300).contains(&status)
                    && message.cseq().unwrap().method == sip::Method::Invite
                    && let Some(peer) = self.peers.get_mut(&leg)
                    && peer.to == EARLY
                {
                    peer.to = message.text(sip::Name::To).unwrap().into();
                }
                let line = format!("{leg}: > {}", summary(&message));
                self.sent.insert(leg, message);
                line
            }
            Output::Send { leg, again, bytes } => {
                let message = parse(&bytes);
                let line = format!(
                    "{leg}: > {}{}",
                    summary(&message),
                    if again { " again" } else { "" }
                );
                self.sent.insert(leg, message);
                line
            }
            Output::Close { leg } => {
                assert!(self.open.remove(&leg), "{leg} was not open");
                format!("{leg}: close")
            }
            Output::Event(event) => {
                let line = describe(&event);
                self.events.push(*event);
                line
            }
            Output::Persist { record, ahead } => {
                let line = match (&record, ahead) {
                    (Some(_), true) => "persist ahead",
                    (Some(_), false) => "persist",
                    (None, _) => "forget",
                };
                self.record = record;
                line.to_owned()
            }
            Output::Reply { reply, .. } => match *reply {
                Ok(_) => "reply ok".to_owned(),
                Err(error) => format!("reply {}", error.code.as_str()),
            },
            Output::Ended => {
                self.is_ended = true;
                "ended".to_owned()
            }
        };
        writeln!(self.told, "{line}").unwrap();
    }

    /// What must be true of every call at its end.
    pub(crate) fn assert_ended(&self) {
        assert!(
            self.is_ended,
            "not ended; next at {:?}",
            self.call.poll_timeout()
        );
        assert_eq!(self.call.poll_timeout(), None);
        check_events(&self.events);
    }
}
